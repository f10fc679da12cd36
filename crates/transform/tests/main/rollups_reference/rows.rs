//! Line items as texts, and what `docs/rollups.md` says of one row.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::i256;
use costlake_model::Metric;
use costlake_model::decimal::ExactDecimal;
use proptest::prelude::*;

/// Header, canonical column, and the few texts that occur there. Dates and costs are never empty.
const COLUMNS: [(&str, &str, &[&str]); 31] = [
    ("Date", "charge_date", &["2025-07-01", "2025-07-02", "2025-07-31", "2025-06-30"]),
    (
        "Cost",
        "cost",
        &["0", "1", "-2.5", "0.000000000000000000000001", "33.333333333333333333333333"],
    ),
    ("BillingCurrencyCode", "billing_currency", &["EUR", "EUR", "USD"]),
    ("InvoiceSectionId", "department_id", &["", "-2", "A1", "a1", "b2", "sales", "unassigned"]),
    (
        "InvoiceSectionName",
        "department_name",
        &["", "Unassigned", "Sales", "SALES", "Research", "A1"],
    ),
    ("AccountId", "account_id", &["", "Acc-1", "ACC-1", "acc-2"]),
    ("AccountName", "account_name", &["", "First", "FIRST", "acc-2"]),
    ("AccountOwnerId", "account_owner", &["", "Owner@Example.com", "owner@example.com"]),
    ("CostCenter", "cost_center", &["", "CC-1", "cc-1", "cc 2"]),
    ("SubscriptionId", "subscription_id", &["", "Sub-A", "sub-a", "SUB-B"]),
    ("SubscriptionName", "subscription_name", &["", "Shop", "shop", "Data, \"old\""]),
    ("ResourceGroup", "resource_group", &["", "RG-App", "rg-app", "rg-db"]),
    ("ResourceName", "resource_name", &["", "VM-1", "vm-1"]),
    ("ConsumedService", "consumed_service", &["", "Microsoft.Compute", "microsoft.compute"]),
    ("MeterCategory", "meter_category", &["", "Storage", "storage", "Virtual Machines"]),
    ("ProductId", "product_id", &["", "P-1", "p-1"]),
    (
        "benefitId",
        "benefit_id",
        &[
            "",
            "",
            "/providers/Microsoft.Capacity/reservationOrders/Order-1",
            "/providers/microsoft.capacity/reservationorders/order-1/reservations/r-1",
            "/providers/Microsoft.Capacity/reservationOrders/",
            "/providers/Microsoft.BillingBenefits/savingsPlanOrders/Plan-9/savingsPlans/x",
            "Custom-Benefit",
        ],
    ),
    ("benefitName", "benefit_name", &["", "", "Benefit", "Benefit (new)"]),
    ("ReservationId", "reservation_id", &["", "", "R-1", "r-2"]),
    ("ReservationName", "reservation_name", &["", "Reserved"]),
    ("ProductOrderId", "product_order_id", &["", "", "ORDER-1", "order-2"]),
    ("ProductOrderName", "product_order_name", &["", "Ordered"]),
    ("Term", "term", &["", "P1Y", "P3Y"]),
    ("Quantity", "quantity", &["", "0", "2", "-0.333333333333333333333333"]),
    ("UnitPrice", "unit_price", &["", "0", "0.000000000000000000000005", "1.25"]),
    ("PayGPrice", "retail_price", &["", "0", "0.7", "3.333333333333333333333333"]),
    ("ListCost", "list_cost", &["", "", "0", "9.5"]),
    ("ContractedCost", "contracted_cost", &["", "", "0", "8.25"]),
    ("PricingCurrencyCode", "pricing_currency", &["", "EUR", "USD"]),
    ("ExchangeRatePricingToBilling", "exchange_rate", &["", "0.9", "1.000000000000000000000007"]),
    ("ServicePeriodStartDate", "service_period_start", &["", "2025-07-01", "2025-05-15"]),
];

/// Charge type, pricing model and publisher, and their class where the benefit does not decide.
const KINDS: [([&str; 3], Option<&str>); 17] = [
    (["Usage", "OnDemand", "Azure"], Some("on_demand_usage")),
    (["Usage", "Reservation", "Azure"], Some("reservation_usage")),
    (["usage", "Savings Plan", "azure"], Some("savings_plan_usage")),
    (["Purchase", "Reservation", "Azure"], Some("reservation_purchase")),
    (["Usage", "", "Azure"], None),
    (["Usage", "Spot", "Azure"], Some("spot_usage")),
    (["Purchase", "SavingsPlan", "Azure"], Some("savings_plan_purchase")),
    (["Refund", "Reservation", "Azure"], Some("reservation_refund")),
    (["Refund", "SavingsPlan", "Azure"], Some("savings_plan_refund")),
    (["UnusedReservation", "Reservation", "Azure"], Some("unused_reservation")),
    (["Unused Savings Plan", "SavingsPlan", "Azure"], Some("unused_savings_plan")),
    (["Usage", "OnDemand", "Marketplace"], Some("marketplace_usage")),
    (["Purchase", "", "Marketplace"], Some("marketplace_purchase")),
    (["Purchase", "OnDemand", "Azure"], Some("other_purchase")),
    (["Refund", "OnDemand", "Azure"], Some("refund")),
    (["RoundingAdjustment", "", "Azure"], Some("rounding")),
    (["Tax", "", "Azure"], Some("tax_or_credit")),
];

/// Members of tags as they are written: the name without case and surrounding blanks, and the value.
const TAGS: [(&str, &str, &str); 14] = [
    (r#""team":"blue""#, "team", "blue"),
    (r#""Team": "Blue""#, "team", "Blue"),
    (r#"" TEAM ":"red""#, "team", "red"),
    (r#""te\u0061m":"red""#, "team", "red"),
    (r#""team":"""#, "team", ""),
    (r#""env":"prod""#, "env", "prod"),
    (r#""Env" : "prod""#, "env", "prod"),
    (r#""env":"pr\u006fd""#, "env", "prod"),
    (r#""env":"a, \"b\": {c}""#, "env", "a, \"b\": {c}"),
    (r#""env\t":"dev""#, "env", "dev"),
    (r#""Cost-Center":"1""#, "cost-center", "1"),
    (r#""cost_center":"2""#, "cost_center", "2"),
    (r#""ÉQUIPE":"ß""#, "équipe", "ß"),
    (r#""":"nothing""#, "", "nothing"),
];

/// How tags are written: absent, an object, or its members alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Braces {
    Absent,
    There,
    Lacking,
}

/// A line item.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) metric: Metric,
    kind: usize,
    cells: BTreeMap<&'static str, &'static str>,
    tags: Vec<usize>,
    braces: Braces,
    eligible: &'static str,
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let cells: Vec<_> =
        COLUMNS.iter().map(|(_, _, texts)| prop::sample::select(texts.to_vec())).collect();
    let braces = prop::sample::select(vec![Braces::Absent, Braces::There, Braces::Lacking]);
    let eligible = prop::sample::select(vec!["", "True", "False"]);
    let tags = prop::collection::vec(0..TAGS.len(), 0..4);
    let metric = prop::sample::select(vec![Metric::Actual, Metric::Amortized]);
    (metric, 0..KINDS.len(), cells, tags, braces, eligible).prop_map(
        |(metric, kind, texts, tags, braces, eligible)| {
            let names = COLUMNS.iter().map(|(_, name, _)| *name);
            let mut cells: BTreeMap<_, _> = names.zip(texts).collect();
            let facts = ["charge_type", "pricing_model", "publisher_type"];
            cells.extend(facts.into_iter().zip(KINDS[kind].0));
            let braces = if tags.is_empty() { Braces::Absent } else { braces };
            Row { metric, kind, cells, tags, braces, eligible }
        },
    )
}

/// A cost file of rows.
pub(super) fn file(rows: &[&Row]) -> String {
    let facts = ["ChargeType", "PricingModel", "PublisherType", "Tags", "IsAzureCreditEligible"];
    let headers: Vec<&str> = COLUMNS.iter().map(|(header, _, _)| *header).chain(facts).collect();
    let mut text = format!("{}\n", headers.join(","));
    for row in rows {
        text.push_str(&format!("{}\n", row.line()));
    }
    text
}

/// What is not empty.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells.iter().filter(|(_, text)| !text.is_empty());
        let cells: Vec<String> = cells.map(|(name, text)| format!("{name}={text}")).collect();
        let tags = self.tags_text();
        write!(f, "{} {} tags={tags:?} {}", self.metric, cells.join(" "), self.eligible)
    }
}

impl Row {
    fn line(&self) -> String {
        let names = COLUMNS.iter().map(|(_, name, _)| *name);
        let names = names.chain(["charge_type", "pricing_model", "publisher_type"]);
        let mut cells: Vec<String> = names.map(|name| quoted(self.cells[name])).collect();
        cells.push(quoted(&self.tags_text().unwrap_or_default()));
        cells.push(self.eligible.to_owned());
        cells.join(",")
    }

    fn tags_text(&self) -> Option<String> {
        let members: Vec<&str> = self.tags.iter().map(|at| TAGS[*at].0).collect();
        match self.braces {
            Braces::Absent => None,
            Braces::There => Some(format!("{{{}}}", members.join(", "))),
            Braces::Lacking => Some(members.join(",")),
        }
    }

    /// The value of a text column; null where it is empty or a placeholder of the reader's.
    pub(super) fn text(&self, column: &str) -> Option<&'static str> {
        let text = match column {
            "charge_class" => self.class(),
            _ => self.cells.get(column).copied().unwrap_or_default(),
        };
        let is_null = text.is_empty() || (column == "department_id" && text == "-2");
        (!is_null).then_some(text)
    }

    /// The value of the first spelling of a tag.
    pub(super) fn tag(&self, name: &str) -> Option<&'static str> {
        let name = name.trim().to_lowercase();
        if self.braces == Braces::Absent {
            return None;
        }
        let found = self.tags.iter().map(|at| TAGS[*at]).find(|(_, key, _)| *key == name);
        found.map(|(_, _, value)| value).filter(|value| !value.is_empty())
    }

    pub(super) fn date(&self) -> &'static str {
        self.cells["charge_date"]
    }

    /// Whether the row has a value in a column of any type.
    pub(super) fn has(&self, column: &str) -> bool {
        match column {
            "tags" => self.braces != Braces::Absent,
            "is_azure_credit_eligible" => !self.eligible.is_empty(),
            "cost_at_list_price" | "cost_at_contracted_price" => self.amount(column).is_some(),
            _ => self.text(column).is_some(),
        }
    }

    /// The class of the charge.
    pub(super) fn class(&self) -> &'static str {
        let benefit = self.cells["benefit_id"].to_lowercase();
        match KINDS[self.kind].1 {
            Some(class) => class,
            None if benefit.contains("/microsoft.billingbenefits/") => "savings_plan_usage",
            None if !benefit.trim().is_empty() => "reservation_usage",
            None if !self.cells["reservation_id"].is_empty() => "reservation_usage",
            None => "on_demand_usage",
        }
    }

    /// The value of a decimal column, in units of 10^-24.
    pub(super) fn amount(&self, column: &str) -> Option<i128> {
        match column {
            "cost_at_list_price" => self.cost_at("list_cost", "retail_price"),
            "cost_at_contracted_price" => self.cost_at("contracted_cost", "unit_price"),
            _ => {
                self.text(column).map(|text| ExactDecimal::parse(text.as_bytes()).unwrap().stored())
            }
        }
    }

    fn cost_at(&self, cost: &str, price: &str) -> Option<i128> {
        let is_covered = match self.class() {
            "on_demand_usage" | "spot_usage" => false,
            "reservation_usage" | "savings_plan_usage" => true,
            _ => return None,
        };
        let zero_counts = !is_covered && self.amount("cost") == Some(0);
        let given = |column| self.amount(column).filter(|amount| *amount != 0 || zero_counts);
        if let Some(cost) = given(cost) {
            return Some(cost);
        }
        let product = times(self.amount("quantity")?, given(price)?);
        match (self.text("pricing_currency"), self.text("billing_currency")) {
            (Some(pricing), Some(billing)) if pricing != billing => {
                Some(times(product, self.amount("exchange_rate")?))
            }
            _ => Some(product),
        }
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// The product of two amounts, rounded half-even at 24 digits.
fn times(a: i128, b: i128) -> i128 {
    let unit = i256::from_i128(10_i128.pow(24));
    let product = i256::from_i128(a).checked_mul(i256::from_i128(b)).unwrap();
    half_even(product, unit).to_i128().unwrap()
}

/// A quotient rounded half-even to a whole number.
pub(super) fn half_even(dividend: i256, divisor: i256) -> i256 {
    let (two, one) = (i256::from_i128(2), i256::ONE);
    let (dividend, divisor) = match divisor.is_negative() {
        true => (dividend.wrapping_neg(), divisor.wrapping_neg()),
        false => (dividend, divisor),
    };
    // The floor, and what is left above it.
    let mut floor = dividend.checked_div(divisor).unwrap();
    if floor.checked_mul(divisor).unwrap() > dividend {
        floor = floor.checked_sub(one).unwrap();
    }
    let rest = dividend.checked_sub(floor.checked_mul(divisor).unwrap()).unwrap();
    let twice = rest.checked_mul(two).unwrap();
    let is_odd = floor.wrapping_rem(two) != i256::ZERO;
    if twice > divisor || (twice == divisor && is_odd) {
        floor.checked_add(one).unwrap()
    } else {
        floor
    }
}
