//! Which rows a report holds.

use crate::exact::Exact;
use crate::reading::{Line, read_blob, read_months, read_report, sorted, thirteen_months};
use costlake_sim::generator::{Enrollment, EnrollmentConfig, Metric, Month, Scope, Selection};
use std::collections::BTreeSet;

fn demo() -> Enrollment {
    Enrollment::new(EnrollmentConfig { rows_per_month: 2_000, ..EnrollmentConfig::default() })
}

fn month(number: u32) -> Month {
    Month::new(2025, number).unwrap()
}

fn at(scope: Scope, metric: Metric) -> Selection {
    Selection { scope, ..Selection::month(metric, month(5)) }
}

/// Removes each of `rows` from `pool`; both sorted.
fn is_subset(rows: &[Line], pool: &[Line]) -> bool {
    let mut pool = pool.iter();
    rows.iter().all(|row| pool.any(|other| other == row))
}

#[test]
fn narrower_scopes_are_parts_of_the_enrollment() {
    let enrollment = demo();
    let organization = enrollment.organization();
    for metric in [Metric::ActualCost, Metric::AmortizedCost] {
        let all = sorted(read_report(&enrollment, &at(Scope::Enrollment, metric)));
        let check = |scope: Scope, column: &str, id: &str| {
            let rows = sorted(read_report(&enrollment, &at(scope, metric)));
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| row.get(column) == id), "{id}");
            assert!(rows.iter().all(|row| row.get("ChargeType") == "Usage"), "{id}");
            assert!(is_subset(&rows, &all), "{id}");
            let same = all
                .iter()
                .filter(|row| row.get(column) == id && row.get("ChargeType") == "Usage")
                .count();
            assert_eq!(rows.len(), same, "{id}");
        };
        for department in
            organization.departments.iter().filter(|department| !department.id.is_empty())
        {
            check(Scope::Department(department.id.clone()), "InvoiceSectionId", &department.id);
        }
        for account in &organization.accounts {
            check(Scope::EnrollmentAccount(account.id.clone()), "AccountId", &account.id);
        }
        for subscription in organization.subscriptions.iter().take(3) {
            check(
                Scope::Subscription(subscription.id.to_uppercase()),
                "SubscriptionId",
                &subscription.id,
            );
        }
    }
}

#[test]
fn blobs_together_are_the_month_whatever_their_number() {
    let enrollment = demo();
    let selection = Selection::month(Metric::ActualCost, month(6));
    let read = |blobs: usize| -> Vec<Vec<Line>> {
        enrollment
            .plan(&selection, blobs)
            .iter()
            .map(|plan| read_blob(&enrollment.render_blob(plan)))
            .collect()
    };
    let whole = read(1).concat();
    assert_eq!(read(3).len(), 3);
    assert!(read(3).concat() == whole);
    assert!(read(1000).concat() == whole);
}

#[test]
fn days_together_are_the_month() {
    let enrollment = demo();
    let whole = Selection::month(Metric::AmortizedCost, month(6));
    let days = whole.from.iter_days().take_while(|day| *day <= whole.to);
    let parts: Vec<Line> = days
        .flat_map(|day| {
            read_report(&enrollment, &Selection { from: day, to: day, ..whole.clone() })
        })
        .collect();
    assert!(parts == read_report(&enrollment, &whole));
}

#[test]
fn there_are_no_blobs_without_data() {
    let enrollment = demo();
    assert!(enrollment.plan(&Selection::month(Metric::ActualCost, month(8)), 3).is_empty());
    assert!(
        enrollment.plan(&at(Scope::Department("1".to_owned()), Metric::ActualCost), 3).is_empty()
    );
    assert!(
        enrollment.plan(&at(Scope::Department(String::new()), Metric::ActualCost), 3).is_empty()
    );
}

#[test]
fn the_open_month_grows_and_is_restated() {
    let enrollment = demo();
    let read = |revision| {
        let selection = Selection { revision, ..Selection::month(Metric::ActualCost, month(7)) };
        read_report(&enrollment, &selection)
    };
    let (first, second) = (read(0), read(1));
    let days = |rows: &[Line]| {
        rows.iter().map(|row| row.get("Date").to_owned()).collect::<BTreeSet<String>>()
    };
    assert_eq!(days(&first).len(), 12);
    assert_eq!(days(&second).len(), 15);
    assert!(days(&first).is_subset(&days(&second)));
    let earlier =
        |rows: &[Line]| sorted(rows.iter().filter(|row| row.get("Date") <= "07/12/2025").cloned());
    let (before, after) = (earlier(&first), earlier(&second));
    let lost = before.iter().filter(|row| !after.contains(row)).count();
    let new = after.iter().filter(|row| !before.contains(row)).count();
    assert!((12..200).contains(&lost), "{lost}");
    assert!((12..200).contains(&new), "{new}");
    assert_eq!(days(&read(20)).len(), 31);
    assert!(read(20) == read(21));
}

#[test]
fn closed_months_stay_unless_one_is_to_be_restated() {
    let check = |restate_closed: Option<Month>, changed: [bool; 2]| {
        let config = EnrollmentConfig {
            restate_closed,
            rows_per_month: 2_000,
            ..EnrollmentConfig::default()
        };
        let enrollment = Enrollment::new(config);
        for (number, is_changed) in [5, 6].into_iter().zip(changed) {
            let read = |revision| {
                let selection =
                    Selection { revision, ..Selection::month(Metric::ActualCost, month(number)) };
                read_report(&enrollment, &selection)
            };
            assert_eq!(read(0) != read(1), is_changed);
            assert!(read(1) == read(5));
        }
    };
    check(None, [false, false]);
    check(Some(month(6)), [false, true]);
}

#[test]
fn the_rows_have_the_oddities_of_real_ones() {
    let config =
        EnrollmentConfig { rows_per_month: 4_000, open_month: None, ..EnrollmentConfig::default() };
    let rows = read_months(&Enrollment::new(config), Metric::ActualCost);
    let any = |what: &str, found: &dyn Fn(&Line) -> bool| assert!(rows.iter().any(found), "{what}");
    any("comma", &|row| row.get("InvoiceSectionName") == "Finance, Controlling & Audit");
    any("umlaut", &|row| row.get("InvoiceSectionName").contains('ü'));
    any("no-break space", &|row| row.get("InvoiceSectionName").contains('\u{a0}'));
    any("no department", &|row| {
        row.get("InvoiceSectionName") == "Unassigned" && row.get("InvoiceSectionId").is_empty()
    });
    any("line break", &|row| row.get("AdditionalInfo").contains('\n'));
    any("line break", &|row| row.get("Tags").contains('\n'));
    any("key with a blank", &|row| row.get("Tags").starts_with("\" project\""));
    any("escaped quote", &|row| row.get("Tags").contains("\\\"hello\\\""));
    any("Spot", &|row| row.get("PricingModel") == "Spot");
    any("Marketplace usage", &|row| {
        row.get("PublisherType") == "Marketplace" && row.get("ChargeType") == "Usage"
    });
    any("Marketplace purchase", &|row| {
        row.get("PublisherType") == "Marketplace" && row.get("ChargeType") == "Purchase"
    });
    any("rounding", &|row| {
        row.get("ChargeType") == "RoundingAdjustment" && row.get("ResourceId").is_empty()
    });
    any("allocation rule", &|row| !row.get("CostAllocationRuleName").is_empty());
    any("free", &|row| row.get("PricingModel") == "OnDemand" && row.cost() == Exact::ZERO);
    any("group in capitals", &|row| row.get("ResourceGroup").starts_with("RG-"));
    any("28 digits", &|row| {
        row.get("CostInBillingCurrency").split('.').nth(1).is_some_and(|digits| digits.len() == 28)
    });
    let all = sorted(rows.clone());
    assert!(all.windows(2).any(|pair| pair[0] == pair[1]), "rows that look the same");
    let names = rows
        .iter()
        .filter(|row| row.get("InvoiceSectionId") == "36912")
        .map(|row| row.get("InvoiceSectionName"));
    assert_eq!(names.collect::<BTreeSet<&str>>().len(), 2);
}

#[test]
fn tags_are_json_members_without_braces() {
    let rows = read_months(&thirteen_months(2), Metric::ActualCost);
    for row in rows {
        let tags = row.get("Tags");
        assert!(!tags.starts_with('{'));
        assert!(
            serde_json::from_str::<serde_json::Value>(&format!("{{{tags}}}")).is_ok(),
            "{tags}"
        );
        let info = row.get("AdditionalInfo");
        assert!(
            info.is_empty() || serde_json::from_str::<serde_json::Value>(info).is_ok(),
            "{info}"
        );
    }
}

#[test]
fn cost_is_price_times_the_unrounded_quantity() {
    let rows = read_months(&thirteen_months(3), Metric::ActualCost);
    let half_digit = Exact::parse("0.000000005");
    for row in rows.iter().filter(|row| row.get("ChargeType") != "RoundingAdjustment") {
        let price = row.amount("EffectivePrice");
        let shown = row.amount("Quantity") * price;
        let difference = (row.cost() + -shown).size();
        assert!(difference <= (half_digit * price).size(), "{row:?}");
    }
}
