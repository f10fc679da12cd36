//! Which department a row belongs to: by its own columns, or by the rules of a pipeline file.
//!
//! A row's own department is its id, else its name, else [`UNASSIGNED`]; placeholders such as `-2` and
//! `Unassigned` count as empty (`cost-data.md`, 6). `docs/rollups.md` describes the rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::placeholders;
use crate::rollup::{Entity, Input, Lookup};

/// The department of rows that have none.
pub const UNASSIGNED: &str = "unassigned";

/// What decides which department a row belongs to. The default leaves every row in its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departments {
    rules: Vec<Rule>,
    unmatched: Unmatched,
    /// The rules, written out: the same for the same meaning.
    source: String,
}

/// What becomes of rows that no rule takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unmatched {
    /// They are in [`UNASSIGNED`].
    #[default]
    Unassigned,
    /// They stay in their own department.
    Keep,
}

/// Takes rows of which every named column has one of the values, and every named tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// In lower case.
    id: String,
    /// The id as the file has it, which is the name where none is given.
    spelled: String,
    name: Option<String>,
    columns: Vec<(Subject, BTreeSet<String>)>,
    tags: BTreeMap<String, BTreeSet<String>>,
}

/// What a rule asks for, under any of the columns that may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Section,
    Account,
    Subscription,
    CostCenter,
}

impl Subject {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Section => &["department_id", "department_name"],
            Self::Account => &["account_id", "account_name", "account_owner"],
            Self::Subscription => &["subscription_id", "subscription_name"],
            Self::CostCenter => &["cost_center"],
        }
    }
}

/// A mapping that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mapping without rules would put every row into `unassigned`.
    #[error("[departments] has no [[departments.rule]]")]
    NoRules,
    /// A rule without an id.
    #[error("rule {number} of [departments] has an empty `department`")]
    NoDepartment {
        /// The position of the rule, from 1.
        number: usize,
    },
    /// A rule for what is left when no rule matches.
    #[error(
        "rule {number} of [departments] is for `{UNASSIGNED}`: rows that no rule takes are there already"
    )]
    Unassigned {
        /// The position of the rule, from 1.
        number: usize,
    },
    /// Two names for one department: which one is shown would depend on the rows.
    #[error("rules of [departments] give `{department}` two names, `{first}` and `{second}`")]
    TwoNames {
        /// The department.
        department: String,
        /// One of the names.
        first: String,
        /// The other one.
        second: String,
    },
    /// A rule that takes every row: those below it would never match.
    #[error(
        "rule {number} of [departments], for `{department}`, names nothing to match: expected section, account, subscription, cost_center or tag"
    )]
    NothingToMatch {
        /// The position of the rule, from 1.
        number: usize,
        /// Its department.
        department: String,
    },
    /// A part of a rule that no row can have: the rule would never match.
    #[error(
        "rule {number} of [departments], for `{department}`: `{part}` is empty, or one of its values is, so that no row has it"
    )]
    Empty {
        /// The position of the rule, from 1.
        number: usize,
        /// Its department.
        department: String,
        /// Section, account, subscription, cost centre or tag.
        part: String,
    },
    /// A tag that is named twice: the second would replace the first.
    #[error(
        "rule {number} of [departments], for `{department}`, names the tag `{tag}` twice: write it once, with a list of values"
    )]
    TagTwice {
        /// The position of the rule, from 1.
        number: usize,
        /// Its department.
        department: String,
        /// The tag, in lower case.
        tag: String,
    },
}

impl Error {
    /// A part of a rule that no row can have.
    fn empty(number: usize, department: &str, part: &str) -> Self {
        Self::Empty { number, department: department.to_owned(), part: part.to_owned() }
    }
}

/// `[departments]` as written in a pipeline file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DepartmentsFile {
    #[serde(default)]
    unmatched: Unmatched,
    #[serde(default, rename = "rule")]
    rules: Vec<RuleFile>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    department: String,
    name: Option<String>,
    section: Option<OneOrMore>,
    account: Option<OneOrMore>,
    subscription: Option<OneOrMore>,
    cost_center: Option<OneOrMore>,
    #[serde(default)]
    tag: BTreeMap<String, OneOrMore>,
}

/// A value, or a list of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a text in quotes, or a list of texts")]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Any of these.
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn into_values(self) -> Vec<String> {
        match self {
            Self::One(value) => vec![value],
            Self::More(values) => values,
        }
    }
}

impl TryFrom<DepartmentsFile> for Departments {
    type Error = Error;

    fn try_from(file: DepartmentsFile) -> Result<Self, Error> {
        if file.rules.is_empty() {
            return Err(Error::NoRules);
        }
        let source = toml::to_string(&file).unwrap_or_else(|_| format!("{file:?}"));
        let rules = (1..).zip(file.rules).map(|(number, rule)| rule.read(number));
        let mut rules: Vec<Rule> = rules.collect::<Result<_, _>>()?;
        share_names(&mut rules)?;
        Ok(Self { rules, unmatched: file.unmatched, source })
    }
}

/// A name is given once, for all rules of the department.
fn share_names(rules: &mut [Rule]) -> Result<(), Error> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for rule in rules.iter() {
        let Some(name) = &rule.name else { continue };
        let known = names.entry(rule.id.clone()).or_insert_with(|| name.clone());
        if known != name {
            let (department, first) = (rule.id.clone(), known.clone());
            return Err(Error::TwoNames { department, first, second: name.clone() });
        }
    }
    for rule in rules {
        rule.name = names.get(&rule.id).cloned();
    }
    Ok(())
}

impl RuleFile {
    fn read(self, number: usize) -> Result<Rule, Error> {
        let written = self.department.trim();
        let id = written.to_lowercase();
        if id.is_empty() {
            return Err(Error::NoDepartment { number });
        }
        if id == UNASSIGNED {
            return Err(Error::Unassigned { number });
        }
        let spelled = written.to_owned();
        let subjects = [
            ("section", Subject::Section, self.section),
            ("account", Subject::Account, self.account),
            ("subscription", Subject::Subscription, self.subscription),
            ("cost_center", Subject::CostCenter, self.cost_center),
        ];
        let mut columns = Vec::new();
        for (part, subject, values) in subjects {
            let Some(values) = values else { continue };
            let folded = |value: String| value.trim().to_lowercase();
            let values = texts(values, folded).ok_or_else(|| Error::empty(number, &id, part))?;
            columns.push((subject, values));
        }
        let mut tags = BTreeMap::new();
        for (name, values) in self.tag {
            let tag = name.trim().to_lowercase();
            let values = texts(values, |value| value).filter(|_| !tag.is_empty());
            let values = values.ok_or_else(|| Error::empty(number, &id, "tag"))?;
            if tags.insert(tag.clone(), values).is_some() {
                return Err(Error::TagTwice { number, department: id, tag });
            }
        }
        if columns.is_empty() && tags.is_empty() {
            return Err(Error::NothingToMatch { number, department: id });
        }
        Ok(Rule { id, spelled, name: self.name, columns, tags })
    }
}

/// The values of a part of a rule; `None` if there are none, or one is empty.
fn texts(values: OneOrMore, folded: impl Fn(String) -> String) -> Option<BTreeSet<String>> {
    let texts: BTreeSet<String> = values.into_values().into_iter().map(folded).collect();
    (!texts.is_empty() && !texts.contains("")).then_some(texts)
}

impl Departments {
    /// What the department of a row depends on, without repetition.
    pub fn inputs(&self) -> BTreeSet<Input> {
        let own = Subject::Section.columns().iter().copied().map(Input::Column);
        let subjects = self.rules.iter().flat_map(|rule| &rule.columns);
        let columns = subjects.flat_map(|(subject, _)| subject.columns());
        let tags = self.rules.iter().flat_map(|rule| rule.tags.keys().cloned().map(Input::Tag));
        own.chain(columns.copied().map(Input::Column)).chain(tags).collect()
    }

    /// The rules as text: the same text, the same departments. Empty without rules.
    pub fn canonical(&self) -> &str {
        &self.source
    }

    /// The department of a row.
    pub fn of(&self, row: Lookup<'_>) -> Entity {
        match self.rules.iter().find(|rule| rule.takes(row)) {
            Some(rule) => Entity {
                id: rule.id.clone(),
                name: Some(rule.name.as_ref().unwrap_or(&rule.spelled).clone()),
            },
            None if self.rules.is_empty() || self.unmatched == Unmatched::Keep => own(row),
            None => unassigned(),
        }
    }
}

impl Rule {
    fn takes(&self, row: Lookup<'_>) -> bool {
        let has_column = |(subject, values): &(Subject, BTreeSet<String>)| {
            let texts = subject.columns().iter().filter_map(|name| row(&Input::Column(name)));
            texts.map(|text| text.trim().to_lowercase()).any(|text| values.contains(&text))
        };
        let has_tag = |(name, values): (&String, &BTreeSet<String>)| {
            row(&Input::Tag(name.clone())).is_some_and(|value| values.contains(value))
        };
        self.columns.iter().all(has_column) && self.tags.iter().all(has_tag)
    }
}

/// The department that the row itself names.
fn own(row: Lookup<'_>) -> Entity {
    let real = |name| {
        let text: Option<&str> = row(&Input::Column(name));
        text.map(str::trim).filter(|text| !placeholders::is_no_department(text))
    };
    let name = real("department_name");
    match real("department_id").or(name) {
        Some(id) => Entity { id: id.to_lowercase(), name: name.map(str::to_owned) },
        None => unassigned(),
    }
}

fn unassigned() -> Entity {
    Entity { id: UNASSIGNED.to_owned(), name: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [[rule]]
        department = "platform"
        name = "Platform Engineering"
        section = ["10001", "Core"]
        [[rule]]
        department = "shop"
        subscription = "Shop Production"
        tag = { Team = ["shop", "checkout"] }
        [[rule]]
        department = "Data"
        account = "data@example.com"
        [[rule]]
        department = "data"
        name = "Data & BI"
        cost_center = "cc-4711"
    "#;

    fn departments(text: &str) -> Result<Departments, Error> {
        toml::from_str::<DepartmentsFile>(text).unwrap().try_into()
    }

    fn of(departments: &Departments, row: &[(&str, &str)]) -> (String, Option<String>) {
        let lookup = |input: &Input| {
            let name = match input {
                Input::Column(name) => (*name).to_owned(),
                Input::Tag(tag) => format!("tag:{tag}"),
            };
            row.iter().find(|(column, _)| *column == name).map(|(_, text)| *text)
        };
        let entity = departments.of(&lookup);
        (entity.id, entity.name)
    }

    #[test]
    fn without_rules_a_row_names_its_own() {
        let none = Departments::default();
        let name = |name: &str| Some(name.to_owned());
        for (row, expected) in [
            (&[("department_id", "7"), ("department_name", "Sales")][..], ("7", name("Sales"))),
            (&[("department_id", "-2"), ("department_name", "Sales")], ("sales", name("Sales"))),
            (&[("department_id", "-2"), ("department_name", "Unassigned")], (UNASSIGNED, None)),
            (&[], (UNASSIGNED, None)),
        ] {
            assert_eq!(of(&none, row), (expected.0.to_owned(), expected.1));
        }
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let departments = departments(RULES).unwrap();
        for (row, expected) in [
            (&[("department_id", "10001"), ("cost_center", "CC-4711")][..], "platform"),
            (&[("department_name", "CORE")], "platform"),
            (&[("subscription_name", "shop production"), ("tag:team", "checkout")], "shop"),
            (&[("subscription_name", "shop production"), ("tag:team", "Checkout")], UNASSIGNED),
            (&[("subscription_name", "shop production")], UNASSIGNED),
            (&[("account_owner", "Data@Example.com")], "data"),
            (&[("cost_center", "CC-4711")], "data"),
            (&[("department_id", "99")], UNASSIGNED),
        ] {
            assert_eq!(of(&departments, row).0, expected, "{row:?}");
        }
        assert_eq!(
            of(&departments, &[("department_id", "10001")]).1.unwrap(),
            "Platform Engineering"
        );
        let data = Some("Data & BI".to_owned());
        assert_eq!(of(&departments, &[("account_owner", "data@example.com")]).1, data);
        assert_eq!(of(&departments, &[("cost_center", "CC-4711")]).1, data);
        assert!(departments.inputs().contains(&Input::Tag("team".to_owned())));
    }

    #[test]
    fn unmatched_rows_may_keep_their_own() {
        let keep = departments(&format!("unmatched = \"keep\"\n{RULES}")).unwrap();
        assert_eq!(of(&keep, &[("department_id", "99")]).0, "99");
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (text, expected) in [
            ("", "has no [[departments.rule]]"),
            ("[[rule]]\ndepartment = \" \"\nsection = \"1\"", "empty `department`"),
            ("[[rule]]\ndepartment = \"Unassigned\"\nsection = \"1\"", "are there already"),
            (
                "[[rule]]\ndepartment = \"a\"\nname = \"X\"\nsection = \"1\"\n[[rule]]\ndepartment = \"A\"\nname = \"Y\"\nsection = \"2\"",
                "give `a` two names, `X` and `Y`",
            ),
            ("[[rule]]\ndepartment = \"a\"", "names nothing to match"),
            ("[[rule]]\ndepartment = \"a\"\nsection = []", "`section` is empty"),
            ("[[rule]]\ndepartment = \"a\"\naccount = [\"x\", \" \"]", "`account` is empty"),
            ("[[rule]]\ndepartment = \"a\"\ntag = { team = [] }", "`tag` is empty"),
            ("[[rule]]\ndepartment = \"a\"\ntag = { \"\" = \"x\" }", "`tag` is empty"),
            (
                "[[rule]]\ndepartment = \"a\"\ntag = { team = \"x\", Team = \"y\" }",
                "names the tag `team` twice",
            ),
        ] {
            let error = departments(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(
            toml::from_str::<DepartmentsFile>("[[rule]]\ndepartment = \"a\"\nteam = \"b\"")
                .is_err()
        );
    }
}
