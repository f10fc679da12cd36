//! Resource tags: a JSON object or null. EA files leave the braces out (`cost-data.md`, 5).

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use serde::de::IgnoredAny;

use super::dictionary::{Dictionary, NULL};
use super::quarantine::{Fault, Rule};
use super::text::{self, CodeStrip};
use crate::csv::FieldTable;
use crate::header::BoundColumn;

pub(super) struct TagsColumn<'a> {
    field: usize,
    naming: Naming,
    /// Distinct source texts; their codes lead to the two columns.
    sources: Dictionary,
    meanings: Vec<Meaning>,
    parsed: Dictionary,
    raw: Dictionary,
    strip: CodeStrip<'a>,
    parsed_codes: Vec<i32>,
    raw_codes: Vec<i32>,
}

/// The codes of a source text in the two columns.
#[derive(Clone, Copy)]
struct Meaning {
    parsed: i32,
    raw: i32,
}

const EMPTY: Meaning = Meaning { parsed: NULL, raw: NULL };

impl<'a> TagsColumn<'a> {
    pub(super) fn new(bound: &BoundColumn, naming: Naming) -> Self {
        Self {
            field: bound.field,
            naming,
            sources: Dictionary::default(),
            meanings: Vec::new(),
            parsed: Dictionary::default(),
            raw: Dictionary::default(),
            strip: CodeStrip::default(),
            parsed_codes: Vec::new(),
            raw_codes: Vec::new(),
        }
    }

    pub(super) fn parse(
        &mut self,
        text: &'a [u8],
        table: &FieldTable,
        faults: &mut [Option<Fault>],
    ) {
        let mut strip = std::mem::take(&mut self.strip);
        strip.fill(self.field, text, table, faults, |content| self.code_of(content));
        self.strip = strip;
    }

    fn code_of(&mut self, content: &[u8]) -> Result<i32, Fault> {
        if text::is_null(self.naming, content) {
            return Ok(NULL);
        }
        if let Some(code) = self.sources.find(content) {
            return Ok(code);
        }
        let text = std::str::from_utf8(content)
            .map_err(|_| Fault::new(Rule::Encoding, "tags", "UTF-8 text", content))?;
        let meaning = match json_object(text) {
            _ if text.trim().is_empty() => EMPTY,
            Some(object) => Meaning { parsed: self.parsed.code_of(object.as_bytes()), raw: NULL },
            None => Meaning { parsed: NULL, raw: self.raw.code_of(content) },
        };
        self.meanings.push(meaning);
        Ok(self.sources.insert(content))
    }

    pub(super) fn append(&mut self, kept: &[usize]) {
        for &row in kept {
            let meaning =
                usize::try_from(self.strip.codes[row]).map_or(EMPTY, |at| self.meanings[at]);
            self.parsed_codes.push(meaning.parsed);
            self.raw_codes.push(meaning.raw);
        }
    }

    /// The columns `tags` and `tags_raw`.
    pub(super) fn finish(&mut self) -> Result<(ArrayRef, ArrayRef), ArrowError> {
        Ok((
            self.parsed.finish(std::mem::take(&mut self.parsed_codes))?,
            self.raw.finish(std::mem::take(&mut self.raw_codes))?,
        ))
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
