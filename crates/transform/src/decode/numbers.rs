//! Decimal columns: exact, with three accounts of what was read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use costlake_model::columns::{Presence, SOURCE_COLUMNS};
use costlake_model::decimal::{ExactDecimal, NumberError, STORED_PRECISION, STORED_SCALE};
use costlake_model::ledger::{DecimalTally, DecimalTotals};

use super::quarantine::{Fault, Faults, Rule};
use super::text;
use crate::csv::{self, FieldTable};
use crate::header::BoundColumn;

pub(super) struct DecimalColumn {
    name: &'static str,
    field: usize,
    is_required: bool,
    naming: Naming,
    /// The numbers of the strip; zero where there is none.
    strip: Vec<ExactDecimal>,
    /// Which rows of the strip have a number, and how many have none.
    is_there: Vec<bool>,
    absent: usize,
    values: Vec<i128>,
    /// Whether each value is there; empty as long as all are.
    valid: Vec<bool>,
    source: DecimalTally,
    published: DecimalTally,
    quarantined: DecimalTally,
}

impl DecimalColumn {
    pub(super) fn new(bound: &BoundColumn, naming: Naming) -> Self {
        let column = &SOURCE_COLUMNS[bound.column];
        Self {
            name: column.name,
            field: bound.field,
            is_required: column.presence != Presence::Optional,
            naming,
            strip: Vec::new(),
            is_there: Vec::new(),
            absent: 0,
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

    pub(super) fn parse(&mut self, text: &[u8], table: &FieldTable, faults: &mut [Faults]) {
        self.strip.clear();
        self.is_there.clear();
        self.absent = 0;
        let mut scratch = Vec::new();
        let spans = table.spans(self.field..=self.field);
        for (span, faults) in spans.zip(faults) {
            let content = csv::content(csv::bytes(text, span), &mut scratch);
            match ExactDecimal::parse(content) {
                Ok(value) => {
                    self.source.add(value);
                    self.strip.push(value);
                    self.is_there.push(true);
                }
                Err(error) => {
                    self.strip.push(ExactDecimal::default());
                    self.is_there.push(false);
                    self.absent += 1;
                    if let Some(found) = self.fault(error, content) {
                        faults.add(Some(self.field), found);
                    }
                }
            }
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
        if self.absent == 0 && kept.len() == self.strip.len() {
            self.strip.iter().for_each(|value| self.published.add(*value));
            self.values.extend(self.strip.iter().map(|value| value.stored()));
            if !self.valid.is_empty() {
                self.valid.resize(self.values.len(), true);
            }
            return;
        }
        for &row in kept {
            self.append_row(row);
        }
    }

    fn append_row(&mut self, row: usize) {
        let value = self.strip[row];
        if self.is_there[row] {
            self.published.add(value);
            if !self.valid.is_empty() {
                self.valid.push(true);
            }
        } else {
            self.valid.resize(self.values.len(), true);
            self.valid.push(false);
        }
        self.values.push(value.stored());
    }

    /// Puts a row of the strip on the account of quarantined rows.
    pub(super) fn quarantine(&mut self, row: usize) {
        if let Some(value) = self.exact(row) {
            self.quarantined.add(value);
        }
    }

    /// The number of a row of the strip.
    pub(super) fn exact(&self, row: usize) -> Option<ExactDecimal> {
        self.is_there[row].then(|| self.strip[row])
    }

    /// The stored amount of a row of the strip.
    pub(super) fn value(&self, row: usize) -> Option<i128> {
        self.exact(row).map(ExactDecimal::stored)
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
