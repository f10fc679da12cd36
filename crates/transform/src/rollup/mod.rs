//! Rollups of line items, as their definitions say, exact.
//!
//! Each batch is summed by Polars into a [`Partial`]: filtered sums of `Decimal128`, grouped by the
//! dictionary codes of what the keys depend on, so that no text is touched per row. Partials of all
//! batches and of both metrics merge in 256 bits, in any order, into the rows of the table.

mod coded;
mod group;
mod partial;
mod priced;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use costlake_model::Metric;
use costlake_model::decimal::{self, ExactSum, STORED_PRECISION, STORED_SCALE};
use costlake_model::rollup::{Definition, Formula, Key, KeyValue};

use crate::error::Error;
use group::{Figure, Group, Value, is_never_null};

pub use partial::Partial;

/// The merged partials of a rollup.
#[derive(Debug)]
pub struct Rollup {
    definition: Arc<Definition>,
    /// The metrics that were read, with or without rows.
    metrics: BTreeSet<Metric>,
    groups: BTreeMap<Vec<KeyValue>, Group>,
}

impl Rollup {
    /// A rollup without rows. Without keys it has one group from the start, for all rows that come.
    pub fn new(definition: Arc<Definition>) -> Self {
        let whole = definition.keys.is_empty().then(|| (Vec::new(), Group::default()));
        Self { definition, metrics: BTreeSet::new(), groups: whole.into_iter().collect() }
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

    /// Adds the figures of a batch. The order of batches does not matter.
    pub fn merge(&mut self, partial: Partial) {
        self.metrics.insert(partial.metric);
        for (keys, group) in partial.groups {
            self.groups.entry(keys).or_default().merge(group);
        }
    }

    /// Adds the figures of another rollup by the same definition, such as of the other metric.
    pub fn absorb(&mut self, other: Self) {
        self.metrics.extend(other.metrics);
        for (keys, group) in other.groups {
            self.groups.entry(keys).or_default().merge(group);
        }
    }

    /// The sum of a measure over all groups: the figure that must equal the total of the rows. `None` for
    /// measures that are no amounts.
    pub fn total(&self, measure: &str) -> Option<ExactSum> {
        let at = self.definition.measures.iter().position(|other| other.name == measure)?;
        self.totals().get(at).copied().flatten()
    }

    /// The totals of all measures, in their order: as [`Self::total`].
    pub fn totals(&self) -> Vec<Option<ExactSum>> {
        let is_amount =
            |formula: &Formula| matches!(formula, Formula::Sum(..) | Formula::Difference { .. });
        let measures = self.definition.measures.iter();
        let mut totals: Vec<Option<ExactSum>> =
            measures.map(|measure| is_amount(&measure.formula).then_some(ExactSum::ZERO)).collect();
        for group in self.groups.values() {
            for (total, value) in totals.iter_mut().zip(self.values(group)) {
                if let (Some(total), Some(Value::Amount(amount))) = (total, value) {
                    *total += amount;
                }
            }
        }
        totals
    }

    /// The values of all measures in a group, as if every metric was read; operands come before what is
    /// made of them. `None` is unknown.
    fn values(&self, group: &Group) -> Vec<Option<Value>> {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(self.definition.measures.len());
        for (at, measure) in self.definition.measures.iter().enumerate() {
            let figure = group.figures.get(at).unwrap_or(&Figure::Nothing);
            let value = value(&measure.formula, figure, &values);
            values.push(value);
        }
        values
    }

    /// The table: one row per group, sorted by the keys; the schema of the definition. Measures of a
    /// metric that was not read are null: unknown is not nothing.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a sum that does not fit 38 digits.
    pub fn finish(&self) -> Result<RecordBatch, Error> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, key) in self.definition.keys.iter().enumerate() {
            columns.extend(self.key_columns(at, key));
        }
        let mut of_groups: Vec<_> =
            self.groups.values().map(|group| self.values(group).into_iter()).collect();
        for (at, is_known) in self.known().into_iter().enumerate() {
            let values = of_groups.iter_mut().map(|values| values.next().flatten());
            let values = values.map(|value| value.filter(|_| is_known)).collect();
            columns.push(self.measure_column(at, values)?);
        }
        RecordBatch::try_new(Arc::new(self.definition.schema()), columns).map_err(batch_error)
    }

    fn key_columns(&self, at: usize, key: &Key) -> Vec<ArrayRef> {
        let values = self.groups.keys().map(|keys| &keys[at]);
        let column: ArrayRef = if *key == Key::Day {
            let day = |value: &KeyValue| match value {
                KeyValue::Day(day) => Some(*day),
                _ => None,
            };
            Arc::new(values.map(day).collect::<Date32Array>())
        } else {
            let texts = values.map(|value| match value {
                KeyValue::Text(text) => Some(text.as_str()),
                _ => None,
            });
            Arc::new(texts.collect::<StringArray>())
        };
        if !key.has_name() {
            return vec![column];
        }
        let names = self.groups.values().map(|group| group.names.get(at)?.as_ref());
        let names: StringArray = names.map(|latest| Some(&latest?.1)).collect();
        vec![column, Arc::new(names)]
    }

    /// Of each measure, whether every metric that it rests on was read.
    fn known(&self) -> Vec<bool> {
        let mut known: Vec<bool> = Vec::with_capacity(self.definition.measures.len());
        for measure in &self.definition.measures {
            let are_known = |operands: &[usize]| operands.iter().all(|at| known[*at]);
            known.push(match &measure.formula {
                Formula::Difference { add, subtract } => are_known(add) && are_known(subtract),
                Formula::Quotient { dividend, divisor, .. } => are_known(&[*dividend, *divisor]),
                formula => formula
                    .filter()
                    .and_then(|filter| filter.metric)
                    .is_none_or(|metric| self.metrics.contains(&metric)),
            });
        }
        known
    }

    fn measure_column(&self, at: usize, values: Vec<Option<Value>>) -> Result<ArrayRef, Error> {
        Ok(match &self.definition.measures[at].formula {
            Formula::Sum(..) | Formula::Difference { .. } => {
                let stored = |value: Option<Value>| {
                    value
                        .and_then(|value| value.number())
                        .map(|sum| self.stored(at, sum))
                        .transpose()
                };
                let stored: Decimal128Array =
                    values.into_iter().map(stored).collect::<Result<_, _>>()?;
                with_scale(stored, STORED_SCALE).map_err(batch_error)?
            }
            Formula::Quotient { scale, .. } => {
                let quotient = |value| match value {
                    Some(Value::Quotient(units)) => Some(units),
                    _ => None,
                };
                let quotients: Decimal128Array = values.into_iter().map(quotient).collect();
                let scale = i8::try_from(*scale).unwrap_or(STORED_SCALE);
                with_scale(quotients, scale).map_err(batch_error)?
            }
            Formula::Count(..) => {
                let count = |value| match value {
                    Some(Value::Count(count)) => i64::try_from(count).ok(),
                    _ => None,
                };
                Arc::new(values.into_iter().map(count).collect::<Int64Array>())
            }
            Formula::First(..) | Formula::Last(..) => {
                let day = |value| match value {
                    Some(Value::Day(day)) => Some(day),
                    _ => None,
                };
                Arc::new(values.into_iter().map(day).collect::<Date32Array>())
            }
            Formula::Latest(_) => {
                let text = |value| match value {
                    Some(Value::Text(text)) => Some(text),
                    _ => None,
                };
                Arc::new(values.into_iter().map(text).collect::<StringArray>())
            }
        })
    }

    fn stored(&self, at: usize, sum: ExactSum) -> Result<i128, Error> {
        sum.to_stored().ok_or_else(|| Error::TooLarge {
            rollup: self.definition.name.clone(),
            measure: self.definition.measures[at].name.clone(),
            value: sum.to_string(),
        })
    }
}

/// The value of a formula, of the figure of the rows or of the values of measures before it.
fn value(formula: &Formula, figure: &Figure, before: &[Option<Value>]) -> Option<Value> {
    let number = |at: usize| before.get(at)?.as_ref()?.number();
    match formula {
        Formula::Sum(column, _) => match figure {
            Figure::Sum(sum, 1..) => Some(Value::Amount(*sum)),
            _ => is_never_null(column).then_some(Value::Amount(ExactSum::ZERO)),
        },
        Formula::Count(..) => match figure {
            Figure::Count(count) => Some(Value::Count(*count)),
            _ => Some(Value::Count(0)),
        },
        Formula::First(..) | Formula::Last(..) => match figure {
            Figure::First(day) | Figure::Last(day) => Some(Value::Day(*day)),
            _ => None,
        },
        Formula::Latest(_) => match figure {
            Figure::Latest(_, text) => Some(Value::Text(text.clone())),
            _ => None,
        },
        Formula::Difference { add, subtract } => {
            let sum_of = |operands: &[usize]| -> Option<ExactSum> {
                operands.iter().map(|at| number(*at)).sum()
            };
            Some(Value::Amount(sum_of(add)? - sum_of(subtract)?))
        }
        Formula::Quotient { dividend, divisor, scale } => {
            let quotient = decimal::quotient(number(*dividend)?, number(*divisor)?, *scale);
            quotient.map(Value::Quotient)
        }
    }
}

fn with_scale(values: Decimal128Array, scale: i8) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(values.with_precision_and_scale(STORED_PRECISION, scale)?))
}

fn batch_error(error: ArrowError) -> Error {
    Error::Batch(error.to_string())
}
