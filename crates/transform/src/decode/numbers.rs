//! Decimal columns: exact, with three accounts of what was read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use costlake_model::columns::SOURCE_COLUMNS;
use costlake_model::decimal::{ExactDecimal, NumberError, STORED_PRECISION, STORED_SCALE};
use costlake_model::ledger::{DecimalTally, DecimalTotals};

use super::quarantine::{Fault, Rule};
use super::text;
use crate::csv::{self, FieldTable};
use crate::header::BoundColumn;

pub(super) struct DecimalColumn {
    name: &'static str,
    field: usize,
    is_required: bool,
    naming: Naming,
    strip: Vec<Option<ExactDecimal>>,
    values: Vec<i128>,
    /// Whether each value is there; empty as long as all are.
    valid: Vec<bool>,
    source: DecimalTally,
    published: DecimalTally,
    quarantined: DecimalTally,
}

impl DecimalColumn {
    pub(super) fn new(bound: &BoundColumn, is_required: bool, naming: Naming) -> Self {
        Self {
            name: SOURCE_COLUMNS[bound.column].name,
            field: bound.field,
            is_required,
            naming,
            strip: Vec::new(),
            values: Vec::new(),
            valid: Vec::new(),
            source: DecimalTally::default(),
            published: DecimalTally::default(),
            quarantined: DecimalTally::default(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn is_cost(&self) -> bool {
        self.name == "cost"
    }

    pub(super) fn parse(&mut self, text: &[u8], table: &FieldTable, faults: &mut [Option<Fault>]) {
        self.strip.clear();
        let mut scratch = Vec::new();
        for (row, fault) in faults.iter_mut().enumerate() {
            let content = csv::content(table.field(text, row, self.field), &mut scratch);
            let value = match ExactDecimal::parse(content) {
                Ok(value) => {
                    self.source.add(value);
                    Some(value)
                }
                Err(NumberError::Empty) if !self.is_required => None,
                Err(error) => {
                    if let Some(new_fault) = self.fault(error, content) {
                        fault.get_or_insert(new_fault);
                    }
                    None
                }
            };
            self.strip.push(value);
        }
    }

    /// What is wrong with a text that is no number; nothing, if it may say that there is none.
    #[cold]
    fn fault(&self, error: NumberError, content: &[u8]) -> Option<Fault> {
        let is_null = text::is_null(self.naming, content);
        let error = if is_null { NumberError::Empty } else { error };
        let (rule, expected) = match error {
            NumberError::Empty if !self.is_required => return None,
            NumberError::Empty => (Rule::Missing, "a number"),
            NumberError::TooLarge => {
                (Rule::NumberRange, "at most 14 digits before the decimal point")
            }
            NumberError::TooFine => {
                (Rule::NumberRange, "at most 38 digits in all, and 38 after the decimal point")
            }
            NumberError::Form | NumberError::TooLong => {
                (Rule::NumberForm, "a number such as -123.45 or 1.2E-05")
            }
        };
        Some(Fault::new(rule, self.name, expected, content))
    }

    pub(super) fn append(&mut self, kept: &[usize]) {
        for &row in kept {
            match self.strip[row] {
                Some(value) => {
                    self.published.add(value);
                    self.values.push(value.stored());
                    if !self.valid.is_empty() {
                        self.valid.push(true);
                    }
                }
                None => {
                    self.valid.resize(self.values.len(), true);
                    self.valid.push(false);
                    self.values.push(0);
                }
            }
        }
    }

    /// Puts a row of the strip on the account of quarantined rows.
    pub(super) fn quarantine(&mut self, row: usize) {
        if let Some(value) = self.strip[row] {
            self.quarantined.add(value);
        }
    }

    /// The number of a row of the strip.
    pub(super) fn exact(&self, row: usize) -> Option<ExactDecimal> {
        self.strip[row]
    }

    /// The stored amount of a row of the strip.
    pub(super) fn value(&self, row: usize) -> Option<i128> {
        self.strip[row].map(ExactDecimal::stored)
    }

    pub(super) fn source_totals(&self) -> DecimalTotals {
        self.source.totals()
    }

    pub(super) fn published_totals(&self) -> DecimalTotals {
        self.published.totals()
    }

    pub(super) fn quarantined_totals(&self) -> DecimalTotals {
        self.quarantined.totals()
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let valid = std::mem::take(&mut self.valid);
        let nulls = (!valid.is_empty()).then(|| NullBuffer::from(valid));
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = Decimal128Array::try_new(values, nulls)?;
        Ok(Arc::new(array.with_precision_and_scale(STORED_PRECISION, STORED_SCALE)?))
    }
}
