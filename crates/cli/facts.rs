//! What the rows of a report say about the month and the scope that they belong to.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int32Type};
use chrono::NaiveDate;
use costlake_model::BillingPeriod;

/// What the rows say about themselves. Sets end at [`ENOUGH`] values: more than one is all that is
/// asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowFacts {
    /// Months of the billing period's start.
    pub billing_months: BTreeSet<BillingPeriod>,
    /// Months of the charge date, of rows without a billing period.
    pub charge_months: BTreeSet<BillingPeriod>,
    /// Billing accounts.
    pub billing_accounts: BTreeSet<String>,
    /// Subscriptions.
    pub subscriptions: BTreeSet<String>,
}

const ENOUGH: usize = 24;

impl RowFacts {
    /// Collects the facts of a batch of line items.
    pub(crate) fn of_batch(batch: &RecordBatch) -> Self {
        let starts = days(batch, "billing_period_start");
        let dates = days(batch, "charge_date");
        let rows_without_start =
            starts.iter().zip(&dates).filter(|(start, _)| start.is_none()).map(|(_, date)| *date);
        Self {
            charge_months: months(rows_without_start.collect()),
            billing_months: months(starts),
            billing_accounts: texts(batch, "billing_account_id"),
            subscriptions: texts(batch, "subscription_id"),
        }
    }

    /// Adds the facts of other rows.
    pub(crate) fn merge(&mut self, other: Self) {
        add(&mut self.billing_months, other.billing_months);
        add(&mut self.charge_months, other.charge_months);
        add(&mut self.billing_accounts, other.billing_accounts);
        add(&mut self.subscriptions, other.subscriptions);
    }

    /// The months that the rows belong to: those of the billing period where any row has one.
    pub(crate) fn months(&self) -> &BTreeSet<BillingPeriod> {
        if self.billing_months.is_empty() { &self.charge_months } else { &self.billing_months }
    }
}

fn add<T: Ord>(set: &mut BTreeSet<T>, other: BTreeSet<T>) {
    set.extend(other.into_iter().take(ENOUGH));
    while set.len() > ENOUGH {
        set.pop_last();
    }
}

fn days(batch: &RecordBatch, column: &str) -> Vec<Option<i32>> {
    let array = batch.column_by_name(column).and_then(|a| a.as_primitive_opt::<Date32Type>());
    array.map(|array| array.iter().collect()).unwrap_or_default()
}

fn months(mut days: Vec<Option<i32>>) -> BTreeSet<BillingPeriod> {
    days.sort_unstable();
    days.dedup();
    let dates = days.into_iter().flatten().filter_map(NaiveDate::from_epoch_days);
    dates.map(BillingPeriod::of).take(ENOUGH).collect()
}

/// The distinct values of a text column that rows use: a dictionary may hold others, of rows that
/// went to quarantine.
fn texts(batch: &RecordBatch, column: &str) -> BTreeSet<String> {
    let dictionary = batch.column_by_name(column).and_then(|a| a.as_dictionary_opt::<Int32Type>());
    let Some(dictionary) = dictionary else {
        return BTreeSet::new();
    };
    let values = dictionary.values().as_string::<i32>();
    let mut is_used = vec![false; values.len()];
    for code in dictionary.keys().iter().flatten() {
        if let Some(used) = usize::try_from(code).ok().and_then(|at| is_used.get_mut(at)) {
            *used = true;
        }
    }
    let used = (0..values.len()).filter(|at| is_used[*at]).map(|at| values.value(at).to_owned());
    used.take(ENOUGH).collect()
}
