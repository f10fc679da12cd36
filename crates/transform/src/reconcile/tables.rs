//! Finished rollups as typed rows. A column that lacks or has another type is an error with its name.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use arrow::temporal_conversions::date32_to_datetime;
use chrono::NaiveDate;
use costlake_model::{BillingPeriod, ExactSum, Metric, columns};

use super::error::Error;

/// A department, as rollups show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Department {
    /// The id, `unassigned` for rows without one.
    pub id: String,
    /// The name.
    pub name: Option<String>,
}

impl Department {
    /// What departments are compared and sorted by: ids are spelled in any case.
    pub(super) fn key(&self) -> String {
        self.id.to_lowercase()
    }
}

/// A row of `department_month`. An amount is `None` where its metric was never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartmentCosts {
    /// The department.
    pub department: Department,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// What was billed.
    pub actual_cost: Option<ExactSum>,
    /// What was consumed.
    pub amortized_cost: Option<ExactSum>,
}

/// A row of `department_class_month`. An amount is `None` where its metric was never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCosts {
    /// The department.
    pub department: Department,
    /// The charge class. Names that costlake does not know are kept.
    pub charge_class: String,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// What was billed.
    pub actual_cost: Option<ExactSum>,
    /// What was consumed.
    pub amortized_cost: Option<ExactSum>,
}

/// A row of `commitment_department_month`: what a department paid for a commitment and used of it in a month.
/// Amounts and counts are `None` where their metric was never read, days also where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentShare {
    /// The commitment.
    pub commitment_id: String,
    /// The department.
    pub department: Department,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// What was billed for it (actual).
    pub commitment_purchases: Option<ExactSum>,
    /// What was given back, negative (actual).
    pub commitment_refunds: Option<ExactSum>,
    /// Shares that usage took (amortized).
    pub used_shares: Option<ExactSum>,
    /// Shares that nothing used (amortized).
    pub unused_shares: Option<ExactSum>,
    /// Day of the first purchase of the month.
    pub first_purchase: Option<NaiveDate>,
    /// Day of the last purchase of the month.
    pub last_purchase: Option<NaiveDate>,
    /// Day of the last refund of the month.
    pub last_refund: Option<NaiveDate>,
    /// First day with a share.
    pub first_share: Option<NaiveDate>,
    /// Last day with a share.
    pub last_share: Option<NaiveDate>,
    /// Purchases that were paid at once.
    pub one_time_purchases: Option<i64>,
    /// Rows of reservations in the actual report.
    pub actual_reservation_rows: Option<i64>,
    /// Rows of reservations in the amortized report.
    pub amortized_reservation_rows: Option<i64>,
    /// Rows in the actual report.
    pub actual_rows: Option<i64>,
    /// Rows in the amortized report.
    pub amortized_rows: Option<i64>,
}

/// What a row of `commitment_month` says of the commitment as a whole: of all departments the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentName {
    /// The commitment.
    pub commitment_id: String,
    /// The currency of its amounts.
    pub billing_currency: String,
    /// Its name on the latest charge date that has one.
    pub name: Option<String>,
    /// Its term, likewise, as the rows say it.
    pub term: Option<String>,
}

/// The commitments of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentMonth {
    /// The month.
    pub period: BillingPeriod,
    /// The metrics that the lake has of the month. A month without commitments has no row that could tell.
    pub metrics: BTreeSet<Metric>,
    /// The last charge date of the month, of any row: in an open month, how far the reports reach. The last day of
    /// the month where nothing was charged.
    pub last_charge_date: NaiveDate,
    /// What [`commitment_names`] read.
    pub names: Vec<CommitmentName>,
    /// What [`commitment_shares`] read.
    pub rows: Vec<CommitmentShare>,
}

impl CommitmentMonth {
    /// The metrics that the lake has of the month and every row knows.
    pub(super) fn known_metrics(&self) -> BTreeSet<Metric> {
        let mut known = self.metrics.clone();
        for row in &self.rows {
            known.retain(|metric| match metric {
                Metric::Actual => {
                    row.commitment_purchases.is_some() && row.commitment_refunds.is_some()
                }
                Metric::Amortized => row.used_shares.is_some() && row.unused_shares.is_some(),
            });
        }
        known
    }
}

/// Reads a batch of `department_month`.
///
/// # Errors
/// A column that lacks or is of another type; a department or currency that is null.
pub fn department_costs(batch: &RecordBatch) -> Result<Vec<DepartmentCosts>, Error> {
    read_rows("department_month", batch, |row| {
        Ok(DepartmentCosts {
            department: row.department()?,
            billing_currency: row.key("billing_currency")?,
            actual_cost: row.amount("actual_cost")?,
            amortized_cost: row.amount("amortized_cost")?,
        })
    })
}

/// Reads a batch of `commitment_month`.
///
/// # Errors
/// As [`department_costs`]; a commitment that is null.
pub fn commitment_names(batch: &RecordBatch) -> Result<Vec<CommitmentName>, Error> {
    read_rows("commitment_month", batch, |row| {
        Ok(CommitmentName {
            commitment_id: row.key("commitment_id")?,
            billing_currency: row.key("billing_currency")?,
            name: row.text("commitment_name")?,
            term: row.text("term")?,
        })
    })
}

/// Reads a batch of `department_class_month`.
///
/// # Errors
/// As [`department_costs`]; a charge class that is null.
pub fn class_costs(batch: &RecordBatch) -> Result<Vec<ClassCosts>, Error> {
    read_rows("department_class_month", batch, |row| {
        Ok(ClassCosts {
            department: row.department()?,
            charge_class: row.key("charge_class")?,
            billing_currency: row.key("billing_currency")?,
            actual_cost: row.amount("actual_cost")?,
            amortized_cost: row.amount("amortized_cost")?,
        })
    })
}

/// Reads a batch of `commitment_department_month`.
///
/// # Errors
/// As [`department_costs`]; a commitment that is null; a day that no calendar has.
pub fn commitment_shares(batch: &RecordBatch) -> Result<Vec<CommitmentShare>, Error> {
    read_rows("commitment_department_month", batch, |row| {
        Ok(CommitmentShare {
            commitment_id: row.key("commitment_id")?,
            department: row.department()?,
            billing_currency: row.key("billing_currency")?,
            commitment_purchases: row.amount("commitment_purchases")?,
            commitment_refunds: row.amount("commitment_refunds")?,
            used_shares: row.amount("used_shares")?,
            unused_shares: row.amount("unused_shares")?,
            first_purchase: row.day("first_purchase")?,
            last_purchase: row.day("last_purchase")?,
            last_refund: row.day("last_refund")?,
            first_share: row.day("first_share")?,
            last_share: row.day("last_share")?,
            one_time_purchases: row.count("one_time_purchases")?,
            actual_reservation_rows: row.count("actual_reservation_rows")?,
            amortized_reservation_rows: row.count("amortized_reservation_rows")?,
            actual_rows: row.count("actual_rows")?,
            amortized_rows: row.count("amortized_rows")?,
        })
    })
}

fn read_rows<T>(
    table: &'static str,
    batch: &RecordBatch,
    read: impl Fn(Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    (0..batch.num_rows()).map(|row| read(Row { table, batch, row })).collect()
}

/// A row of a batch, for its cells by name and type. Tables of a month are small: columns are looked up per cell.
#[derive(Clone, Copy)]
struct Row<'a> {
    table: &'static str,
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    /// The column of a cell; `None` for null.
    fn cell(self, name: &'static str, expected: &DataType) -> Result<Option<&'a dyn Array>, Error> {
        let Self { table, batch, row } = self;
        let column =
            batch.column_by_name(name).ok_or(Error::MissingColumn { table, column: name })?;
        if column.data_type() != expected {
            let (expected, found) = (expected.to_string(), column.data_type().to_string());
            return Err(Error::MistypedColumn { table, column: name, expected, found });
        }
        Ok(column.is_valid(row).then_some(column.as_ref()))
    }

    fn text(self, name: &'static str) -> Result<Option<String>, Error> {
        let column = self.cell(name, &DataType::Utf8)?;
        Ok(column.map(|column| column.as_string::<i32>().value(self.row).to_owned()))
    }

    /// A text that is never null.
    fn key(self, name: &'static str) -> Result<String, Error> {
        let Self { table, row, .. } = self;
        self.text(name)?.ok_or(Error::NoValue { table, column: name, row })
    }

    fn department(self) -> Result<Department, Error> {
        Ok(Department { id: self.key("department_id")?, name: self.text("department_name")? })
    }

    fn amount(self, name: &'static str) -> Result<Option<ExactSum>, Error> {
        let column = self.cell(name, &columns::decimal_type())?;
        let value = |column: &dyn Array| column.as_primitive::<Decimal128Type>().value(self.row);
        Ok(column.map(value).map(ExactSum::from_stored))
    }

    fn count(self, name: &'static str) -> Result<Option<i64>, Error> {
        let column = self.cell(name, &DataType::Int64)?;
        Ok(column.map(|column| column.as_primitive::<Int64Type>().value(self.row)))
    }

    fn day(self, name: &'static str) -> Result<Option<NaiveDate>, Error> {
        let Self { table, row, .. } = self;
        let Some(column) = self.cell(name, &DataType::Date32)? else { return Ok(None) };
        let day = date32_to_datetime(column.as_primitive::<Date32Type>().value(row));
        day.map(|day| Some(day.date())).ok_or(Error::NoDay { table, column: name, row })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray};

    use super::*;

    fn amounts(values: Vec<Option<i128>>) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, 24).unwrap())
    }

    fn texts(values: Vec<Option<&str>>) -> ArrayRef {
        Arc::new(StringArray::from(values))
    }

    fn read(columns: Vec<(&'static str, ArrayRef)>) -> Result<Vec<DepartmentCosts>, Error> {
        department_costs(
            &RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(name, values)| (name, values, true)),
            )
            .unwrap(),
        )
    }

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("department_id", texts(vec![Some("12")])),
            ("department_name", texts(vec![None])),
            ("billing_currency", texts(vec![Some("EUR")])),
            ("actual_cost", amounts(vec![Some(5 * 10_i128.pow(23))])),
            ("amortized_cost", amounts(vec![None])),
        ]
    }

    #[test]
    fn rows_are_read_with_what_is_unknown() {
        let rows = read(columns()).unwrap();
        assert_eq!(rows[0].department, Department { id: "12".to_owned(), name: None });
        assert_eq!(rows[0].actual_cost.unwrap().to_string(), "0.5");
        assert_eq!(rows[0].amortized_cost, None);
    }

    #[test]
    fn columns_that_lack_or_have_another_type_are_named() {
        let mut damaged = columns();
        damaged.remove(3);
        assert_eq!(
            read(damaged).unwrap_err().to_string(),
            "department_month has no column actual_cost"
        );
        let mut damaged = columns();
        damaged[4].1 = Arc::new(Int64Array::from(vec![1]));
        assert_eq!(
            read(damaged).unwrap_err().to_string(),
            "department_month: column amortized_cost is of type Int64, expected Decimal128(38, 24)"
        );
        let mut damaged = columns();
        damaged[2].1 = texts(vec![None]);
        assert_eq!(
            read(damaged).unwrap_err().to_string(),
            "department_month: column billing_currency has no value in row 0"
        );
    }
}
