//! Records of a text: where they end, and where their fields end.

use std::ops::{Range, RangeInclusive};

use super::Malformed;
use super::block::{BLOCK, BlockScanner, Marks};
use super::careful::{self, Unfinished};
use super::finder::{self, Finder, Pass};

/// The whole records of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How many records, empty lines not counted.
    pub(crate) records: u64,
    /// How many empty lines.
    pub(crate) blank_lines: u64,
    /// Where the last whole record ends, its line end included.
    pub(crate) end: usize,
    /// Whether a quote opens after `end` that is not closed.
    pub(crate) is_inside_quotes: bool,
}

/// Counts the whole records of a text that starts at a record. With `is_last`, the end of the text
/// ends a record too, unless it is inside quotes.
pub(crate) fn bounds(text: &[u8], is_last: bool) -> Bounds {
    finder::run(FindBounds { text, is_last })
}

struct FindBounds<'a> {
    text: &'a [u8],
    is_last: bool,
}

impl Pass for FindBounds<'_> {
    type Output = Bounds;

    #[inline(always)]
    fn run(self, finder: impl Finder) -> Bounds {
        let Self { text, is_last } = self;
        let mut bounds = Bounds::default();
        let mut blocks = Blocks::new(text, 0);
        while let Some((base, marks)) = blocks.next(finder) {
            let sound = marks.before_odd();
            let line_feeds = marks.line_feeds & sound;
            if line_feeds != 0 {
                let blank = (marks.blank & sound).count_ones();
                bounds.records += u64::from(line_feeds.count_ones() - blank);
                bounds.blank_lines += u64::from(blank);
                bounds.end = base + (BLOCK - line_feeds.leading_zeros() as usize);
            }
            if marks.odd != 0 {
                match careful::record(text, bounds.end, is_last) {
                    Ok(record) => {
                        bounds.records += 1;
                        bounds.end = record.end;
                        blocks = Blocks::new(text, record.end);
                    }
                    Err(unfinished) => {
                        bounds.is_inside_quotes = unfinished == Unfinished::InsideQuotes;
                        return bounds;
                    }
                }
            }
        }
        bounds.is_inside_quotes = blocks.scanner.is_inside_quotes();
        if is_last && !bounds.is_inside_quotes && bounds.end < text.len() {
            bounds.records += 1;
            bounds.end = text.len();
        }
        bounds
    }
}

/// Where the first record of a text ends, if it does. The text does not start with an empty line.
pub(crate) fn first_record_end(text: &[u8], is_last: bool) -> Option<usize> {
    let mut blocks = Blocks::new(text, 0);
    while let Some((base, marks)) = blocks.next(finder::Plain) {
        let line_feeds = marks.line_feeds & marks.before_odd();
        if line_feeds != 0 {
            return Some(base + line_feeds.trailing_zeros() as usize + 1);
        }
        if marks.odd != 0 {
            return careful::record(text, 0, is_last).ok().map(|record| record.end);
        }
    }
    let ends_here = is_last && !text.is_empty() && !blocks.scanner.is_inside_quotes();
    ends_here.then_some(text.len())
}

impl Marks {
    /// The bits before the first odd place.
    #[inline]
    fn before_odd(&self) -> u64 {
        match self.odd {
            0 => !0,
            odd => (1 << odd.trailing_zeros()) - 1,
        }
    }
}

/// The marked blocks of a text from an offset on.
struct Blocks<'a> {
    text: &'a [u8],
    at: usize,
    scanner: BlockScanner,
}

impl<'a> Blocks<'a> {
    fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at, scanner: BlockScanner::at_record_start() }
    }

    #[inline(always)]
    fn next(&mut self, finder: impl Finder) -> Option<(usize, Marks)> {
        let base = self.at;
        let rest = self.text.get(base..)?;
        if let Some(block) = rest.first_chunk::<BLOCK>() {
            self.at += BLOCK;
            return Some((base, self.scanner.next(finder, block, BLOCK)));
        }
        if rest.is_empty() {
            return None;
        }
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.at = self.text.len();
        Some((base, self.scanner.next(finder, &block, rest.len())))
    }
}

/// Where the fields of some records lie, all of which have the same number of fields.
#[derive(Debug, Default)]
pub(crate) struct FieldTable {
    fields: usize,
    starts: Vec<u32>,
    ends: FieldEnds,
    numbers: Vec<u32>,
}

impl FieldTable {
    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The position of a record among all records of the text, malformed ones included.
    pub(crate) fn number(&self, row: usize) -> u32 {
        self.numbers[row]
    }

    /// Where a record starts.
    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row] as usize
    }

    /// The bytes of a field, quotes included.
    #[inline]
    pub(crate) fn field<'a>(&self, text: &'a [u8], row: usize, column: usize) -> &'a [u8] {
        bytes(text, self.range(row, column))
    }

    /// How many bytes there are from the first record to the last one.
    pub(crate) fn text_bytes(&self) -> usize {
        let end = self.ends.as_slice().last().copied().unwrap_or(0);
        end.saturating_sub(self.starts.first().copied().unwrap_or(0)) as usize
    }

    /// Where some neighbouring fields of each record lie, quotes and the commas between them included.
    #[inline]
    pub(crate) fn spans(&self, fields: RangeInclusive<usize>) -> impl Iterator<Item = Range<u32>> {
        let (first, last) = fields.into_inner();
        let records = self.ends.as_slice().chunks_exact(self.fields);
        self.starts.iter().zip(records).map(move |(start, ends)| {
            let start = if first == 0 { *start } else { ends[first - 1] + 1 };
            start..ends[last]
        })
    }

    /// Where a field lies, quotes included.
    #[inline]
    pub(crate) fn range(&self, row: usize, column: usize) -> Range<u32> {
        let at = row * self.fields + column;
        let ends = self.ends.as_slice();
        let start = if column == 0 { self.starts[row] } else { ends[at - 1] + 1 };
        start..ends[at]
    }

    /// The bytes of a record without its line end.
    pub(crate) fn record<'a>(&self, text: &'a [u8], row: usize) -> &'a [u8] {
        let end = self.ends.as_slice()[(row + 1) * self.fields - 1];
        &text[self.start(row)..end as usize]
    }

    fn clear(&mut self, fields: usize) {
        self.fields = fields;
        self.starts.clear();
        self.ends.truncate(0);
        self.numbers.clear();
    }

    /// How many fields the records have together; those of a record that has not ended come after.
    fn fields_of_records(&self) -> usize {
        self.starts.len() * self.fields
    }
}

/// The ends of fields, with room ahead: they come a block at a time.
#[derive(Debug, Default)]
struct FieldEnds {
    slots: Vec<u32>,
    length: usize,
}

impl FieldEnds {
    fn as_slice(&self) -> &[u32] {
        &self.slots[..self.length]
    }

    fn len(&self) -> usize {
        self.length
    }

    fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    fn push(&mut self, end: u32) {
        self.push_marks(finder::Plain, end, 1);
    }

    /// Appends the places of the bits of a mask, whose lowest bit is at `base`.
    #[inline(always)]
    fn push_marks(&mut self, finder: impl Finder, base: u32, mask: u64) {
        if self.slots.len() < self.length + BLOCK {
            self.grow();
        }
        let (room, _) = self.slots[self.length..].as_chunks_mut();
        finder.places(mask, base, &mut room[0]);
        self.length += mask.count_ones() as usize;
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.length + BLOCK).next_power_of_two();
        self.slots.resize(slots, 0);
    }
}

/// A record that has no place in a [`FieldTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedRecord {
    /// Its position among all records of the text.
    pub(crate) number: u32,
    /// Where it starts.
    pub(crate) start: usize,
    /// Where it ends, without its line end.
    pub(crate) end: usize,
    /// What is wrong.
    pub(crate) malformed: Malformed,
}

/// Reads the records of a text that consists of whole records, some at a time.
pub(crate) struct RecordReader<'a> {
    text: &'a [u8],
    fields: usize,
    blocks: Blocks<'a>,
    record_start: usize,
    number: u32,
}

impl<'a> RecordReader<'a> {
    /// A reader of records that should have `fields` fields. The text is at most 4 GiB.
    pub(crate) fn new(text: &'a [u8], fields: usize) -> Self {
        Self { text, fields, blocks: Blocks::new(text, 0), record_start: 0, number: 0 }
    }

    /// Reads at least `rows` records, if there are as many, into `table`; records of another shape
    /// go to `malformed`. Returns whether there may be more.
    pub(crate) fn read(
        &mut self,
        rows: usize,
        table: &mut FieldTable,
        malformed: &mut Vec<MalformedRecord>,
    ) -> bool {
        table.clear(self.fields);
        finder::run(ReadRecords { reader: self, rows, table, malformed })
    }

    #[inline(always)]
    fn read_block(
        &mut self,
        finder: impl Finder,
        base: usize,
        marks: Marks,
        table: &mut FieldTable,
        malformed: &mut Vec<MalformedRecord>,
    ) {
        let sound = marks.before_odd();
        let (commas, mut line_feeds) = (marks.commas & sound, marks.line_feeds & sound);
        let mut rest = commas;
        while line_feeds != 0 {
            let at = line_feeds.trailing_zeros();
            let before = (1 << at) - 1;
            table.ends.push_marks(finder, offset(base), rest & before);
            self.end_record(base + at as usize, table, malformed);
            rest &= !before;
            line_feeds &= line_feeds - 1;
        }
        table.ends.push_marks(finder, offset(base), rest);
        if marks.odd != 0 {
            self.read_carefully(table, malformed);
        }
    }

    #[inline]
    fn end_record(
        &mut self,
        line_feed: usize,
        table: &mut FieldTable,
        malformed: &mut Vec<MalformedRecord>,
    ) {
        let start = self.record_start;
        let has_return = line_feed > start && self.text[line_feed - 1] == b'\r';
        let end = line_feed - usize::from(has_return);
        self.record_start = line_feed + 1;
        if end > start || table.ends.len() != table.fields_of_records() {
            table.ends.push(offset(end));
            self.close_record(start, end, None, table, malformed);
        }
    }

    /// Puts the record whose fields are the last ones of the table where it belongs.
    fn close_record(
        &mut self,
        start: usize,
        end: usize,
        found: Option<Malformed>,
        table: &mut FieldTable,
        malformed: &mut Vec<MalformedRecord>,
    ) {
        let first = table.fields_of_records();
        let count = table.ends.len() - first;
        let number = self.number;
        self.number += 1;
        let shape = (count != self.fields).then_some(Malformed::FieldCount(count));
        match found.or(shape) {
            None => {
                table.starts.push(offset(start));
                table.numbers.push(number);
            }
            Some(found) => {
                table.ends.truncate(first);
                malformed.push(MalformedRecord { number, start, end, malformed: found });
            }
        }
    }

    fn read_carefully(&mut self, table: &mut FieldTable, malformed: &mut Vec<MalformedRecord>) {
        let start = self.record_start;
        table.ends.truncate(table.fields_of_records());
        // The text consists of whole records, so a record that does not end cannot occur; if it
        // did, the rest would be one malformed record.
        let record = careful::record(self.text, start, true);
        let (field_ends, end, found) = match record {
            Ok(record) => (record.field_ends, record.end, record.malformed),
            Err(_) => (Vec::new(), self.text.len(), Some(Malformed::TextAfterQuote)),
        };
        field_ends.iter().for_each(|end| table.ends.push(offset(*end)));
        let content_end = field_ends.last().copied().unwrap_or(end);
        self.close_record(start, content_end, found, table, malformed);
        self.record_start = end;
        self.blocks = Blocks::new(self.text, end);
    }

    /// Ends the last record where no line end does.
    fn finish(&mut self, table: &mut FieldTable, malformed: &mut Vec<MalformedRecord>) {
        let (start, end) = (self.record_start, self.text.len());
        if start < end {
            if self.blocks.scanner.ends_with_return() {
                self.read_carefully(table, malformed);
                return;
            }
            table.ends.push(offset(end));
            self.record_start = end;
            self.close_record(start, end, None, table, malformed);
        }
    }

    fn rewind_to_record_start(&mut self, table: &mut FieldTable) {
        table.ends.truncate(table.fields_of_records());
        self.blocks = Blocks::new(self.text, self.record_start);
    }
}

struct ReadRecords<'r, 'a> {
    reader: &'r mut RecordReader<'a>,
    rows: usize,
    table: &'r mut FieldTable,
    malformed: &'r mut Vec<MalformedRecord>,
}

impl Pass for ReadRecords<'_, '_> {
    type Output = bool;

    #[inline(always)]
    fn run(self, finder: impl Finder) -> bool {
        let Self { reader, rows, table, malformed } = self;
        while table.len() < rows {
            let Some((base, marks)) = reader.blocks.next(finder) else {
                reader.finish(table, malformed);
                return false;
            };
            reader.read_block(finder, base, marks, table, malformed);
        }
        // A record that the block left unfinished starts anew in the next table.
        reader.rewind_to_record_start(table);
        true
    }
}

/// The bytes of a range of a text.
#[inline(always)]
pub(crate) fn bytes(text: &[u8], range: Range<u32>) -> &[u8] {
    &text[range.start as usize..range.end as usize]
}

#[inline]
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields of the sound records and numbers of the malformed ones.
    type Records = (Vec<Vec<String>>, Vec<(u32, Malformed)>);

    fn read(text: &str, fields: usize, rows: usize) -> Records {
        let mut reader = RecordReader::new(text.as_bytes(), fields);
        let (mut table, mut malformed) = (FieldTable::default(), Vec::new());
        let mut records = Vec::new();
        let mut scratch = Vec::new();
        loop {
            let more = reader.read(rows, &mut table, &mut malformed);
            for row in 0..table.len() {
                let field = |column| {
                    let field = table.field(text.as_bytes(), row, column);
                    String::from_utf8(crate::csv::content(field, &mut scratch).to_vec()).unwrap()
                };
                records.push((0..fields).map(field).collect());
            }
            if !more {
                break;
            }
        }
        (records, malformed.iter().map(|m| (m.number, m.malformed)).collect())
    }

    fn reference(text: &str) -> Vec<Vec<String>> {
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn verdicts_on_odd_records() {
        use Malformed::{BareCarriageReturn, FieldCount, TextAfterQuote};
        for (text, sound, malformed) in [
            ("a,b\n", 1, vec![]),
            ("a,b", 1, vec![]),
            ("a,b\r\n\r\n\nc,d\r\n", 2, vec![]),
            ("\"a\"x,b\nc,d\n", 1, vec![(0, TextAfterQuote)]),
            ("\"a\\\"b\",c\nd,e\n", 1, vec![(0, TextAfterQuote)]),
            ("a\"b,{\"k\":1}\nc,d\n", 2, vec![]),
            ("a\"b,c\"d\n", 1, vec![]),
            ("a\rb,c\nd,e\n", 1, vec![(0, BareCarriageReturn)]),
            ("a,b\r", 0, vec![(0, BareCarriageReturn)]),
            ("a,b\r\r\nc,d\n", 1, vec![(0, BareCarriageReturn)]),
            ("a\nb,c\nd,e,f\n", 1, vec![(0, FieldCount(1)), (2, FieldCount(3))]),
            ("a,b\n,\n", 2, vec![]),
            ("\"a\n\r\nb\",\"c,\"\"d\"\"\"\n", 1, vec![]),
        ] {
            for rows in [1, 2, 1000] {
                let (records, found) = read(text, 2, rows);
                assert_eq!((records.len(), &found), (sound, &malformed), "{text:?}");
            }
            let count = sound as u64 + malformed.len() as u64;
            assert_eq!(bounds(text.as_bytes(), true).records, count, "{text:?}");
        }
    }

    #[test]
    fn an_open_quote_is_seen() {
        for text in ["a,\"b", "a,b\n\"c\"\"", "\"", "a\"b,\"\n\n"] {
            assert!(bounds(text.as_bytes(), true).is_inside_quotes, "{text:?}");
        }
        assert!(!bounds(b"a,\"b\"", true).is_inside_quotes);
    }

    fn field() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z ]{0,70}", "[a-z\u{e9}]{0,3}", "\"([a-z,\n]|\r\n|\"\"){0,80}\"",]
    }

    fn text() -> impl Strategy<Value = String> {
        let record = (prop::collection::vec(field(), 3), prop_oneof!["\n", "\r\n"]);
        prop::collection::vec(record, 0..12).prop_map(|records| {
            records.into_iter().map(|(fields, end)| fields.join(",") + &end).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn sound_text_reads_as_the_csv_crate_does(text in text(), rows in 1_usize..5) {
            let (records, malformed) = read(&text, 3, rows);
            prop_assert_eq!(&records, &reference(&text));
            prop_assert!(malformed.is_empty());
        }

        #[test]
        fn records_tile_any_text(text in "[a,\"\n\r]{0,200}") {
            let whole = bounds(text.as_bytes(), true);
            let (records, malformed) = read(&text[..whole.end], 2, 1);
            prop_assert_eq!(whole.records, (records.len() + malformed.len()) as u64);
            let part = bounds(text.as_bytes(), false);
            prop_assert!(part.end <= whole.end);
            let rest = bounds(&text.as_bytes()[part.end..], true);
            prop_assert_eq!(part.records + rest.records, whole.records);
            prop_assert_eq!(part.blank_lines + rest.blank_lines, whole.blank_lines);
        }
    }
}
