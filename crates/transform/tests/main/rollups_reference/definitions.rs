//! Definitions of the whole algebra, as data and as TOML.

use std::sync::Arc;

use costlake_model::Metric;
use costlake_model::departments::{Departments, DepartmentsFile};
use costlake_model::rollup::Definition;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::rows::Row;

/// What a definition says.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) keys: Vec<Key>,
    pub(super) only: Filter,
    pub(super) measures: Vec<Formula>,
    pub(super) rules: Vec<Rule>,
    pub(super) keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Department,
    Subscription,
    Account,
    Commitment,
    Metric,
    Day,
    Month,
    Column(&'static str),
    Tag(&'static str, Option<&'static str>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) metric: Option<Metric>,
    classes: Vec<&'static str>,
    values: Vec<(&'static str, Vec<&'static str>)>,
    not_values: Vec<(&'static str, Vec<&'static str>)>,
    has: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) enum Formula {
    Sum(&'static str, Filter),
    Count(Option<&'static str>, Filter),
    First(&'static str, Filter),
    Last(&'static str, Filter),
    Latest(&'static str),
    Difference(Vec<usize>, Vec<usize>),
    Quotient(usize, usize, u8),
}

/// A rule: its subjects by key, with their values.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) department: &'static str,
    pub(super) name: Option<&'static str>,
    pub(super) subjects: Vec<(&'static str, Vec<&'static str>)>,
    pub(super) tags: Vec<(&'static str, Vec<&'static str>)>,
}

const KEYS: [Key; 24] = [
    Key::Department,
    Key::Subscription,
    Key::Account,
    Key::Commitment,
    Key::Metric,
    Key::Day,
    Key::Month,
    Key::Tag("team", None),
    Key::Tag(" TEAM ", Some("squad")),
    Key::Tag("Env", Some("environment")),
    Key::Tag("Cost-Center", None),
    Key::Tag("cost_center", Some("cost_center_tag")),
    Key::Tag("Équipe", Some("equipe")),
    Key::Column("charge_class"),
    Key::Column("billing_currency"),
    Key::Column("meter_category"),
    Key::Column("resource_group"),
    Key::Column("resource_name"),
    Key::Column("consumed_service"),
    Key::Column("cost_center"),
    Key::Column("charge_type"),
    Key::Column("benefit_id"),
    Key::Column("product_id"),
    Key::Column("account_owner"),
];

const CLASSES: [&str; 6] = [
    "on_demand_usage",
    "reservation_usage",
    "savings_plan_usage",
    "reservation_purchase",
    "unused_reservation",
    "rounding",
];

/// What conditions can be on, with values in many cases.
const CONDITIONS: [(&str, &[&str]); 12] = [
    ("meter_category", &["Storage", "storage", "", "Virtual Machines"]),
    ("resource_group", &["RG-APP", "rg-db", ""]),
    ("department_id", &["a1", "A1", "-2", ""]),
    ("department_name", &["Sales", "Unassigned", ""]),
    ("cost_center", &["CC-1", ""]),
    ("subscription_id", &["SUB-A", "sub-b", ""]),
    ("resource_name", &["VM-1", ""]),
    ("product_id", &["P-1", ""]),
    ("billing_currency", &["EUR", "usd"]),
    ("tag:env", &["prod", "Prod", ""]),
    ("tag: Team ", &["blue", "red", ""]),
    ("tag:équipe", &["ß", ""]),
];

const HAS: [&str; 9] = [
    "cost_at_list_price",
    "cost_at_contracted_price",
    "unit_price",
    "term",
    "tags",
    "service_period_start",
    "is_azure_credit_eligible",
    "charge_date",
    "availability_zone",
];

const SUMS: [&str; 8] = [
    "cost",
    "cost",
    "cost_at_list_price",
    "cost_at_contracted_price",
    "quantity",
    "retail_price",
    "list_cost",
    "effective_price",
];

const COUNTS: [Option<&str>; 8] = [
    None,
    None,
    Some("resource_group"),
    Some("cost_at_list_price"),
    Some("tags"),
    Some("service_period_start"),
    Some("is_azure_credit_eligible"),
    Some("effective_price"),
];

const DATES: [&str; 3] = ["charge_date", "service_period_start", "service_period_end"];

const LATEST: [&str; 5] =
    ["term", "resource_group", "meter_category", "subscription_name", "plan_name"];

const SCALES: [u8; 4] = [0, 4, 12, 24];

/// What rules can name, with values in many cases.
const SUBJECTS: [(&str, &[&str]); 4] = [
    ("section", &["a1", "B2", "Sales", "research", "unassigned"]),
    ("account", &["acc-1", "FIRST", "OWNER@example.com"]),
    ("subscription", &["sub-a", "SHOP"]),
    ("cost_center", &["Cc-1", "CC 2"]),
];

const RULE_TAGS: [(&str, &[&str]); 2] = [("Team", &["blue", "red"]), (" ENV ", &["prod", "dev"])];

/// The name of the measure at a place.
pub(super) fn name(at: usize) -> String {
    format!("m{at}")
}

pub(super) fn spec() -> impl Strategy<Value = Spec> {
    let keys = prop::sample::subsequence(KEYS.to_vec(), 0..=3).prop_shuffle();
    let measures = prop::collection::vec(draft(), 1..6);
    let rules = prop_oneof![Just(Vec::new()), prop::collection::vec(rule(), 1..4)];
    (keys, filter(), measures, rules, any::<bool>()).prop_map(
        |(keys, only, drafts, rules, keep)| {
            let metric_is_key = keys.contains(&Key::Metric);
            let only = Filter { metric: None, has: Vec::new(), ..only };
            let mut measures = Vec::new();
            for draft in drafts {
                measures.push(draft.formula(&measures, metric_is_key));
            }
            Spec { keys, only, measures, rules, keep }
        },
    )
}

fn values(
    all: &'static [(&'static str, &'static [&'static str])],
    most: usize,
) -> impl Strategy<Value = Vec<(&'static str, Vec<&'static str>)>> {
    prop::sample::subsequence(all.to_vec(), 0..=most).prop_flat_map(|chosen| {
        let some = |(name, values): (&'static str, &'static [&'static str])| {
            let values = prop::sample::subsequence(values.to_vec(), 1..=2);
            (Just(name), values)
        };
        chosen.into_iter().map(some).collect::<Vec<_>>()
    })
}

/// Filters, most of them with few parts, so that rows pass.
fn filter() -> impl Strategy<Value = Filter> {
    let metric = prop::sample::select(vec![Some(Metric::Actual), Some(Metric::Amortized), None]);
    let classes = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::sample::subsequence(CLASSES.to_vec(), 1..=4),
    ];
    let has = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::sample::subsequence(HAS.to_vec(), 1..=2),
    ];
    (metric, classes, values(&CONDITIONS, 1), values(&CONDITIONS, 1), has).prop_map(
        |(metric, classes, values, not_values, has)| Filter {
            metric,
            classes,
            values,
            not_values,
            has,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let department = prop::sample::select(vec!["shop", "Shop", "a1", "Data"]);
    let name = prop::sample::select(vec![None, Some("The Shop")]);
    (department, name, values(&SUBJECTS, 2), values(&RULE_TAGS, 1)).prop_map(
        |(department, name, mut subjects, tags)| {
            if subjects.is_empty() && tags.is_empty() {
                subjects.push(("section", vec!["a1"]));
            }
            Rule { department, name, subjects, tags }
        },
    )
}

/// A measure whose operands are still to be found among those before it.
#[derive(Clone, Debug)]
struct Draft {
    form: usize,
    column: usize,
    operands: Vec<usize>,
    filter: Filter,
}

fn draft() -> impl Strategy<Value = Draft> {
    (0..10_usize, 0..120_usize, prop::collection::vec(0..60_usize, 2..5), filter())
        .prop_map(|(form, column, operands, filter)| Draft { form, column, operands, filter })
}

impl Draft {
    fn formula(mut self, before: &[Formula], metric_is_key: bool) -> Formula {
        if !metric_is_key {
            self.filter.metric = self.filter.metric.or(Some(Metric::Actual));
        }
        let sums = positions(before, |formula| {
            matches!(formula, Formula::Sum(..) | Formula::Difference(..))
        });
        let numbers = positions(before, |formula| {
            matches!(formula, Formula::Sum(..) | Formula::Difference(..) | Formula::Count(..))
        });
        let column = self.column;
        match self.form {
            3 => Formula::Count(COUNTS[column % COUNTS.len()], self.filter),
            4 => Formula::First(DATES[column % DATES.len()], self.filter),
            5 => Formula::Last(DATES[column % DATES.len()], self.filter),
            6 => Formula::Latest(LATEST[column % LATEST.len()]),
            7 if !sums.is_empty() => {
                let mut operands = self.operands.iter().map(|at| sums[at % sums.len()]);
                let add = operands.by_ref().take(column % 3).collect();
                Formula::Difference(add, operands.collect())
            }
            8 | 9 if !numbers.is_empty() => {
                let operand = |at: usize| numbers[self.operands[at] % numbers.len()];
                Formula::Quotient(operand(0), operand(1), SCALES[column % SCALES.len()])
            }
            _ => Formula::Sum(SUMS[column % SUMS.len()], self.filter),
        }
    }
}

fn positions(formulas: &[Formula], suits: impl Fn(&Formula) -> bool) -> Vec<usize> {
    (0..formulas.len()).filter(|at| suits(&formulas[*at])).collect()
}

/// Columns that are compared without case: ids, resource groups, names and types, consumed services and
/// cost centres.
pub(super) fn ignores_case(column: &str) -> bool {
    const OTHERS: [&str; 5] =
        ["resource_group", "resource_name", "resource_type", "consumed_service", "cost_center"];
    column.ends_with("_id") || OTHERS.contains(&column)
}

impl Filter {
    /// Whether the row passes every part.
    pub(super) fn passes(&self, row: &Row) -> bool {
        let has_one = |(column, values): &(&str, Vec<&str>)| {
            values.iter().any(|value| has_value(row, column, value))
        };
        self.metric.is_none_or(|metric| metric == row.metric)
            && (self.classes.is_empty() || self.classes.contains(&row.class()))
            && self.values.iter().all(has_one)
            && !self.not_values.iter().any(has_one)
            && self.has.iter().all(|column| row.has(column))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(metric) = self.metric {
            text += &format!("metric = {}\n", json!(metric.to_string()));
        }
        if !self.classes.is_empty() {
            text += &format!("charge_class = {}\n", json!(self.classes));
        }
        if !self.has.is_empty() {
            text += &format!("has = {}\n", json!(self.has));
        }
        for (part, conditions) in [("where", &self.values), ("where_not", &self.not_values)] {
            if !conditions.is_empty() {
                let conditions = conditions
                    .iter()
                    .map(|(column, values)| format!("{} = {}", json!(column), one_or_more(values)));
                let conditions: Vec<String> = conditions.collect();
                text += &format!("{part} = {{ {} }}\n", conditions.join(", "));
            }
        }
        text
    }
}

fn one_or_more(values: &[&str]) -> Value {
    match values {
        [value] => json!(value),
        values => json!(values),
    }
}

fn has_value(row: &Row, column: &str, value: &str) -> bool {
    let found = match column.strip_prefix("tag:") {
        Some(tag) => row.tag(tag),
        None => row.text(column),
    };
    match found {
        None => value.is_empty(),
        Some(found) if ignores_case(column) => found.to_lowercase() == value.to_lowercase(),
        Some(found) => found == value,
    }
}

impl Spec {
    /// Every figure that rests on prices, per class.
    pub(super) fn of_prices() -> Self {
        let columns = ["cost_at_list_price", "cost_at_contracted_price"];
        let figures = |column| {
            let priced = Filter { has: vec![column], ..Filter::default() };
            [
                Formula::Sum(column, Filter::default()),
                Formula::Count(Some(column), Filter::default()),
                Formula::Sum("cost", priced),
            ]
        };
        Self {
            keys: vec![Key::Metric, Key::Column("charge_class")],
            only: Filter::default(),
            measures: columns.into_iter().flat_map(figures).collect(),
            rules: Vec::new(),
            keep: false,
        }
    }

    pub(super) fn definition(&self) -> Definition {
        let text = self.text();
        let definition = Definition::parse(&text);
        let definition = definition.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        definition.with_departments(self.departments())
    }

    /// The definition as its file.
    pub(super) fn text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| key.text()).collect();
        let mut text = format!("name = \"any\"\ngroup_by = [{}]\n", keys.join(", "));
        text += &self.only.text();
        for (at, measure) in self.measures.iter().enumerate() {
            text += &format!("[[measure]]\nname = \"{}\"\n{}", name(at), measure.text());
        }
        text
    }

    /// The rules, through the form in which a pipeline file has them.
    pub(super) fn departments(&self) -> Arc<Departments> {
        if self.rules.is_empty() {
            return Arc::default();
        }
        let rules: Vec<Value> = self.rules.iter().map(Rule::json).collect();
        let unmatched = if self.keep { "keep" } else { "unassigned" };
        let file: DepartmentsFile =
            serde_json::from_value(json!({ "unmatched": unmatched, "rule": rules })).unwrap();
        Arc::new(file.try_into().unwrap())
    }
}

impl Key {
    fn text(self) -> String {
        match self {
            Self::Department => json!("department").to_string(),
            Self::Subscription => json!("subscription").to_string(),
            Self::Account => json!("account").to_string(),
            Self::Commitment => json!("commitment").to_string(),
            Self::Metric => json!("metric").to_string(),
            Self::Day => json!("day").to_string(),
            Self::Month => json!("month").to_string(),
            Self::Column(column) => json!(column).to_string(),
            Self::Tag(tag, None) => format!("{{ tag = {} }}", json!(tag)),
            Self::Tag(tag, Some(column)) => {
                format!("{{ tag = {}, as = {} }}", json!(tag), json!(column))
            }
        }
    }
}

impl Formula {
    fn text(&self) -> String {
        let names = |places: &[usize]| json!(places.iter().map(|at| name(*at)).collect::<Vec<_>>());
        match self {
            Self::Sum(column, filter) => format!("sum = \"{column}\"\n{}", filter.text()),
            Self::Count(None, filter) => format!("count = true\n{}", filter.text()),
            Self::Count(Some(column), filter) => format!("count = \"{column}\"\n{}", filter.text()),
            Self::First(column, filter) => format!("first = \"{column}\"\n{}", filter.text()),
            Self::Last(column, filter) => format!("last = \"{column}\"\n{}", filter.text()),
            Self::Latest(column) => format!("latest = \"{column}\"\n"),
            Self::Difference(add, subtract) => {
                format!("add = {}\nsubtract = {}\n", names(add), names(subtract))
            }
            Self::Quotient(dividend, divisor, scale) => format!(
                "divide = \"{}\"\nby = \"{}\"\nscale = {scale}\n",
                name(*dividend),
                name(*divisor)
            ),
        }
    }
}

impl Rule {
    fn json(&self) -> Value {
        let mut rule = json!({ "department": self.department });
        if let Some(name) = self.name {
            rule["name"] = json!(name);
        }
        for (subject, values) in &self.subjects {
            rule[*subject] = one_or_more(values);
        }
        for (tag, values) in &self.tags {
            rule["tag"][*tag] = one_or_more(values);
        }
        rule
    }
}
