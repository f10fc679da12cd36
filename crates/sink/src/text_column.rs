//! Dictionary arrays to column chunks of text, straight from their codes.
//!
//! parquet's own writer hashes every value again and compares it with the least and the greatest so
//! far. Here a row costs a look at a table by its code, and a value costs once per page:
//!
//! ```text
//! scan        keys                 -> codes in the order of first use, values of each page
//! dictionary  values used          -> dictionary page; codes -> run lengths and bit-packed groups
//! plain       values row by row    -> when too few of them repeat
//! ```

use std::ops::Range;

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use crate::column_chunk::{
    ColumnChunk, ColumnChunkWriter, PAGE_ROWS, PageCompressor, PageFacts, bounds, nulls_of, number,
};
use crate::hybrid::{code_width, put_codes};

/// From this size on, a page of plain values ends.
const PLAIN_PAGE_BYTES: usize = 1024 * 1024;

/// Encodes columns of text, one after the other, in buffers that they share.
#[derive(Default)]
pub(crate) struct TextEncoder {
    /// By key.
    slots: Vec<Slot>,
    /// The pages scanned so far, over all columns: slots of earlier columns need no clearing.
    stamp: u32,
    /// The key of each code.
    used: Vec<usize>,
    /// The code of each row that is not null.
    codes: Vec<u32>,
    /// The keys that occur in each page.
    seen: Vec<usize>,
    pages: Vec<ScannedPage>,
    body: Vec<u8>,
}

/// What is known of a value of the dictionary.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// The last page in which the value occurs.
    stamp: u32,
    code: u32,
    bytes: u32,
}

/// A page, as ranges of rows, `codes` and `seen`.
struct ScannedPage {
    rows: Range<usize>,
    codes: Range<usize>,
    seen: Range<usize>,
    value_bytes: usize,
}

impl TextEncoder {
    /// Encodes a column. Values that no row uses are left out.
    pub(crate) fn encode(
        &mut self,
        array: &DictionaryArray<Int32Type>,
        column: &ColumnDescPtr,
        dictionary_bytes: usize,
        compressor: &mut PageCompressor,
    ) -> Result<ColumnChunk, ParquetError> {
        let values: &StringArray = array.values().as_string_opt().ok_or_else(|| {
            ParquetError::General(format!("column {} is not text", column.name()))
        })?;
        let nulls = nulls_of(array, column)?;
        self.scan(array, values, nulls.as_ref())?;
        let mut chunk = ColumnChunkWriter::new(column, compressor);
        if self.pays(dictionary_bytes) {
            self.write_dictionary(values, nulls.as_ref(), &mut chunk)?;
        } else {
            self.write_plain(values, nulls.as_ref(), &mut chunk)?;
        }
        chunk.close()
    }

    /// Numbers the values in the order of their first use.
    fn scan(
        &mut self,
        array: &DictionaryArray<Int32Type>,
        values: &StringArray,
        nulls: Option<&NullBuffer>,
    ) -> Result<(), ParquetError> {
        self.used.clear();
        self.codes.clear();
        self.seen.clear();
        self.pages.clear();
        if self.slots.len() < values.len() {
            self.slots.resize(values.len(), Slot::default());
        }
        let keys: &[i32] = array.keys().values();
        let first_stamp = self.stamp + 1;
        for start in (0..keys.len()).step_by(PAGE_ROWS) {
            let rows = start..keys.len().min(start + PAGE_ROWS);
            let (codes, seen) = (self.codes.len(), self.seen.len());
            self.stamp += 1;
            let mut page = PageScan {
                values,
                first_stamp,
                stamp: self.stamp,
                slots: &mut self.slots[..values.len()],
                used: &mut self.used,
                codes: &mut self.codes,
                seen: &mut self.seen,
                value_bytes: 0,
            };
            match nulls.map(|nulls| nulls.slice(start, rows.len())) {
                Some(nulls) if nulls.null_count() == rows.len() => {}
                Some(nulls) => page.some_rows(&keys[rows.clone()], &nulls)?,
                None => page.all_rows(&keys[rows.clone()])?,
            }
            let value_bytes = page.value_bytes;
            self.pages.push(ScannedPage {
                rows,
                codes: codes..self.codes.len(),
                seen: seen..self.seen.len(),
                value_bytes,
            });
        }
        Ok(())
    }

    /// Whether a dictionary makes the chunk smaller. In 40,000 rows of random resource ids, tags and
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
    fn pays(&self, dictionary_bytes: usize) -> bool {
        let (values, rows) = (self.used.len(), self.codes.len());
        let bytes: usize = self.used.iter().map(|key| self.slots[*key].bytes as usize + 4).sum();
        rows > 0 && values * 8 <= rows * 7 && bytes <= dictionary_bytes
    }

    fn write_dictionary<'a>(
        &mut self,
        values: &'a StringArray,
        nulls: Option<&NullBuffer>,
        chunk: &mut ColumnChunkWriter<'a, &'a str>,
    ) -> Result<(), ParquetError> {
        self.body.clear();
        for key in &self.used {
            put_plain(&mut self.body, values.value(*key))?;
        }
        chunk.dictionary_page(&self.body, self.used.len())?;
        let width = code_width(self.used.len());
        for page in &self.pages {
            chunk.begin_page(&mut self.body, nulls, page.rows.clone())?;
            self.body.push(number(width)?);
            put_codes(&mut self.body, &self.codes[page.codes.clone()], width);
            let facts = PageFacts {
                rows: page.rows.len(),
                nulls: page.rows.len() - page.codes.len(),
                bounds: bounds(self.seen[page.seen.clone()].iter().map(|key| values.value(*key))),
                value_bytes: Some(page.value_bytes),
            };
            chunk.data_page(&self.body, Encoding::RLE_DICTIONARY, facts)?;
        }
        Ok(())
    }

    /// Pages end by their rows or by their bytes, so those of the scan do not count.
    fn write_plain<'a>(
        &mut self,
        values: &'a StringArray,
        nulls: Option<&NullBuffer>,
        chunk: &mut ColumnChunkWriter<'a, &'a str>,
    ) -> Result<(), ParquetError> {
        let text = |code: &u32| values.value(self.used[*code as usize]);
        for page in &self.pages {
            let (mut row, mut code) = (page.rows.start, page.codes.start);
            while row < page.rows.end {
                let codes = &self.codes[code..page.codes.end];
                let (mut value_bytes, mut taken) = (0, 0);
                while taken < codes.len() && value_bytes + taken * 4 < PLAIN_PAGE_BYTES {
                    value_bytes += text(&codes[taken]).len();
                    taken += 1;
                }
                let rows = if taken == codes.len() {
                    row..page.rows.end
                } else {
                    row..row_after(nulls, row, taken)
                };
                let codes = &codes[..taken];
                chunk.begin_page(&mut self.body, nulls, rows.clone())?;
                for code in codes {
                    put_plain(&mut self.body, text(code))?;
                }
                let facts = PageFacts {
                    rows: rows.len(),
                    nulls: rows.len() - taken,
                    bounds: bounds(codes.iter().map(text)),
                    value_bytes: Some(value_bytes),
                };
                chunk.data_page(&self.body, Encoding::PLAIN, facts)?;
                row = rows.end;
                code += taken;
            }
        }
        Ok(())
    }
}

/// The scan of one page.
struct PageScan<'a> {
    values: &'a StringArray,
    /// The first page of the column.
    first_stamp: u32,
    stamp: u32,
    slots: &'a mut [Slot],
    used: &'a mut Vec<usize>,
    codes: &'a mut Vec<u32>,
    seen: &'a mut Vec<usize>,
    value_bytes: usize,
}

impl PageScan<'_> {
    fn all_rows(&mut self, keys: &[i32]) -> Result<(), ParquetError> {
        // Many columns say the same for long: a block of one key is looked up once.
        let (blocks, rest) = keys.as_chunks::<16>();
        for block in blocks {
            let different = block.iter().fold(0, |bits, key| bits | (key ^ block[0]));
            if different == 0 {
                let slot = self.slot(block[0])?;
                self.codes.extend_from_slice(&[slot.code; 16]);
                self.value_bytes += slot.bytes as usize * 16;
            } else {
                self.rows(block)?;
            }
        }
        self.rows(rest)
    }

    fn some_rows(&mut self, keys: &[i32], nulls: &NullBuffer) -> Result<(), ParquetError> {
        for row in nulls.valid_indices() {
            let slot = self.slot(keys[row])?;
            self.codes.push(slot.code);
            self.value_bytes += slot.bytes as usize;
        }
        Ok(())
    }

    fn rows(&mut self, keys: &[i32]) -> Result<(), ParquetError> {
        for key in keys {
            let slot = self.slot(*key)?;
            self.codes.push(slot.code);
            self.value_bytes += slot.bytes as usize;
        }
        Ok(())
    }

    #[inline]
    fn slot(&mut self, key: i32) -> Result<Slot, ParquetError> {
        let outside = || ParquetError::General(format!("key {key} is not in its dictionary"));
        let key = usize::try_from(key).map_err(|_| outside())?;
        let slot = self.slots.get_mut(key).ok_or_else(outside)?;
        if slot.stamp != self.stamp {
            if slot.stamp < self.first_stamp {
                slot.code = number(self.used.len())?;
                slot.bytes = number(self.values.value_length(key))?;
                self.used.push(key);
            }
            slot.stamp = self.stamp;
            self.seen.push(key);
        }
        Ok(*slot)
    }
}

/// Returns the row after `values` values from row `start` on.
fn row_after(nulls: Option<&NullBuffer>, start: usize, values: usize) -> usize {
    match nulls {
        None => start + values,
        Some(nulls) => {
            let rest = nulls.slice(start, nulls.len() - start);
            let last = values.checked_sub(1).and_then(|last| rest.valid_indices().nth(last));
            last.map_or(start, |last| start + last + 1)
        }
    }
}

fn put_plain(body: &mut Vec<u8>, text: &str) -> Result<(), ParquetError> {
    let length: u32 = number(text.len())?;
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
