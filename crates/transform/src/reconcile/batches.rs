//! The two tables as batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, SchemaRef};
use chrono::NaiveDate;
use costlake_model::columns::{commitment_reconciliation_schema, reconciliation_schema};
use costlake_model::{ExactSum, STORED_PRECISION, STORED_SCALE};

use super::commitments::{CommitmentFigures, CommitmentType, UTILISATION_SCALE};
use super::departments::DepartmentDifference;
use super::error::Error;
use super::lifetime::State;

/// Returns the table `reconciliation`, with the rows in the order given.
///
/// # Errors
/// [`Error::TooLarge`] for a sum of more than 38 digits.
pub fn reconciliation_batch(rows: &[DepartmentDifference]) -> Result<RecordBatch, Error> {
    let amounts = |figure, amount: &dyn Fn(&DepartmentDifference) -> Option<ExactSum>| {
        amounts(figure, rows.iter().map(|row| (&*row.department.id, amount(row))))
    };
    build(
        reconciliation_schema(),
        vec![
            texts(rows.iter().map(|row| Some(&row.department.id))),
            texts(rows.iter().map(|row| row.department.name.as_ref())),
            texts(rows.iter().map(|row| Some(&row.billing_currency))),
            amounts("actual_cost", &|row| Some(row.figures.actual_cost))?,
            amounts("amortized_cost", &|row| Some(row.figures.amortized_cost))?,
            amounts("difference", &|row| Some(row.figures.difference()))?,
            amounts("commitment_purchases", &|row| Some(row.figures.commitment_purchases))?,
            amounts("commitment_refunds", &|row| Some(row.figures.commitment_refunds))?,
            amounts("used_shares", &|row| Some(row.figures.used_shares))?,
            amounts("unused_shares", &|row| Some(row.figures.unused_shares))?,
            amounts("other_difference", &|row| Some(row.figures.other_difference()))?,
            amounts("residual", &|row| Some(row.figures.residual()))?,
            jsons(rows.iter().map(|row| &row.figures.other_by_class))?,
            texts(rows.iter().map(|row| Some(row.shared_back?.policy.name()))),
            amounts("shared_back", &|row| Some(row.shared_back?.amount))?,
            amounts("amortized_shared_back", &|row| row.amortized_shared_back())?,
        ],
    )
}

/// Returns the table `commitment_reconciliation`, with the rows in the order given.
///
/// # Errors
/// [`Error::TooLarge`] for a sum of more than 38 digits.
pub fn commitment_reconciliation_batch(rows: &[CommitmentFigures]) -> Result<RecordBatch, Error> {
    let amounts = |figure, amount: &dyn Fn(&CommitmentFigures) -> Option<ExactSum>| {
        amounts(figure, rows.iter().map(|row| (&*row.commitment_id, amount(row))))
    };
    build(
        commitment_reconciliation_schema(),
        vec![
            texts(rows.iter().map(|row| Some(&row.commitment_id))),
            texts(rows.iter().map(|row| row.commitment_name.as_ref())),
            texts(rows.iter().map(|row| row.commitment_type.map(CommitmentType::name))),
            texts(rows.iter().map(|row| Some(&row.billing_currency))),
            texts(rows.iter().map(|row| row.state.map(State::name))),
            counts(rows.iter().map(|row| row.term_months.map(i64::from))),
            days(rows.iter().map(|row| row.start_date)),
            days(rows.iter().map(|row| row.end_date)),
            counts(rows.iter().map(|row| row.remaining_days)),
            amounts("purchases_to_date", &|row| Some(row.purchases_to_date))?,
            amounts("refunds_to_date", &|row| Some(row.refunds_to_date))?,
            amounts("used_to_date", &|row| Some(row.used_to_date))?,
            amounts("unused_to_date", &|row| Some(row.unused_to_date))?,
            amounts("balance", &|row| row.balance)?,
            decimals(rows.iter().map(|row| row.utilisation_to_date), UTILISATION_SCALE)?,
            decimals(rows.iter().map(|row| row.utilisation_in_month), UTILISATION_SCALE)?,
            jsons(rows.iter().map(|row| &row.bought_by))?,
            jsons(rows.iter().map(|row| &row.used_by))?,
        ],
    )
}

fn build(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::Batch(error.to_string()))
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn counts(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn days(values: impl Iterator<Item = Option<NaiveDate>>) -> ArrayRef {
    Arc::new(values.map(|day| day.map(Date32Type::from_naive_date)).collect::<Date32Array>())
}

/// Amounts of departments or commitments.
fn amounts<'a>(
    figure: &'static str,
    values: impl Iterator<Item = (&'a str, Option<ExactSum>)>,
) -> Result<ArrayRef, Error> {
    let stored = |(of, sum): (&str, Option<ExactSum>)| {
        let Some(sum) = sum else { return Ok(None) };
        let too_large = || Error::TooLarge {
            figure,
            of: of.to_owned(),
            value: sum.to_string(),
            scale: STORED_SCALE,
        };
        sum.to_stored().map(Some).ok_or_else(too_large)
    };
    decimals(values.map(stored).collect::<Result<Vec<_>, _>>()?.into_iter(), STORED_SCALE)
}

fn decimals(values: impl Iterator<Item = Option<i128>>, scale: i8) -> Result<ArrayRef, Error> {
    values
        .collect::<Decimal128Array>()
        .with_precision_and_scale(STORED_PRECISION, scale)
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|error| Error::Batch(error.to_string()))
}

/// Objects of amounts as texts, sorted by key; null where there is none.
fn jsons<'a>(
    values: impl Iterator<Item = &'a BTreeMap<String, ExactSum>>,
) -> Result<ArrayRef, Error> {
    let json = |amounts: &BTreeMap<String, ExactSum>| {
        if amounts.is_empty() {
            return Ok(None);
        }
        let texts: BTreeMap<_, _> =
            amounts.iter().map(|(key, amount)| (key, amount.to_string())).collect();
        serde_json::to_string(&texts).map(Some).map_err(|error| Error::Batch(error.to_string()))
    };
    Ok(texts(values.map(json).collect::<Result<Vec<_>, _>>()?.into_iter()))
}
