//! One blob of a report: byte-order mark, header, then chunks of whole records.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crate::csv::{self, FieldTable, RecordReader};
use crate::decode::DateFormats;
use crate::error::{Error, printable};
use crate::header::Binding;

/// Bytes of a chunk by default. One chunk becomes one row group: about 20,000 rows of a real file.
pub const DEFAULT_CHUNK_BYTES: usize = 16 << 20;
/// A header line is never longer; the widest real one has 2,600 bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Lines before the header are never more: a title and what belongs to it.
const MAX_TITLE_LINES: u32 = 4;
/// A record is never longer; real ones have some thousand bytes.
const MAX_RECORD_BYTES: usize = 128 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How to read a blob.
#[derive(Clone, Debug)]
pub struct BlobOptions {
    /// The ordinal of the blob within its report.
    pub ordinal: i32,
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
    buffer: Vec<u8>,
    /// Where the buffer starts within the blob.
    offset: u64,
    binding: Option<Arc<Binding>>,
    header: Vec<u8>,
    plan: Option<Arc<Plan>>,
    summary: BlobSummary,
}

/// What a blob was, once it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobSummary {
    /// All its bytes.
    pub bytes: u64,
    /// Records, the header not counted.
    pub records: u64,
    /// Empty lines.
    pub blank_lines: u64,
    /// Lines before the header.
    pub title_lines: u32,
    /// Whether a second byte-order mark stood behind the header.
    pub has_second_mark: bool,
}

/// Everything that the chunks of one blob share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) binding: Arc<Binding>,
    pub(crate) ordinal: i32,
    pub(crate) currency: Option<String>,
    pub(crate) dates: DateFormats,
    /// The header line, to know it when it comes again.
    pub(crate) header: Vec<u8>,
}

/// Some whole records of a blob. [`Chunk::decode`] runs on any thread.
#[derive(Debug)]
pub struct Chunk {
    pub(crate) plan: Arc<Plan>,
    pub(crate) text: Vec<u8>,
    /// Where the text starts within the blob.
    pub(crate) byte_offset: u64,
    /// How many records come before it.
    pub(crate) records_before: u64,
    pub(crate) blank_lines: u64,
}

impl Chunk {
    /// How many bytes of the blob the chunk holds.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl BlobReader {
    /// A reader at the start of a blob.
    pub fn new(options: BlobOptions) -> Self {
        Self {
            options,
            buffer: Vec::new(),
            offset: 0,
            binding: None,
            header: Vec::new(),
            plan: None,
            summary: BlobSummary::default(),
        }
    }

    /// What the header means, once it was read.
    pub fn binding(&self) -> Option<&Arc<Binding>> {
        self.binding.as_ref()
    }

    /// Takes bytes off the front of `input`; returns a chunk as soon as one is full. Call again until
    /// `input` is empty.
    ///
    /// # Errors
    /// Whatever refuses the file whole.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Chunk>, Error> {
        while !input.is_empty() {
            let room = self.target_bytes().saturating_sub(self.buffer.len());
            let (taken, rest) = input.split_at(room.min(input.len()));
            self.buffer.extend_from_slice(taken);
            self.summary.bytes += taken.len() as u64;
            *input = rest;
            if self.binding.is_none() && !self.take_header(false)? {
                continue;
            }
            if self.buffer.len() >= self.options.chunk_bytes
                && let Some(chunk) = self.cut()?
            {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Ends the blob: the last chunk, if there are records left, and what the blob was.
    ///
    /// # Errors
    /// Whatever refuses the file whole: no header, or an end inside quotes.
    pub fn finish(mut self) -> Result<(Option<Chunk>, BlobSummary), Error> {
        if self.binding.is_none() {
            self.take_header(true)?;
        }
        let bounds = csv::bounds(&self.buffer, true);
        if bounds.is_inside_quotes {
            return Err(Error::UnclosedQuote {
                record: self.summary.records + bounds.records + 1,
                byte_offset: self.offset + bounds.end as u64,
            });
        }
        let text = mem::take(&mut self.buffer);
        let chunk = (bounds.records > 0).then(|| self.chunk(text, bounds)).transpose()?;
        if chunk.is_none() {
            self.summary.blank_lines += bounds.blank_lines;
        }
        Ok((chunk, self.summary))
    }

    /// How many bytes the buffer is to hold: a chunk, or more while a record does not end.
    fn target_bytes(&self) -> usize {
        let full = self.buffer.len() >= self.options.chunk_bytes;
        if full { self.buffer.len() * 2 } else { self.options.chunk_bytes }
    }

    fn cut(&mut self) -> Result<Option<Chunk>, Error> {
        let bounds = csv::bounds(&self.buffer, false);
        if bounds.end == 0 {
            return if self.buffer.len() >= MAX_RECORD_BYTES.max(self.options.chunk_bytes) {
                Err(Error::RecordTooLong {
                    record: self.summary.records + 1,
                    byte_offset: self.offset,
                    limit_bytes: self.buffer.len(),
                })
            } else {
                Ok(None)
            };
        }
        let mut rest = Vec::with_capacity(self.options.chunk_bytes);
        rest.extend_from_slice(&self.buffer[bounds.end..]);
        self.buffer.truncate(bounds.end);
        let text = mem::replace(&mut self.buffer, rest);
        self.chunk(text, bounds).map(Some)
    }

    fn chunk(&mut self, text: Vec<u8>, bounds: csv::Bounds) -> Result<Chunk, Error> {
        let plan = self.plan(&text)?;
        let chunk = Chunk {
            plan,
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

    /// The plan of the blob, made when its first records are known.
    fn plan(&mut self, text: &[u8]) -> Result<Arc<Plan>, Error> {
        if let Some(plan) = &self.plan {
            return Ok(Arc::clone(plan));
        }
        let binding = self.binding.clone().ok_or(Error::Empty)?;
        let plan = Arc::new(Plan {
            dates: DateFormats::decide(&binding, text),
            ordinal: self.options.ordinal,
            currency: self.options.currency.clone(),
            header: mem::take(&mut self.header),
            binding,
        });
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Takes the header line off the buffer, if it is whole, with the title lines before it.
    fn take_header(&mut self, is_last: bool) -> Result<bool, Error> {
        check_encoding(&self.buffer, is_last)?;
        let has_currency = self.options.currency.is_some();
        let Some(found) = find_header(&self.buffer, has_currency, is_last)? else {
            return Ok(false);
        };
        self.header = without_line_end(&self.buffer[found.range.clone()]).to_vec();
        self.binding = Some(Arc::new(found.binding));
        self.summary.title_lines = found.title_lines;
        self.drop_front(found.range.end);
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.summary.has_second_mark = true;
            self.drop_front(BYTE_ORDER_MARK.len());
        }
        Ok(true)
    }

    fn drop_front(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        self.offset += bytes as u64;
    }
}

/// The header line of a buffer, its line end included.
struct FoundHeader {
    range: Range<usize>,
    binding: Binding,
    title_lines: u32,
}

/// Finds the header by its names: files of the retired usage API have a title line before it
/// (`azure-apis.md`, 3). `None` if more bytes are needed to tell.
fn find_header(
    buffer: &[u8],
    has_currency: bool,
    is_last: bool,
) -> Result<Option<FoundHeader>, Error> {
    let mark = if buffer.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let window = &buffer[..buffer.len().min(MAX_HEADER_BYTES)];
    let mut start = mark;
    let mut no_header = None;
    for title_lines in 0..=MAX_TITLE_LINES {
        let rest = window.get(start..).unwrap_or_default();
        start += rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        let Some(length) = first_record_end(&window[start..], is_last) else {
            let may_follow = !is_last && window.len() < MAX_HEADER_BYTES;
            return match no_header {
                _ if may_follow => Ok(None),
                Some(error) => Err(error),
                None => Err(header_error(&buffer[mark..], window.len())),
            };
        };
        let range = start..start + length;
        match bind_line(&window[range.clone()], has_currency) {
            Ok(binding) => return Ok(Some(FoundHeader { range, binding, title_lines })),
            Err(error @ Error::NoHeader { .. }) => no_header = no_header.or(Some(error)),
            Err(error) => return Err(error),
        }
        start += length;
    }
    Err(no_header.unwrap_or(Error::Empty))
}

fn bind_line(line: &[u8], has_currency: bool) -> Result<Binding, Error> {
    Binding::of_header(&header_names(line)?, has_currency)
}

fn header_error(text: &[u8], limit_bytes: usize) -> Error {
    if text.iter().all(u8::is_ascii_whitespace) {
        Error::Empty
    } else {
        Error::HeaderTooLong { limit_bytes }
    }
}

/// Where the first record ends, if it does. A second byte-order mark is waited for.
fn first_record_end(text: &[u8], is_last: bool) -> Option<usize> {
    let mut end = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        end += line.len();
        let bounds = csv::bounds(&text[..end], is_last && end == text.len());
        let mark_may_follow = !is_last && text.len() < end + BYTE_ORDER_MARK.len();
        if bounds.records > 0 && bounds.end == end {
            return (!mark_may_follow).then_some(end);
        }
    }
    None
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn check_encoding(text: &[u8], is_last: bool) -> Result<(), Error> {
    let found = |found: &str| Err(Error::Encoding { found: found.to_owned() });
    if text.len() < 4 && !is_last {
        return Ok(());
    }
    match text {
        [0xff, 0xfe, ..] => return found("UTF-16 (little endian)"),
        [0xfe, 0xff, ..] => return found("UTF-16 (big endian)"),
        [0x1f, 0x8b, ..] => return found("gzip data"),
        [b'P', b'K', 3, 4, ..] => return found("a zip archive"),
        [b'P', b'A', b'R', b'1', ..] => return found("a Parquet file"),
        [first, 0, second, 0, ..] if first.is_ascii() && second.is_ascii() => {
            return found("UTF-16 without a byte-order mark");
        }
        _ => {}
    }
    let start = text.trim_ascii_start();
    let what = match start {
        [b'<', b'?', b'x' | b'X', ..] => "an XML page",
        [b'<', ..] => "an HTML page",
        _ => return Ok(()),
    };
    Err(Error::Markup { what, start: printable(start, 40) })
}

fn header_names(line: &[u8]) -> Result<Vec<String>, Error> {
    let line = without_line_end(line);
    let mut field_count = 1;
    let (mut table, mut malformed) = (FieldTable::default(), Vec::new());
    RecordReader::new(line, field_count).read(1, &mut table, &mut malformed);
    if let Some(record) = malformed.first()
        && let csv::Malformed::FieldCount(count) = record.malformed
    {
        field_count = count;
        RecordReader::new(line, field_count).read(1, &mut table, &mut malformed);
    }
    if table.len() == 0 {
        return Err(Error::NoHeader { start: printable(line, 60) });
    }
    let mut scratch = Vec::new();
    (0..field_count)
        .map(|field| {
            let content = csv::content(table.field(line, 0, field), &mut scratch);
            String::from_utf8(content.to_vec()).map_err(|_| Error::Encoding {
                found: format!("other bytes in header {}", field + 1),
            })
        })
        .collect()
}
