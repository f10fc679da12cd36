//! A corpus of hostile files, each with a written verdict, read in every feeding and chunk size.
//!
//! | module | what is hostile |
//! |---|---|
//! | `shape` | quotes, fields, line ends, glued and cut files |
//! | `encoding` | bytes that are no UTF-8 text, or text that does not look like itself; other files |
//! | `headers` | names, their order, and what is missing |
//! | `values` | days, currencies, tags, identifiers, booleans |
//! | `numbers` | number forms, each through a whole file |
//! | `odd_places` | headers among the rows, behind titles, at the edge of what is looked at first |
//! | `random` | bytes of a small nasty alphabet |
//!
//! A verdict must hold however the file is fed and whatever the size of chunks; the chunks of one size
//! must be the same in every feeding, and their rows the same in every size; and the account of every
//! file that is read must balance.

mod encoding;
mod headers;
mod numbers;
mod odd_places;
mod random;
mod shape;
mod values;

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::util::display::array_value_to_string;
use costlake_model::columns::line_item_schema;
use costlake_model::ledger::Ledger;
use costlake_model::{ExactSum, Metric};
use costlake_transform::blob::DEFAULT_CHUNK_BYTES;
use costlake_transform::{
    BlobOptions, BlobSummary, DecodedChunk, Error, QuarantinedRow, quarantine_batch,
};

use super::read_pieces;

/// The smallest header, which most cases have.
const SHORT: &str = "Date,Cost,Currency";
/// A header with a text column.
const METER: &str = "Date,Cost,Currency,MeterName";

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    given_currency: Option<&'static str>,
    verdict: Verdict,
}

enum Verdict {
    /// The error says this.
    Refused(&'static str),
    Read(Reading),
}

struct Reading {
    rows: u64,
    /// The sum of the cost of the rows.
    cost: &'static str,
    /// Record numbers and rule ids, in source order.
    quarantined: Vec<(i64, &'static str)>,
    /// Columns and their cells in all rows.
    columns: Vec<(&'static str, Vec<String>)>,
    blank_lines: Option<u64>,
}

fn refused(name: &'static str, bytes: impl Into<Vec<u8>>, error: &'static str) -> Case {
    Case { name, bytes: bytes.into(), given_currency: None, verdict: Verdict::Refused(error) }
}

fn read(name: &'static str, bytes: impl Into<Vec<u8>>, rows: u64, cost: &'static str) -> Case {
    let (quarantined, columns) = (Vec::new(), Vec::new());
    let verdict = Verdict::Read(Reading { rows, cost, quarantined, columns, blank_lines: None });
    Case { name, bytes: bytes.into(), given_currency: None, verdict }
}

impl Case {
    fn reading(mut self, change: impl FnOnce(&mut Reading)) -> Self {
        if let Verdict::Read(reading) = &mut self.verdict {
            change(reading);
        }
        self
    }

    fn quarantined(self, rows: &[(i64, &'static str)]) -> Self {
        self.reading(|reading| reading.quarantined.extend_from_slice(rows))
    }

    fn column(self, name: &'static str, cells: &[&str]) -> Self {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        self.reading(|reading| reading.columns.push((name, cells)))
    }

    fn blank_lines(self, count: u64) -> Self {
        self.reading(|reading| reading.blank_lines = Some(count))
    }

    fn given_currency(self, currency: &'static str) -> Self {
        Self { given_currency: Some(currency), ..self }
    }
}

/// A file with CRLF line ends.
fn file(header: &str, rows: &[&str]) -> Vec<u8> {
    let mut text = format!("{header}\r\n");
    rows.iter().for_each(|row| text.extend([row, "\r\n"]));
    text.into_bytes()
}

/// A file of three rows that cost 1, 2 and 4, so that a sum tells which of them were read.
fn around(header: &str, middle: &str) -> Vec<u8> {
    let more = ",".repeat(header.matches(',').count() - 2);
    let (first, last) = (format!("07/01/2025,1,EUR{more}"), format!("07/03/2025,4,EUR{more}"));
    file(header, &[&first, middle, &last])
}

/// A file of three rows whose middle one has the given field for a meter name.
fn meter(field: &str) -> Vec<u8> {
    around(METER, &format!("07/02/2025,2,EUR,{field}"))
}

/// The same with bytes that may be no text.
fn meter_bytes(field: &[u8]) -> Vec<u8> {
    replaced(&meter("@"), b"@", field)
}

fn replaced(text: &[u8], sought: &[u8], by: &[u8]) -> Vec<u8> {
    let at = text.windows(sought.len()).position(|window| window == sought).unwrap();
    [&text[..at], by, &text[at + sought.len()..]].concat()
}

type Output = Result<(Vec<DecodedChunk>, BlobSummary), Error>;

/// How a file is cut when it is fed.
#[derive(Debug)]
enum Feeding {
    Pieces(usize),
    /// Before and after each quote, carriage return and line feed.
    AroundMarks,
    At(Vec<usize>),
}

impl Feeding {
    fn of(bytes: &[u8]) -> Vec<Self> {
        let is_mark = |byte: &&u8| matches!(byte, b'"' | b'\r' | b'\n');
        let around_marks = bytes.iter().filter(is_mark).count() < 1_000_000;
        let pieces = match bytes.len() {
            0..0x1_0000 => vec![1, 7, 0x1_0000],
            0x1_0000..0x10_0000 => vec![1, 997, 0x1_0000],
            _ => vec![997, 0x1_0000],
        };
        let whole = [Self::Pieces(usize::MAX)].into_iter();
        let marks = around_marks.then_some(Self::AroundMarks);
        whole.chain(marks).chain(pieces.into_iter().map(Self::Pieces)).collect()
    }

    fn read(&self, bytes: &[u8], options: BlobOptions) -> Output {
        let cut = |cuts: &BTreeSet<usize>, options| {
            let starts = [0].into_iter().chain(cuts.iter().copied());
            let ends = cuts.iter().copied().chain([bytes.len()]);
            read_pieces(starts.zip(ends).map(|(start, end)| &bytes[start..end]), options)
        };
        match self {
            Self::Pieces(piece) => read_pieces(bytes.chunks(*piece), options),
            Self::At(cuts) => cut(&cuts.iter().map(|at| at % (bytes.len() + 1)).collect(), options),
            Self::AroundMarks => {
                let is_mark = |(_, byte): &(usize, &u8)| matches!(byte, b'"' | b'\r' | b'\n');
                let marks = bytes.iter().enumerate().filter(is_mark);
                cut(&marks.flat_map(|(at, _)| [at, at + 1]).collect(), options)
            }
        }
    }
}

const CHUNK_BYTES: [usize; 3] = [64, 256, DEFAULT_CHUNK_BYTES];

/// Reads a case in every feeding and chunk size; says where it departs from the verdict, or how two
/// readings differ.
fn departures(case: &Case) -> Result<(), String> {
    let mut other_size: Option<Output> = None;
    for chunk_bytes in CHUNK_BYTES {
        let options = || BlobOptions {
            ordinal: 0,
            metric: Metric::Actual,
            currency: case.given_currency.map(str::to_owned),
            chunk_bytes,
        };
        let mut first: Option<Output> = None;
        for feeding in Feeding::of(&case.bytes) {
            let output = feeding.read(&case.bytes, options());
            let place = |fault: String| format!("chunks of {chunk_bytes}, {feeding:?}: {fault}");
            departure(&case.bytes, &case.verdict, &output).map_err(place)?;
            match &first {
                None => first = Some(output),
                Some(first) => difference(first, &output).map_err(place)?,
            }
        }
        let Some(output) = first else { continue };
        if let Some(other) = &other_size {
            difference_in_rows(other, &output)
                .map_err(|fault| format!("chunks of {chunk_bytes}: {fault}"))?;
        }
        other_size = Some(output);
    }
    Ok(())
}

fn departure(bytes: &[u8], verdict: &Verdict, output: &Output) -> Result<(), String> {
    match (verdict, output) {
        (Verdict::Refused(expected), Err(error)) => {
            let text = error.to_string();
            let sound = text.contains(expected) && is_inert(&text);
            sound.then_some(()).ok_or_else(|| format!("expected `{expected}`, found `{text}`"))
        }
        (Verdict::Read(reading), Ok((chunks, summary))) => {
            check_account(bytes, chunks, summary);
            reading.departure(chunks, summary)
        }
        (Verdict::Refused(expected), Ok((chunks, _))) => {
            Err(format!("expected `{expected}`, found {} rows", ledger(chunks).published.rows))
        }
        (Verdict::Read(_), Err(error)) => Err(format!("refused: {error}")),
    }
}

impl Reading {
    fn departure(&self, chunks: &[DecodedChunk], summary: &BlobSummary) -> Result<(), String> {
        let ledger = ledger(chunks);
        let differ = |what: &str, expected: String, found: String| {
            if expected == found {
                Ok(())
            } else {
                Err(format!("{what}: expected {expected}, found {found}"))
            }
        };
        let quarantined: Vec<_> =
            rejected(chunks).map(|row| (row.place.record, row.rule.id())).collect();
        differ("quarantine", format!("{:?}", self.quarantined), format!("{quarantined:?}"))?;
        differ("rows", self.rows.to_string(), ledger.published.rows.to_string())?;
        let cost = ledger.published.decimals.get("cost").map_or(ExactSum::ZERO, |sum| sum.exact);
        differ("cost", self.cost.to_owned(), cost.to_string())?;
        for (column, expected) in &self.columns {
            differ(column, format!("{expected:?}"), format!("{:?}", cells(chunks, column)))?;
        }
        match self.blank_lines {
            None => Ok(()),
            Some(count) => {
                differ("blank lines", count.to_string(), summary.blank_lines.to_string())
            }
        }
    }
}

/// What must hold of everything that is read.
fn check_account(bytes: &[u8], chunks: &[DecodedChunk], summary: &BlobSummary) {
    let ledger = ledger(chunks);
    ledger.check().unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.head_bytes + ledger.bytes + summary.tail_bytes, summary.bytes);
    assert_eq!(summary.records, ledger.records);
    assert_eq!(ledger.published.rows, cells(chunks, "record").len() as u64);
    assert_eq!(ledger.quarantined.rows, rejected(chunks).count() as u64);
    let mut records: Vec<i64> =
        cells(chunks, "record").iter().map(|record| record.parse().unwrap()).collect();
    records.extend(rejected(chunks).map(|row| row.place.record));
    records.sort_unstable();
    assert!(records.iter().zip(1..).all(|(record, number)| *record == number), "{records:?}");
    let mut end_before = 0;
    for row in rejected(chunks) {
        let start = usize::try_from(row.place.byte_offset).unwrap();
        let end = start + row.raw.len();
        assert!(start >= end_before, "record {} overlaps the one before", row.place.record);
        assert_eq!(&bytes[start..end], row.raw, "record {}", row.place.record);
        let before = &bytes[..start];
        assert!(before.ends_with(b"\n") || before.ends_with(b"\n\xef\xbb\xbf"));
        let behind = &bytes[end..];
        assert!(behind.is_empty() || behind.starts_with(b"\n") || behind.starts_with(b"\r\n"));
        assert!(is_inert(&row.found) && row.found.len() <= 1000, "{}", row.found);
        end_before = end;
    }
    for chunk in chunks {
        assert_eq!(
            quarantine_batch(&chunk.quarantined).unwrap().num_rows(),
            chunk.quarantined.len()
        );
    }
}

/// Whether a terminal shows a text as it is.
fn is_inert(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}'))
}

/// Says how two readings of the same bytes in chunks of one size differ, if they do in anything.
fn difference(one: &Output, other: &Output) -> Result<(), String> {
    let is_same = match (one, other) {
        (Ok((chunks, summary)), Ok((other_chunks, other_summary))) => {
            summary == other_summary
                && chunks.len() == other_chunks.len()
                && chunks.iter().zip(other_chunks).all(|(one, other)| is_same_chunk(one, other))
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    };
    is_same.then_some(()).ok_or_else(|| described("by feeding", one, other))
}

/// Says how two readings of the same bytes in chunks of two sizes differ, if they do in their rows.
fn difference_in_rows(one: &Output, other: &Output) -> Result<(), String> {
    let is_same = match (one, other) {
        (Ok((chunks, summary)), Ok((other_chunks, other_summary))) => {
            // Which of the empty lines at the end are behind the last chunk depends on the chunks.
            let whole = |summary: &BlobSummary| BlobSummary { tail_bytes: 0, ..summary.clone() };
            whole(summary) == whole(other_summary)
                && table(chunks) == table(other_chunks)
                && places(chunks).eq(places(other_chunks))
                && sums(chunks) == sums(other_chunks)
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    };
    is_same.then_some(()).ok_or_else(|| described("by the size of chunks", one, other))
}

fn described(cause: &str, one: &Output, other: &Output) -> String {
    let described = |output: &Output| match output {
        Ok((chunks, summary)) => {
            let bytes: Vec<u64> = chunks.iter().map(|chunk| chunk.ledger.bytes).collect();
            let rejected: Vec<String> = rejected(chunks).map(|row| row.to_string()).collect();
            format!("{} records in chunks of {bytes:?}, without {rejected:?}", summary.records)
        }
        Err(error) => error.to_string(),
    };
    format!("differs {cause}: {} or {}", described(one), described(other))
}

fn is_same_chunk(one: &DecodedChunk, other: &DecodedChunk) -> bool {
    one.batch == other.batch && one.quarantined == other.quarantined && one.ledger == other.ledger
}

fn table(chunks: &[DecodedChunk]) -> RecordBatch {
    concat_batches(&line_item_schema(), chunks.iter().map(|chunk| &chunk.batch)).unwrap()
}

fn rejected(chunks: &[DecodedChunk]) -> impl Iterator<Item = &QuarantinedRow> {
    chunks.iter().flat_map(|chunk| &chunk.quarantined)
}

fn ledger<'a>(chunks: impl IntoIterator<Item = &'a DecodedChunk>) -> Ledger {
    let mut sum = Ledger::default();
    chunks.into_iter().for_each(|chunk| sum.merge(&chunk.ledger));
    sum
}

/// The rejected rows without what was expected, which says whether the chunk or one before has a day.
fn places(chunks: &[DecodedChunk]) -> impl Iterator<Item = impl PartialEq> {
    rejected(chunks).map(|row| (row.place, row.rule, row.column, &row.found, row.cost, &row.raw))
}

/// The ledger without what depends on whether empty lines fill a chunk of their own.
fn sums(chunks: &[DecodedChunk]) -> Ledger {
    let ledger = ledger(chunks.iter().filter(|chunk| chunk.ledger.records > 0));
    Ledger { bytes: 0, blank_lines: 0, ..ledger }
}

/// The cells of a column, amounts without trailing zeros.
fn cells(chunks: &[DecodedChunk], column: &str) -> Vec<String> {
    let mut cells = Vec::new();
    for chunk in chunks {
        let array = chunk.batch.column_by_name(column).unwrap();
        let cell = |row: usize| match array.data_type() {
            _ if array.is_null(row) => "null".to_owned(),
            DataType::Decimal128(..) => {
                let stored = array.as_primitive::<Decimal128Type>().value(row);
                ExactSum::from_stored(stored).to_string()
            }
            _ => array_value_to_string(array, row).unwrap(),
        };
        cells.extend((0..array.len()).map(cell));
    }
    cells
}

fn check(cases: &[Case]) {
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let fault = departures(case).err()?;
            Some(format!("{}: {fault}", case.name))
        })
        .collect();
    assert!(faults.is_empty(), "{} departures:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn shapes_have_their_verdict() {
    check(&shape::cases());
}

#[test]
fn long_records_have_their_verdict() {
    check(&shape::long_cases());
}

#[test]
fn encodings_have_their_verdict() {
    check(&encoding::cases());
}

#[test]
fn headers_have_their_verdict() {
    check(&headers::cases());
}

#[test]
fn headers_in_odd_places_have_their_verdict() {
    check(&odd_places::cases());
}

#[test]
fn values_have_their_verdict() {
    check(&values::cases());
}

#[test]
fn a_record_over_the_limit_is_refused() {
    let mut bytes = file(METER, &["07/01/2025,1,EUR,a"]);
    bytes.extend(b"07/02/2025,2,EUR,\"");
    bytes.resize(bytes.len() + (128 << 20), b'x');
    let options = BlobOptions {
        ordinal: 0,
        metric: Metric::Actual,
        currency: None,
        chunk_bytes: DEFAULT_CHUNK_BYTES,
    };
    let error = read_pieces([bytes.as_slice()].into_iter(), options).unwrap_err().to_string();
    assert!(error.starts_with("record 2 at byte 50 is longer than"), "{error}");
}

#[test]
fn rejected_rows_say_what_was_expected_and_found() {
    let rows: [(&[u8], &str, &str, &str); 10] = [
        (b"07/01/2025,1,EUR,,,", "field-count", "5 fields", "6 fields"),
        (
            b"07/01/2025,1,\"EUR\"x,,",
            "quote-form",
            "a comma or a line end after a closing quote",
            "other text",
        ),
        (
            b"07/01/2025,1,EUR,a\rb,",
            "line-end",
            "a line feed after a carriage return",
            "other text",
        ),
        (b"07/01/2025,1,EUR,M\xfcnchen,", "encoding", "UTF-8 text", "M\u{fffd}nchen"),
        (b",7,,,", "missing", "a day", ""),
        (b"07/01/2025,$1,EUR,,", "number-form", "a number such as -123.45 or 1.2E-05", "$1"),
        (
            b"07/01/2025,100000000000000,EUR,,",
            "number-range",
            "at most 14 digits before the decimal point",
            "100000000000000",
        ),
        (
            b"07/01/2025,1e-39,EUR,,",
            "number-range",
            "at most 38 digits in all, and 38 after the decimal point",
            "1e-39",
        ),
        (
            b"13/01/2025,1,EUR,,",
            "date",
            "a day such as 09/21/2023 (month first), as in the other rows",
            "13/01/2025",
        ),
        (b"07/01/2025,1,EUR,,yes", "boolean", "True, False, 1 or 0", "yes"),
    ];
    let header = format!("{METER},IsAzureCreditEligible");
    let mut bytes = file(&header, &["07/01/2025,1,EUR,a,True"]);
    rows.iter().for_each(|(row, ..)| bytes.extend([row, &b"\r\n"[..]].concat()));
    let options = BlobOptions {
        ordinal: 0,
        metric: Metric::Actual,
        currency: None,
        chunk_bytes: DEFAULT_CHUNK_BYTES,
    };
    let (chunks, summary) = read_pieces(bytes.chunks(11), options).unwrap();
    check_account(&bytes, &chunks, &summary);
    let found: Vec<_> = rejected(&chunks)
        .map(|row| (&*row.raw, row.rule.id(), row.expected.as_ref(), row.found.as_str()))
        .collect();
    assert_eq!(found, rows);
}

#[test]
fn a_bad_byte_in_an_unknown_column_is_laid_to_extra() {
    let bytes = replaced(&file(&format!("{SHORT},Owner"), &["07/01/2025,1,EUR,a@"]), b"@", b"\xff");
    let options = BlobOptions {
        ordinal: 0,
        metric: Metric::Actual,
        currency: None,
        chunk_bytes: DEFAULT_CHUNK_BYTES,
    };
    let (chunks, _) = read_pieces([bytes.as_slice()].into_iter(), options).unwrap();
    let found: Vec<_> =
        rejected(&chunks).map(|row| (row.rule.id(), row.column, row.found.as_str())).collect();
    assert_eq!(found, [("encoding", Some("extra"), "a\u{fffd}")]);
}

#[test]
fn cases_are_many_and_have_names_of_their_own() {
    let groups = [
        shape::cases(),
        shape::long_cases(),
        encoding::cases(),
        headers::cases(),
        odd_places::cases(),
        values::cases(),
    ];
    let mut names: Vec<&str> = groups.iter().flatten().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    let twice: Vec<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(count >= 480, "{count} cases");
}
