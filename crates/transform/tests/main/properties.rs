//! What holds of every file (`reliability.md`, 3.9): bytes are accounted for one by one, and neither
//! threads nor the order of work matter.

use std::ops::Range;
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use costlake_model::ledger::Ledger;
use costlake_transform::{BlobOptions, BlobSummary, Chunk, DecodedChunk, Error};
use proptest::prelude::*;
use rayon::prelude::*;

use super::{cut_pieces, options};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// A blob, and where its parts before the first record end.
#[derive(Clone, Debug)]
struct Blob {
    bytes: Vec<u8>,
    /// Byte-order mark, titles, header, line end, a second mark.
    head: usize,
    /// Empty lines within the head.
    head_blank_lines: u64,
}

/// Records and what is none, from the bytes that mean something.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&'static [u8]; 16] = [
        b"07/01/2025,1,EUR,a\n",
        b"07/02/2025,-2.5E-27,EUR,\"b,\"\"c\"\"\"\r\n",
        b"2025-07-03,4,USD,\n",
        b"07/04/2025,0.123456789012345678901234567,EUR,a\r\n",
        b"07/05/2025,x,EUR,a\n",
        b"\n",
        b"\r\n",
        b"\r",
        b",",
        b"\"",
        b"\"\"",
        b"a",
        b"1",
        b"\xff",
        MARK,
        b"\0",
    ];
    let piece = prop::sample::select(pieces.to_vec());
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn blob() -> impl Strategy<Value = Blob> {
    let title = prop::sample::select(vec!["", "Usage of July\n", "\r\n\nUsage\r\n", "a\nb\n\n"]);
    let line_end = prop::sample::select(vec![&b"\n"[..], b"\r\n"]);
    (any::<bool>(), title, line_end, any::<bool>(), body()).prop_map(
        |(has_mark, title, line_end, has_second_mark, body)| {
            let mark = |is_there: bool| if is_there { MARK } else { b"" };
            let header = b"Date,Cost,Currency,MeterName";
            let head = [mark(has_mark), title.as_bytes(), header, line_end, mark(has_second_mark)];
            let head = head.concat();
            // Without a second mark in the head, one at the front of the body would be it.
            let mut body = &*body;
            while let Some(rest) = body.strip_prefix(MARK).filter(|_| !has_second_mark) {
                body = rest;
            }
            let blank = title.replace('\r', "").split('\n').filter(|line| line.is_empty()).count();
            Blob {
                bytes: [&head, body].concat(),
                head: head.len(),
                // What `split` finds behind the last line end is no line.
                head_blank_lines: blank.saturating_sub(1) as u64,
            }
        },
    )
}

/// Cuts a blob into chunks. One that ends inside quotes gets the quote that it lacks.
fn cut(blob: &mut Blob, options: BlobOptions) -> (Vec<Chunk>, BlobSummary) {
    match cut_pieces(blob.bytes.chunks(97), options.clone()) {
        Err(Error::UnclosedQuote { .. }) => {
            blob.bytes.push(b'"');
            cut_pieces(blob.bytes.chunks(97), options).unwrap()
        }
        result => result.unwrap(),
    }
}

fn chunks_of(chunk_bytes: usize) -> BlobOptions {
    BlobOptions { chunk_bytes, ..options() }
}

fn chunk_bytes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![64_usize, 256, 4096])
}

/// A blob of many rows, some of them wrong, made of few texts: enough for columns to be read together.
fn large_blob() -> impl Strategy<Value = Vec<u8>> {
    let names =
        ["a", "\"a\"", "b,c", "\"b,c\"", "", "\"\"", "\"x\"\"y\"", "\"line\r\nend\"", "\u{e9}"];
    let name = || prop::sample::select(names.to_vec());
    let date = prop::sample::select(vec!["07/01/2025", "07/02/2025", "2025-07-03", ""]);
    let cost = prop::sample::select(vec!["1", "-2.5E-27", "0.12345678901234567890123456789", "x"]);
    let currency = prop::sample::select(vec!["EUR", "USD", "EUR", "EUR", ""]);
    let row = (date, name(), name(), currency, cost, name(), name())
        .prop_map(|(a, b, c, d, e, f, g)| format!("{a},{b},{c},{d},{e},{f},{g}\n"));
    (prop::collection::vec(row, 1..40), any::<u64>(), 4096_usize..6000).prop_map(
        |(templates, seed, count)| {
            let header = "Date,MeterName,MeterCategory,Currency,Cost,ProductName,ResourceName\n";
            let mut blob = header.to_owned();
            let mut state = seed | 1;
            for _ in 0..count {
                state =
                    state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                blob.push_str(&templates[(state >> 33) as usize % templates.len()]);
            }
            blob.into_bytes()
        },
    )
}

/// The rows of a batch as texts.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>();
    (0..batch.num_rows()).map(|at| row(at).join("|")).collect()
}

fn is_same(one: &DecodedChunk, other: &DecodedChunk) -> bool {
    one.batch == other.batch && one.quarantined == other.quarantined && one.ledger == other.ledger
}

fn merged<'a>(ledgers: impl IntoIterator<Item = &'a Ledger>) -> Ledger {
    let mut sum = Ledger::default();
    ledgers.into_iter().for_each(|ledger| sum.merge(ledger));
    sum
}

/// How many line ends a stretch of bytes consists of; `None` if it holds anything else.
fn line_ends(bytes: &[u8]) -> Option<u64> {
    let feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
    let returns = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    (feeds + returns == bytes.len()).then_some(feeds as u64)
}

/// Demands that every byte behind the head belongs to one record, or to the line end behind it, or to
/// an empty line, and that all of them are counted.
fn check_tiles(
    blob: &Blob,
    ranges: &[Range<u64>],
    summary: &BlobSummary,
) -> Result<(), TestCaseError> {
    let place = |at: u64| usize::try_from(at).unwrap();
    let mut at = blob.head;
    let mut found = 0;
    for range in ranges {
        let gap = line_ends(&blob.bytes[at..place(range.start)]);
        prop_assert!(gap.is_some(), "bytes {at}.. before record at {}", range.start);
        prop_assert!(range.start < range.end, "an empty record at {}", range.start);
        found += gap.unwrap_or_default();
        at = place(range.end);
    }
    let gap = line_ends(&blob.bytes[at..]);
    prop_assert!(gap.is_some(), "bytes {at}.. behind the last record");
    found += gap.unwrap_or_default();
    let is_ended = gap != Some(0);
    let ends_of_records = ranges.len() as u64 - u64::from(!ranges.is_empty() && !is_ended);
    let blank_lines = summary.blank_lines - blob.head_blank_lines;
    prop_assert_eq!(found, ends_of_records + blank_lines);
    prop_assert_eq!(summary.records, ranges.len() as u64);
    prop_assert_eq!(summary.bytes, blob.bytes.len() as u64);
    Ok(())
}

static POOL: LazyLock<rayon::ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap());

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn records_and_line_ends_tile_the_blob(blob in blob(), chunk_bytes in chunk_bytes()) {
        let mut blob = blob;
        let (chunks, summary) = cut(&mut blob, chunks_of(chunk_bytes));
        let ranges: Vec<_> = chunks.iter().flat_map(Chunk::record_ranges).collect();
        check_tiles(&blob, &ranges, &summary)?;
        for row in chunks.iter().flat_map(|chunk| chunk.decode().unwrap().quarantined) {
            let range = &ranges[usize::try_from(row.place.record).unwrap() - 1];
            prop_assert_eq!(row.place.byte_offset, range.start);
            prop_assert_eq!(row.raw.len() as u64, range.end - range.start);
        }
    }

    #[test]
    fn many_threads_in_any_order_give_what_one_gives(
        blob in blob(),
        chunk_bytes in chunk_bytes(),
        order in any::<u64>(),
    ) {
        let mut blob = blob;
        let (chunks, _) = cut(&mut blob, chunks_of(chunk_bytes));
        let one: Vec<DecodedChunk> = chunks.iter().map(|chunk| chunk.decode().unwrap()).collect();
        let mut shuffled: Vec<(usize, &Chunk)> = chunks.iter().enumerate().collect();
        shuffled.sort_by_key(|(at, _)| (*at as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut many: Vec<(usize, DecodedChunk)> = POOL.install(|| {
            shuffled.into_par_iter().map(|(at, chunk)| (at, chunk.decode().unwrap())).collect()
        });
        let of_any_order = merged(many.iter().map(|(_, chunk)| &chunk.ledger));
        many.sort_by_key(|(at, _)| *at);
        prop_assert_eq!(one.len(), many.len());
        prop_assert!(one.iter().zip(&many).all(|(one, (_, other))| is_same(one, other)));
        prop_assert_eq!(of_any_order, merged(one.iter().map(|chunk| &chunk.ledger)));
    }

    #[test]
    fn ledgers_merge_in_any_grouping(blob in blob(), cuts in any::<[u8; 2]>()) {
        let mut blob = blob;
        let (chunks, _) = cut(&mut blob, chunks_of(64));
        let ledgers: Vec<Ledger> =
            chunks.iter().map(|chunk| chunk.decode().unwrap().ledger).collect();
        let mut cuts = cuts.map(|cut| usize::from(cut) % (ledgers.len() + 1));
        cuts.sort_unstable();
        let [a, b] = cuts;
        let [first, second, third] =
            [&ledgers[..a], &ledgers[a..b], &ledgers[b..]].map(merged);
        let left = merged([&merged([&first, &second]), &third]);
        let right = merged([&first, &merged([&second, &third])]);
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &merged(&ledgers));
        prop_assert_eq!(left.check(), Ok(()));
    }

    #[test]
    fn decoding_twice_gives_the_same(blob in blob(), chunk_bytes in chunk_bytes()) {
        let mut blob = blob;
        let (chunks, _) = cut(&mut blob, chunks_of(chunk_bytes));
        for chunk in &chunks {
            prop_assert!(is_same(&chunk.decode().unwrap(), &chunk.decode().unwrap()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn which_columns_are_read_together_cannot_be_seen(blob in large_blob()) {
        let whole = cut_pieces(std::iter::once(&*blob), chunks_of(1 << 20)).unwrap().0;
        let apart = cut_pieces(std::iter::once(&*blob), chunks_of(256)).unwrap().0;
        // The first time they are not known, and the second time from the first row on.
        let (first, second) = (whole[0].decode().unwrap(), whole[0].decode().unwrap());
        prop_assert_eq!(whole.len(), 1);
        prop_assert!(is_same(&first, &second));
        let apart: Vec<DecodedChunk> = apart.iter().map(|chunk| chunk.decode().unwrap()).collect();
        prop_assert_eq!(&first.ledger.published, &merged(apart.iter().map(|c| &c.ledger)).published);
        let quarantined: Vec<_> = apart.iter().flat_map(|chunk| chunk.quarantined.clone()).collect();
        prop_assert_eq!(first.quarantined, quarantined);
        let rows: Vec<String> = apart.iter().flat_map(|chunk| rows(&chunk.batch)).collect();
        prop_assert_eq!(self::rows(&first.batch), rows);
    }
}
