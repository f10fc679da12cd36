//! Definitions as TOML, read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{Input, Key};
use super::{Definition, Filter, Formula, Measure, computed, shipped};
use crate::charge_class::ChargeClass;
use crate::columns::{self, ColumnType, SOURCE_COLUMNS};
use crate::departments::{Departments, OneOrMore};
use crate::metric::Metric;

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
        /// A rollup, a measure or a column.
        what: &'static str,
        /// The name.
        found: String,
    },
    /// The name of a table that costlake makes.
    #[error("`{found}` is a table of costlake's own: give the rollup another name")]
    NameTaken {
        /// The name.
        found: String,
    },
    /// A key that is nothing to group by.
    #[error(
        "cannot group by `{found}`: expected department, subscription, account, commitment, charge_class, metric, day, month, {{ tag = \"…\" }} or a text column of cost_line_items"
    )]
    Key {
        /// The key.
        found: String,
    },
    /// Two keys that make one column.
    #[error(
        "two keys make the column `{column}`: give one of them up, or a tag another name with `as`"
    )]
    KeyTwice {
        /// The column.
        column: String,
    },
    /// No shipped definition has that name.
    #[error("`{found}` is no shipped rollup: expected one of {}", shipped_names())]
    NotShipped {
        /// The name.
        found: String,
    },
    /// A definition that computes nothing.
    #[error("the definition has no [[measure]], and no measures_from")]
    NoMeasures,
    /// A measure that is not exactly one of the forms.
    #[error(
        "measure `{measure}` needs exactly one of `sum`, `count`, `first`, `last`, `latest`, `add` with `subtract`, or `divide` with `by` and `scale`"
    )]
    Formula {
        /// The measure.
        measure: String,
    },
    /// A filter on something that is computed from other measures, or from the latest row.
    #[error(
        "measure `{measure}` takes no {part}: filter the measures that it is made of, or the whole definition"
    )]
    NoFilter {
        /// The measure.
        measure: String,
        /// The part of the filter.
        part: &'static str,
    },
    /// A column of another type than the formula needs.
    #[error("measure `{measure}`: `{form}` needs {expected}, not `{found}`")]
    Column {
        /// The measure.
        measure: String,
        /// What it does with the column.
        form: &'static str,
        /// The column.
        found: String,
        /// Which columns would do.
        expected: &'static str,
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
    #[error("{place}: `{found}` is no {what}: expected {expected}")]
    FilterValue {
        /// The measure, or the definition.
        place: String,
        /// Metric or charge class.
        what: &'static str,
        /// The value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A condition on a column that there is not, or that has no text.
    #[error("{place}: no condition can name `{found}`: expected {expected}")]
    Condition {
        /// The measure, or the definition.
        place: String,
        /// The column.
        found: String,
        /// Which columns would do.
        expected: &'static str,
    },
    /// Two conditions on one tag: the second would replace the first.
    #[error("{place}: two conditions name the tag `{tag}`: write one, with a list of values")]
    ConditionTwice {
        /// The measure, or the definition.
        place: String,
        /// The tag, in lower case.
        tag: String,
    },
    /// A condition without values would take no row, or all.
    #[error("{place}: the condition on `{column}` names no value")]
    NoValues {
        /// The measure, or the definition.
        place: String,
        /// The column.
        column: String,
    },
    /// An operand that is not a suitable measure before it.
    #[error("measure `{measure}` uses `{found}`: expected {expected} that is named before it")]
    Operand {
        /// The measure.
        measure: String,
        /// The operand.
        found: String,
        /// A sum, or a sum or count.
        expected: &'static str,
    },
    /// A quotient without digits, or with more than are stored.
    #[error("measure `{measure}` needs `scale`, the digits after the point: 0 to {MAX_SCALE}")]
    Scale {
        /// The measure.
        measure: String,
    },
}

fn shipped_names() -> String {
    shipped::SHIPPED.map(|(name, _)| name).join(", ")
}

/// The most fraction digits of a quotient.
const MAX_SCALE: u8 = 24;

const MAX_NAME: usize = 64;

/// Tables of costlake's own, beside the shipped rollups.
const TAKEN: [&str; 4] =
    ["cost_line_items", "quarantine", "reconciliation", "commitment_reconciliation"];

/// Partition keys, which readers show as columns.
const PARTITION_KEYS: [&str; 2] = ["billing_period", "scope"];

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DefinitionFile {
    name: String,
    #[serde(default)]
    description: String,
    group_by: Vec<KeyFile>,
    #[serde(default)]
    charge_class: Vec<String>,
    #[serde(default, rename = "where")]
    values: BTreeMap<String, OneOrMore>,
    #[serde(default, rename = "where_not")]
    not_values: BTreeMap<String, OneOrMore>,
    measures_from: Option<String>,
    #[serde(default, rename = "measure")]
    measures: Vec<MeasureFile>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "expected the name of a key, or { tag = \"…\" }, perhaps with `as`")]
enum KeyFile {
    Name(String),
    Tag(TagFile),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TagFile {
    tag: String,
    #[serde(rename = "as")]
    column: Option<String>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MeasureFile {
    name: String,
    sum: Option<String>,
    count: Option<CountFile>,
    first: Option<String>,
    last: Option<String>,
    latest: Option<String>,
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    subtract: Vec<String>,
    divide: Option<String>,
    by: Option<String>,
    scale: Option<i64>,
    metric: Option<String>,
    #[serde(default)]
    charge_class: Vec<String>,
    #[serde(default, rename = "where")]
    values: BTreeMap<String, OneOrMore>,
    #[serde(default, rename = "where_not")]
    not_values: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    has: Vec<String>,
}

/// `count = true` counts rows, `count = "column"` those that have a value.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected true, or the name of a column")]
enum CountFile {
    Rows(bool),
    Column(String),
}

impl Definition {
    /// Reads a definition and checks every name in it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut file: DefinitionFile = toml::from_str(text).map_err(Error::Syntax)?;
        if let Some(name) = file.measures_from.take() {
            let mut measures = measures_of_shipped(&name)?;
            measures.append(&mut file.measures);
            file.measures = measures;
        }
        let source = format!("{}\n", toml::to_string(&file).unwrap_or_else(|_| text.to_owned()));
        file.check(source)
    }
}

fn measures_of_shipped(name: &str) -> Result<Vec<MeasureFile>, Error> {
    let text = shipped::text(name).ok_or_else(|| Error::NotShipped { found: name.to_owned() })?;
    let file: DefinitionFile = toml::from_str(text).map_err(Error::Syntax)?;
    let mut measures = match file.measures_from {
        Some(other) => measures_of_shipped(&other)?,
        None => Vec::new(),
    };
    measures.extend(file.measures);
    Ok(measures)
}

impl DefinitionFile {
    fn check(self, source: String) -> Result<Definition, Error> {
        check_name("rollup", &self.name)?;
        if TAKEN.contains(&self.name.as_str()) {
            return Err(Error::NameTaken { found: self.name });
        }
        let keys: Vec<Key> = self.group_by.iter().map(KeyFile::read).collect::<Result<_, _>>()?;
        let mut columns = BTreeSet::new();
        for field in keys.iter().flat_map(Key::fields) {
            if !columns.insert(field.name().clone()) {
                return Err(Error::KeyTwice { column: field.name().clone() });
            }
        }
        columns.extend(PARTITION_KEYS.map(str::to_owned));
        let place = "the definition";
        let only = Filter {
            charge_classes: charge_classes(place, &self.charge_class)?,
            values: conditions(place, &self.values)?,
            not_values: conditions(place, &self.not_values)?,
            ..Filter::default()
        };
        if self.measures.is_empty() {
            return Err(Error::NoMeasures);
        }
        let metric_is_key = keys.contains(&Key::Metric);
        let mut measures: Vec<Measure> = Vec::with_capacity(self.measures.len());
        for measure in &self.measures {
            check_name("measure", &measure.name)?;
            if !columns.insert(measure.name.clone()) {
                return Err(Error::Name { what: "measure", found: measure.name.clone() });
            }
            let formula = measure.formula(&measures, metric_is_key)?;
            measures.push(Measure { name: measure.name.clone(), formula });
        }
        Ok(Definition {
            name: self.name,
            description: self.description,
            keys,
            only,
            measures,
            departments: Arc::new(Departments::default()),
            source,
        })
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    if is_name(name) { Ok(()) } else { Err(Error::Name { what, found: name.to_owned() }) }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl KeyFile {
    fn read(&self) -> Result<Key, Error> {
        match self {
            Self::Name(name) => key_of_name(name),
            Self::Tag(tag) => tag.read(),
        }
    }
}

fn key_of_name(name: &str) -> Result<Key, Error> {
    Ok(match name {
        "department" => Key::Department,
        "subscription" => Key::Subscription,
        "account" => Key::Account,
        "commitment" => Key::Commitment,
        "metric" => Key::Metric,
        "day" => Key::Day,
        "month" => Key::Month,
        "charge_class" => Key::Column(columns::added::CHARGE_CLASS),
        name => Key::Column(
            source_column(name, |kind| kind == ColumnType::Text)
                .ok_or_else(|| Error::Key { found: name.to_owned() })?,
        ),
    })
}

impl TagFile {
    fn read(&self) -> Result<Key, Error> {
        if self.tag.trim().is_empty() {
            return Err(Error::Key { found: "{ tag = \"\" }".to_owned() });
        }
        let column = self.column.clone().unwrap_or_else(|| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            format!("tag_{}", self.tag.trim().to_lowercase().chars().map(plain).collect::<String>())
        });
        if !is_name(&column) || PARTITION_KEYS.contains(&column.as_str()) {
            return Err(Error::Name { what: "column of a tag", found: column });
        }
        Ok(Key::Tag { tag: self.tag.trim().to_lowercase(), column })
    }
}

fn source_column(name: &str, suits: impl Fn(ColumnType) -> bool) -> Option<&'static str> {
    let found = |column: &&columns::Column| column.name == name && suits(column.column_type);
    SOURCE_COLUMNS.iter().find(found).map(|column| column.name)
}

/// Decimal columns, those that are computed among them.
fn amount_column(name: &str) -> Option<&'static str> {
    let computed = computed::ALL.into_iter().find(|computed| *computed == name);
    computed.or_else(|| source_column(name, |kind| kind == ColumnType::Decimal))
}

/// Any column of the line items that a row may lack, or a computed one.
fn any_column(name: &str) -> Option<&'static str> {
    amount_column(name).or_else(|| source_column(name, |_| true))
}

/// The forms of a measure, as written.
struct Forms<'a> {
    of_rows: Vec<(&'static str, &'a str)>,
    counts: bool,
    differs: bool,
    divides: bool,
}

impl MeasureFile {
    fn formula(&self, before: &[Measure], metric_is_key: bool) -> Result<Formula, Error> {
        let forms = self.forms();
        match (forms.of_rows.as_slice(), forms.counts, forms.differs, forms.divides) {
            ([(form, column)], false, false, false) => {
                self.formula_of_rows(form, column, metric_is_key)
            }
            ([], true, false, false) => {
                let column = match &self.count {
                    Some(CountFile::Column(name)) => Some(self.column("count", name)?),
                    _ => None,
                };
                Ok(Formula::Count(column, self.filter(metric_is_key)?))
            }
            ([], false, true, false) => self.difference(before),
            ([], false, false, true) => self.quotient(before),
            _ => Err(Error::Formula { measure: self.name.clone() }),
        }
    }

    fn forms(&self) -> Forms<'_> {
        let of_rows = [
            ("sum", &self.sum),
            ("first", &self.first),
            ("last", &self.last),
            ("latest", &self.latest),
        ];
        Forms {
            of_rows: of_rows
                .into_iter()
                .filter_map(|(form, column)| Some((form, column.as_deref()?)))
                .collect(),
            counts: !matches!(self.count, None | Some(CountFile::Rows(false))),
            differs: !self.add.is_empty() || !self.subtract.is_empty(),
            divides: self.divide.is_some() || self.by.is_some() || self.scale.is_some(),
        }
    }

    fn formula_of_rows(
        &self,
        form: &'static str,
        column: &str,
        metric_is_key: bool,
    ) -> Result<Formula, Error> {
        let column = self.column(form, column)?;
        Ok(match form {
            "sum" => Formula::Sum(column, self.filter(metric_is_key)?),
            "first" => Formula::First(column, self.filter(metric_is_key)?),
            "last" => Formula::Last(column, self.filter(metric_is_key)?),
            _ => {
                self.no_filter()?;
                Formula::Latest(column)
            }
        })
    }

    /// A column that suits what is done with it.
    fn column(&self, form: &'static str, name: &str) -> Result<&'static str, Error> {
        let (column, expected) = match form {
            "sum" => (
                amount_column(name),
                "a decimal column of cost_line_items, cost_at_list_price or cost_at_contracted_price",
            ),
            "count" => (
                any_column(name),
                "true, a column of cost_line_items that the file has, or a computed one",
            ),
            "latest" => (
                source_column(name, |kind| kind == ColumnType::Text),
                "a text column of cost_line_items",
            ),
            _ => (
                source_column(name, |kind| kind == ColumnType::Date),
                "a date column of cost_line_items",
            ),
        };
        column.ok_or_else(|| Error::Column {
            measure: self.name.clone(),
            form,
            found: name.to_owned(),
            expected,
        })
    }

    fn difference(&self, before: &[Measure]) -> Result<Formula, Error> {
        self.no_filter()?;
        let is_amount =
            |formula: &Formula| matches!(formula, Formula::Sum(..) | Formula::Difference { .. });
        let operand = |name: &String| self.operand(name, before, "a sum", is_amount);
        let positions = |names: &[String]| names.iter().map(operand).collect::<Result<_, _>>();
        Ok(Formula::Difference { add: positions(&self.add)?, subtract: positions(&self.subtract)? })
    }

    fn quotient(&self, before: &[Measure]) -> Result<Formula, Error> {
        self.no_filter()?;
        let (Some(dividend), Some(divisor)) = (&self.divide, &self.by) else {
            return Err(Error::Formula { measure: self.name.clone() });
        };
        let is_number = |formula: &Formula| {
            matches!(formula, Formula::Sum(..) | Formula::Count(..) | Formula::Difference { .. })
        };
        let operand = |name: &str| self.operand(name, before, "a sum or count", is_number);
        let (dividend, divisor) = (operand(dividend)?, operand(divisor)?);
        let scale = self.scale.and_then(|scale| u8::try_from(scale).ok());
        let scale = scale.filter(|scale| *scale <= MAX_SCALE);
        let scale = scale.ok_or_else(|| Error::Scale { measure: self.name.clone() })?;
        Ok(Formula::Quotient { dividend, divisor, scale })
    }

    fn operand(
        &self,
        name: &str,
        before: &[Measure],
        expected: &'static str,
        suits: impl Fn(&Formula) -> bool,
    ) -> Result<usize, Error> {
        before.iter().position(|other| other.name == name && suits(&other.formula)).ok_or_else(
            || Error::Operand { measure: self.name.clone(), found: name.to_owned(), expected },
        )
    }

    /// What is made of other measures has no rows of its own to choose from.
    fn no_filter(&self) -> Result<(), Error> {
        let parts = [
            ("metric", self.metric.is_some()),
            ("charge_class", !self.charge_class.is_empty()),
            ("where", !self.values.is_empty()),
            ("where_not", !self.not_values.is_empty()),
            ("has", !self.has.is_empty()),
        ];
        match parts.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((part, _)) => Err(Error::NoFilter { measure: self.name.clone(), part }),
        }
    }

    fn filter(&self, metric_is_key: bool) -> Result<Filter, Error> {
        let place = format!("measure `{}`", self.name);
        let metric = match &self.metric {
            Some(text) => Some(text.parse::<Metric>().map_err(|_| Error::FilterValue {
                place: place.clone(),
                what: "metric",
                found: text.clone(),
                expected: "actual or amortized".to_owned(),
            })?),
            None if metric_is_key => None,
            None => return Err(Error::MetricMissing { measure: self.name.clone() }),
        };
        let present = self.has.iter().map(|name| {
            any_column(name).ok_or_else(|| Error::Condition {
                place: place.clone(),
                found: name.clone(),
                expected: "a column of cost_line_items that the file has, or a computed one",
            })
        });
        Ok(Filter {
            metric,
            charge_classes: charge_classes(&place, &self.charge_class)?,
            values: conditions(&place, &self.values)?,
            not_values: conditions(&place, &self.not_values)?,
            present: present.collect::<Result<_, _>>()?,
        })
    }
}

fn charge_classes(place: &str, names: &[String]) -> Result<BTreeSet<ChargeClass>, Error> {
    let class = |name: &String| {
        ChargeClass::from_name(name).ok_or_else(|| Error::FilterValue {
            place: place.to_owned(),
            what: "charge class",
            found: name.clone(),
            expected: format!("one of {}", ChargeClass::ALL.map(ChargeClass::name).join(", ")),
        })
    };
    names.iter().map(class).collect()
}

fn conditions(
    place: &str,
    given: &BTreeMap<String, OneOrMore>,
) -> Result<BTreeMap<Input, BTreeSet<String>>, Error> {
    let condition = |(name, values): (&String, &OneOrMore)| {
        let input = input_of(name).ok_or_else(|| Error::Condition {
            place: place.to_owned(),
            found: name.clone(),
            expected: "a text column of cost_line_items, or \"tag:…\"; metric and charge_class have parts of their own",
        })?;
        let values: BTreeSet<String> =
            values.clone().into_values().iter().map(|value| input.folded(value)).collect();
        if values.is_empty() {
            return Err(Error::NoValues { place: place.to_owned(), column: name.clone() });
        }
        Ok((input, values))
    };
    let mut conditions = BTreeMap::new();
    for condition in given.iter().map(condition) {
        let (input, values) = condition?;
        if let Input::Tag(tag) = &input
            && conditions.contains_key(&input)
        {
            return Err(Error::ConditionTwice { place: place.to_owned(), tag: tag.clone() });
        }
        conditions.insert(input, values);
    }
    Ok(conditions)
}

fn input_of(name: &str) -> Option<Input> {
    match name.strip_prefix("tag:") {
        Some(tag) => (!tag.trim().is_empty()).then(|| Input::Tag(tag.trim().to_lowercase())),
        None => source_column(name, |kind| kind == ColumnType::Text).map(Input::Column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
        name = "team_service_month"
        group_by = ["department", { tag = "Cost-Center" }, { tag = "env", as = "environment" }, "meter_category", "day"]
        where = { meter_category = ["Virtual Machines", "Storage"], "tag:env" = "prod" }
        where_not = { resource_group = "RG-Test" }
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
        [[measure]]
        name = "per_row"
        divide = "minus_actual"
        by = "rows"
        scale = 4
        [[measure]]
        name = "priced"
        count = "cost_at_list_price"
        metric = "amortized"
        has = ["unit_price"]
        [[measure]]
        name = "first_day"
        first = "charge_date"
        metric = "actual"
        [[measure]]
        name = "term"
        latest = "term"
    "#;

    #[test]
    fn a_sound_definition_is_read() {
        let definition = Definition::parse(SOUND).unwrap();
        let fields: Vec<String> = definition
            .schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        assert_eq!(
            fields,
            [
                "department_id Utf8",
                "department_name Utf8",
                "tag_cost_center Utf8",
                "environment Utf8",
                "meter_category Utf8",
                "charge_date Date32",
                "actual Decimal128(38, 24)",
                "rows Int64",
                "minus_actual Decimal128(38, 24)",
                "per_row Decimal128(38, 4)",
                "priced Int64",
                "first_day Date32",
                "term Utf8",
            ]
        );
        let columns = definition.columns();
        for read in ["charge_date", "tags", "resource_group", "unit_price", "quantity", "term"] {
            assert!(columns.contains(read), "{read}");
        }
        assert!(!columns.contains(computed::COST_AT_LIST_PRICE));
        let group = Input::Column("resource_group");
        assert_eq!(definition.only.not_values[&group], BTreeSet::from(["rg-test".to_owned()]));
    }

    #[test]
    fn wrong_definitions_are_refused_with_the_place() {
        for (from, to, expected) in [
            ("team_service_month", "By Service", "`By Service` cannot name a rollup"),
            (
                "team_service_month",
                "reconciliation",
                "`reconciliation` is a table of costlake's own",
            ),
            ("\"day\"", "\"meter_colour\"", "cannot group by `meter_colour`"),
            ("\"day\"", "\"cost\"", "cannot group by `cost`"),
            ("\"day\"", "\"department_id\"", "two keys make the column `department_id`"),
            ("\"day\"", "{ tag = \"env\", as = \"meter_category\" }", "two keys make"),
            ("\"Cost-Center\"", "\"\"", "cannot group by `{ tag = \"\" }`"),
            ("as = \"environment\"", "as = \"The Env\"", "`The Env` cannot name a column of a tag"),
            ("meter_category = [", "meter_colour = [", "no condition can name `meter_colour`"),
            ("meter_category = [", "cost = [", "no condition can name `cost`"),
            (
                "\"tag:env\" =",
                "\"tag:ENV\" = \"x\", \"tag:env\" =",
                "two conditions name the tag `env`",
            ),
            ("as = \"environment\"", "as = \"scope\"", "`scope` cannot name a column of a tag"),
            ("\"RG-Test\"", "[]", "the condition on `resource_group` names no value"),
            ("sum = \"cost\"", "sum = \"tags\"", "`sum` needs a decimal column"),
            ("sum = \"cost\"", "sum = \"cost\"\ncount = true", "exactly one of"),
            ("count = true", "count = false", "exactly one of"),
            ("metric = \"actual\"\n        charge_class", "charge_class", "needs `metric"),
            ("metric = \"actual\"", "metric = \"billed\"", "`billed` is no metric"),
            ("on_demand_usage", "on_demand", "`on_demand` is no charge class"),
            ("subtract = [\"actual\"]", "subtract = [\"rows\"]", "uses `rows`: expected a sum"),
            ("subtract = [\"actual\"]", "subtract = [\"later\"]", "uses `later`"),
            (
                "subtract = [\"actual\"]",
                "subtract = [\"actual\"]\nmetric = \"actual\"",
                "takes no metric",
            ),
            ("scale = 4", "", "needs `scale`"),
            ("scale = 4", "scale = 25", "needs `scale`"),
            ("scale = 4", "scale = -1", "needs `scale`"),
            ("by = \"rows\"", "", "exactly one of"),
            ("divide = \"minus_actual\"", "divide = \"first_day\"", "expected a sum or count"),
            (
                "first = \"charge_date\"",
                "first = \"cost\"",
                "`first` needs a date column of cost_line_items, not `cost`",
            ),
            ("latest = \"term\"", "latest = \"cost\"", "`latest` needs a text column"),
            ("latest = \"term\"", "latest = \"term\"\nhas = [\"term\"]", "takes no has"),
            ("has = [\"unit_price\"]", "has = [\"colour\"]", "no condition can name `colour`"),
            ("name = \"rows\"", "name = \"actual\"", "cannot name a measure"),
            ("name = \"rows\"", "name = \"meter_category\"", "cannot name a measure"),
            ("name = \"rows\"", "name = \"billing_period\"", "cannot name a measure"),
            ("count = true", "counts = true", "not a rollup definition"),
            ("where_not =", "measures_from = \"none\"\nwhere_not =", "`none` is no shipped rollup"),
        ] {
            assert!(SOUND.contains(from), "{from}");
            let text = SOUND.replacen(from, to, 1);
            let error = Definition::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        let empty = Definition::parse("name = \"a\"\ngroup_by = []").unwrap_err().to_string();
        assert!(empty.contains("no [[measure]]"), "{empty}");
    }

    #[test]
    fn the_metric_may_be_a_key_and_measures_may_come_from_a_shipped_rollup() {
        let by_metric =
            "name = \"a\"\ngroup_by = [\"metric\"]\n[[measure]]\nname = \"cost\"\nsum = \"cost\"";
        assert!(Definition::parse(by_metric).is_ok());
        let borrowed = "name = \"a\"\ngroup_by = []\nmeasures_from = \"department_day\"";
        let measures = Definition::parse(borrowed).unwrap().measures;
        assert_eq!(measures, Definition::shipped("department_month").unwrap().measures);
        let of_two = borrowed.replace("department_day", "commitment_month");
        let measures = Definition::parse(&of_two).unwrap().measures;
        assert_eq!(measures, Definition::shipped("commitment_month").unwrap().measures);
    }

    #[test]
    fn comments_do_not_change_what_is_computed() {
        let canonical = |text: &str| Definition::parse(text).unwrap().canonical();
        assert_eq!(canonical(SOUND), canonical(&format!("# a comment\n{SOUND}")));
        assert_ne!(canonical(SOUND), canonical(&SOUND.replace("scale = 4", "scale = 5")));
    }
}
