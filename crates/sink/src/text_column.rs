//! Dictionary arrays to column chunks of text, straight from their codes.
//!
//! parquet's own writer hashes every value again and compares it with the least and the greatest so
//! far. Here a row costs a look at a table by its key, and a value is hashed once per batch:
//!
//! ```text
//! keys of a batch  ─ table ─▶  codes of the row group, in the order of first use  ─▶  pages of codes
//!                                                                                └─▶  dictionary, at the end
//! values that do not repeat  ─ row by row ─▶  plain pages
//! ```

use std::hash::{BuildHasher, Hasher};

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use crate::column_chunk::{
    ColumnChunk, ColumnChunkWriter, FEW_NEW_VALUES, PAGE_ROWS, PageFacts, Scratch, nulls_of, number,
};
use crate::hybrid::{Levels, code_width, put_codes};

/// From this size on, a page of plain values ends.
const PLAIN_PAGE_BYTES: usize = 1024 * 1024;
/// A key that was not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// A column of text in a row group in the making.
pub(crate) struct TextColumn {
    chunk: ColumnChunkWriter<Box<str>>,
    dictionary: Dictionary,
    /// How large the dictionary may become.
    dictionary_bytes: usize,
    pages: Pages,
    page: PageInMaking,
}

/// How the pages from here on are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pages {
    Codes,
    Plain,
}

/// A page in the making: either its codes are filled, or its text.
#[derive(Default)]
struct PageInMaking {
    levels: Levels,
    /// The code of each row that is not null.
    codes: Vec<u32>,
    /// The codes of the least and the greatest value.
    bounds: Option<(u32, u32)>,
    /// The values of the dictionary before this page.
    known: usize,
    text: Vec<u8>,
    text_bounds: Option<(Box<str>, Box<str>)>,
    value_bytes: usize,
}

impl TextColumn {
    pub(crate) fn new(column: ColumnDescPtr, dictionary_bytes: usize) -> Self {
        Self {
            chunk: ColumnChunkWriter::new(column),
            dictionary: Dictionary::default(),
            dictionary_bytes,
            pages: Pages::Codes,
            page: PageInMaking::default(),
        }
    }

    /// The bytes that are held for the column.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk.bytes() + self.dictionary.body.len() + self.page.text.len()
    }

    /// Appends the rows of an array. Values that no row uses are left out.
    pub(crate) fn append(
        &mut self,
        array: &DictionaryArray<Int32Type>,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        let values: &StringArray = array.values().as_string_opt().ok_or_else(|| {
            ParquetError::General(format!("column {} is not text", self.chunk.column().name()))
        })?;
        let nulls = nulls_of(array, self.chunk.column())?;
        let keys: &[i32] = array.keys().values();
        scratch.keys.begin_batch(values.len());
        let mut start = 0;
        while start < keys.len() {
            let rows = (keys.len() - start).min(PAGE_ROWS - self.page.levels.rows());
            let nulls = nulls.as_ref().map(|nulls| nulls.slice(start, rows));
            let keys = &keys[start..start + rows];
            match self.pages {
                Pages::Codes => {
                    self.append_codes(keys, values, nulls.as_ref(), &mut scratch.keys)?
                }
                Pages::Plain => self.append_plain(keys, values, nulls.as_ref(), scratch)?,
            }
            if self.page.levels.rows() == PAGE_ROWS {
                self.end_page(scratch)?;
            }
            start += rows;
        }
        Ok(())
    }

    /// Returns the column chunk.
    pub(crate) fn close(mut self, scratch: &mut Scratch) -> Result<ColumnChunk, ParquetError> {
        if self.page.levels.rows() > 0 {
            self.end_page(scratch)?;
        }
        let values = self.dictionary.len();
        let dictionary = (values > 0).then_some((self.dictionary.body.as_slice(), values));
        self.chunk.close(dictionary, &mut scratch.compressor)
    }

    fn append_codes(
        &mut self,
        keys: &[i32],
        values: &StringArray,
        nulls: Option<&NullBuffer>,
        table: &mut KeyTable,
    ) -> Result<(), ParquetError> {
        self.page.levels.append(nulls, keys.len());
        if nulls.is_some_and(|nulls| nulls.null_count() == keys.len()) {
            return Ok(());
        }
        table.begin_page();
        let mut rows =
            Rows { values, table, dictionary: &mut self.dictionary, page: &mut self.page };
        match nulls {
            Some(nulls) => nulls.valid_indices().try_for_each(|row| rows.push(keys[row])),
            None => rows.push_all(keys),
        }
    }

    fn append_plain(
        &mut self,
        keys: &[i32],
        values: &StringArray,
        nulls: Option<&NullBuffer>,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        for (row, key) in keys.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.page.levels.append_same(1, false);
                continue;
            }
            let key = usize::try_from(*key).ok().filter(|key| *key < values.len());
            let text = key.map(|key| values.value(key)).ok_or_else(outside)?;
            self.push_plain(text, scratch)?;
        }
        Ok(())
    }

    fn push_plain(&mut self, text: &str, scratch: &mut Scratch) -> Result<(), ParquetError> {
        let page = &mut self.page;
        page.levels.append_same(1, true);
        put_plain(&mut page.text, text.as_bytes())?;
        page.value_bytes += text.len();
        match &mut page.text_bounds {
            Some((min, _)) if *text < **min => *min = text.into(),
            Some((_, max)) if *text > **max => *max = text.into(),
            Some(_) => {}
            None => page.text_bounds = Some((text.into(), text.into())),
        }
        if page.text.len() >= PLAIN_PAGE_BYTES { self.end_plain_page(scratch) } else { Ok(()) }
    }

    fn end_page(&mut self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        match self.pages {
            Pages::Plain => self.end_plain_page(scratch),
            Pages::Codes if self.pays() => self.end_page_of_codes(scratch),
            Pages::Codes => self.give_up_codes(scratch),
        }
    }

    /// Whether a dictionary makes the page smaller. In 40,000 rows of random resource ids, tags and
    /// GUIDs (`examples/encode.rs`), KB of a chunk by how many rows share a value on the average:
    ///
    /// ```text
    ///                                      1.0             1.2             1.5             2.0
    /// dictionary, plain from 1 MiB on  737 630 874     704 602 740     673 575 606     642 545 475
    /// plain throughout                 719 592 797     719 588 789     713 582 780
    /// dictionary of any size                           651 571 740     536 470 606     425 372 477
    /// ```
    ///
    /// Codes of values that do not repeat are what costs: 16 bits that do not compress. Between 1.0,
    /// where plain is smaller, and 1.2, where a dictionary is, the line is a choice: 8 rows for 7 values.
    /// On like data, pyarrow at zstd level 1 takes 721 593 803 for plain pages, 706 600 722 for
    /// `DELTA_LENGTH_BYTE_ARRAY` and 669 599 738 for `DELTA_BYTE_ARRAY`: too little, for rare columns.
    fn pays(&self) -> bool {
        let (new, rows) = (self.dictionary.len() - self.page.known, self.page.codes.len());
        let repeats = new < FEW_NEW_VALUES || new * 8 <= rows * 7;
        repeats && self.dictionary.body.len() <= self.dictionary_bytes
    }

    fn end_page_of_codes(&mut self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        let page = &mut self.page;
        let body = &mut scratch.body;
        self.chunk.begin_page(body, &page.levels)?;
        let facts = PageFacts {
            rows: page.levels.rows(),
            nulls: page.levels.nulls(),
            bounds: match page.bounds {
                Some((min, max)) => {
                    Some((self.dictionary.owned(min)?, self.dictionary.owned(max)?))
                }
                None => None,
            },
            value_bytes: Some(page.value_bytes),
        };
        // Codes need a dictionary to be read, even if there are none.
        let mut encoding = Encoding::PLAIN;
        if self.dictionary.len() > 0 {
            encoding = Encoding::RLE_DICTIONARY;
            let width = code_width(self.dictionary.len());
            body.push(number(width)?);
            put_codes(body, &page.codes, width);
        }
        self.chunk.data_page(body, encoding, facts, &mut scratch.compressor)?;
        page.codes.clear();
        page.levels = Levels::default();
        page.bounds = None;
        page.value_bytes = 0;
        page.known = self.dictionary.len();
        Ok(())
    }

    /// Writes this page and all others plain. The dictionary keeps what earlier pages use.
    fn give_up_codes(&mut self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        self.pages = Pages::Plain;
        let page = std::mem::take(&mut self.page);
        let dictionary = std::mem::take(&mut self.dictionary);
        let mut codes = page.codes.iter();
        for row in 0..page.levels.rows() {
            match codes.as_slice().first().filter(|_| page.levels.is_value(row)) {
                Some(code) => {
                    self.push_plain(text_of(dictionary.value(*code))?, scratch)?;
                    codes.next();
                }
                None => self.page.levels.append_same(1, false),
            }
        }
        self.dictionary = dictionary;
        self.dictionary.close_at(page.known);
        if self.page.levels.rows() > 0 { self.end_plain_page(scratch) } else { Ok(()) }
    }

    fn end_plain_page(&mut self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        let page = &mut self.page;
        self.chunk.begin_page(&mut scratch.body, &page.levels)?;
        scratch.body.extend_from_slice(&page.text);
        let facts = PageFacts {
            rows: page.levels.rows(),
            nulls: page.levels.nulls(),
            bounds: page.text_bounds.take(),
            value_bytes: Some(page.value_bytes),
        };
        self.chunk.data_page(&scratch.body, Encoding::PLAIN, facts, &mut scratch.compressor)?;
        page.text.clear();
        page.levels = Levels::default();
        page.value_bytes = 0;
        Ok(())
    }
}

/// What is known of the keys of a batch, of any column.
#[derive(Default)]
pub(crate) struct KeyTable {
    /// By key: what rows need, of values that the page has already.
    slots: Vec<Slot>,
    /// By key: the code, of values that the batch has already.
    codes: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Slot {
    code: u32,
    bytes: u32,
}

impl KeyTable {
    fn begin_batch(&mut self, values: usize) {
        self.codes.clear();
        self.codes.resize(values, UNKNOWN);
    }

    fn begin_page(&mut self) {
        self.slots.clear();
        self.slots.resize(self.codes.len(), Slot { code: UNKNOWN, bytes: 0 });
    }
}

/// The rows of a batch on their way into a page.
struct Rows<'a> {
    values: &'a StringArray,
    table: &'a mut KeyTable,
    dictionary: &'a mut Dictionary,
    page: &'a mut PageInMaking,
}

impl Rows<'_> {
    fn push_all(&mut self, keys: &[i32]) -> Result<(), ParquetError> {
        // Many columns say the same for long: a block of one key is looked up once.
        let (blocks, rest) = keys.as_chunks::<32>();
        for block in blocks {
            let different = block.iter().fold(0, |bits, key| bits | (key ^ block[0]));
            if different == 0 {
                let slot = self.slot(block[0])?;
                self.page.codes.extend_from_slice(&[slot.code; 32]);
                self.page.value_bytes += slot.bytes as usize * 32;
            } else {
                block.iter().try_for_each(|key| self.push(*key))?;
            }
        }
        rest.iter().try_for_each(|key| self.push(*key))
    }

    #[inline]
    fn push(&mut self, key: i32) -> Result<(), ParquetError> {
        let slot = self.slot(key)?;
        self.page.codes.push(slot.code);
        self.page.value_bytes += slot.bytes as usize;
        Ok(())
    }

    #[inline]
    fn slot(&mut self, key: i32) -> Result<Slot, ParquetError> {
        let key = usize::try_from(key).map_err(|_| outside())?;
        match self.table.slots.get(key) {
            Some(slot) if slot.code != UNKNOWN => Ok(*slot),
            Some(_) => self.first_in_page(key),
            None => Err(outside()),
        }
    }

    fn first_in_page(&mut self, key: usize) -> Result<Slot, ParquetError> {
        let text = self.values.value(key).as_bytes();
        let mut code = self.table.codes[key];
        if code == UNKNOWN {
            code = self.dictionary.code_of(text)?;
            self.table.codes[key] = code;
        }
        match &mut self.page.bounds {
            Some((min, _)) if text < self.dictionary.value(*min) => *min = code,
            Some((_, max)) if text > self.dictionary.value(*max) => *max = code,
            Some(_) => {}
            None => self.page.bounds = Some((code, code)),
        }
        let slot = Slot { code, bytes: number(text.len())? };
        self.table.slots[key] = slot;
        Ok(slot)
    }
}

/// The distinct values of a row group, in the order of first use.
#[derive(Default)]
struct Dictionary {
    /// The dictionary page: values in plain encoding.
    body: Vec<u8>,
    /// Where each value ends in it.
    ends: Vec<u32>,
    /// Codes, and half of the hash of their value.
    table: HashTable<(u32, u32)>,
}

impl Dictionary {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn value(&self, code: u32) -> &[u8] {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] as usize };
        &self.body[start + LENGTH_BYTES..self.ends[code] as usize]
    }

    fn owned(&self, code: u32) -> Result<Box<str>, ParquetError> {
        text_of(self.value(code)).map(Box::from)
    }

    fn code_of(&mut self, text: &[u8]) -> Result<u32, ParquetError> {
        let hash = hash_of(text);
        let short = short_of(hash);
        let is_same = |entry: &(u32, u32)| entry.1 == short && self.value(entry.0) == text;
        if let Some((code, _)) = self.table.find(u64::from(short).wrapping_mul(SPREAD), is_same) {
            return Ok(*code);
        }
        let code = number(self.ends.len())?;
        put_plain(&mut self.body, text)?;
        self.ends.push(number(self.body.len())?);
        let place = |entry: &(u32, u32)| u64::from(entry.1).wrapping_mul(SPREAD);
        self.table.insert_unique(place(&(code, short)), (code, short), place);
        Ok(code)
    }

    /// Forgets all values but the first ones; no more can be added.
    fn close_at(&mut self, values: usize) {
        self.table = HashTable::new();
        self.ends.truncate(values);
        self.body.truncate(self.ends.last().map_or(0, |end| *end as usize));
        self.body.shrink_to_fit();
    }
}

/// Spreads half a hash over the bits that tables look at.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const LENGTH_BYTES: usize = size_of::<u32>();

fn hash_of(text: &[u8]) -> u64 {
    let mut state = FixedState::default().build_hasher();
    state.write(text);
    state.finish()
}

fn short_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn text_of(bytes: &[u8]) -> Result<&str, ParquetError> {
    std::str::from_utf8(bytes).map_err(|error| ParquetError::General(error.to_string()))
}

fn outside() -> ParquetError {
    ParquetError::General("a key is not in its dictionary".to_owned())
}

fn put_plain(body: &mut Vec<u8>, text: &[u8]) -> Result<(), ParquetError> {
    let length: u32 = number(text.len())?;
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests;
