//! Which reservation or savings plan a row belongs to.
//!
//! A purchase names the order, usage the reservation below it (`cost-data.md`, 5), so the order is
//! what both share and what a commitment is here.

use crate::charge_class::ChargeClass;
use crate::rollup::{Entity, Input, Lookup};

/// The commitment of rows that a commitment covers without saying which.
pub const UNKNOWN: &str = "unknown";

/// What the commitment of a row depends on.
pub const INPUTS: [&str; 7] = [
    "charge_class",
    "benefit_id",
    "product_order_id",
    "reservation_id",
    "benefit_name",
    "reservation_name",
    "product_order_name",
];

/// The commitment of a row; nothing for rows of other classes than the eight of commitments.
pub fn of(row: Lookup<'_>) -> Option<Entity> {
    let text = |name| row(&Input::Column(name)).map(str::trim).filter(|text| !text.is_empty());
    let class = text("charge_class").and_then(ChargeClass::from_name)?;
    if !class.is_of_commitment() {
        return None;
    }
    let id = text("benefit_id")
        .and_then(order_of)
        .or_else(|| text("product_order_id"))
        .or_else(|| text("benefit_id"))
        .or_else(|| text("reservation_id"))
        .unwrap_or(UNKNOWN)
        .to_lowercase();
    let names = ["benefit_name", "reservation_name", "product_order_name"];
    let name = names.into_iter().find_map(text).map(str::to_owned);
    Some(Entity { id, name })
}

/// The order in a resource id such as `/providers/Microsoft.Capacity/reservationOrders/<order>/reservations/<id>`.
fn order_of(benefit_id: &str) -> Option<&str> {
    let mut segments = benefit_id.split('/');
    segments.find(|segment| {
        segment.eq_ignore_ascii_case("reservationOrders")
            || segment.eq_ignore_ascii_case("savingsPlanOrders")
    })?;
    segments.next().filter(|order| !order.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVATION: &str = "/providers/Microsoft.Capacity/reservationOrders/AB-1/reservations/";
    const PLAN: &str = "/providers/microsoft.billingbenefits/savingsplanorders/cd-2/savingsPlans/x";

    fn id(row: &[(&str, &str)]) -> Option<String> {
        let lookup = |input: &Input| {
            let found = |(name, _): &&(&str, &str)| *input == Input::Column(find(name));
            row.iter().find(found).map(|(_, text)| *text)
        };
        of(&lookup).map(|entity| entity.id)
    }

    fn find(name: &str) -> &'static str {
        INPUTS.into_iter().find(|input| *input == name).unwrap()
    }

    #[test]
    fn purchases_and_usage_meet_in_the_order() {
        let used = "reservation_usage";
        for (row, expected) in [
            (&[("charge_class", "reservation_purchase"), ("benefit_id", RESERVATION)][..], "ab-1"),
            (&[("charge_class", used), ("benefit_id", &format!("{RESERVATION}r"))], "ab-1"),
            (&[("charge_class", "unused_savings_plan"), ("benefit_id", PLAN)], "cd-2"),
            (&[("charge_class", used), ("product_order_id", "X"), ("benefit_id", "B")], "x"),
            (&[("charge_class", used), ("benefit_id", "<My-Id>")], "<my-id>"),
            (&[("charge_class", used), ("reservation_id", "R")], "r"),
            (&[("charge_class", used)], UNKNOWN),
        ] {
            assert_eq!(id(row).as_deref(), Some(expected), "{row:?}");
        }
    }

    #[test]
    fn other_rows_have_none() {
        assert_eq!(id(&[("charge_class", "on_demand_usage"), ("benefit_id", RESERVATION)]), None);
        assert_eq!(id(&[]), None);
    }
}
