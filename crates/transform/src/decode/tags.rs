//! Resource tags: a JSON object or null. EA files leave the braces out (`cost-data.md`, 5).

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use serde::de::IgnoredAny;

use super::dictionary::{Dictionary, NULL};
use super::quarantine::{Fault, Rule};
use super::text;

/// The values of the tags column.
pub(super) struct Tags {
    naming: Naming,
    /// What each distinct source text stands for.
    meanings: Vec<Meaning>,
    parsed: Dictionary,
    raw: Dictionary,
}

/// The codes of a source text in the two columns.
#[derive(Clone, Copy)]
struct Meaning {
    parsed: i32,
    raw: i32,
}

const EMPTY: Meaning = Meaning { parsed: NULL, raw: NULL };

impl Tags {
    pub(super) fn new(naming: Naming) -> Self {
        Self {
            naming,
            meanings: Vec::new(),
            parsed: Dictionary::default(),
            raw: Dictionary::default(),
        }
    }

    pub(super) fn code_of(&mut self, content: &[u8]) -> Result<i32, Fault> {
        if text::is_null(self.naming, content) {
            return Ok(NULL);
        }
        let text = std::str::from_utf8(content)
            .map_err(|_| Fault::new(Rule::Encoding, "tags", "UTF-8 text", content))?;
        let meaning = match json_object(text) {
            _ if text.trim().is_empty() => EMPTY,
            Some(object) => Meaning { parsed: self.parsed.code_of(object.as_bytes()), raw: NULL },
            None => Meaning { parsed: NULL, raw: self.raw.code_of(content) },
        };
        self.meanings.push(meaning);
        Ok(i32::try_from(self.meanings.len() - 1).unwrap_or(NULL))
    }

    /// The columns `tags` and `tags_raw` of rows with these codes.
    pub(super) fn finish(&mut self, codes: &[i32]) -> Result<(ArrayRef, ArrayRef), ArrowError> {
        let meaning = |code: &i32| usize::try_from(*code).map_or(EMPTY, |code| self.meanings[code]);
        let parsed = codes.iter().map(|code| meaning(code).parsed).collect();
        let raw = codes.iter().map(|code| meaning(code).raw).collect();
        Ok((self.parsed.finish(parsed)?, self.raw.finish(raw)?))
    }
}

/// Returns the tags as a JSON object, braces added where they lack; `None` if that gives none.
fn json_object(text: &str) -> Option<String> {
    let text = text.trim();
    let object = if text.starts_with('{') { text.to_owned() } else { format!("{{{text}}}") };
    let is_json = serde_json::from_str::<IgnoredAny>(&object).is_ok();
    is_json.then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_added_and_broken_tags_seen() {
        for (text, expected) in [
            (r#""env": "prod","owner": "a,b""#, Some(r#"{"env": "prod","owner": "a,b"}"#)),
            (r#"{"env":"prod"}"#, Some(r#"{"env":"prod"}"#)),
            (r#"  { "a": "{" } "#, Some(r#"{ "a": "{" }"#)),
            ("", Some("{}")),
            (r#""env": "#, None),
            ("env:prod", None),
            (r#"{"a":"b""#, None),
            (r#""a":"b"},{"c":"d""#, None),
        ] {
            assert_eq!(json_object(text).as_deref(), expected, "{text}");
        }
    }
}
