//! One blob of a report: byte-order mark, header, then chunks of whole records.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use costlake_model::Metric;

use crate::buffers::{Buffers, Text};
use crate::csv;
use crate::decode::DateFormats;
use crate::error::{Error, printable};
use crate::header::{Binding, Given};

/// Bytes of a chunk by default, about 10,000 rows of a real file. Larger chunks repeat less in what is
/// found out for each (6 % of the time with 16 MiB), and take more memory (85 MiB on two cores).
pub const DEFAULT_CHUNK_BYTES: usize = 8 << 20;
/// A header line is never longer; the widest real one has 2,600 bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Lines before the header are never more: a title and what belongs to it.
const MAX_TITLE_LINES: usize = 4;
/// How many bytes are looked at first for a header; twice as many each time that it is not whole.
const HEADER_STEP_BYTES: usize = 4096;
/// How many records are located at a time.
const RANGE_ROWS: usize = 1024;
/// A record is never longer; real ones have some thousand bytes.
const MAX_RECORD_BYTES: usize = 128 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How to read a blob.
#[derive(Clone, Debug)]
pub struct BlobOptions {
    /// The ordinal of the blob within its report.
    pub ordinal: i32,
    /// The view that is asked for: a FOCUS file shows both.
    pub metric: Metric,
    /// The billing currency, for files that have no such column.
    pub currency: Option<String>,
    /// Bytes of a chunk. Part of the format: other chunks give other row groups.
    pub chunk_bytes: usize,
}

/// Cuts a blob, fed in pieces of any size, into chunks of whole records.
///
/// Chunks depend on the bytes of the blob alone, not on how they were fed.
#[derive(Debug)]
pub struct BlobReader {
    options: BlobOptions,
    buffer: Text,
    /// Where the buffer starts within the blob.
    offset: u64,
    /// How many bytes the buffer is to hold before it is looked at: some for the header, then a chunk,
    /// more while a record does not end. It makes the chunks depend on the bytes alone.
    target: usize,
    binding: Option<Arc<Binding>>,
    dates: DateFormats,
    plan: Option<Arc<Plan>>,
    summary: BlobSummary,
}

/// What a blob was, once it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobSummary {
    /// All its bytes.
    pub bytes: u64,
    /// Bytes before the first record: byte-order marks, titles, the header, empty lines.
    pub head_bytes: u64,
    /// Bytes behind the last chunk: empty lines.
    pub tail_bytes: u64,
    /// Records, the header not counted.
    pub records: u64,
    /// Empty lines.
    pub blank_lines: u64,
    /// Lines before the header.
    pub title_lines: u32,
    /// Whether a second byte-order mark stood behind the header.
    pub has_second_mark: bool,
    /// What the header means; header-only files have one too.
    pub binding: Option<Arc<Binding>>,
}

/// Everything that the chunks of one blob share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) binding: Arc<Binding>,
    pub(crate) ordinal: i32,
    pub(crate) currency: Option<String>,
    pub(crate) dates: DateFormats,
    /// Which of the columns whose values repeat are best read together, once a chunk has shown it.
    pub(crate) groups: OnceLock<Vec<Range<usize>>>,
}

/// Some whole records of a blob. [`Chunk::decode`] runs on any thread.
#[derive(Debug)]
pub struct Chunk {
    pub(crate) plan: Arc<Plan>,
    pub(crate) text: Text,
    /// Where the text starts within the blob.
    pub(crate) byte_offset: u64,
    /// How many records come before it.
    pub(crate) records_before: u64,
    pub(crate) blank_lines: u64,
}

impl BlobReader {
    /// A reader at the start of a blob.
    pub fn new(options: BlobOptions) -> Self {
        Self::with_buffers(options, &Buffers::default())
    }

    /// A reader at the start of a blob, whose chunks take their memory from `buffers` and give it back
    /// when they are dropped.
    pub fn with_buffers(options: BlobOptions, buffers: &Buffers) -> Self {
        Self {
            buffer: buffers.take(options.chunk_bytes),
            options,
            offset: 0,
            target: HEADER_STEP_BYTES,
            binding: None,
            dates: DateFormats::default(),
            plan: None,
            summary: BlobSummary::default(),
        }
    }

    /// What the header means, once it was read.
    pub fn binding(&self) -> Option<&Arc<Binding>> {
        self.binding.as_ref()
    }

    /// Takes bytes off the front of `input`; returns a chunk as soon as one is full. Call again until
    /// it returns `None`: then all of `input` is taken.
    ///
    /// # Errors
    /// Whatever refuses the file whole.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Chunk>, Error> {
        loop {
            if let Some(chunk) = self.next_chunk()? {
                return Ok(Some(chunk));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let room = self.room();
            let (taken, rest) = input.split_at(room.len().min(input.len()));
            room[..taken.len()].copy_from_slice(taken);
            self.advance(taken.len());
            *input = rest;
        }
    }

    /// Room for bytes that come next, at least one, unless a chunk is full. A source reads into it,
    /// which spares the copy that [`Self::feed`] makes.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.room(self.target)
    }

    /// Takes the first bytes of the room. Call [`Self::next_chunk`] then.
    pub fn advance(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.summary.bytes += bytes as u64;
    }

    /// Returns a chunk if one is full; `None` if more bytes are needed.
    ///
    /// # Errors
    /// Whatever refuses the file whole.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        while self.buffer.len() >= self.target {
            if self.binding.is_none() {
                self.take_header(false)?;
            } else if let Some(chunk) = self.cut()? {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Ends the blob: the chunks that are left, as a rule one or none, and what the blob was.
    ///
    /// # Errors
    /// Whatever refuses the file whole: no header, or an end inside quotes.
    pub fn finish(mut self) -> Result<(Vec<Chunk>, BlobSummary), Error> {
        if self.binding.is_none() {
            self.take_header(true)?;
        }
        let mut chunks = Vec::new();
        while self.buffer.len() >= self.target {
            chunks.extend(self.cut()?);
        }
        let bounds = csv::bounds(&self.buffer, true);
        if bounds.is_inside_quotes {
            return Err(Error::UnclosedQuote {
                record: self.summary.records + bounds.records + 1,
                byte_offset: self.offset + bounds.end as u64,
            });
        }
        if bounds.records > 0 {
            let text = mem::take(&mut self.buffer);
            chunks.push(self.chunk(text, bounds)?);
        } else {
            self.summary.blank_lines += bounds.blank_lines;
            self.summary.tail_bytes = self.buffer.len() as u64;
        }
        self.summary.binding = self.binding;
        Ok((chunks, self.summary))
    }

    /// Cuts the whole records off the first `target` bytes; `None` if there is not even one.
    fn cut(&mut self) -> Result<Option<Chunk>, Error> {
        let bounds = csv::bounds(&self.buffer[..self.target], false);
        if bounds.end == 0 {
            if self.target >= MAX_RECORD_BYTES.max(self.options.chunk_bytes) {
                return Err(Error::RecordTooLong {
                    record: self.summary.records + 1,
                    byte_offset: self.offset,
                    limit_bytes: self.target,
                });
            }
            self.target *= 2;
            return Ok(None);
        }
        self.target = self.options.chunk_bytes;
        let rest = self.buffer.split_off(bounds.end, self.target);
        let text = mem::replace(&mut self.buffer, rest);
        self.chunk(text, bounds).map(Some)
    }

    fn chunk(&mut self, text: Text, bounds: csv::Bounds) -> Result<Chunk, Error> {
        let chunk = Chunk {
            plan: self.plan(&text)?,
            byte_offset: self.offset,
            records_before: self.summary.records,
            blank_lines: bounds.blank_lines,
            text,
        };
        self.offset += chunk.text.len() as u64;
        self.summary.records += bounds.records;
        self.summary.blank_lines += bounds.blank_lines;
        Ok(chunk)
    }

    /// The plan for a chunk: that of the chunk before, unless a date column has its first value here.
    fn plan(&mut self, text: &[u8]) -> Result<Arc<Plan>, Error> {
        let binding = self.binding.as_ref().ok_or(Error::Empty)?;
        let has_news = self.dates.decide(binding, text);
        if let Some(plan) = self.plan.as_ref().filter(|_| !has_news) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan {
            binding: Arc::clone(binding),
            ordinal: self.options.ordinal,
            currency: self.options.currency.clone(),
            dates: self.dates.clone(),
            groups: OnceLock::new(),
        });
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Takes the header line off the buffer, with the title lines before it; waits for more bytes if
    /// it is not whole.
    fn take_header(&mut self, is_last: bool) -> Result<(), Error> {
        check_encoding(&self.buffer)?;
        let given =
            Given { metric: self.options.metric, has_currency: self.options.currency.is_some() };
        let Some(found) = find_header(&self.buffer, given, is_last)? else {
            self.target *= 2;
            return Ok(());
        };
        self.binding = Some(Arc::new(found.binding));
        self.target = self.options.chunk_bytes;
        self.summary.title_lines = found.title_lines;
        self.summary.blank_lines = found.blank_lines;
        self.drop_front(found.end);
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.summary.has_second_mark = true;
            self.drop_front(BYTE_ORDER_MARK.len());
        }
        self.summary.head_bytes = self.offset;
        Ok(())
    }

    fn drop_front(&mut self, bytes: usize) {
        self.buffer.drop_front(bytes);
        self.offset += bytes as u64;
    }
}

impl Chunk {
    /// Where its records lie within the blob, in order, line ends left out: together with line ends,
    /// empty lines and what stands before the first record they are the blob, byte for byte.
    pub fn record_ranges(&self) -> Vec<Range<u64>> {
        let mut reader = csv::RecordReader::new(&self.text, self.plan.binding.field_count);
        let (mut table, mut malformed) = (csv::FieldTable::default(), Vec::new());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut has_more = true;
        while has_more {
            has_more = reader.read(RANGE_ROWS, &mut table, &mut malformed);
            let range = |row| {
                let start = table.start(row);
                start..start + table.record(&self.text, row).len()
            };
            ranges.extend((0..table.len()).map(range));
            ranges.extend(malformed.drain(..).map(|record| record.start..record.end));
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let offset = |at: usize| self.byte_offset + at as u64;
        ranges.into_iter().map(|range| offset(range.start)..offset(range.end)).collect()
    }
}

/// A title says one thing or two; a line with more to say is a row, and rows are never passed over.
fn is_title(fields: &[String]) -> bool {
    fields.iter().filter(|field| !field.trim().is_empty()).count() < 3
}

fn header_error(text: &[u8], limit_bytes: usize) -> Error {
    if text.iter().all(u8::is_ascii_whitespace) {
        Error::Empty
    } else {
        Error::HeaderTooLong { limit_bytes }
    }
}

/// The header line of a buffer.
struct FoundHeader {
    /// Where it ends, its line end included.
    end: usize,
    binding: Binding,
    title_lines: u32,
    blank_lines: u64,
}

/// Finds the header by its names: files of the retired usage API have a title line before it
/// (`azure-apis.md`, 3). `None` if more bytes are needed to tell.
fn find_header(buffer: &[u8], given: Given, is_last: bool) -> Result<Option<FoundHeader>, Error> {
    let mark = if buffer.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let window = &buffer[..buffer.len().min(MAX_HEADER_BYTES)];
    let (mut start, mut blank_lines) = (mark, 0);
    let mut titles: Vec<Error> = Vec::new();
    loop {
        let rest = window.get(start..).unwrap_or_default();
        let blank = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        blank_lines += rest[..blank].iter().filter(|b| **b == b'\n').count() as u64;
        start += blank;
        let end = csv::first_record_end(&window[start..], is_last).map(|length| start + length);
        // Behind the header there may be a second byte-order mark, of which some bytes are not here yet.
        let may_mark = |end: &usize| {
            let rest = &window[*end..];
            rest.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(rest)
        };
        let Some(end) = end.filter(|end| is_last || !may_mark(end)) else {
            return match titles.into_iter().next() {
                _ if !is_last && window.len() < MAX_HEADER_BYTES => Ok(None),
                Some(error) => Err(error),
                None => Err(header_error(&buffer[mark..], window.len())),
            };
        };
        let names = header_names(&window[start..end])?;
        match Binding::of_header(&names, given) {
            Ok(binding) => {
                let title_lines = u32::try_from(titles.len()).unwrap_or(u32::MAX);
                return Ok(Some(FoundHeader { end, binding, title_lines, blank_lines }));
            }
            Err(error @ Error::NoHeader { .. }) if is_title(&names) => titles.push(error),
            Err(error) => return Err(error),
        }
        if titles.len() > MAX_TITLE_LINES {
            return Err(titles.swap_remove(0));
        }
        start = end;
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn check_encoding(text: &[u8]) -> Result<(), Error> {
    let found = |found: &str| Err(Error::Encoding { found: found.to_owned() });
    match text {
        [0xff, 0xfe, ..] => return found("UTF-16 (little endian)"),
        [0xfe, 0xff, ..] => return found("UTF-16 (big endian)"),
        [0x1f, 0x8b, ..] => return found("gzip data"),
        [0, 0, ..] => return found("zero bytes"),
        [b'P', b'K', 3, 4, ..] => return found("a zip archive"),
        [b'P', b'A', b'R', b'1', ..] => return found("a Parquet file"),
        _ if looks_like_utf16(text) => return found("UTF-16 without a byte-order mark"),
        _ => {}
    }
    let start = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start();
    let what = match start {
        [b'<', b'?', b'x' | b'X', ..] => "an XML page",
        [b'<', ..] => "an HTML page",
        _ => return Ok(()),
    };
    Err(Error::Markup { what, start: printable(start, 40) })
}

/// Whether every other of the first bytes is zero for the most part: most letters of a header are ASCII.
fn looks_like_utf16(text: &[u8]) -> bool {
    let start = &text[..text.len().min(64)];
    let zeros = |parity: usize| start.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    even.max(odd) * 4 > start.len() && even.min(odd) * 4 <= even.max(odd)
}

fn header_names(line: &[u8]) -> Result<Vec<String>, Error> {
    let mut scratch = Vec::new();
    let (fields, malformed) = csv::fields(without_line_end(line));
    if malformed.is_some() {
        return Err(Error::NoHeader { start: printable(line, 60) });
    }
    let name = |(at, field): (usize, &[u8])| {
        let content = csv::content(field, &mut scratch);
        String::from_utf8(content.to_vec())
            .map_err(|_| Error::Encoding { found: format!("other bytes in header {}", at + 1) })
    };
    fields.into_iter().enumerate().map(name).collect()
}
