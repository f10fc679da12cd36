//! Rollup definitions: group keys and measures, as data (`pipelines/rollups/*.toml`).
//!
//! ```toml
//! name = "department_month"
//! group_by = ["department", "billing_currency"]
//!
//! [[measure]]
//! name = "actual_cost"
//! sum = "cost"
//! metric = "actual"
//!
//! [[measure]]
//! name = "difference"
//! add = ["amortized_cost"]
//! subtract = ["actual_cost"]
//! ```
//!
//! This small algebra is all there is: sums and counts of rows under a filter, and differences of
//! measures. Every evaluator gives the same digits.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;

use crate::charge_class::ChargeClass;
use crate::columns::{self, ColumnType};
use crate::metric::Metric;

/// A rollup: what to group by and what to sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name of the rollup and of its table.
    pub name: String,
    /// What the rollup is for.
    pub description: String,
    /// The group keys, in the order of the columns.
    pub keys: Vec<Key>,
    /// The measures, in the order of the columns.
    pub measures: Vec<Measure>,
}

/// What rows are grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The department: columns `department_id` and `department_name`.
    ///
    /// The id is `department_id`, else `department_name`, else `unassigned`; placeholders such as
    /// `-2` and `Unassigned` count as empty (`cost-data.md`, 6). Ids are compared without case. The
    /// name shown is the one of the latest charge date.
    Department,
    /// A text column of the line items; null is a group of its own.
    Column(&'static str),
}

/// A column of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The name of the column.
    pub name: String,
    /// How it is computed.
    pub formula: Formula,
}

/// How a measure is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// The sum of a decimal column over the rows that pass the filter.
    Sum(&'static str, Filter),
    /// The number of rows that pass the filter.
    Count(Filter),
    /// The sum of some measures less the sum of others, all named before this one.
    Difference {
        /// Measures that are added.
        add: Vec<String>,
        /// Measures that are subtracted.
        subtract: Vec<String>,
    },
}

/// Which rows a measure takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only rows of this metric. Required where rows of both could mix.
    pub metric: Option<Metric>,
    /// Only rows of these charge classes; empty takes all.
    pub charge_classes: BTreeSet<ChargeClass>,
}

/// A definition that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not TOML of the expected form.
    #[error("not a rollup definition")]
    Syntax(#[source] toml::de::Error),
    /// A name that is not of the form `[a-z][a-z0-9_]*`, or taken.
    #[error(
        "`{found}` cannot name a {what}: expected lower-case letters, digits and `_`, not yet used"
    )]
    Name {
        /// A rollup or a measure.
        what: &'static str,
        /// The name.
        found: String,
    },
    /// A key that is no text column.
    #[error("cannot group by `{found}`: expected `department` or a text column of cost_line_items")]
    Key {
        /// The key.
        found: String,
    },
    /// A measure that is not exactly one of sum, count and difference.
    #[error(
        "measure `{measure}` needs exactly one of `sum`, `count = true`, or `add` with `subtract`"
    )]
    Formula {
        /// The measure.
        measure: String,
    },
    /// A sum over something that is no decimal column.
    #[error(
        "measure `{measure}` cannot sum `{found}`: expected a decimal column of cost_line_items"
    )]
    SumColumn {
        /// The measure.
        measure: String,
        /// The column.
        found: String,
    },
    /// A sum or count without a metric would add actual to amortized.
    #[error(
        "measure `{measure}` needs `metric = \"actual\"` or `\"amortized\"`: without it both would be added together"
    )]
    MetricMissing {
        /// The measure.
        measure: String,
    },
    /// An unknown metric or charge class.
    #[error("measure `{measure}`: `{found}` is no {what}")]
    FilterValue {
        /// The measure.
        measure: String,
        /// Metric or charge class.
        what: &'static str,
        /// The value.
        found: String,
    },
    /// A difference of something that is not a measure before it, or of sums and counts mixed.
    #[error("measure `{measure}` uses `{found}`: expected a sum that is named before it")]
    Operand {
        /// The measure.
        measure: String,
        /// The operand.
        found: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionFile {
    name: String,
    #[serde(default)]
    description: String,
    group_by: Vec<String>,
    #[serde(rename = "measure")]
    measures: Vec<MeasureFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureFile {
    name: String,
    sum: Option<String>,
    count: Option<bool>,
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    subtract: Vec<String>,
    metric: Option<String>,
    #[serde(default)]
    charge_class: Vec<String>,
}

impl Definition {
    /// Reads a definition and checks every name in it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: DefinitionFile = toml::from_str(text).map_err(Error::Syntax)?;
        check_name("rollup", &file.name, &[])?;
        let keys: Vec<Key> =
            file.group_by.iter().map(|key| parse_key(key)).collect::<Result<_, _>>()?;
        check_keys(&keys)?;
        let mut measures: Vec<Measure> = Vec::with_capacity(file.measures.len());
        for measure in file.measures {
            check_name("measure", &measure.name, &measures)?;
            check_not_a_key(&measure.name, &keys)?;
            let formula = parse_formula(&measure, &measures)?;
            measures.push(Measure { name: measure.name, formula });
        }
        Ok(Self { name: file.name, description: file.description, keys, measures })
    }

    /// The columns of the line items that the rollup reads.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        let mut columns = BTreeSet::from([columns::added::CHARGE_CLASS]);
        for key in &self.keys {
            match key {
                Key::Department => {
                    columns.extend(["department_id", "department_name", "charge_date"])
                }
                Key::Column(name) => {
                    columns.insert(name);
                }
            }
        }
        for measure in &self.measures {
            if let Formula::Sum(column, _) = &measure.formula {
                columns.insert(column);
            }
        }
        columns
    }

    /// The schema of the rollup's table: text keys, sums as decimals, counts as 64-bit integers;
    /// measures are null where a metric that they rest on was not read.
    pub fn schema(&self) -> Schema {
        let mut fields = Vec::new();
        for key in &self.keys {
            match key {
                Key::Department => {
                    fields.push(Field::new("department_id", DataType::Utf8, false));
                    fields.push(Field::new("department_name", DataType::Utf8, true));
                }
                Key::Column(name) => fields.push(Field::new(*name, DataType::Utf8, true)),
            }
        }
        for measure in &self.measures {
            let data_type = match measure.formula {
                Formula::Count(_) => DataType::Int64,
                Formula::Sum(..) | Formula::Difference { .. } => columns::decimal_type(),
            };
            fields.push(Field::new(&measure.name, data_type, true));
        }
        Schema::new(fields)
    }
}

fn check_name(what: &'static str, name: &str, taken: &[Measure]) -> Result<(), Error> {
    let sound = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !["cost_line_items", "quarantine", "department_id", "department_name"].contains(&name)
        && taken.iter().all(|measure| measure.name != name);
    if sound { Ok(()) } else { Err(Error::Name { what, found: name.to_owned() }) }
}

/// Every key names columns of the table, and no two the same one.
fn check_keys(keys: &[Key]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match keys.iter().flat_map(Key::columns).find(|column| !seen.insert(*column)) {
        None => Ok(()),
        Some(column) => Err(Error::Key { found: column.to_owned() }),
    }
}

/// A measure named like a key or a partition key would be a second column of that name.
fn check_not_a_key(measure: &str, keys: &[Key]) -> Result<(), Error> {
    let partition_keys = ["metric", "billing_period", "scope"];
    let mut taken = keys.iter().flat_map(Key::columns).chain(partition_keys);
    if taken.any(|column| column == measure) {
        return Err(Error::Name { what: "measure", found: measure.to_owned() });
    }
    Ok(())
}

impl Key {
    /// The columns of the table that the key makes.
    fn columns(&self) -> Vec<&'static str> {
        match self {
            Self::Department => vec!["department_id", "department_name"],
            Self::Column(name) => vec![name],
        }
    }
}

fn parse_key(key: &str) -> Result<Key, Error> {
    if key == "department" {
        return Ok(Key::Department);
    }
    let is_text = |name: &str| {
        name == columns::added::CHARGE_CLASS
            || columns::SOURCE_COLUMNS
                .iter()
                .any(|column| column.name == name && column.column_type == ColumnType::Text)
    };
    columns::SOURCE_COLUMNS
        .iter()
        .map(|column| column.name)
        .chain([columns::added::CHARGE_CLASS])
        .find(|name| *name == key && is_text(name))
        .map(Key::Column)
        .ok_or_else(|| Error::Key { found: key.to_owned() })
}

fn parse_formula(file: &MeasureFile, before: &[Measure]) -> Result<Formula, Error> {
    let measure = || file.name.clone();
    let differs = !file.add.is_empty() || !file.subtract.is_empty();
    match (&file.sum, file.count.unwrap_or(false), differs) {
        (Some(column), false, false) => {
            let column = columns::decimal_columns()
                .find(|name| name == column)
                .ok_or_else(|| Error::SumColumn { measure: measure(), found: column.clone() })?;
            Ok(Formula::Sum(column, parse_filter(file)?))
        }
        (None, true, false) => Ok(Formula::Count(parse_filter(file)?)),
        (None, false, true) if file.metric.is_none() && file.charge_class.is_empty() => {
            for operand in file.add.iter().chain(&file.subtract) {
                check_operand(&file.name, operand, before)?;
            }
            Ok(Formula::Difference { add: file.add.clone(), subtract: file.subtract.clone() })
        }
        _ => Err(Error::Formula { measure: measure() }),
    }
}

fn check_operand(measure: &str, operand: &str, before: &[Measure]) -> Result<(), Error> {
    let is_amount = before
        .iter()
        .any(|other| other.name == operand && !matches!(other.formula, Formula::Count(_)));
    if is_amount {
        Ok(())
    } else {
        Err(Error::Operand { measure: measure.to_owned(), found: operand.to_owned() })
    }
}

fn parse_filter(file: &MeasureFile) -> Result<Filter, Error> {
    let wrong = |what, found: &str| Error::FilterValue {
        measure: file.name.clone(),
        what,
        found: found.to_owned(),
    };
    let metric = file
        .metric
        .as_deref()
        .ok_or_else(|| Error::MetricMissing { measure: file.name.clone() })?;
    let metric = metric.parse().map_err(|_| wrong("metric", metric))?;
    let charge_classes = file
        .charge_class
        .iter()
        .map(|name| ChargeClass::from_name(name).ok_or_else(|| wrong("charge class", name)))
        .collect::<Result<_, _>>()?;
    Ok(Filter { metric: Some(metric), charge_classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
        name = "by_service"
        group_by = ["department", "meter_category"]
        [[measure]]
        name = "actual"
        sum = "cost"
        metric = "actual"
        charge_class = ["on_demand_usage"]
        [[measure]]
        name = "rows"
        count = true
        metric = "actual"
        [[measure]]
        name = "minus_actual"
        subtract = ["actual"]
    "#;

    #[test]
    fn a_sound_definition_is_read() {
        let definition = Definition::parse(SOUND).unwrap();
        let names: Vec<_> = definition.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(
            names,
            [
                "department_id",
                "department_name",
                "meter_category",
                "actual",
                "rows",
                "minus_actual"
            ]
        );
        assert!(definition.columns().contains("charge_date"));
    }

    #[test]
    fn wrong_definitions_are_refused_with_the_place() {
        for (from, to, expected) in [
            ("by_service", "By Service", "`By Service` cannot name a rollup"),
            ("meter_category", "meter_colour", "cannot group by `meter_colour`"),
            ("meter_category", "cost", "cannot group by `cost`"),
            ("sum = \"cost\"", "sum = \"tags\"", "cannot sum `tags`"),
            ("sum = \"cost\"", "sum = \"cost\"\ncount = true", "exactly one of"),
            ("metric = \"actual\"\n        charge_class", "charge_class", "needs `metric"),
            ("on_demand_usage", "on_demand", "`on_demand` is no charge class"),
            ("[\"actual\"]", "[\"rows\"]", "uses `rows`"),
            ("[\"actual\"]", "[\"later\"]", "uses `later`"),
            ("name = \"rows\"", "name = \"actual\"", "cannot name a measure"),
            ("name = \"rows\"", "name = \"meter_category\"", "cannot name a measure"),
            ("name = \"rows\"", "name = \"billing_period\"", "cannot name a measure"),
            ("\"meter_category\"", "\"department_id\"", "cannot group by `department_id`"),
            ("count = true", "counts = true", "not a rollup definition"),
        ] {
            let text = SOUND.replacen(from, to, 1);
            let error = Definition::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
