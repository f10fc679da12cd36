//! FOCUS files: one file, two metrics.

use costlake_model::{ChargeClass, Metric};
use costlake_transform::{BlobOptions, DecodedChunk};

use crate::reading::{ledger, values};
use crate::{options, read_in_pieces, reference};

const HEADER: &str = "BilledCost,EffectiveCost,x_BilledCostInUsd,BillingCurrency,ChargePeriodStart,\
    ChargePeriodEnd,BillingPeriodEnd,ChargeCategory,PricingCategory,CommitmentDiscountId,\
    CommitmentDiscountStatus,SubAccountId,ListUnitPrice,Tags\n";

fn read(text: &str, metric: Metric) -> Vec<DecodedChunk> {
    let options = BlobOptions { metric, ..options() };
    read_in_pieces(text.as_bytes(), 13, options).unwrap().0
}

fn cost(chunks: &[DecodedChunk]) -> String {
    ledger(chunks).published.decimals["cost"].exact.to_string()
}

#[test]
fn each_metric_has_its_cost_and_all_rows() {
    let savings_plan = "/providers/microsoft.billingbenefits/savingsPlanOrders/1";
    let rows = [
        "3,3,3.3,EUR,2024-09-18T22:00Z,2024-09-18T23:00Z,2024-10-01T00:00Z,Usage,Standard,,,/subscriptions/ab,NULL,\n",
        &format!(
            "0,2,0,EUR,2024-09-19T00:00Z,2024-09-20T00:00Z,2024-10-01T00:00Z,Usage,Committed,{savings_plan},Used,/Subscriptions/AB,0.1,NULL\n"
        ),
        &format!(
            "0,1,0,EUR,2024-09-19T00:00Z,2024-09-20T00:00Z,2024-10-01T00:00Z,Usage,Committed,{savings_plan},Unused,NULL,0.1,\"{{}}\"\n"
        ),
        &format!(
            "9,0,9,EUR,2024-09-01T00:00Z,2024-09-02T00:00Z,2024-10-01T00:00Z,Purchase,Standard,{savings_plan},null,,0.1,\n"
        ),
    ];
    let text = format!("{HEADER}{}", rows.concat());
    let (actual, amortized) = (read(&text, Metric::Actual), read(&text, Metric::Amortized));
    assert_eq!((cost(&actual), cost(&amortized)), ("12".to_owned(), "6".to_owned()));
    for chunks in [&actual, &amortized] {
        assert_eq!(ledger(chunks).published.rows, 4);
        assert_eq!(values(chunks, "subscription_id"), ["ab", "AB", "null", "null"]);
        assert_eq!(
            values(chunks, "charge_class"),
            [
                "on_demand_usage",
                "savings_plan_usage",
                "unused_savings_plan",
                "savings_plan_purchase"
            ]
        );
        assert_eq!(
            values(chunks, "charge_date"),
            ["2024-09-18", "2024-09-19", "2024-09-19", "2024-09-01"]
        );
        assert_eq!(values(chunks, "billing_period_end"), ["2024-09-30"; 4]);
        assert_eq!(values(chunks, "tags"), ["null", "null", "{}", "null"]);
        assert_eq!(
            values(chunks, "extra")[0],
            r#"{"ChargePeriodStart":"2024-09-18T22:00Z","ChargePeriodEnd":"2024-09-18T23:00Z"}"#
        );
    }
    assert_eq!(ledger(&actual).published.decimals["cost_in_usd"].exact.to_string(), "12.3");
    assert!(!ledger(&amortized).published.decimals.contains_key("cost_in_usd"));
}

#[test]
fn paths_become_the_ids_of_other_files() {
    let text = "BilledCost,EffectiveCost,BillingCurrency,ChargePeriodStart,BillingAccountId,SubAccountId\n\
                1,1,EUR,2024-09-18,/providers/Microsoft.Billing/billingAccounts/12,/SUBSCRIPTIONS/ab\n\
                1,1,EUR,2024-09-18,12,ab\n";
    let chunks = read(text, Metric::Actual);
    assert_eq!(values(&chunks, "billing_account_id"), ["12", "12"]);
    assert_eq!(values(&chunks, "subscription_id"), ["ab", "ab"]);
}

#[test]
fn both_costs_count_as_names_of_a_header() {
    for (header, metric) in [
        ("EffectiveCost,ChargePeriodStart,BillingCurrency\n2,2024-09-18,EUR\n", Metric::Amortized),
        ("BilledCost,EffectiveCost,ChargePeriodStart,\n1,2,2024-09-18,\n", Metric::Amortized),
    ] {
        let currency = Some("EUR".to_owned());
        let options = BlobOptions { metric, currency, ..options() };
        let (chunks, _) = read_in_pieces(header.as_bytes(), 13, options).unwrap();
        assert_eq!(cost(&chunks), "2");
    }
}

#[test]
fn a_bad_cost_quarantines_the_row_of_its_metric_alone() {
    let text = format!("{HEADER}1,NULL,,EUR,2024-09-18,,,Usage,Standard,,,,,\n");
    assert_eq!(cost(&read(&text, Metric::Actual)), "1");
    let amortized = read(&text, Metric::Amortized);
    let row = &amortized[0].quarantined[0];
    assert_eq!((row.rule.id(), row.column), ("missing", Some("cost")));
}

#[test]
fn null_literals_are_text_in_all_other_files() {
    let text =
        "Date,Cost,Currency,MeterName,Quantity\n07/01/2025,1,EUR,NULL,1\n07/01/2025,1,EUR,a,NULL\n";
    let chunks = read(text, Metric::Actual);
    assert_eq!(values(&chunks, "meter_name"), ["NULL"]);
    assert_eq!(chunks[0].quarantined[0].rule.id(), "number-form");
}

#[test]
fn public_samples_give_both_sums() {
    for (name, rows, billed, effective) in [
        ("samples/focus_1.0_multicloud_1000rows.csv", 1000, "20.52022672899", "14.97651418586"),
        (
            "samples/focus_1.0r2_mpa_eur_40rows.csv",
            40,
            "3.5376309533447189258686174472",
            "3.5376309533447189258686174472",
        ),
    ] {
        let Some(path) = reference(name) else { return };
        let text = std::fs::read_to_string(path).unwrap();
        for (metric, sum) in [(Metric::Actual, billed), (Metric::Amortized, effective)] {
            let chunks = read(&text, metric);
            let totals = ledger(&chunks);
            assert_eq!((totals.published.rows, totals.quarantined.rows), (rows, 0), "{name}");
            assert_eq!(cost(&chunks), sum, "{name} {metric}");
            let kinds = values(&chunks, "source_kind");
            assert!(kinds.iter().all(|kind| kind == "focus"));
            assert!(values(&chunks, "schema_version").iter().all(|version| version == "1.0"));
            let unknown = values(&chunks, "charge_class");
            let unknown = unknown.iter().filter(|class| *class == ChargeClass::Other.name());
            assert!(unknown.count() <= 1, "{name}");
        }
    }
}
