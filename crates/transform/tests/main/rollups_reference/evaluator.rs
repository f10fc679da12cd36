//! `docs/rollups.md`, literally: rows into groups, then each measure over the rows of each group.

use std::collections::BTreeMap;

use arrow::datatypes::i256;
use costlake_model::Metric;

use super::definitions::{Filter, Formula, Key, Rule, Spec, ignores_case};
use super::rows::{Row, half_even};

/// A cell before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    /// Units of the last of so many digits.
    Decimal(i256, usize),
    Count(i64),
    Text(String),
}

/// What a row belongs to under a key that shows a name.
struct Entity {
    key: String,
    id: String,
    name: Option<String>,
}

/// Every cell of the table.
pub(super) fn table(spec: &Spec, metrics: &[Metric], rows: &[Row]) -> Vec<Vec<Option<String>>> {
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<&Row>> = BTreeMap::new();
    let counts = |row: &&Row| metrics.contains(&row.metric) && spec.only.passes(row);
    if spec.keys.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for row in rows.iter().filter(counts) {
        let key = spec.keys.iter().map(|key| compared(spec, *key, row)).collect();
        groups.entry(key).or_default().push(row);
    }
    groups.values().map(|group| line(spec, metrics, group)).collect()
}

fn line(spec: &Spec, metrics: &[Metric], group: &[&Row]) -> Vec<Option<String>> {
    let keys = spec.keys.iter().flat_map(|key| shown(spec, *key, group));
    let mut values: Vec<Value> = Vec::new();
    for measure in &spec.measures {
        values.push(value(measure, metrics, group, &values));
    }
    keys.chain(values.into_iter().map(Value::cell)).collect()
}

/// What rows of one group have in common.
fn compared(spec: &Spec, key: Key, row: &Row) -> Option<String> {
    match key {
        Key::Department | Key::Subscription | Key::Account | Key::Commitment => {
            entity(spec, key, row).map(|entity| entity.key)
        }
        Key::Metric => Some(row.metric.to_string()),
        Key::Day => Some(row.date().to_owned()),
        Key::Month => Some(row.date()[..7].to_owned()),
        Key::Tag(tag, _) => row.tag(tag).map(str::to_owned),
        Key::Column(column) if ignores_case(column) => row.text(column).map(str::to_lowercase),
        Key::Column(column) => row.text(column).map(str::to_owned),
    }
}

/// The columns that a key makes.
fn shown(spec: &Spec, key: Key, group: &[&Row]) -> Vec<Option<String>> {
    let with_name =
        matches!(key, Key::Department | Key::Subscription | Key::Account | Key::Commitment);
    if !with_name {
        return vec![compared(spec, key, group[0])];
    }
    let entities = group.iter().filter_map(|row| Some((row.date(), entity(spec, key, row)?)));
    // Where an id and a name that stands in for one meet, the id is the one beside the name that is shown.
    let rank = |(date, entity): &(&str, Entity)| {
        (entity.name.is_some(), date.to_string(), entity.name.clone(), entity.id.clone())
    };
    match entities.max_by_key(rank) {
        Some((_, entity)) => vec![Some(entity.id), entity.name],
        None => vec![None, None],
    }
}

/// The value on the latest charge date that has one; of several the last in the alphabet.
fn latest(group: &[&Row], value: impl Fn(&Row) -> Option<String>) -> Option<String> {
    let dated = group.iter().filter_map(|row| Some((row.date(), value(row)?)));
    dated.max().map(|(_, value)| value)
}

fn entity(spec: &Spec, key: Key, row: &Row) -> Option<Entity> {
    let lower = |column| row.text(column).map(str::to_lowercase);
    let same = |id: String, name: Option<&str>| Entity {
        key: id.clone(),
        id,
        name: name.map(str::to_owned),
    };
    match key {
        Key::Subscription => Some(same(lower("subscription_id")?, row.text("subscription_name"))),
        Key::Account => {
            let id = lower("account_id").or_else(|| lower("account_name"))?;
            Some(same(id, row.text("account_name")))
        }
        Key::Commitment => {
            let name = ["benefit_name", "reservation_name", "product_order_name"]
                .into_iter()
                .find_map(|column| row.text(column));
            Some(same(commitment(row)?, name))
        }
        _ => Some(department(spec, row)),
    }
}

fn commitment(row: &Row) -> Option<String> {
    let class = row.class();
    let is_of_commitment = class.contains("reservation") || class.contains("savings_plan");
    if !is_of_commitment {
        return None;
    }
    let benefit = row.text("benefit_id").map(str::to_lowercase);
    let order = benefit.as_deref().and_then(|benefit| {
        let behind = |mark| benefit.split_once(mark).map(|(_, rest): (&str, &str)| rest);
        let rest = behind("reservationorders/").or_else(|| behind("savingsplanorders/"))?;
        rest.split('/').next().filter(|order| !order.is_empty())
    });
    let id = order
        .map(str::to_owned)
        .or_else(|| row.text("product_order_id").map(str::to_lowercase))
        .or_else(|| benefit.clone())
        .or_else(|| row.text("reservation_id").map(str::to_lowercase));
    Some(id.unwrap_or_else(|| "unknown".to_owned()))
}

fn department(spec: &Spec, row: &Row) -> Entity {
    if let Some(rule) = spec.rules.iter().find(|rule| takes(rule, row)) {
        let id = rule.department.to_lowercase();
        let is_same = |other: &&Rule| other.department.to_lowercase() == id;
        let given = spec.rules.iter().filter(is_same).find_map(|other| other.name);
        let name = given.unwrap_or(rule.department);
        return Entity { key: id.clone(), id, name: Some(name.to_owned()) };
    }
    let unassigned =
        || Entity { key: "unassigned".to_owned(), id: "unassigned".to_owned(), name: None };
    if !spec.rules.is_empty() && !spec.keep {
        return unassigned();
    }
    let real = |column| {
        let text = row.text(column).map(str::trim);
        text.filter(|text| *text != "-2" && !text.eq_ignore_ascii_case("unassigned"))
    };
    match (real("department_id"), real("department_name")) {
        (Some(id), name) => {
            let id = id.to_lowercase();
            Entity { key: id.clone(), id, name: name.map(str::to_owned) }
        }
        (None, Some(name)) => {
            let id = name.to_lowercase();
            Entity { key: id.clone(), id, name: Some(name.to_owned()) }
        }
        (None, None) => unassigned(),
    }
}

fn takes(rule: &Rule, row: &Row) -> bool {
    let columns = |subject: &str| match subject {
        "section" => &["department_id", "department_name"][..],
        "account" => &["account_id", "account_name", "account_owner"],
        "subscription" => &["subscription_id", "subscription_name"],
        _ => &["cost_center"],
    };
    let is = |text: &str, value: &&str| text.to_lowercase() == value.to_lowercase();
    let has_subject = |(subject, values): &(&str, Vec<&str>)| {
        let mut texts = columns(subject).iter().filter_map(|column| row.text(column));
        texts.any(|text| values.iter().any(|value| is(text, value)))
    };
    let has_tag = |(tag, values): &(&str, Vec<&str>)| {
        row.tag(tag).is_some_and(|found| values.contains(&found))
    };
    rule.subjects.iter().all(has_subject) && rule.tags.iter().all(has_tag)
}

fn value(formula: &Formula, metrics: &[Metric], group: &[&Row], before: &[Value]) -> Value {
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    match formula {
        Formula::Sum(_, filter)
        | Formula::Count(_, filter)
        | Formula::First(_, filter)
        | Formula::Last(_, filter)
            if filter.metric.is_some_and(|metric| !metrics.contains(&metric)) =>
        {
            Value::Null
        }
        Formula::Sum(column, filter) => {
            let amounts: Vec<i128> =
                passing(group, filter).filter_map(|row| row.amount(column)).collect();
            if amounts.is_empty() && *column != "cost" {
                return Value::Null;
            }
            Value::Decimal(sum(amounts.into_iter().map(i256::from_i128)), 24)
        }
        Formula::Count(column, filter) => {
            let has = |row: &&&Row| column.is_none_or(|column| row.has(column));
            Value::Count(i64::try_from(passing(group, filter).filter(has).count()).unwrap())
        }
        Formula::First(column, filter) => text(days(group, column, filter).min()),
        Formula::Last(column, filter) => text(days(group, column, filter).max()),
        Formula::Latest(column) => text(latest(group, |row| row.text(column).map(str::to_owned))),
        Formula::Difference(add, subtract) => difference(before, add, subtract),
        Formula::Quotient(dividend, divisor, scale) => {
            quotient(&before[*dividend], &before[*divisor], *scale)
        }
    }
}

fn passing<'a>(group: &'a [&'a Row], filter: &'a Filter) -> impl Iterator<Item = &'a &'a Row> {
    group.iter().filter(|row| filter.passes(row))
}

fn days(group: &[&Row], column: &str, filter: &Filter) -> impl Iterator<Item = String> {
    let days: Vec<String> =
        passing(group, filter).filter_map(|row| row.text(column)).map(str::to_owned).collect();
    days.into_iter()
}

fn sum(amounts: impl Iterator<Item = i256>) -> i256 {
    amounts.fold(i256::ZERO, |sum, amount| sum.checked_add(amount).unwrap())
}

fn difference(before: &[Value], add: &[usize], subtract: &[usize]) -> Value {
    let amount = |at: &usize| match &before[*at] {
        Value::Decimal(amount, _) => Some(*amount),
        _ => None,
    };
    let all = |places: &[usize]| places.iter().map(amount).collect::<Option<Vec<i256>>>();
    match (all(add), all(subtract)) {
        (Some(add), Some(subtract)) => {
            let less = subtract.into_iter().map(i256::wrapping_neg);
            Value::Decimal(sum(add.into_iter().chain(less)), 24)
        }
        _ => Value::Null,
    }
}

fn quotient(dividend: &Value, divisor: &Value, scale: u8) -> Value {
    let units = |value: &Value| match value {
        Value::Decimal(amount, _) => Some(*amount),
        Value::Count(count) => {
            Some(i256::from_i128(i128::from(*count)).wrapping_mul(power_of_ten(24)))
        }
        Value::Null | Value::Text(_) => None,
    };
    let (Some(dividend), Some(divisor)) = (units(dividend), units(divisor)) else {
        return Value::Null;
    };
    if divisor == i256::ZERO {
        return Value::Null;
    }
    let dividend = dividend.checked_mul(power_of_ten(scale.into())).unwrap();
    match half_even(dividend, divisor) {
        units if units.to_string().trim_start_matches('-').len() > 38 => Value::Null,
        units => Value::Decimal(units, scale.into()),
    }
}

fn power_of_ten(exponent: u32) -> i256 {
    i256::from_i128(10_i128.pow(exponent))
}

impl Value {
    /// The cell as it is written.
    fn cell(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Count(count) => Some(count.to_string()),
            Self::Text(text) => Some(text),
            Self::Decimal(units, scale) => Some(decimal(units, scale)),
        }
    }
}

fn decimal(units: i256, scale: usize) -> String {
    let digits = units.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.as_str()),
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}
