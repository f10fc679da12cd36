//! The record splitter, opened for fuzz targets.

use crate::csv::{self, FieldTable, RecordReader};

/// A record as the splitter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitRecord {
    /// Where it starts in the text.
    pub start: usize,
    /// Where it ends, the line end not counted.
    pub end: usize,
    /// The contents of its fields; `None` if it is malformed.
    pub fields: Option<Vec<Vec<u8>>>,
}

/// A text, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitText {
    /// Its records, in order.
    pub records: Vec<SplitRecord>,
    /// Empty lines.
    pub blank_lines: u64,
    /// Whether it ends within quotes; its last record is then not to be trusted.
    pub is_inside_quotes: bool,
}

/// Splits a text into records of `field_count` fields, `rows` at a time.
pub fn split(text: &[u8], field_count: usize, rows: usize) -> SplitText {
    let bounds = csv::bounds(text, true);
    let whole = &text[..bounds.end];
    let mut reader = RecordReader::new(whole, field_count);
    let (mut table, mut malformed) = (FieldTable::default(), Vec::new());
    let mut records = Vec::new();
    let mut has_more = true;
    while has_more {
        has_more = reader.read(rows, &mut table, &mut malformed);
        records.extend((0..table.len()).map(|row| sound_record(whole, &table, row, field_count)));
        records.extend(malformed.drain(..).map(|record| SplitRecord {
            start: record.start,
            end: record.end,
            fields: None,
        }));
    }
    records.sort_by_key(|record| record.start);
    SplitText {
        records,
        blank_lines: bounds.blank_lines,
        is_inside_quotes: bounds.is_inside_quotes,
    }
}

fn sound_record(text: &[u8], table: &FieldTable, row: usize, field_count: usize) -> SplitRecord {
    let mut scratch = Vec::new();
    let fields = (0..field_count)
        .map(|field| csv::content(table.field(text, row, field), &mut scratch).to_vec())
        .collect();
    let start = table.start(row);
    SplitRecord { start, end: start + table.record(text, row).len(), fields: Some(fields) }
}
