//! A FOCUS file gives the figures of the two reports that it was made from.
//!
//! The file is made here by the rules of the field: all rows of the amortized report, and of the actual
//! one only what was paid for commitments; billed is nothing on what a commitment covers or leaves
//! unused, effective is nothing on what was paid for one (`cost-data.md`, 6 and 9).

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Outcome, reference, run, text};
use crate::reading::{CsvRows, ParquetRows};

const HEADER: [&str; 20] = [
    "BilledCost",
    "EffectiveCost",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "PricingCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountStatus",
    "x_PublisherCategory",
    "x_InvoiceSectionId",
    "x_InvoiceSectionName",
    "x_BillingAccountId",
    "SubAccountId",
    "PricingQuantity",
    "x_SkuMeterId",
    "Tags",
    "ResourceId",
];

fn sample(metric: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples/ea-2024-08-01").join(metric)
}

fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(csv_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "csv") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The FOCUS row of a row of a report, if it has one.
fn focus_row(row: &dyn Fn(&str) -> String, is_actual: bool) -> Option<Vec<String>> {
    let (charge_type, pricing_model) = (row("ChargeType"), row("PricingModel"));
    let is_commitment = matches!(pricing_model.as_str(), "Reservation" | "SavingsPlan");
    let is_paid = is_commitment && matches!(charge_type.as_str(), "Purchase" | "Refund");
    if is_actual && !is_paid {
        return None;
    }
    let is_unused = charge_type.starts_with("Unused");
    let (cost, nothing) = (row("CostInBillingCurrency"), "0".to_owned());
    let billed = if is_commitment && !is_paid { nothing.clone() } else { cost.clone() };
    let effective = if is_paid { nothing } else { cost };
    let category = match charge_type.as_str() {
        "RoundingAdjustment" => "Adjustment",
        "Refund" => "Purchase",
        _ if is_unused => "Usage",
        other => other,
    };
    let pricing = match pricing_model.as_str() {
        "Reservation" | "SavingsPlan" if !is_paid => "Committed",
        "Spot" => "Dynamic",
        "" => "NULL",
        _ => "Standard",
    };
    let status = if !is_commitment || is_paid {
        ""
    } else if is_unused {
        "Unused"
    } else {
        "Used"
    };
    let day = |header: &str| {
        let (month_day, year) =
            row(header).rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        format!("{year}-{}T00:00:00Z", month_day.replace('/', "-"))
    };
    let section = row("InvoiceSectionId");
    let marketplace = row("PublisherType") == "Marketplace";
    let subscription = row("SubscriptionId");
    Some(vec![
        billed,
        effective,
        row("BillingCurrencyCode"),
        day("BillingPeriodStartDate"),
        "2025-06-01T00:00:00Z".to_owned(),
        day("Date"),
        category.to_owned(),
        if charge_type == "Refund" { "Correction" } else { "NULL" }.to_owned(),
        pricing.to_owned(),
        row("benefitId"),
        status.to_owned(),
        if marketplace { "Vendor" } else { "Cloud Provider" }.to_owned(),
        section,
        row("InvoiceSectionName"),
        row("BillingAccountId"),
        if subscription.is_empty() {
            subscription
        } else {
            format!("/subscriptions/{subscription}")
        },
        row("Quantity"),
        row("MeterId"),
        row("Tags"),
        row("ResourceId"),
    ])
}

/// Writes the FOCUS file of the sample month.
fn write_focus(path: &Path) {
    let mut writer = csv::Writer::from_path(path).unwrap();
    writer.write_record(HEADER).unwrap();
    for (metric, is_actual) in [("actual", true), ("amortized", false)] {
        for file in csv_files(&sample(metric)) {
            let rows = CsvRows::read(&file);
            for at in 0..rows.len() {
                let cell = |name: &str| rows.column(name).nth(at).unwrap().to_owned();
                if let Some(row) = focus_row(&cell, is_actual) {
                    writer.write_record(row).unwrap();
                }
            }
        }
    }
    writer.flush().unwrap();
}

fn convert(input: &Path, lake: &Path, args: &[&str]) -> Outcome {
    let common = ["convert", text(input), "--lake", text(lake), "-o", "json"];
    run(&[&common[..], args].concat())
}

/// The department rows without the numbers of rows: FOCUS has each row in both metrics.
fn departments(result: &Value) -> Vec<Value> {
    let rows = result["months"][0]["rollups"][0]["rows"].as_array().unwrap();
    let mut rows = rows.clone();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.retain(|name, _| !name.ends_with("_rows"));
    }
    rows
}

#[test]
fn departments_of_a_focus_file_are_those_of_the_two_reports() {
    let folder = TempDir::new().unwrap();
    let focus = folder.path().join("focus.csv");
    write_focus(&focus);
    let native = convert(sample("actual").parent().unwrap(), &folder.path().join("native"), &[]);
    let native = native.exits(0).json();
    let from_focus = convert(&focus, &folder.path().join("focus"), &[]).exits(0).json();
    assert_eq!(departments(&from_focus), departments(&native));
    assert!(departments(&native).len() > 3);
    let report = |result: &Value, at: usize| result["months"][0]["reports"][at].clone();
    for at in [0, 1] {
        let (ours, theirs) = (report(&from_focus, at), report(&native, at));
        assert_eq!(ours["metric"], theirs["metric"]);
        assert_eq!(ours["cost"], theirs["cost"]);
        assert_eq!(ours["quarantined_rows"], 0);
    }
    assert_eq!(report(&from_focus, 0)["rows"], report(&from_focus, 1)["rows"]);
    assert_eq!(from_focus["months"][0]["scope"], native["months"][0]["scope"]);
    assert_eq!(from_focus["months"][0]["billing_period"], "2025-05");

    let object = folder.path().join("focus").join(report(&from_focus, 0)["path"].as_str().unwrap());
    let kinds = ParquetRows::read(&object).texts("source_kind");
    assert!(kinds.iter().all(|kind| kind.as_deref() == Some("focus")));
}

#[test]
fn one_metric_of_a_focus_file_can_be_asked_for() {
    let folder = TempDir::new().unwrap();
    let focus = folder.path().join("focus.csv");
    write_focus(&focus);
    let lake = folder.path().join("lake");
    let result = convert(&focus, &lake, &["--metric", "amortized"]).exits(0).json();
    let reports = result["months"][0]["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["metric"], "amortized");
    let both = convert(&focus, &lake, &["--metric", "both"]).exits(0).json();
    let reports = both["months"][0]["reports"].as_array().unwrap();
    assert_eq!(reports.iter().map(|r| r["changed"] == true).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn native_files_beside_focus_files_still_need_their_metric() {
    let folder = TempDir::new().unwrap();
    write_focus(&folder.path().join("focus.csv"));
    std::fs::copy(&csv_files(&sample("actual"))[0], folder.path().join("native.csv")).unwrap();
    let lake = folder.path().join("lake");
    convert(folder.path(), &lake, &[]).exits(2).says(&["--metric", "only FOCUS files show both"]);
    assert!(!lake.join("cost_line_items").exists());
}

#[test]
fn an_export_of_focus_costs_is_one_report_of_both_metrics() {
    let folder = TempDir::new().unwrap();
    let run_folder = folder.path().join("export/20250501-20250531/run");
    std::fs::create_dir_all(&run_folder).unwrap();
    let part = run_folder.join("part_0_0001.csv");
    write_focus(&part);
    let manifest = |rows: u64| {
        serde_json::json!({
            "manifestVersion": "2024-04-01",
            "blobCount": 1,
            "dataRowCount": rows,
            "exportConfig": {
                "type": "FocusCost",
                "dataVersion": "1.0r2",
                "resourceId": "/providers/Microsoft.Billing/billingAccounts/12/providers/Microsoft.CostManagement/exports/focus",
            },
            "runInfo": {
                "runId": "run",
                "submittedTime": "2025-06-05T00:00:00Z",
                "startDate": "2025-05-01T00:00:00",
                "endDate": "2025-05-31T00:00:00",
            },
            "blobs": [{ "blobName": "x/part_0_0001.csv", "dataRowCount": rows }],
        })
    };
    let rows = CsvRows::read(&part).len() as u64;
    let lake = folder.path().join("lake");
    std::fs::write(run_folder.join("manifest.json"), manifest(rows + 1).to_string()).unwrap();
    convert(folder.path(), &lake, &[]).exits(5).says(&["its manifest says"]);
    std::fs::write(run_folder.join("manifest.json"), manifest(rows).to_string()).unwrap();
    let result = convert(folder.path(), &lake, &[]).exits(0).json();
    assert_eq!(result["months"][0]["scope"], "billing-account-12");
    let reports = result["months"][0]["reports"].as_array().unwrap();
    assert_eq!(reports.iter().map(|r| r["rows"].as_u64().unwrap()).collect::<Vec<_>>(), [rows; 2]);
}

/// The worked examples of the FOCUS specification (1.2, commitment discounts), with what it says of each:
/// file, purchases billed, shares used and unused, rows.
const SCENARIOS: [(&str, [&str; 3], u64); 5] = [
    ("commitment_discount_purchase_scenario_1", ["8760", "0", "0"], 1),
    ("commitment_discount_purchase_scenario_2", ["3", "0", "0"], 3),
    ("commitment_discount_usage_scenario_1", ["0", "1", "0"], 1),
    ("commitment_discount_usage_scenario_2", ["0", "0", "1"], 1),
    // An hour of four normalized ones for 2.00, consumed by two machines of two for 1.00 each.
    (
        "one_hundred_percent_utilization_with_commitment_discount_flexibility_with_2_resources",
        ["2", "2", "0"],
        3,
    ),
];

/// The examples leave out what a FOCUS file must have: the billing currency and the billing account.
const NOT_IN_SCENARIOS: [&str; 4] = ["--currency", "USD", "--scope-name", "focus"];

const SCENARIO_COMMITMENT: &str = "<my-commitment-discount-id>";

fn scenario(samples: &Path, name: &str) -> PathBuf {
    samples.join(format!("focus_spec_{name}.csv"))
}

/// The same file with one column more, the same in every row.
fn with_column(file: &Path, copy: &Path, header: &str, value: &str) {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let mut writer = csv::Writer::from_path(copy).unwrap();
    let mut names = reader.headers().unwrap().clone();
    names.push_field(header);
    writer.write_record(&names).unwrap();
    for row in reader.records() {
        let mut row = row.unwrap();
        row.push_field(value);
        writer.write_record(&row).unwrap();
    }
    writer.flush().unwrap();
}

fn rollup<'a>(result: &'a Value, name: &str) -> &'a [Value] {
    let rollups = result["months"][0]["rollups"].as_array().unwrap();
    rollups.iter().find(|rollup| rollup["name"] == name).unwrap()["rows"].as_array().unwrap()
}

#[test]
fn scenarios_of_the_focus_specification_give_its_figures_per_commitment() {
    let Some(samples) = reference("samples") else { return };
    for (name, [purchases, used, unused], rows) in SCENARIOS {
        // As published nothing says what kind of commitment it is.
        for (kind, commitment_type) in
            [("", "reservation"), ("Reservation", "reservation"), ("Savings Plan", "savings_plan")]
        {
            let folder = TempDir::new().unwrap();
            let (file, lake) = (folder.path().join("focus.csv"), folder.path().join("lake"));
            with_column(&scenario(&samples, name), &file, "CommitmentDiscountType", kind);
            let result = convert(&file, &lake, &NOT_IN_SCENARIOS).exits(0).json();
            let commitments = rollup(&result, "commitment_month");
            assert_eq!(commitments.len(), 1, "{name}");
            let of_month = &commitments[0];
            assert_eq!(of_month["commitment_id"], SCENARIO_COMMITMENT, "{name}");
            assert_eq!(of_month["commitment_purchases"], purchases, "{name}");
            assert_eq!(of_month["used_shares"], used, "{name}");
            assert_eq!(of_month["unused_shares"], unused, "{name}");
            assert_eq!(of_month["actual_rows"], rows, "{name}");

            // Billed and effective cost of every row are a cause, so no other difference is left.
            let reconciled = run(&["reconcile", "--lake", text(&lake), "-o", "json"]).exits(0);
            let reconciled = reconciled.json();
            let month = &reconciled["months"][0];
            let department = &month["departments"][0];
            assert_eq!(department["actual_cost"], purchases, "{name}: billed");
            let consumed = if used == "0" { unused } else { used };
            assert_eq!(department["amortized_cost"], consumed, "{name}: effective");
            let commitments = month["commitments"].as_array().unwrap();
            assert_eq!(commitments.len(), 1, "{name}");
            let to_date = &commitments[0];
            assert_eq!(to_date["commitment_type"], commitment_type, "{name}");
            assert_eq!(to_date["purchases_to_date"], purchases, "{name}");
            assert_eq!(to_date["used_to_date"], used, "{name}");
            assert_eq!(to_date["unused_to_date"], unused, "{name}");
        }
    }
}
