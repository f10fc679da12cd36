//! Texts of rows as codes: engines group and compare integers, and only groups are looked up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use arrow::array::{AsArray, DictionaryArray, Int32Array, RecordBatch};
use arrow::datatypes::Int32Type;
use costlake_model::rollup::Input;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The code of no value.
const NULL: i32 = -1;

/// What an input is in each row of a batch.
pub(super) struct Coded<'a> {
    codes: Vec<i32>,
    values: Vec<Cow<'a, str>>,
}

impl<'a> Coded<'a> {
    /// Codes an input; `None` if the batch has no such column of text.
    pub(super) fn of(batch: &'a RecordBatch, input: &Input) -> Option<Self> {
        let column = dictionary(batch, input.column())?;
        Some(match input {
            Input::Column(_) => Self::of_column(column),
            Input::Tag(tag) => Self::of_tag(column, tag),
        })
    }

    fn of_column(column: &'a DictionaryArray<Int32Type>) -> Self {
        let values = column.values().as_string::<i32>();
        let codes = column.keys().iter().map(|code| code.unwrap_or(NULL)).collect();
        Self { codes, values: values.iter().map(|text| text.unwrap_or_default().into()).collect() }
    }

    /// Each distinct set of tags is read once; those with the same value get the same code.
    fn of_tag(column: &'a DictionaryArray<Int32Type>, tag: &str) -> Self {
        let mut values: Vec<Cow<'a, str>> = Vec::new();
        let mut known: HashMap<String, i32> = HashMap::new();
        let mut code_of = |json: Option<&str>| {
            let Some(value) = json.and_then(|json| tag_value(json, tag)) else { return NULL };
            *known.entry(value).or_insert_with_key(|value| {
                values.push(value.clone().into());
                i32::try_from(values.len() - 1).unwrap_or(NULL)
            })
        };
        let of_set: Vec<i32> =
            column.values().as_string::<i32>().iter().map(&mut code_of).collect();
        let of_row = |set: Option<i32>| {
            let at = usize::try_from(set?).ok()?;
            of_set.get(at).copied()
        };
        let codes = column.keys().iter().map(|set| of_row(set).unwrap_or(NULL)).collect();
        Self { codes, values }
    }

    /// The code of each row; rows without a value have one, too, which groups them.
    pub(super) fn codes(&self) -> Int32Array {
        self.codes.iter().copied().collect()
    }

    /// The text behind a code; empty text is no value.
    pub(super) fn text(&self, code: i32) -> Option<&str> {
        let at = usize::try_from(code).ok()?;
        self.values.get(at).map(AsRef::as_ref).filter(|text| !text.is_empty())
    }

    /// The text of a row; empty text is no value.
    pub(super) fn text_of_row(&self, row: usize) -> Option<&str> {
        self.codes.get(row).and_then(|code| self.text(*code))
    }

    /// For each row, what its text means; each distinct text is asked once.
    pub(super) fn meanings<T: Copy>(&self, of: impl Fn(Option<&str>) -> T) -> Vec<T> {
        let of_null = of(None);
        let codes = 0..i32::try_from(self.values.len()).unwrap_or(i32::MAX);
        let of_code: Vec<T> = codes.map(|code| of(self.text(code))).collect();
        let of_row = |code: &i32| {
            usize::try_from(*code).ok().and_then(|at| of_code.get(at).copied()).unwrap_or(of_null)
        };
        self.codes.iter().map(of_row).collect()
    }
}

pub(super) fn dictionary<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Option<&'a DictionaryArray<Int32Type>> {
    batch.column_by_name(name)?.as_dictionary_opt()
}

/// The value of a tag in a JSON object. Names are compared without case and surrounding blanks; of
/// several that are alike the first one counts. Values that are no text are shown as JSON.
fn tag_value(json: &str, tag: &str) -> Option<String> {
    let value =
        serde_json::Deserializer::from_str(json).deserialize_map(FirstNamed(tag)).ok()??;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
    .filter(|text| !text.is_empty())
}

/// Reads an object whole and keeps the first value of one name.
struct FirstNamed<'a>(&'a str);

impl<'de> Visitor<'de> for FirstNamed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if found.is_none() && name.trim().to_lowercase() == self.0 {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_name_without_case() {
        let tags = r#"{" Team": "a b", "team": "second", "n": 1, "none": null, "empty": "", "x": {"y": 1}}"#;
        for (tag, expected) in [
            ("team", Some("a b")),
            ("n", Some("1")),
            ("none", None),
            ("empty", None),
            ("x", Some(r#"{"y":1}"#)),
            ("other", None),
        ] {
            assert_eq!(tag_value(tags, tag).as_deref(), expected, "{tag}");
        }
        assert_eq!(tag_value("[1]", "team"), None);
    }
}
