//! What rows are grouped by.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field};

use crate::commitment;
use crate::departments::Departments;

/// What rows are grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The department: columns `department_id` and `department_name`.
    Department,
    /// The subscription: columns `subscription_id` and `subscription_name`.
    Subscription,
    /// The enrollment account: columns `account_id` and `account_name`.
    Account,
    /// The reservation or savings plan: columns `commitment_id` and `commitment_name`.
    Commitment,
    /// A text column of the line items.
    Column(&'static str),
    /// The value of a resource tag.
    Tag {
        /// The tag's name, in lower case.
        tag: String,
        /// The column that shows it.
        column: String,
    },
    /// The metric: column `metric`.
    Metric,
    /// The charge date: column `charge_date`.
    Day,
    /// The month of the charge date: column `charge_month`.
    Month,
}

/// A text of a row that a key or a filter depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// A text column of the line items.
    Column(&'static str),
    /// A resource tag, by its name in lower case.
    Tag(String),
}

/// Gives the texts of a row; `None` where it has no value.
pub type Lookup<'a> = &'a dyn Fn(&Input) -> Option<&'a str>;

/// Something with an id and a name that may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// The id, in lower case.
    pub id: String,
    /// The name in the row.
    pub name: Option<String>,
}

/// What a group has in common under a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyValue {
    /// No value.
    Null,
    /// Text, folded where case does not matter.
    Text(String),
    /// A day, counted from 1970-01-01.
    Day(i32),
}

impl Input {
    /// The column of the line items that has it.
    pub fn column(&self) -> &'static str {
        match self {
            Self::Column(name) => name,
            Self::Tag(_) => "tags",
        }
    }

    /// Whether two spellings of a value mean the same thing (`cost-data.md`, 5).
    pub fn ignores_case(&self) -> bool {
        matches!(self, Self::Column(name) if name.ends_with("_id") || CASELESS.contains(name))
    }

    /// A value as it is compared and shown.
    pub fn folded(&self, value: &str) -> String {
        if self.ignores_case() { value.to_lowercase() } else { value.to_owned() }
    }
}

/// Columns that Azure writes in several cases, beside all ids.
const CASELESS: [&str; 5] =
    ["cost_center", "resource_group", "resource_name", "resource_type", "consumed_service"];

impl Key {
    /// The columns of the table that the key makes.
    pub fn fields(&self) -> Vec<Field> {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        match self {
            Self::Department => {
                vec![Field::new("department_id", DataType::Utf8, false), text("department_name")]
            }
            Self::Subscription => vec![text("subscription_id"), text("subscription_name")],
            Self::Account => vec![text("account_id"), text("account_name")],
            Self::Commitment => vec![text("commitment_id"), text("commitment_name")],
            Self::Column(name) => vec![text(name)],
            Self::Tag { column, .. } => vec![text(column)],
            Self::Metric => vec![text("metric")],
            Self::Day => vec![Field::new("charge_date", DataType::Date32, true)],
            Self::Month => vec![text("charge_month")],
        }
    }

    /// Whether it shows a name beside an id.
    pub fn has_name(&self) -> bool {
        matches!(self, Self::Department | Self::Subscription | Self::Account | Self::Commitment)
    }

    /// Whether it depends on the charge date.
    pub fn is_of_time(&self) -> bool {
        matches!(self, Self::Day | Self::Month)
    }

    /// The texts that it depends on.
    pub fn inputs(&self, departments: &Departments) -> BTreeSet<Input> {
        let columns = |names: &[&'static str]| names.iter().copied().map(Input::Column).collect();
        match self {
            Self::Department => departments.inputs(),
            Self::Subscription => columns(&["subscription_id", "subscription_name"]),
            Self::Account => columns(&["account_id", "account_name"]),
            Self::Commitment => columns(&commitment::INPUTS),
            Self::Column(name) => columns(&[name]),
            Self::Tag { tag, .. } => BTreeSet::from([Input::Tag(tag.clone())]),
            Self::Metric | Self::Day | Self::Month => BTreeSet::new(),
        }
    }

    /// The entity of a row, for keys that show a name.
    pub fn entity(&self, departments: &Departments, row: Lookup<'_>) -> Option<Entity> {
        let text = |name| row(&Input::Column(name));
        match self {
            Self::Department => Some(departments.of(row)),
            Self::Commitment => commitment::of(row),
            Self::Subscription => named(text("subscription_id"), text("subscription_name")),
            Self::Account => {
                let name = text("account_name");
                named(text("account_id").or(name), name)
            }
            Self::Column(_) | Self::Tag { .. } | Self::Metric | Self::Day | Self::Month => None,
        }
    }
}

fn named(id: Option<&str>, name: Option<&str>) -> Option<Entity> {
    let id = id?.to_lowercase();
    Some(Entity { id, name: name.map(str::to_owned) })
}
