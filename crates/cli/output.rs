//! Results on stdout. Everything else goes to stderr.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Cell, CellAlignment, Table, presets};
use costlake_model::{BillingPeriod, ExactSum, ScopeSlug};
use serde_json::Value;

use crate::args::OutputFormat;
use crate::error::Error;
use crate::result;

/// A row for machines: names and values, in order.
pub(crate) type Row = Vec<(String, Value)>;

/// A result in every form in which it can be asked for.
pub(crate) trait Show {
    /// For people.
    fn for_people(&self) -> String;
    /// One document.
    fn to_json(&self) -> Value;
    /// Rows of one shape.
    fn rows(&self) -> Vec<Row>;
}

/// Prints a result.
///
/// # Errors
/// [`Error::OutputClosed`] if nobody reads any more.
pub(crate) fn print(result: &dyn Show, format: OutputFormat) -> Result<(), Error> {
    let text = match format {
        OutputFormat::Table => result.for_people(),
        OutputFormat::Json => format!("{:#}\n", result.to_json()),
        OutputFormat::Ndjson => {
            result.rows().into_iter().map(|row| format!("{}\n", object(row))).collect()
        }
        OutputFormat::Csv => csv_text(result.rows())?,
    };
    print_text(&text)
}

/// Prints text as it is.
///
/// # Errors
/// [`Error::OutputClosed`] if nobody reads any more.
pub(crate) fn print_text(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::Internal(format!("cannot write to stdout: {error}")),
    })
}

fn csv_text(rows: Vec<Row>) -> Result<String, Error> {
    let failed = |error: csv::Error| Error::Internal(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    if let Some(first) = rows.first() {
        writer.write_record(first.iter().map(|(name, _)| name)).map_err(failed)?;
    }
    for row in &rows {
        writer.write_record(row.iter().map(|(_, value)| csv_cell(value))).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::Internal(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A cell of text that a spreadsheet would take for a formula gets an apostrophe (OWASP ASVS 1.2.10);
/// numbers are never touched.
fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.parse::<f64>().is_ok() => text.clone(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A row as a JSON object.
pub(crate) fn object(row: Row) -> Value {
    Value::Object(row.into_iter().collect())
}

/// A row of a batch, for machines.
pub(crate) fn row_of(batch: &RecordBatch, row: usize) -> Row {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    names.zip(batch.columns().iter().map(|column| result::value(column, row))).collect()
}

/// A time for machines: UTC, RFC 3339 with milliseconds.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What the rows of a month begin with, for machines.
/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn month_cells(scope: &ScopeSlug, period: BillingPeriod) -> Row {
    vec![
        ("scope".to_owned(), Value::from(scope.as_str())),
        ("billing_period".to_owned(), Value::from(period.to_string())),
    ]
}

/// A table for people whose first columns are texts, and the others figures.
pub(crate) struct TextTable {
    table: Table,
    texts: usize,
}

impl TextTable {
    pub(crate) fn new<'a>(texts: usize, header: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(header.into_iter().enumerate().map(|(at, text)| cell(at < texts, text)));
        Self { table, texts }
    }

    pub(crate) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        let texts = self.texts;
        let cells = cells.into_iter().enumerate().map(|(at, text)| cell(at < texts, &text));
        self.table.add_row(cells);
    }

    /// The table, with a line end; nothing if it has no rows.
    pub(crate) fn into_text(self) -> String {
        if self.table.is_empty() { String::new() } else { format!("{}\n", self.table) }
    }
}

fn cell(is_text: bool, text: &str) -> Cell {
    let alignment = if is_text { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(printable(text)).set_alignment(alignment)
}

/// A department for people: its name and, where that is another word, its id.
pub(crate) fn department(id: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if !name.eq_ignore_ascii_case(id) && name.to_lowercase() != id => {
            format!("{name} ({id})")
        }
        Some(name) => name.to_owned(),
        None => id.to_owned(),
    }
}

/// A number of things, for people.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// An amount for people: rounded half-even to some digits, thousands apart.
pub(crate) fn rounded(amount: ExactSum, digits: usize) -> String {
    let text = amount.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (kept, rest) = fraction.split_at(fraction.len().min(digits));
    let mut figures: Vec<u8> = format!("{integer}{kept:0<digits$}").into_bytes();
    let is_odd = figures.last().is_some_and(|digit| digit % 2 == 1);
    let half = rest.trim_end_matches('0').cmp("5");
    if half.is_gt() || (half.is_eq() && is_odd) {
        increment(&mut figures);
    }
    let is_zero = figures.iter().all(|digit| *digit == b'0');
    let text = String::from_utf8_lossy(&figures);
    let (integer, fraction) = text.split_at(text.len() - digits);
    let sign = if is_zero { "" } else { sign };
    format!("{sign}{}.{fraction}", grouped(integer))
}

fn increment(figures: &mut Vec<u8>) {
    for digit in figures.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    figures.insert(0, b'1');
}

fn grouped(integer: &str) -> String {
    let mut grouped = String::new();
    for (at, digit) in integer.chars().enumerate() {
        if at > 0 && (integer.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Escapes control characters of texts from outside.
pub(crate) fn printable(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_half_even_and_grouped() {
        for (amount, expected) in [
            ("0", "0.00"),
            ("0.005", "0.00"),
            ("0.015", "0.02"),
            ("0.0150000000000000000001", "0.02"),
            ("0.025", "0.02"),
            ("-0.001", "0.00"),
            ("-1234567.899", "-1,234,567.90"),
            ("999.999", "1,000.00"),
            ("12.3", "12.30"),
        ] {
            assert_eq!(rounded(ExactSum::parse(amount).unwrap(), 2), expected, "{amount}");
        }
    }

    #[test]
    fn formulas_are_defused_and_numbers_left_alone() {
        for (cell, expected) in [("=1+1", "'=1+1"), ("-12.5", "-12.5"), ("-x", "'-x"), ("a", "a")] {
            assert_eq!(csv_cell(&Value::from(cell)), expected);
        }
    }
}
