//! Rollup definitions: group keys and measures, as data (`pipelines/rollups/*.toml`).
//!
//! ```toml
//! name = "team_month"
//! group_by = [{ tag = "team" }, "billing_currency"]
//!
//! [[measure]]
//! name = "actual_cost"
//! sum = "cost"
//! metric = "actual"
//! ```
//!
//! This small algebra is all there is: figures of rows under a filter, and arithmetic between them.
//! Every evaluator gives the same digits. `docs/rollups.md` is its specification.

mod key;
mod parse;
mod shipped;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use crate::charge_class::ChargeClass;
use crate::columns;
use crate::decimal::STORED_PRECISION;
use crate::departments::Departments;
use crate::metric::Metric;

pub use key::{Entity, Input, Key, KeyValue, Lookup};
pub use parse::Error;
pub use shipped::SHIPPED;

/// Raised whenever the same definition gives other figures of the same rows than before.
const EVALUATION: u32 = 1;

/// A rollup: what to group by and what to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name of the rollup and of its table.
    pub name: String,
    /// What the rollup is for.
    pub description: String,
    /// The group keys, in the order of the columns.
    pub keys: Vec<Key>,
    /// The rows that count, for every measure.
    pub only: Filter,
    /// The measures, in the order of the columns.
    pub measures: Vec<Measure>,
    /// What decides which department a row belongs to.
    pub departments: Arc<Departments>,
    /// The file, written out anew: without comments, the same for the same meaning.
    source: String,
}

/// A column of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The name of the column.
    pub name: String,
    /// How it is computed.
    pub formula: Formula,
}

/// How a measure is computed. Operands are positions of measures before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// The sum of a decimal column over the rows that pass the filter.
    Sum(&'static str, Filter),
    /// The number of rows that pass the filter and, where a column is named, have a value there.
    Count(Option<&'static str>, Filter),
    /// The earliest day in a date column of the rows that pass.
    First(&'static str, Filter),
    /// The latest day in a date column of the rows that pass.
    Last(&'static str, Filter),
    /// The value of a text column on the latest charge date that has one.
    Latest(&'static str),
    /// The sum of some measures less the sum of others.
    Difference {
        /// Measures that are added.
        add: Vec<usize>,
        /// Measures that are subtracted.
        subtract: Vec<usize>,
    },
    /// One measure over another, rounded half-even.
    Quotient {
        /// What is divided.
        dividend: usize,
        /// By what.
        divisor: usize,
        /// Fraction digits of the result.
        scale: u8,
    },
}

/// Which rows a measure takes: those that pass every part.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// Only rows of this metric. Required where rows of both could mix.
    pub metric: Option<Metric>,
    /// Only rows of these charge classes; empty takes all.
    pub charge_classes: BTreeSet<ChargeClass>,
    /// Only rows that have one of the values; empty text is no value. Folded where case does not matter.
    pub values: BTreeMap<Input, BTreeSet<String>>,
    /// No rows that have one of the values.
    pub not_values: BTreeMap<Input, BTreeSet<String>>,
    /// Only rows that have a value in each of these columns.
    pub present: BTreeSet<&'static str>,
}

/// Decimal columns that are computed per row and can be summed like those of the line items:
/// `docs/rollups.md`, Measures.
pub mod computed {
    /// The cost of usage at public prices.
    pub const COST_AT_LIST_PRICE: &str = "cost_at_list_price";
    /// The cost of usage at negotiated prices.
    pub const COST_AT_CONTRACTED_PRICE: &str = "cost_at_contracted_price";
    /// All of them.
    pub const ALL: [&str; 2] = [COST_AT_LIST_PRICE, COST_AT_CONTRACTED_PRICE];
    /// The columns of the line items that they are computed from.
    pub const INPUTS: [&str; 11] = [
        "charge_class",
        "source_kind",
        "cost",
        "quantity",
        "retail_price",
        "unit_price",
        "list_cost",
        "contracted_cost",
        "billing_currency",
        "pricing_currency",
        "exchange_rate",
    ];
}

impl Filter {
    /// Whether it has no part but the metric.
    pub fn takes_all_rows(&self) -> bool {
        self.is_of_classes() && self.charge_classes.is_empty()
    }

    /// Whether it has no part but the metric and charge classes.
    pub fn is_of_classes(&self) -> bool {
        self.values.is_empty() && self.not_values.is_empty() && self.present.is_empty()
    }

    fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.values.keys().chain(self.not_values.keys())
    }
}

impl Formula {
    /// The filter, of formulas over rows.
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Sum(_, filter)
            | Self::Count(_, filter)
            | Self::First(_, filter)
            | Self::Last(_, filter) => Some(filter),
            Self::Latest(_) | Self::Difference { .. } | Self::Quotient { .. } => None,
        }
    }

    /// The column of the rows that it reads, if any; perhaps a computed one.
    pub fn column(&self) -> Option<&'static str> {
        match self {
            Self::Sum(column, _)
            | Self::First(column, _)
            | Self::Last(column, _)
            | Self::Latest(column) => Some(column),
            Self::Count(column, _) => *column,
            Self::Difference { .. } | Self::Quotient { .. } => None,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Sum(..) | Self::Difference { .. } => columns::decimal_type(),
            Self::Quotient { scale, .. } => {
                DataType::Decimal128(STORED_PRECISION, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Count(..) => DataType::Int64,
            Self::First(..) | Self::Last(..) => DataType::Date32,
            Self::Latest(_) => DataType::Utf8,
        }
    }
}

impl Definition {
    /// The same definition with departments by other rules.
    #[must_use]
    pub fn with_departments(mut self, departments: Arc<Departments>) -> Self {
        self.departments = departments;
        self
    }

    /// Definition and departments as text: the same text, the same figures of the same rows.
    pub fn canonical(&self) -> String {
        format!("{EVALUATION}\n{}{}", self.source, self.departments.canonical())
    }

    /// What the keys depend on, per row, without repetition.
    pub fn key_inputs(&self) -> BTreeSet<Input> {
        self.keys.iter().flat_map(|key| key.inputs(&self.departments)).collect()
    }

    /// Whether a group shows something of its latest charge date.
    pub fn shows_the_latest(&self) -> bool {
        self.keys.iter().any(Key::has_name)
            || self.measures.iter().any(|measure| matches!(measure.formula, Formula::Latest(_)))
    }

    /// The columns of the line items that the rollup reads.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        let filters = || {
            let of_measures = self.measures.iter().filter_map(|measure| measure.formula.filter());
            of_measures.chain([&self.only])
        };
        let mut inputs = self.key_inputs();
        inputs.extend(filters().flat_map(Filter::inputs).cloned());
        let mut columns: BTreeSet<&'static str> = inputs.iter().map(Input::column).collect();
        columns.extend(self.measures.iter().filter_map(|measure| measure.formula.column()));
        columns.extend(filters().flat_map(|filter| filter.present.iter().copied()));
        if self.shows_the_latest() || self.keys.iter().any(Key::is_of_time) {
            columns.insert("charge_date");
        }
        if computed::ALL.iter().filter(|name| columns.remove(*name)).count() > 0 {
            columns.extend(computed::INPUTS);
        }
        columns.insert(columns::added::CHARGE_CLASS);
        columns
    }

    /// The schema of the rollup's table, as `docs/format.md` describes it.
    pub fn schema(&self) -> Schema {
        let keys = self.keys.iter().flat_map(Key::fields);
        let measures = self
            .measures
            .iter()
            .map(|measure| Field::new(&measure.name, measure.formula.data_type(), true));
        Schema::new(keys.chain(measures).collect::<Vec<_>>())
    }
}
