//! Why finished rollups cannot be reconciled: a damaged lake or a table of another shape, never an odd bill.

use costlake_model::BillingPeriod;

/// A table that cannot be read, or figures that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A column that the table should have.
    #[error("{table} has no column {column}")]
    MissingColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A column of another type.
    #[error("{table}: column {column} is of type {found}, expected {expected}")]
    MistypedColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The type that it should have.
        expected: String,
        /// The type that it has.
        found: String,
    },
    /// A key without a value.
    #[error("{table}: column {column} has no value in row {row}")]
    NoValue {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// A day that no calendar has.
    #[error("{table}: column {column} has no possible day in row {row}")]
    NoDay {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// A month that does not follow those before it.
    #[error("month {period} comes after month {last}: months are read from the earliest on")]
    OutOfOrder {
        /// The month.
        period: BillingPeriod,
        /// The latest one that was read before.
        last: BillingPeriod,
    },
    /// Unused shares of a month, and sums to date of another one.
    #[error("cannot share back the month {period}: the sums to date end with {last}")]
    OtherMonth {
        /// The month whose unused shares are to be shared back.
        period: BillingPeriod,
        /// The latest month of the ledger, or `no month`.
        last: String,
    },
    /// A figure that its column cannot hold.
    #[error("{figure} of {of}: {value} does not fit decimal(38,{scale})")]
    TooLarge {
        /// The column.
        figure: &'static str,
        /// The department or commitment.
        of: String,
        /// The figure.
        value: String,
        /// The fraction digits of the column.
        scale: i8,
    },
    /// A batch that could not be built: an error of costlake, never of the data.
    #[error("cannot build a batch: {0}")]
    Batch(String),
}
