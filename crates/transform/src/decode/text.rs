//! Text columns: dictionary codes. What has no column of its own: one JSON object a row.

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use costlake_model::columns::added;
use costlake_model::placeholders;

use super::dictionary::{Dictionary, NULL};
use super::quarantine::{Fault, Faults, Rule};
use crate::csv::{self, FieldTable};
use crate::header::{Binding, ExtraColumn};

/// The values of a text column.
pub(super) struct Texts {
    name: &'static str,
    is_required: bool,
    naming: Naming,
    placeholder: Option<&'static str>,
    dictionary: Dictionary,
}

impl Texts {
    pub(super) fn new(name: &'static str, is_required: bool, naming: Naming) -> Self {
        Self {
            name,
            is_required,
            naming,
            placeholder: placeholders::null_text(name),
            dictionary: Dictionary::default(),
        }
    }

    pub(super) fn code_of(&mut self, content: &[u8]) -> Result<i32, Fault> {
        let content = self.without_prefix(content);
        if self.is_null(content) {
            return if self.is_required {
                Err(Fault::new(Rule::Missing, self.name, "a value", content))
            } else {
                Ok(NULL)
            };
        }
        let hash = self.dictionary.hash(content);
        if let Some(code) = self.dictionary.find(content, hash) {
            return Ok(code);
        }
        if std::str::from_utf8(content).is_err() {
            return Err(Fault::new(Rule::Encoding, self.name, "UTF-8 text", content));
        }
        Ok(self.dictionary.insert(content, hash))
    }

    fn is_null(&self, content: &[u8]) -> bool {
        let is_placeholder = |text: &str| text.as_bytes().eq_ignore_ascii_case(content);
        is_null(self.naming, content)
            || (self.is_required && content.trim_ascii().is_empty())
            || self.placeholder.is_some_and(is_placeholder)
    }

    /// FOCUS writes as paths what is a plain id in all other files.
    fn without_prefix<'c>(&self, content: &'c [u8]) -> &'c [u8] {
        let prefix = match (self.naming, self.name) {
            (Naming::Focus, "subscription_id") => "/subscriptions/",
            (Naming::Focus, "billing_account_id") => {
                "/providers/microsoft.billing/billingaccounts/"
            }
            _ => return content,
        };
        match content.split_at_checked(prefix.len()) {
            Some((start, id)) if start.eq_ignore_ascii_case(prefix.as_bytes()) => id,
            _ => content,
        }
    }

    pub(super) fn value(&self, code: i32) -> &str {
        self.dictionary.value(code)
    }

    pub(super) fn finish(&mut self, codes: Vec<i32>) -> Result<ArrayRef, ArrowError> {
        self.dictionary.finish(codes)
    }
}

/// Whether a field has no value: nothing, or in FOCUS files the literal that they write for it.
pub(super) fn is_null(naming: Naming, content: &[u8]) -> bool {
    content.is_empty() || (naming == Naming::Focus && matches!(content, b"NULL" | b"null"))
}

/// Writes the fields without a canonical column as a JSON object; nothing if all are empty. They are
/// UTF-8: [`check_extra`] saw to it.
pub(super) fn extra_object(
    object: &mut String,
    binding: &Binding,
    text: &[u8],
    table: &FieldTable,
    row: usize,
) {
    object.clear();
    let mut scratch = Vec::new();
    for column in &binding.extra {
        let content = csv::content(table.field(text, row, column.field), &mut scratch);
        if is_null(binding.naming, content) {
            continue;
        }
        object.push(if object.is_empty() { '{' } else { ',' });
        let value = String::from_utf8_lossy(content);
        object.push_str(&serde_json::Value::from(column.header.as_str()).to_string());
        object.push(':');
        object.push_str(&serde_json::Value::from(value.as_ref()).to_string());
    }
    if !object.is_empty() {
        object.push('}');
    }
}

/// Faults rows whose fields without a canonical column are no UTF-8.
pub(super) fn check_extra(
    extra: &[ExtraColumn],
    text: &[u8],
    table: &FieldTable,
    faults: &mut [Faults],
) {
    for column in extra {
        for (row, faults) in faults.iter_mut().enumerate() {
            let field = table.field(text, row, column.field);
            if std::str::from_utf8(field).is_err() {
                let fault = Fault::new(Rule::Encoding, added::EXTRA, "UTF-8 text", field);
                faults.add(Some(column.field), fault);
            }
        }
    }
}
