//! Inner parts, opened for fuzz targets and benches. No promise of stability.

use crate::csv::{self, FieldTable, MalformedRecord, RecordReader};
use crate::decode::STRIP_ROWS;
use crate::decode::dictionary::Dictionary;

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

/// Returns how many records a text has, found as a chunk is cut: by the ends of records alone.
pub fn count_records(text: &[u8]) -> u64 {
    csv::bounds(text, true).records
}

/// Returns how many sound records a text has, all fields of each located, `rows` records at a time.
pub fn locate_fields(text: &[u8], field_count: usize, rows: usize) -> usize {
    let mut sound = 0;
    for_each_strip(text, field_count, rows, |table| sound += table.len());
    sound
}

/// The contents of one field of every sound record, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct TextColumn {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl TextColumn {
    /// Reads the field at `column` of every sound record of a text.
    pub fn read(text: &[u8], field_count: usize, column: usize) -> Self {
        let (mut contents, mut scratch) = (Self::default(), Vec::new());
        for_each_strip(text, field_count, STRIP_ROWS, |table| {
            for row in 0..table.len() {
                let content = csv::content(table.field(text, row, column), &mut scratch);
                contents.text.extend_from_slice(content);
                contents.ends.push(contents.text.len());
            }
        });
        contents
    }

    /// Gives every text its code in a dictionary, and returns how many codes there are.
    pub fn intern(&self) -> usize {
        let (mut dictionary, mut last, mut start) = (Dictionary::default(), None, 0);
        for &end in &self.ends {
            last = last.max(Some(dictionary.code_of(&self.text[start..end])));
            start = end;
        }
        last.and_then(|code| usize::try_from(code).ok()).map_or(0, |code| code + 1)
    }
}

fn for_each_strip(
    text: &[u8],
    field_count: usize,
    rows: usize,
    mut visit: impl FnMut(&FieldTable),
) {
    let mut reader = RecordReader::new(text, field_count);
    let (mut table, mut malformed) = (FieldTable::default(), Vec::<MalformedRecord>::new());
    let mut has_more = true;
    while has_more {
        has_more = reader.read(rows, &mut table, &mut malformed);
        malformed.clear();
        visit(&table);
    }
}
