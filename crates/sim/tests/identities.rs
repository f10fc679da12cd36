//! Actual and amortized cost are two views of the same charges.

use crate::exact::Exact;
use crate::reading::{Line, read_months, sorted, thirteen_months};
use costlake_sim::generator::Metric;
use std::collections::BTreeMap;

struct Views {
    actual: Vec<Line>,
    amortized: Vec<Line>,
}

fn views(seed: u64) -> Views {
    let enrollment = thirteen_months(seed);
    Views {
        actual: read_months(&enrollment, Metric::ActualCost),
        amortized: read_months(&enrollment, Metric::AmortizedCost),
    }
}

#[test]
fn other_rows_are_the_same_in_both_views() {
    let Views { actual, amortized } = views(1);
    let others = |rows: Vec<Line>| sorted(rows.into_iter().filter(|row| !row.is_commitment()));
    let (actual, amortized) = (others(actual), others(amortized));
    assert!(actual.len() > 3000);
    assert!(actual == amortized);
}

#[test]
fn committed_usage_is_free_in_actual_and_has_its_share_in_amortized() {
    let Views { actual, amortized } = views(2);
    let covered = |rows: &[Line]| -> Vec<Line> {
        rows.iter()
            .filter(|row| row.is_commitment() && row.get("ChargeType") == "Usage")
            .cloned()
            .collect()
    };
    let (actual, amortized) = (covered(&actual), covered(&amortized));
    assert!(actual.iter().all(|row| row.cost() == Exact::ZERO && row.get("EffectivePrice") == "0"));
    assert!(
        amortized
            .iter()
            .all(|row| row.cost() > Exact::ZERO && row.amount("UnitPrice") > Exact::ZERO)
    );
    assert!(
        amortized
            .iter()
            .all(|row| row.cost() == row.amount("Quantity") * row.amount("EffectivePrice"))
    );
    let quantities = |rows: Vec<Line>| sorted(rows.into_iter().map(Line::without_money));
    assert!(quantities(actual) == quantities(amortized));
}

#[test]
fn purchases_are_in_actual_and_unused_hours_in_amortized() {
    let Views { actual, amortized } = views(3);
    let is_bought =
        |row: &&Line| row.is_commitment() && matches!(row.get("ChargeType"), "Purchase" | "Refund");
    assert!(actual.iter().filter(is_bought).count() > 20);
    assert_eq!(amortized.iter().filter(is_bought).count(), 0);
    assert_eq!(actual.iter().filter(|row| row.is_unused()).count(), 0);
    for kind in ["UnusedReservation", "UnusedSavingsPlan"] {
        assert!(
            amortized.iter().any(|row| row.get("ChargeType") == kind && row.cost() > Exact::ZERO),
            "{kind}"
        );
    }
    let is_idle = |row: &&Line| row.is_unused() && row.cost() == Exact::ZERO;
    assert!(
        amortized.iter().any(|row| is_idle(&row)),
        "a fully used reservation shows a row with 0"
    );
}

#[test]
fn commitments_paid_monthly_close_every_month() {
    let Views { actual, amortized } = views(4);
    let monthly: Vec<&str> = orders(&actual, "Recurring");
    assert_eq!(monthly.len(), 3);
    for order in monthly {
        let paid = by_month(&actual, order);
        let shares = by_month(&amortized, order);
        assert_eq!(paid.len(), 13, "{order}");
        assert_eq!(paid, shares, "{order}");
    }
}

#[test]
fn commitments_paid_upfront_close_over_their_term() {
    let Views { actual, amortized } = views(5);
    let upfront = orders(&actual, "OneTime");
    assert_eq!(upfront.len(), 3);
    for order in upfront {
        let paid: Exact = by_month(&actual, order).into_values().sum();
        let shares: Exact = by_month(&amortized, order).into_values().sum();
        assert!(paid > Exact::ZERO);
        assert_eq!(paid, shares, "{order}");
    }
}

#[test]
fn a_cancelled_reservation_is_refunded_once() {
    let actual = views(6).actual;
    let refunds: Vec<&Line> =
        actual.iter().filter(|row| row.get("ChargeType") == "Refund").collect();
    assert_eq!(refunds.len(), 1);
    assert!(refunds[0].cost() < Exact::ZERO);
    assert!(refunds[0].get("benefitId").ends_with("/reservations/"));
}

#[test]
fn a_purchase_names_the_order_where_usage_names_the_reservation() {
    let actual = views(7).actual;
    for row in actual.iter().filter(|row| row.get("PricingModel") == "Reservation") {
        let is_purchase = row.get("ChargeType") != "Usage";
        assert_eq!(row.get("ReservationId") == row.get("ProductOrderId"), is_purchase);
        assert_eq!(row.get("benefitId").ends_with("/reservations/"), is_purchase);
        assert_eq!(row.get("PayGPrice"), "0");
    }
}

/// Orders of commitments bought with a frequency, refunds not counted.
fn orders<'a>(actual: &'a [Line], frequency: &str) -> Vec<&'a str> {
    let bought =
        actual.iter().filter(|row| row.is_commitment() && row.get("ChargeType") == "Purchase");
    let mut orders = sorted(
        bought.filter(|row| row.get("Frequency") == frequency).map(|row| row.get("ProductOrderId")),
    );
    orders.dedup();
    orders
}

fn by_month(rows: &[Line], order: &str) -> BTreeMap<String, Exact> {
    let mut months = BTreeMap::new();
    for row in rows.iter().filter(|row| row.get("ProductOrderId") == order) {
        let sum = months.entry(row.month()).or_insert(Exact::ZERO);
        *sum = *sum + row.cost();
    }
    months
}
