//! What usage would have cost by its prices: columns that are computed per row (`docs/rollups.md`,
//! Measures; `cost-data.md`, 7).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::Decimal128Type;
use arrow::error::ArrowError;
use costlake_model::rollup::{Input, computed};
use costlake_model::{ChargeClass, STORED_PRECISION, STORED_SCALE, decimal};

use super::coded::Coded;

/// Returns a computed column of a batch; `None` if there is none of that name, or the batch lacks what it
/// is computed from.
pub(super) fn column(batch: &RecordBatch, name: &str) -> Option<Result<ArrayRef, ArrowError>> {
    let (given, price) = match name {
        computed::COST_AT_LIST_PRICE => ("list_cost", "retail_price"),
        computed::COST_AT_CONTRACTED_PRICE => ("contracted_cost", "unit_price"),
        _ => return None,
    };
    let rows = Rows::of(batch, given, price)?;
    let values: Decimal128Array = (0..batch.num_rows()).map(|row| rows.cost(row)).collect();
    let values = values.with_precision_and_scale(STORED_PRECISION, STORED_SCALE);
    Some(values.map(|values| Arc::new(values) as ArrayRef))
}

/// The kind of source whose unit prices are in the billing currency, whatever the pricing currency.
const FOCUS: &str = "focus";

/// The columns that a cost at some price depends on.
struct Rows<'a> {
    /// Whether a row is usage, and whether a commitment covers it.
    classes: Vec<Option<Usage>>,
    cost: &'a Decimal128Array,
    quantity: &'a Decimal128Array,
    given: &'a Decimal128Array,
    price: &'a Decimal128Array,
    exchange_rate: &'a Decimal128Array,
    /// Whether prices are in another currency than the cost.
    is_foreign: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Uncommitted,
    Committed,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, given: &str, price: &str) -> Option<Self> {
        let decimals =
            |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Decimal128Type>();
        let texts = |name: &'static str| Coded::of(batch, &Input::Column(name));
        let classes = texts("charge_class")?;
        let (billing, pricing) = (texts("billing_currency")?, texts("pricing_currency")?);
        let in_billing_currency = texts("source_kind")?.meanings(|kind| kind == Some(FOCUS));
        let is_foreign = |row: usize| {
            if in_billing_currency[row] {
                return false;
            }
            let price_currency = pricing.text_of_row(row);
            price_currency.is_some_and(|price| {
                billing.text_of_row(row).is_none_or(|cost| !price.eq_ignore_ascii_case(cost))
            })
        };
        Some(Self {
            classes: classes.meanings(usage),
            cost: decimals("cost")?,
            quantity: decimals("quantity")?,
            given: decimals(given)?,
            price: decimals(price)?,
            exchange_rate: decimals("exchange_rate")?,
            is_foreign: (0..batch.num_rows()).map(is_foreign).collect(),
        })
    }

    fn cost(&self, row: usize) -> Option<i128> {
        let usage = self.classes[row]?;
        let is_real = |value: &i128| {
            *value != 0 || (self.cost.value(row) == 0 && usage == Usage::Uncommitted)
        };
        let value = |array: &Decimal128Array| array.is_valid(row).then(|| array.value(row));
        if let Some(given) = value(self.given).filter(is_real) {
            return Some(given);
        }
        let price = value(self.price).filter(is_real)?;
        let cost = decimal::product(value(self.quantity)?, price)?;
        match self.is_foreign[row] {
            true => decimal::product(cost, value(self.exchange_rate).filter(|rate| *rate != 0)?),
            false => Some(cost),
        }
    }
}

fn usage(class: Option<&str>) -> Option<Usage> {
    match ChargeClass::from_name(class?)? {
        ChargeClass::OnDemandUsage | ChargeClass::SpotUsage => Some(Usage::Uncommitted),
        ChargeClass::ReservationUsage | ChargeClass::SavingsPlanUsage => Some(Usage::Committed),
        _ => None,
    }
}
