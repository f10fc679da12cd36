//! Rows that could not be typed: kept with their bytes, their place and the reason.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::error::ArrowError;
use costlake_model::columns::quarantine_schema;
use costlake_model::decimal::{STORED_PRECISION, STORED_SCALE};

use crate::csv::Malformed;
use crate::error::printable;

/// The rule that a row breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Another number of fields than the header has.
    FieldCount,
    /// A field with more bytes than any real one.
    FieldLength,
    /// Text behind a closing quote.
    QuoteForm,
    /// A carriage return without a line feed.
    LineEnd,
    /// Bytes that are no UTF-8.
    Encoding,
    /// No value where one is required.
    Missing,
    /// A number of another form.
    NumberForm,
    /// A number with more digits than can be kept.
    NumberRange,
    /// No day, or one of another format than the rows before.
    Date,
    /// Neither true nor false.
    Boolean,
}

impl Rule {
    /// The id in the quarantine table.
    pub fn id(self) -> &'static str {
        match self {
            Self::FieldCount => "field-count",
            Self::FieldLength => "field-length",
            Self::QuoteForm => "quote-form",
            Self::LineEnd => "line-end",
            Self::Encoding => "encoding",
            Self::Missing => "missing",
            Self::NumberForm => "number-form",
            Self::NumberRange => "number-range",
            Self::Date => "date",
            Self::Boolean => "boolean",
        }
    }

    pub(super) fn of_malformed(malformed: Malformed) -> Self {
        match malformed {
            Malformed::FieldCount(_) => Self::FieldCount,
            Malformed::TextAfterQuote => Self::QuoteForm,
            Malformed::BareCarriageReturn => Self::LineEnd,
        }
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ordinal of the blob.
    pub blob: i32,
    /// The record number within the blob, from 1, the header not counted.
    pub record: i64,
    /// Where the record starts within the decoded blob.
    pub byte_offset: u64,
}

/// A row in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// Where it stands.
    pub place: Place,
    /// The first rule that it breaks.
    pub rule: Rule,
    /// The canonical column, if one is to blame.
    pub column: Option<&'static str>,
    /// What was expected.
    pub expected: Cow<'static, str>,
    /// What was found, cut to 80 characters and made printable.
    pub found: String,
    /// The cost at scale 24, if it could be read.
    pub cost: Option<i128>,
    /// The bytes of the record, without the line end.
    pub raw: Vec<u8>,
}

impl fmt::Display for QuarantinedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { blob, record, byte_offset } = self.place;
        write!(f, "blob {blob}, record {record} at byte {byte_offset}: ")?;
        if let Some(column) = self.column {
            write!(f, "{column}: ")?;
        }
        write!(f, "expected {}, found `{}`", self.expected, self.found)
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) rule: Rule,
    pub(super) column: Option<&'static str>,
    pub(super) expected: Cow<'static, str>,
    pub(super) found: String,
}

/// The faults of a row: the one that counts is the leftmost, and a fault of its shape comes before.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    first: Option<(Option<usize>, Fault)>,
}

impl Faults {
    /// Adds a fault of a field, or of the whole row. Of two in one field the one that was added first
    /// counts.
    #[cold]
    pub(super) fn add(&mut self, field: Option<usize>, fault: Fault) {
        if self.first.as_ref().is_none_or(|(first, _)| field < *first) {
            self.first = Some((field, fault));
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The fault that counts.
    pub(super) fn first(&self) -> Option<&Fault> {
        self.first.as_ref().map(|(_, fault)| fault)
    }
}

impl Fault {
    #[cold]
    pub(super) fn new(
        rule: Rule,
        column: &'static str,
        expected: &'static str,
        found: &[u8],
    ) -> Self {
        Self {
            rule,
            column: Some(column),
            expected: Cow::Borrowed(expected),
            found: printable(found, 80),
        }
    }
}

/// Returns rows as a batch of the quarantine table.
///
/// # Errors
/// Only if the batch cannot be built, which no row can cause.
pub fn quarantine_batch(rows: &[QuarantinedRow]) -> Result<RecordBatch, ArrowError> {
    let costs: Decimal128Array = rows.iter().map(|row| row.cost).collect();
    let offset = |row: &QuarantinedRow| row.place.byte_offset.cast_signed();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.place.blob).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.place.record).collect::<Int64Array>()),
        Arc::new(rows.iter().map(offset).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.rule.id())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.column).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.expected.as_ref())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.found.as_str())).collect::<StringArray>()),
        Arc::new(costs.with_precision_and_scale(STORED_PRECISION, STORED_SCALE)?),
        Arc::new(rows.iter().map(|row| Some(row.raw.as_slice())).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(quarantine_schema(), columns)
}
