//! Rollups of line items, as their definitions say, exact.
//!
//! Each batch is summed by Polars into a [`Partial`]: filtered sums of `Decimal128`, grouped by the
//! dictionary codes of the keys, so that no text is touched per row. Partials of all batches and of
//! both metrics merge in 256 bits, in any order, into the rows of the table.

mod partial;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use costlake_model::decimal::{ExactSum, STORED_PRECISION, STORED_SCALE};
use costlake_model::rollup::{Definition, Formula, Key};

use crate::error::Error;

pub use partial::Partial;

/// The department of rows that have none.
pub const UNASSIGNED: &str = "unassigned";

/// The merged partials of a rollup.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    groups: BTreeMap<Vec<Option<String>>, Group>,
}

/// The figures of a group; a measure that no batch had is nothing.
#[derive(Clone, Debug, Default)]
struct Group {
    /// The department of the latest day: day, name, id as spelled.
    department: Option<(i32, Option<String>, String)>,
    measures: Vec<ExactSum>,
}

impl Group {
    fn merge(&mut self, other: Self) {
        self.department = self.department.take().max(other.department);
        self.measures.resize(other.measures.len(), ExactSum::ZERO);
        for (sum, value) in self.measures.iter_mut().zip(other.measures) {
            *sum += value;
        }
    }
}

impl Rollup {
    /// A rollup without rows.
    pub fn new(definition: Arc<Definition>) -> Self {
        Self { definition, groups: BTreeMap::new() }
    }

    /// The definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Adds the sums of a batch. The order of batches does not matter.
    pub fn merge(&mut self, partial: Partial) {
        for row in partial.rows {
            let group = Group { department: row.department, measures: row.measures };
            self.groups.entry(row.keys).or_default().merge(group);
        }
    }

    /// Adds the sums of another rollup by the same definition, such as of the other metric.
    pub fn absorb(&mut self, other: Self) {
        for (keys, group) in other.groups {
            self.groups.entry(keys).or_default().merge(group);
        }
    }

    /// The sum of a measure over all groups: the figure that must equal the total of the rows.
    pub fn total(&self, measure: &str) -> Option<ExactSum> {
        let at = self.definition.measures.iter().position(|other| other.name == measure)?;
        Some(self.groups.values().map(|group| self.value(group, at)).sum())
    }

    /// The value of a measure in a group. Differences refer to earlier measures only.
    fn value(&self, group: &Group, at: usize) -> ExactSum {
        match &self.definition.measures[at].formula {
            Formula::Sum(..) | Formula::Count(_) => group.measures[at],
            Formula::Difference { add, subtract } => {
                let sum_of = |names: &[String]| -> ExactSum {
                    names.iter().map(|name| self.value(group, self.position(name))).sum()
                };
                sum_of(add) - sum_of(subtract)
            }
        }
    }

    fn position(&self, measure: &str) -> usize {
        let measures = &self.definition.measures;
        measures.iter().position(|other| other.name == measure).unwrap_or_default()
    }

    /// The table: one row per group, sorted by the keys; the schema of the definition.
    ///
    /// # Errors
    /// [`Error::ControlSum`] for a sum that does not fit 38 digits.
    pub fn finish(&self) -> Result<RecordBatch, Error> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, key) in self.definition.keys.iter().enumerate() {
            match key {
                Key::Department => {
                    let of = |group: &Group| group.department.clone();
                    let ids = self.groups.values().map(|group| of(group).map(|d| d.2));
                    columns.push(Arc::new(ids.collect::<StringArray>()));
                    let names = self.groups.values().map(|group| of(group).and_then(|d| d.1));
                    columns.push(Arc::new(names.collect::<StringArray>()));
                }
                Key::Column(_) => {
                    let values = self.groups.keys().map(|keys| keys[at].clone());
                    columns.push(Arc::new(values.collect::<StringArray>()));
                }
            }
        }
        for at in 0..self.definition.measures.len() {
            columns.push(self.measure(at)?);
        }
        let schema = Arc::new(self.definition.schema());
        RecordBatch::try_new(schema, columns).map_err(|error| Error::Batch(error.to_string()))
    }

    fn measure(&self, at: usize) -> Result<ArrayRef, Error> {
        let measure = &self.definition.measures[at];
        let stored = |group: &Group| {
            let value = self.value(group, at);
            value.to_stored().ok_or_else(|| Error::ControlSum {
                rollup: self.definition.name.clone(),
                measure: measure.name.clone(),
                expected: value.to_string(),
                found: "more than 38 digits".to_owned(),
            })
        };
        let values = self.groups.values().map(stored).collect::<Result<Vec<i128>, _>>()?;
        if matches!(measure.formula, Formula::Count(_)) {
            let one = 10_i128.pow(STORED_SCALE.unsigned_abs().into());
            let counts =
                values.into_iter().map(|value| i64::try_from(value / one).unwrap_or(i64::MAX));
            return Ok(Arc::new(Int64Array::from_iter_values(counts)));
        }
        Decimal128Array::from(values)
            .with_precision_and_scale(STORED_PRECISION, STORED_SCALE)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| Error::Batch(error.to_string()))
    }
}
