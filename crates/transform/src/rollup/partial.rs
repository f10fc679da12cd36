//! The sums of one batch.
//!
//! Texts come as dictionary codes: Polars groups by integers, and only the groups are looked up.

use arrow::array::{Array, AsArray, DictionaryArray, Int32Array, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int32Type};
use costlake_model::decimal::{ExactSum, STORED_SCALE};
use costlake_model::placeholders;
use costlake_model::rollup::{Definition, Filter, Formula, Key};
use costlake_model::{ChargeClass, Metric};
use polars::prelude::{DataFrame, Expr, IntoLazy, PolarsError, PolarsResult, col, len, lit};

use super::{Department, UNASSIGNED};
use crate::error::Error;
use crate::polars_bridge;

/// The sums of one batch, by group.
#[derive(Debug)]
pub struct Partial {
    pub(super) metric: Metric,
    pub(super) rows: Vec<PartialRow>,
}

#[derive(Debug)]
pub(super) struct PartialRow {
    /// What the rows of the group have in common: the department without case, or the text.
    pub(super) keys: Vec<Option<String>>,
    pub(super) department: Option<Department>,
    /// A value per measure; nothing for differences and for measures of the other metric.
    pub(super) measures: Vec<ExactSum>,
}

const CLASS: &str = "charge_class";
const DAY: &str = "charge_date";
/// The code of a null key.
const NULL: i32 = -1;

impl Partial {
    /// Sums a batch of line items, all of one metric.
    ///
    /// The batch has the columns that [`Definition::columns`] names, in the types of
    /// `line_item_schema`.
    ///
    /// # Errors
    /// [`Error::Rollup`] if the engine fails, which sound batches do not cause.
    pub fn of_batch(
        definition: &Definition,
        metric: Metric,
        batch: &RecordBatch,
    ) -> Result<Self, Error> {
        let whole = Batch { definition, metric, batch };
        if batch.num_rows() > 1 && !whole.fits_128_bits() {
            return Self::of_halves(definition, metric, batch);
        }
        let failed = |error: PolarsError| Error::Rollup {
            rollup: definition.name.clone(),
            cause: error.to_string(),
        };
        let sums = whole.sums().map_err(failed)?;
        let rows = whole.rows(&sums).map_err(failed)?;
        Ok(Self { metric, rows })
    }

    /// The engine's sums wrap at 128 bits in silence; those of smaller parts do not get there.
    fn of_halves(
        definition: &Definition,
        metric: Metric,
        batch: &RecordBatch,
    ) -> Result<Self, Error> {
        let half = batch.num_rows() / 2;
        let rest = batch.num_rows() - half;
        let mut first = Self::of_batch(definition, metric, &batch.slice(0, half))?;
        let second = Self::of_batch(definition, metric, &batch.slice(half, rest))?;
        first.rows.extend(second.rows);
        Ok(first)
    }
}

struct Batch<'a> {
    definition: &'a Definition,
    metric: Metric,
    batch: &'a RecordBatch,
}

impl Batch<'_> {
    /// The text columns whose codes make the groups.
    fn key_columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for key in &self.definition.keys {
            match key {
                Key::Department => columns.extend(["department_id", "department_name"]),
                Key::Column(name) => columns.push(name),
            }
        }
        columns
    }

    /// Whether no sum over some of the rows can leave 128 bits.
    fn fits_128_bits(&self) -> bool {
        let fits = |name: &str| {
            let array = self.batch.column_by_name(name);
            array.and_then(|array| array.as_primitive_opt::<Decimal128Type>()).is_none_or(|array| {
                let sum = |sum: i128, value: i128| sum.checked_add(value.checked_abs()?);
                array.iter().flatten().try_fold(0, sum).is_some()
            })
        };
        self.summed_columns().into_iter().all(fits)
    }

    fn has_department(&self) -> bool {
        self.definition.keys.contains(&Key::Department)
    }

    fn sums(&self) -> PolarsResult<DataFrame> {
        let mut columns = Vec::new();
        for name in self.key_columns() {
            columns.push(polars_bridge::column(&key_name(name), &self.codes(name)?)?);
        }
        columns.push(polars_bridge::column(CLASS, &self.classes()?)?);
        if self.has_department() {
            columns.push(polars_bridge::column(DAY, self.array(DAY)?)?);
        }
        for name in self.summed_columns() {
            columns.push(polars_bridge::column(name, self.array(name)?)?);
        }
        let keys: Vec<Expr> =
            self.key_columns().into_iter().map(|name| col(key_name(name))).collect();
        let measures = self.measure_expressions();
        let frame = DataFrame::new(self.batch.num_rows(), columns)?.lazy();
        if keys.is_empty() {
            frame.select(measures).collect()
        } else {
            frame.group_by(keys).agg(measures).collect()
        }
    }

    fn summed_columns(&self) -> Vec<&'static str> {
        let mut columns: Vec<&'static str> = self
            .definition
            .measures
            .iter()
            .filter_map(|measure| match &measure.formula {
                Formula::Sum(column, _) => Some(*column),
                Formula::Count(_) | Formula::Difference { .. } => None,
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn measure_expressions(&self) -> Vec<Expr> {
        let mut expressions = Vec::new();
        if self.has_department() {
            expressions.push(col(DAY).max().alias("latest_day"));
        }
        for (at, measure) in self.definition.measures.iter().enumerate() {
            let expression = match &measure.formula {
                Formula::Sum(column, filter) if self.takes(filter) => match class_filter(filter) {
                    Some(classes) => col(*column).filter(classes).sum(),
                    None => col(*column).sum(),
                },
                Formula::Count(filter) if self.takes(filter) => match class_filter(filter) {
                    Some(classes) => col(CLASS).filter(classes).len(),
                    None => len(),
                },
                _ => continue,
            };
            expressions.push(expression.alias(measure_name(at)));
        }
        expressions
    }

    fn takes(&self, filter: &Filter) -> bool {
        filter.metric.is_none_or(|metric| metric == self.metric)
    }

    fn rows(&self, sums: &DataFrame) -> PolarsResult<Vec<PartialRow>> {
        let keys = self
            .definition
            .keys
            .iter()
            .map(|key| self.key_values(key, sums))
            .collect::<PolarsResult<Vec<_>>>()?;
        let measures = (0..self.definition.measures.len())
            .map(|at| self.measure_values(at, sums))
            .collect::<PolarsResult<Vec<_>>>()?;
        let rows = (0..sums.height()).map(|row| PartialRow {
            keys: keys.iter().map(|key| key[row].text.clone()).collect(),
            department: keys.iter().find_map(|key| key[row].department.clone()),
            measures: measures.iter().map(|values| values[row]).collect(),
        });
        Ok(rows.collect())
    }

    fn key_values(&self, key: &Key, sums: &DataFrame) -> PolarsResult<Vec<KeyValue>> {
        match key {
            Key::Column(name) => {
                let texts = self.texts_of(name, sums)?;
                Ok(texts.into_iter().map(|text| KeyValue { text, department: None }).collect())
            }
            Key::Department => {
                let ids = self.texts_of("department_id", sums)?;
                let names = self.texts_of("department_name", sums)?;
                let days = sums.column("latest_day")?.cast(&polars::prelude::DataType::Int32)?;
                let days = days.i32()?;
                let values =
                    ids.into_iter().zip(names).zip(days.iter()).map(|((id, name), day)| {
                        KeyValue::of_department(id, name, day.unwrap_or(i32::MIN))
                    });
                Ok(values.collect())
            }
        }
    }

    /// The texts of a key, looked up by the codes of the groups.
    fn texts_of(&self, name: &str, sums: &DataFrame) -> PolarsResult<Vec<Option<String>>> {
        let dictionary = self.dictionary(name)?;
        let values = dictionary.values().as_string::<i32>();
        let codes = sums.column(&key_name(name))?.i32()?;
        let text = |code: Option<i32>| {
            let at = usize::try_from(code?).ok()?;
            Some(values.value(at).to_owned())
        };
        Ok(codes.iter().map(text).collect())
    }

    fn measure_values(&self, at: usize, sums: &DataFrame) -> PolarsResult<Vec<ExactSum>> {
        let nothing = || vec![ExactSum::ZERO; sums.height()];
        let (Formula::Sum(_, filter) | Formula::Count(filter)) =
            &self.definition.measures[at].formula
        else {
            return Ok(nothing());
        };
        if !self.takes(filter) {
            return Ok(nothing());
        }
        let column = sums.column(&measure_name(at))?;
        if matches!(self.definition.measures[at].formula, Formula::Count(_)) {
            let counts = column.cast(&polars::prelude::DataType::Int64)?;
            return Ok(counts.i64()?.iter().map(|count| whole(count.unwrap_or(0))).collect());
        }
        let amounts = column.decimal()?.physical();
        Ok(amounts.iter().map(|amount| ExactSum::from_stored(amount.unwrap_or(0))).collect())
    }

    fn array(&self, name: &str) -> PolarsResult<&dyn Array> {
        let column = self.batch.column_by_name(name);
        column.map(AsRef::as_ref).ok_or_else(|| missing(name))
    }

    fn dictionary(&self, name: &str) -> PolarsResult<&DictionaryArray<Int32Type>> {
        self.array(name)?.as_dictionary_opt().ok_or_else(|| missing(name))
    }

    /// The codes of a text column; null has a code of its own, which groups it.
    fn codes(&self, name: &str) -> PolarsResult<Int32Array> {
        let keys = self.dictionary(name)?.keys();
        Ok(keys.iter().map(|code| Some(code.unwrap_or(NULL))).collect())
    }

    /// The charge class of each row, as its position in [`ChargeClass::ALL`].
    fn classes(&self) -> PolarsResult<Int32Array> {
        let dictionary = self.dictionary(CLASS)?;
        let values = dictionary.values().as_string::<i32>();
        let positions: Vec<i32> = (0..values.len())
            .map(|at| ChargeClass::from_name(values.value(at)).map_or(NULL, ChargeClass::code))
            .collect();
        let of = |code: Option<i32>| {
            let at = usize::try_from(code?).ok()?;
            positions.get(at).copied()
        };
        Ok(dictionary.keys().iter().map(|code| Some(of(code).unwrap_or(NULL))).collect())
    }
}

#[derive(Clone)]
struct KeyValue {
    text: Option<String>,
    department: Option<Department>,
}

impl KeyValue {
    fn of_department(id: Option<String>, name: Option<String>, day: i32) -> Self {
        let is_real = |text: &String| !placeholders::is_no_department(text.trim());
        let name = name.filter(is_real);
        let id =
            id.filter(is_real).or_else(|| name.clone()).unwrap_or_else(|| UNASSIGNED.to_owned());
        Self { text: Some(id.to_lowercase()), department: Some((day, name, id)) }
    }
}

/// The filter on charge classes, if there is one.
fn class_filter(filter: &Filter) -> Option<Expr> {
    let is = |class: &ChargeClass| col(CLASS).eq(lit(class.code()));
    filter.charge_classes.iter().map(is).reduce(Expr::or)
}

fn whole(count: i64) -> ExactSum {
    ExactSum::from_stored(i128::from(count) * 10_i128.pow(STORED_SCALE.unsigned_abs().into()))
}

fn key_name(column: &str) -> String {
    format!("key_{column}")
}

fn measure_name(at: usize) -> String {
    format!("measure_{at}")
}

fn missing(name: &str) -> PolarsError {
    PolarsError::ColumnNotFound(format!("{name} as cost_line_items has it").into())
}
