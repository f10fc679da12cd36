//! The figures of one batch.
//!
//! Texts come as codes, filters as masks: Polars groups by integers and sums what a mask leaves. Beside
//! it every sum is taken once more without it, in 256 bits, over all rows that pass.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type};
use arrow::error::ArrowError;
use costlake_model::decimal::Accumulator;
use costlake_model::rollup::{Definition, Filter, Formula, Input, Key, KeyValue, Lookup};
use costlake_model::{ChargeClass, ExactSum, Metric};
use polars::prelude::{DataFrame, DataType, Expr, IntoLazy, PolarsError, PolarsResult, col, len};

use super::coded::{Coded, dictionary};
use super::group::{Figure, Group, is_never_null};
use super::priced;
use crate::error::Error;
use crate::polars_bridge;

/// The figures of one batch, by group.
#[derive(Debug)]
pub struct Partial {
    pub(super) metric: Metric,
    pub(super) groups: Vec<(Vec<KeyValue>, Group)>,
}

/// The column of charge dates that the latest one of a group is taken from.
const DAY: &str = "charge_date";
const LATEST_DAY: &str = "latest_day";

impl Partial {
    /// Computes the figures of a batch of line items, all of one metric.
    ///
    /// The batch has the columns that [`Definition::columns`] names, in the types of
    /// `line_item_schema`.
    ///
    /// # Errors
    /// [`Error::Rollup`] if the engine fails, which sound batches do not cause; [`Error::ControlSum`] if
    /// its sums are not what 256 bits give.
    pub fn of_batch(
        definition: &Definition,
        metric: Metric,
        batch: &RecordBatch,
    ) -> Result<Self, Error> {
        let failed = |error: PolarsError| Error::Rollup {
            rollup: definition.name.clone(),
            cause: error.to_string(),
        };
        let whole = Batch::new(definition, metric, batch).map_err(failed)?;
        if whole.passing_rows() == 0 {
            // Without group keys the engine would make a row of nothing.
            return Ok(Self { metric, groups: Vec::new() });
        }
        if batch.num_rows() > 1 && !whole.fits_128_bits() {
            return Self::of_halves(definition, metric, batch);
        }
        let figures = whole.figures().map_err(failed)?;
        let groups = whole.groups(&figures).map_err(failed)?;
        whole.check(&groups)?;
        Ok(Self { metric, groups })
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
        first.groups.extend(second.groups);
        Ok(first)
    }
}

/// A formula over rows, and which ones. The metric is not in the filter: a batch is of one.
struct Taken<'a> {
    /// The position of the measure.
    at: usize,
    formula: &'a Formula,
    filter: Filter,
}

/// A batch, prepared for the engine.
struct Batch<'a> {
    definition: &'a Definition,
    metric: Metric,
    rows: usize,
    /// The formulas over rows of this metric.
    formulas: Vec<Taken<'a>>,
    /// What groups depend on.
    inputs: BTreeMap<Input, Coded<'a>>,
    /// The columns that measures are of, computed ones among them.
    columns: BTreeMap<&'static str, ArrayRef>,
    /// The rows that pass a filter, for filters that some rows do not pass.
    masks: BTreeMap<Filter, BooleanArray>,
}

impl<'a> Batch<'a> {
    fn new(
        definition: &'a Definition,
        metric: Metric,
        batch: &'a RecordBatch,
    ) -> PolarsResult<Self> {
        let mut needed = definition.key_inputs();
        needed.extend(latest_columns(definition).map(Input::Column));
        let with_code = |input: Input| coded(batch, &input).map(|coded| (input, coded));
        let mut this = Self {
            definition,
            metric,
            rows: batch.num_rows(),
            formulas: taken(definition, metric),
            inputs: needed.into_iter().map(with_code).collect::<PolarsResult<_>>()?,
            columns: BTreeMap::new(),
            masks: BTreeMap::new(),
        };
        this.read_columns(batch)?;
        this.make_masks(batch)?;
        Ok(this)
    }

    fn read_columns(&mut self, batch: &RecordBatch) -> PolarsResult<()> {
        let dates = self.needs_days().then_some(DAY);
        let of_measures = self.formulas.iter().filter_map(|taken| match taken.formula {
            Formula::Sum(column, _) | Formula::First(column, _) | Formula::Last(column, _) => {
                Some(*column)
            }
            _ => None,
        });
        for name in of_measures.chain(dates) {
            if !self.columns.contains_key(name) {
                self.columns.insert(name, column(batch, name)?);
            }
        }
        Ok(())
    }

    fn needs_days(&self) -> bool {
        self.definition.shows_the_latest() || self.definition.keys.iter().any(Key::is_of_time)
    }

    fn make_masks(&mut self, batch: &RecordBatch) -> PolarsResult<()> {
        let filters = self.formulas.iter().map(|taken| &taken.filter);
        for filter in filters.chain([&self.definition.only]) {
            if *filter != Filter::default() && !self.masks.contains_key(filter) {
                self.masks.insert(filter.clone(), mask(batch, filter)?);
            }
        }
        Ok(())
    }

    /// The number of rows that count.
    fn passing_rows(&self) -> usize {
        self.masks.get(&self.definition.only).map_or(self.rows, BooleanArray::true_count)
    }

    /// Whether no sum over some of the rows can leave 128 bits.
    fn fits_128_bits(&self) -> bool {
        let fits = |array: &ArrayRef| {
            array.as_primitive_opt::<Decimal128Type>().is_none_or(|array| {
                let sum = |sum: i128, value: i128| sum.checked_add(value.checked_abs()?);
                array.iter().flatten().try_fold(0, sum).is_some()
            })
        };
        self.columns.values().all(fits)
    }

    fn figures(&self) -> PolarsResult<DataFrame> {
        let mut columns = Vec::new();
        for (at, coded) in self.inputs.values().enumerate() {
            columns.push(polars_bridge::column(&input_name(at), &coded.codes())?);
        }
        for (name, array) in &self.columns {
            columns.push(polars_bridge::column(name, array)?);
        }
        for (at, mask) in self.masks.values().enumerate() {
            columns.push(polars_bridge::column(&mask_name(at), mask)?);
        }
        let mut keys: Vec<Expr> = (0..self.inputs.len()).map(|at| col(input_name(at))).collect();
        if self.definition.keys.iter().any(Key::is_of_time) {
            keys.push(col(DAY));
        }
        let mut frame = DataFrame::new(self.rows, columns)?.lazy();
        if let Some(only) = self.mask(&self.definition.only) {
            frame = frame.filter(only);
        }
        let measures = self.expressions();
        if keys.is_empty() {
            frame.select(measures).collect()
        } else {
            frame.group_by(keys).agg(measures).collect()
        }
    }

    /// The mask of a filter, for the engine; nothing where all rows pass.
    fn mask(&self, filter: &Filter) -> Option<Expr> {
        self.masks.keys().position(|known| known == filter).map(|at| col(mask_name(at)))
    }

    fn expressions(&self) -> Vec<Expr> {
        let mut expressions = Vec::new();
        if self.definition.shows_the_latest() {
            expressions.push(col(DAY).max().alias(LATEST_DAY));
        }
        for Taken { at, formula, filter } in &self.formulas {
            let (at, mask) = (*at, self.mask(filter));
            let of = |name: &str| match &mask {
                Some(mask) => col(name).filter(mask.clone()),
                None => col(name),
            };
            match formula {
                Formula::Sum(name, _) => {
                    expressions.push(of(name).sum().alias(measure_name(at)));
                    if !is_never_null(name) {
                        expressions.push(of(name).count().alias(count_name(at)));
                    }
                }
                Formula::Count(..) => {
                    let rows = match mask {
                        Some(mask) => mask.sum(),
                        None => len(),
                    };
                    expressions.push(rows.alias(measure_name(at)));
                }
                Formula::First(name, _) => expressions.push(of(name).min().alias(measure_name(at))),
                Formula::Last(name, _) => expressions.push(of(name).max().alias(measure_name(at))),
                Formula::Latest(_) | Formula::Difference { .. } | Formula::Quotient { .. } => {}
            }
        }
        // A selection of nothing would have no rows.
        if expressions.is_empty() {
            expressions.push(len().alias("rows"));
        }
        expressions
    }

    /// The groups of the batch. One may come several times: in spellings that mean the same.
    fn groups(&self, figures: &DataFrame) -> PolarsResult<Vec<(Vec<KeyValue>, Group)>> {
        let mut inputs = BTreeMap::new();
        for (at, (input, coded)) in self.inputs.iter().enumerate() {
            inputs.insert(input, (coded, integers(figures, &input_name(at))?));
        }
        let days = self.days(figures, DAY, self.definition.keys.iter().any(Key::is_of_time))?;
        let latest = self.days(figures, LATEST_DAY, self.definition.shows_the_latest())?;
        let nothing = vec![Figure::Nothing; figures.height()];
        let mut measures = vec![nothing; self.definition.measures.len()];
        for taken in &self.formulas {
            measures[taken.at] = measure(taken, figures)?;
        }
        let group = |row: usize| {
            let text = |input: &Input| {
                let (coded, codes) = inputs.get(input)?;
                coded.text(codes[row]?)
            };
            let figures = measures.iter().map(|of_measure| of_measure[row].clone()).collect();
            self.group(&text, days[row], latest[row], figures)
        };
        Ok((0..figures.height()).map(group).collect())
    }

    fn group(
        &self,
        row: Lookup<'_>,
        day: Option<i32>,
        latest: Option<i32>,
        mut figures: Vec<Figure>,
    ) -> (Vec<KeyValue>, Group) {
        let latest = latest.unwrap_or(i32::MIN);
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        for key in &self.definition.keys {
            let entity = key.entity(&self.definition.departments, row);
            keys.push(match &entity {
                Some(entity) => KeyValue::Text(entity.id.clone()),
                None => self.plain_value(key, row, day),
            });
            names.push(entity.and_then(|entity| Some((latest, entity.name?))));
        }
        for (figure, measure) in figures.iter_mut().zip(&self.definition.measures) {
            if let Formula::Latest(column) = measure.formula
                && let Some(text) = row(&Input::Column(column))
            {
                *figure = Figure::Latest(latest, text.to_owned());
            }
        }
        (keys, Group { names, figures })
    }

    /// The value of a key without a name; of one with a name that the row does not have, nothing.
    fn plain_value(&self, key: &Key, row: Lookup<'_>, day: Option<i32>) -> KeyValue {
        let folded = |input: Input| {
            row(&input).map_or(KeyValue::Null, |text| KeyValue::Text(input.folded(text)))
        };
        match key {
            Key::Column(name) => folded(Input::Column(name)),
            Key::Tag { tag, .. } => folded(Input::Tag(tag.clone())),
            Key::Metric => KeyValue::Text(self.metric.name().to_owned()),
            Key::Day => day.map_or(KeyValue::Null, KeyValue::Day),
            Key::Month => day
                .and_then(Date32Type::to_naive_date_opt)
                .map_or(KeyValue::Null, |day| KeyValue::Text(day.format("%Y-%m").to_string())),
            Key::Department | Key::Subscription | Key::Account | Key::Commitment => KeyValue::Null,
        }
    }

    /// A column of days; nothing where it is not needed.
    fn days(
        &self,
        figures: &DataFrame,
        name: &str,
        needed: bool,
    ) -> PolarsResult<Vec<Option<i32>>> {
        if needed { integers(figures, name) } else { Ok(vec![None; figures.height()]) }
    }

    /// Compares the engine's sums with those of the rows, in 256 bits (`reliability.md`, I5).
    fn check(&self, groups: &[(Vec<KeyValue>, Group)]) -> Result<(), Error> {
        for Taken { at, formula, filter } in &self.formulas {
            let Formula::Sum(column, _) = formula else { continue };
            let sum_of = |(_, group): &(_, Group)| match group.figures[*at] {
                Figure::Sum(sum, _) => sum,
                _ => ExactSum::ZERO,
            };
            let found: ExactSum = groups.iter().map(sum_of).sum();
            let expected = self.control_sum(column, filter);
            if found != expected {
                return Err(Error::ControlSum {
                    rollup: self.definition.name.clone(),
                    measure: self.definition.measures[*at].name.clone(),
                    expected: expected.to_string(),
                    found: found.to_string(),
                });
            }
        }
        Ok(())
    }

    fn control_sum(&self, column: &str, filter: &Filter) -> ExactSum {
        let Some(values) =
            self.columns.get(column).and_then(|array| array.as_primitive_opt::<Decimal128Type>())
        else {
            return ExactSum::ZERO;
        };
        let masks = [self.masks.get(filter), self.masks.get(&self.definition.only)];
        let passes = |row: usize| masks.iter().flatten().all(|mask| mask.value(row));
        let mut sum = Accumulator::default();
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value.filter(|_| passes(row)) {
                sum.add_stored(value);
            }
        }
        sum.stored_total()
    }
}

/// The formulas over rows of a metric. A count of values is one of the rows that have some.
fn taken(definition: &Definition, metric: Metric) -> Vec<Taken<'_>> {
    let mut all = Vec::new();
    for (at, measure) in definition.measures.iter().enumerate() {
        let formula = &measure.formula;
        let Some(filter) = formula.filter() else { continue };
        if filter.metric.is_none_or(|wanted| wanted == metric) {
            let mut filter = Filter { metric: None, ..filter.clone() };
            if let Formula::Count(Some(column), _) = formula {
                filter.present.insert(column);
            }
            all.push(Taken { at, formula, filter });
        }
    }
    all
}

/// The figures of a measure, by group.
fn measure(taken: &Taken<'_>, figures: &DataFrame) -> PolarsResult<Vec<Figure>> {
    let name = measure_name(taken.at);
    Ok(match taken.formula {
        Formula::Sum(column, _) => {
            let counts = match is_never_null(column) {
                true => vec![1; figures.height()],
                false => counts(figures, &count_name(taken.at))?,
            };
            let sums = figures.column(&name)?.decimal()?.physical();
            let figure = |(sum, values): (Option<i128>, u64)| {
                Figure::Sum(ExactSum::from_stored(sum.unwrap_or(0)), values)
            };
            sums.iter().zip(counts).map(figure).collect()
        }
        Formula::Count(..) => counts(figures, &name)?.into_iter().map(Figure::Count).collect(),
        Formula::First(..) => integers(figures, &name)?
            .into_iter()
            .map(|day| day.map_or(Figure::Nothing, Figure::First))
            .collect(),
        Formula::Last(..) => integers(figures, &name)?
            .into_iter()
            .map(|day| day.map_or(Figure::Nothing, Figure::Last))
            .collect(),
        Formula::Latest(_) | Formula::Difference { .. } | Formula::Quotient { .. } => {
            vec![Figure::Nothing; figures.height()]
        }
    })
}

/// The rows of a batch that pass a filter.
fn mask(batch: &RecordBatch, filter: &Filter) -> PolarsResult<BooleanArray> {
    let mut passes = vec![true; batch.num_rows()];
    let mut keep = |other: Vec<bool>| {
        passes.iter_mut().zip(other).for_each(|(pass, other)| *pass &= other);
    };
    if !filter.charge_classes.is_empty() {
        let classes = &filter.charge_classes;
        let is_in = |class: Option<&str>| {
            class.and_then(ChargeClass::from_name).is_some_and(|class| classes.contains(&class))
        };
        keep(coded(batch, &Input::Column("charge_class"))?.meanings(is_in));
    }
    for (conditions, wanted) in [(&filter.values, true), (&filter.not_values, false)] {
        for (input, values) in conditions {
            let passes = |text: Option<&str>| {
                values.contains(&input.folded(text.unwrap_or_default())) == wanted
            };
            keep(coded(batch, input)?.meanings(passes));
        }
    }
    for name in &filter.present {
        keep(presence(batch, name)?);
    }
    Ok(BooleanArray::from(passes))
}

fn presence(batch: &RecordBatch, name: &'static str) -> PolarsResult<Vec<bool>> {
    if dictionary(batch, name).is_some() {
        return Ok(coded(batch, &Input::Column(name))?.meanings(|text| text.is_some()));
    }
    let array = column(batch, name)?;
    Ok((0..batch.num_rows()).map(|row| array.is_valid(row)).collect())
}

fn coded<'a>(batch: &'a RecordBatch, input: &Input) -> PolarsResult<Coded<'a>> {
    Coded::of(batch, input).ok_or_else(|| missing(input.column()))
}

/// A column of the batch, or one that is computed from it.
fn column(batch: &RecordBatch, name: &str) -> PolarsResult<ArrayRef> {
    let failed =
        |error: ArrowError| PolarsError::ComputeError(format!("column {name}: {error}").into());
    match priced::column(batch, name) {
        Some(computed) => computed.map_err(failed),
        None => batch.column_by_name(name).cloned().ok_or_else(|| missing(name)),
    }
}

/// Columns whose latest value a measure shows.
fn latest_columns(definition: &Definition) -> impl Iterator<Item = &'static str> {
    definition.measures.iter().filter_map(|measure| match measure.formula {
        Formula::Latest(column) => Some(column),
        _ => None,
    })
}

fn integers(figures: &DataFrame, name: &str) -> PolarsResult<Vec<Option<i32>>> {
    let column = figures.column(name)?.cast(&DataType::Int32)?;
    Ok(column.i32()?.iter().collect())
}

fn counts(figures: &DataFrame, name: &str) -> PolarsResult<Vec<u64>> {
    let column = figures.column(name)?.cast(&DataType::UInt64)?;
    Ok(column.u64()?.iter().map(|count| count.unwrap_or(0)).collect())
}

fn input_name(at: usize) -> String {
    format!("input_{at}")
}

fn mask_name(at: usize) -> String {
    format!("mask_{at}")
}

fn measure_name(at: usize) -> String {
    format!("measure_{at}")
}

fn count_name(at: usize) -> String {
    format!("count_{at}")
}

fn missing(name: &str) -> PolarsError {
    PolarsError::ColumnNotFound(format!("{name} as cost_line_items has it").into())
}
