//! Texts that stand where there is no value, and what they mean (`cost-data.md`, 5 and 6).
//!
//! Everywhere else these texts are text: `Others`, `Not applicable`, `NA` and `0 Unassigned` among them.

/// What a placeholder means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// There is no value: null in the lake.
    Null,
    /// Kept as text, but no department is named so: rollups count it as none.
    NoDepartment,
}

/// A text that stands for no value in one column.
#[derive(Clone, Copy, Debug)]
pub struct Placeholder {
    /// The canonical column.
    pub column: &'static str,
    /// The text, compared without case.
    pub text: &'static str,
    /// What it means there.
    pub meaning: Meaning,
}

const ZERO_GUID: &str = "00000000-0000-0000-0000-000000000000";

const fn rule(column: &'static str, text: &'static str, meaning: Meaning) -> Placeholder {
    Placeholder { column, text, meaning }
}

/// Every placeholder.
pub const PLACEHOLDERS: [Placeholder; 6] = [
    rule("subscription_id", ZERO_GUID, Meaning::Null),
    rule("meter_id", ZERO_GUID, Meaning::Null),
    rule("department_id", "-2", Meaning::Null),
    rule("account_id", "-2", Meaning::Null),
    rule("part_number", "-2", Meaning::Null),
    rule("department_name", "Unassigned", Meaning::NoDepartment),
];

/// The text that means null in a column, if one does.
pub fn null_text(column: &str) -> Option<&'static str> {
    let is_null = |rule: &&Placeholder| rule.column == column && rule.meaning == Meaning::Null;
    PLACEHOLDERS.iter().find(is_null).map(|rule| rule.text)
}

/// Whether the id or the name of a department says that there is none.
pub fn is_no_department(text: &str) -> bool {
    let stands_for_none = |rule: &Placeholder| {
        matches!(rule.column, "department_id" | "department_name")
            && rule.text.eq_ignore_ascii_case(text)
    };
    text.is_empty() || PLACEHOLDERS.iter().any(stands_for_none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::source_position;

    #[test]
    fn rules_speak_of_columns_that_exist_one_per_column() {
        for (at, rule) in PLACEHOLDERS.iter().enumerate() {
            assert!(source_position(rule.column).is_some());
            assert!(PLACEHOLDERS[..at].iter().all(|other| other.column != rule.column));
        }
    }

    #[test]
    fn departments_are_none_by_id_or_name() {
        for (text, is_none) in [("", true), ("-2", true), ("UNASSIGNED", true), ("Sales", false)] {
            assert_eq!(is_no_department(text), is_none, "{text}");
        }
        assert_eq!(null_text("department_id"), Some("-2"));
        assert_eq!(null_text("department_name"), None);
    }
}
