//! Rollups of line items, as their definitions say, exact.
//!
//! Each batch is summed by Polars into a [`Partial`]: filtered sums of `Decimal128`, grouped by the
//! dictionary codes of the keys, so that no text is touched per row. Partials of all batches and of
//! both metrics merge in 256 bits, in any order, into the rows of the table.

mod partial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use costlake_model::decimal::{ExactSum, STORED_PRECISION, STORED_SCALE};
use costlake_model::rollup::{Definition, Formula, Key};
use costlake_model::{Metric, columns};

use crate::error::Error;

pub use partial::Partial;

/// The department of rows that have none.
pub const UNASSIGNED: &str = "unassigned";

/// The merged partials of a rollup.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    /// The metrics that were read, with or without rows.
    metrics: BTreeSet<Metric>,
    groups: BTreeMap<Vec<Option<String>>, Group>,
}

/// A department as some rows have it: their latest day, its name, its id as spelled.
type Department = (i32, Option<String>, String);

/// The figures of a group; a measure that no batch had is nothing.
#[derive(Clone, Debug, Default)]
struct Group {
    department: Option<Department>,
    measures: Vec<ExactSum>,
}

impl Group {
    fn merge(&mut self, other: Self) {
        // The latest name, if any row has one: (has name, day, name, id as spelled).
        let rank = |department: &Option<Department>| {
            department.clone().map(|(day, name, id)| (name.is_some(), day, name, id))
        };
        if rank(&other.department) > rank(&self.department) {
            self.department = other.department;
        }
        self.measures.resize(other.measures.len(), ExactSum::ZERO);
        for (sum, value) in self.measures.iter_mut().zip(other.measures) {
            *sum += value;
        }
    }
}

impl Rollup {
    /// A rollup without rows.
    pub fn new(definition: Arc<Definition>) -> Self {
        Self { definition, metrics: BTreeSet::new(), groups: BTreeMap::new() }
    }

    /// Says that a metric was read, even if it has no rows: its measures are nothing then, and not
    /// unknown.
    pub fn add_metric(&mut self, metric: Metric) {
        self.metrics.insert(metric);
    }

    /// The definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Adds the sums of a batch. The order of batches does not matter.
    pub fn merge(&mut self, partial: Partial) {
        self.metrics.insert(partial.metric);
        for row in partial.rows {
            let group = Group { department: row.department, measures: row.measures };
            self.groups.entry(row.keys).or_default().merge(group);
        }
    }

    /// Adds the sums of another rollup by the same definition, such as of the other metric.
    pub fn absorb(&mut self, other: Self) {
        self.metrics.extend(other.metrics);
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

    /// The table: one row per group, sorted by the keys; the schema of the definition. Measures of a
    /// metric that was not read are null: unknown is not nothing.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a sum that does not fit 38 digits.
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

    /// Whether every metric that a measure rests on was read.
    fn is_known(&self, at: usize) -> bool {
        match &self.definition.measures[at].formula {
            Formula::Sum(_, filter) | Formula::Count(filter) => {
                filter.metric.is_none_or(|metric| self.metrics.contains(&metric))
            }
            Formula::Difference { add, subtract } => {
                add.iter().chain(subtract).all(|name| self.is_known(self.position(name)))
            }
        }
    }

    fn measure(&self, at: usize) -> Result<ArrayRef, Error> {
        let measure = &self.definition.measures[at];
        let stored = |group: &Group| {
            let value = self.value(group, at);
            value.to_stored().ok_or_else(|| Error::TooLarge {
                rollup: self.definition.name.clone(),
                measure: measure.name.clone(),
                value: value.to_string(),
            })
        };
        let is_count = matches!(measure.formula, Formula::Count(_));
        if !self.is_known(at) {
            let data_type = if is_count { DataType::Int64 } else { columns::decimal_type() };
            return Ok(new_null_array(&data_type, self.groups.len()));
        }
        let values = self.groups.values().map(stored).collect::<Result<Vec<i128>, _>>()?;
        if is_count {
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
