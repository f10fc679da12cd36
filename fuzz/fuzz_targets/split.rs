//! The record splitter: its records tile any text, and are those of the `csv` crate wherever that crate
//! and the rules of costlake do not part by intent.

#![no_main]

use costlake_transform::internals::{SplitText, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [fields, rows, text @ ..] = data else { return };
    let (field_count, rows) = (usize::from(fields % 8) + 1, usize::from(rows % 16) + 1);
    let found = split(text, field_count, rows);
    assert_eq!(found, split(text, field_count, 1000), "strips of other lengths read otherwise");
    if found.is_inside_quotes {
        return;
    }
    check_tiles(text, &found);
    check_against_csv(text, &found, field_count);
});

/// Between records there are line ends and nothing else.
fn check_tiles(text: &[u8], found: &SplitText) {
    let mut at = 0;
    for record in &found.records {
        assert!(at <= record.start && record.start < record.end, "records overlap or are empty");
        check_line_ends(&text[at..record.start]);
        at = record.end;
    }
    check_line_ends(&text[at..]);
}

fn check_line_ends(gap: &[u8]) {
    assert!(gap.iter().all(|byte| matches!(byte, b'\r' | b'\n')), "bytes are lost: {gap:?}");
}

/// The `csv` crate takes a carriage return for a line end, text behind a closing quote for text, and a
/// byte-order mark off the front: texts with any of these are not compared.
fn check_against_csv(text: &[u8], found: &SplitText, field_count: usize) {
    let has_bare_return =
        (0..text.len()).any(|at| text[at] == b'\r' && text.get(at + 1) != Some(&b'\n'));
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let expected: Vec<csv::ByteRecord> = reader.byte_records().map(Result::unwrap).collect();
    let is_odd = |(record, other): (&_, &csv::ByteRecord)| {
        let record: &costlake_transform::internals::SplitRecord = record;
        record.fields.is_none() && other.len() == field_count
    };
    let has_mark = text.starts_with(b"\xef\xbb\xbf");
    if has_bare_return || has_mark || found.records.iter().zip(&expected).any(is_odd) {
        return;
    }
    assert_eq!(found.records.len(), expected.len(), "another number of records");
    for (record, expected) in found.records.iter().zip(&expected) {
        match &record.fields {
            Some(fields) => assert!(fields.iter().map(Vec::as_slice).eq(expected.iter())),
            None => assert_ne!(expected.len(), field_count),
        }
    }
}
