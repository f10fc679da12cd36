//! What a table holds, in figures: rows and the totals of its decimal columns.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Schema};
use costlake_model::STORED_SCALE;
use costlake_model::decimal::Accumulator;
use costlake_model::ledger::{DecimalTotals, RowTotals};

/// Rows and totals of a table of any kind, by column.
///
/// As [`RowTotals`], but for columns whose names are not known beforehand, such as measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableTotals {
    /// How many rows.
    pub rows: u64,
    /// The totals of the decimal columns. A column that is not named has no values.
    pub decimals: BTreeMap<String, DecimalTotals>,
}

impl TableTotals {
    /// Returns the totals of batches; nothing was rounded, so exact and stored are the same.
    pub fn of_batches(batches: &[RecordBatch]) -> Self {
        let mut tally = Tally::default();
        batches.iter().for_each(|batch| tally.add(batch));
        tally.totals()
    }

    /// Returns those totals whose columns a table has, as for `quarantine`, which keeps `cost` only.
    pub fn for_table(totals: &RowTotals, schema: &Schema) -> Self {
        let mut all = Self::from(totals);
        all.decimals.retain(|column, _| schema.field_with_name(column).is_ok());
        all
    }
}

impl From<&RowTotals> for TableTotals {
    fn from(totals: &RowTotals) -> Self {
        let owned = |(column, totals): (&&str, &DecimalTotals)| ((*column).to_owned(), *totals);
        Self { rows: totals.rows, decimals: totals.decimals.iter().map(owned).collect() }
    }
}

/// Collects totals batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: u64,
    columns: BTreeMap<String, ColumnTally>,
}

#[derive(Debug, Default)]
struct ColumnTally {
    values: u64,
    sum: Accumulator,
}

impl Tally {
    /// Adds the rows of a batch. Columns that are not decimals at scale 24 do not count.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if is_amount(field.data_type()) {
                let tally = self.columns.entry(field.name().clone()).or_default();
                let amounts = column.as_primitive::<Decimal128Type>();
                tally.values += (amounts.len() - amounts.null_count()) as u64;
                amounts.iter().flatten().for_each(|amount| tally.sum.add_stored(amount));
            }
        }
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> TableTotals {
        let totals = |(column, tally): (&String, &ColumnTally)| {
            let sum = tally.sum.stored_total();
            let totals =
                DecimalTotals { values: tally.values, exact: sum, stored: sum, rounded: 0 };
            (column.clone(), totals)
        };
        TableTotals { rows: self.rows, decimals: self.columns.iter().map(totals).collect() }
    }
}

/// Whether values of this type are amounts at scale 24, which totals are kept of.
pub(crate) fn is_amount(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, scale) if *scale == STORED_SCALE)
}
