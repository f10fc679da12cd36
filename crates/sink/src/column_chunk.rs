//! Pages to a column chunk with everything that a footer and the page indexes say of it.
//!
//! What parquet's own column writers do after encoding, for chunks whose pages are encoded here.

use std::cmp::Ordering;

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use zstd::bulk::Compressor;

use crate::hybrid::Levels;
use crate::text_column::KeyTable;

/// Rows of a page, as parquet's writers have it.
pub(crate) const PAGE_ROWS: usize = 20_000;

/// Fewer new values of a page than this say nothing about whether values repeat.
pub(crate) const FEW_NEW_VALUES: usize = 512;

/// Longer bounds of text are cut, and marked as such; parquet's writers have the same limit.
const BOUND_BYTES: usize = 64;

/// The bytes of a column chunk and what the footer says of it.
#[derive(Debug)]
pub(crate) struct ColumnChunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
}

/// What encoding needs beside the column itself: one for each thread serves all columns.
pub struct Scratch {
    pub(crate) compressor: PageCompressor,
    /// A page in the making.
    pub(crate) body: Vec<u8>,
    pub(crate) keys: KeyTable,
}

impl Scratch {
    pub(crate) fn new(level: ZstdLevel) -> Result<Self, ParquetError> {
        let compressor = PageCompressor::new(level)?;
        Ok(Self { compressor, body: Vec::new(), keys: KeyTable::default() })
    }
}

/// Compresses pages, one after the other, with one zstd context for all columns.
pub(crate) struct PageCompressor {
    level: ZstdLevel,
    zstd: Compressor<'static>,
    buffer: Vec<u8>,
}

impl PageCompressor {
    fn new(level: ZstdLevel) -> Result<Self, ParquetError> {
        let zstd = Compressor::new(level.compression_level())?;
        Ok(Self { level, zstd, buffer: Vec::new() })
    }

    fn compress(&mut self, page: &[u8]) -> Result<Bytes, ParquetError> {
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(page.len()));
        self.zstd.compress_to_buffer(page, &mut self.buffer)?;
        Ok(Bytes::copy_from_slice(&self.buffer))
    }
}

/// A value as statistics and page indexes have it, in the order of its type.
pub(crate) trait Value: Clone + Ord {
    /// Returns bytes that are not above the value, and whether they are the value itself.
    fn lower_bound(&self) -> (Vec<u8>, bool);
    /// Returns bytes that are not below the value, and whether they are the value itself.
    fn upper_bound(&self) -> (Vec<u8>, bool);
    /// Returns the statistics of a chunk between bounds.
    fn statistics(bounds: Option<&(Self, Self)>, null_count: u64) -> Statistics;
}

/// What the page indexes say of a data page.
#[derive(Debug)]
pub(crate) struct PageFacts<V> {
    pub(crate) rows: usize,
    pub(crate) nulls: usize,
    /// The least and the greatest value, unless all are null.
    pub(crate) bounds: Option<(V, V)>,
    /// The bytes of all values without their lengths, where values differ in it.
    pub(crate) value_bytes: Option<usize>,
}

/// Collects the data pages of one column chunk, and what is to say of them.
///
/// The dictionary page lies before them, but is known only after the last one: it comes with `close`.
pub(crate) struct ColumnChunkWriter<V> {
    column: ColumnDescPtr,
    out: TrackedWrite<Vec<u8>>,
    pages: Vec<DataPage>,
    page_encodings: Vec<PageEncodingStats>,
    uncompressed_bytes: usize,
    rows: usize,
    nulls: usize,
    value_bytes: Option<usize>,
    bounds: Option<(V, V)>,
    /// The bounds of the last page with values.
    last_bounds: Option<(V, V)>,
    ascending: bool,
    descending: bool,
    column_index: ColumnIndexBuilder,
}

/// What the offset index says of a data page, but for its place.
#[derive(Debug)]
struct DataPage {
    bytes: usize,
    rows: usize,
    value_bytes: Option<usize>,
}

impl<V: Value> ColumnChunkWriter<V> {
    pub(crate) fn new(column: ColumnDescPtr) -> Self {
        Self {
            column_index: ColumnIndexBuilder::new(column.physical_type()),
            column,
            out: TrackedWrite::new(Vec::new()),
            pages: Vec::new(),
            page_encodings: Vec::new(),
            uncompressed_bytes: 0,
            rows: 0,
            nulls: 0,
            value_bytes: None,
            bounds: None,
            last_bounds: None,
            ascending: true,
            descending: true,
        }
    }

    /// The column.
    pub(crate) fn column(&self) -> &ColumnDescPtr {
        &self.column
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.out.bytes_written()
    }

    /// Empties `body` and begins a data page in it: definition levels with their length before them,
    /// as pages of format version 1 have it. Required columns have none.
    pub(crate) fn begin_page(
        &self,
        body: &mut Vec<u8>,
        levels: &Levels,
    ) -> Result<(), ParquetError> {
        body.clear();
        if self.column.max_def_level() > 0 {
            body.extend_from_slice(&[0; 4]);
            levels.put(body);
            let length: u32 = number(body.len() - 4)?;
            body[..4].copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    /// Writes a data page of format version 1: definition levels, then values.
    pub(crate) fn data_page(
        &mut self,
        body: &[u8],
        encoding: Encoding,
        facts: PageFacts<V>,
        compressor: &mut PageCompressor,
    ) -> Result<(), ParquetError> {
        let page = Page::DataPage {
            buf: compressor.compress(body)?,
            num_values: number(facts.rows)?,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        match self.page_encodings.last_mut() {
            Some(last) if last.encoding == encoding => last.count += 1,
            _ => self.page_encodings.push(PageEncodingStats {
                page_type: PageType::DATA_PAGE,
                encoding,
                count: 1,
            }),
        }
        let spec = write_page(&mut self.out, page, body.len())?;
        self.uncompressed_bytes += spec.uncompressed_size;
        let (rows, value_bytes) = (facts.rows, facts.value_bytes);
        self.pages.push(DataPage { bytes: number(spec.bytes_written)?, rows, value_bytes });
        self.describe(facts)
    }

    /// Returns the chunk, with a dictionary of so many values in plain encoding if there is one.
    pub(crate) fn close(
        mut self,
        dictionary: Option<(&[u8], usize)>,
        compressor: &mut PageCompressor,
    ) -> Result<ColumnChunk, ParquetError> {
        let mut bytes = Vec::new();
        if let Some((body, values)) = dictionary {
            bytes = self.dictionary_page(body, values, compressor)?;
        }
        let dictionary_bytes = bytes.len();
        bytes.append(&mut self.out.into_inner()?);
        let bytes = Bytes::from(bytes.into_boxed_slice());
        let null_count = number(self.nulls)?;
        let mut encodings = EncodingMask::new_from_encodings([Encoding::RLE].iter());
        self.page_encodings.iter().for_each(|page| encodings.insert(page.encoding));
        let levels = histogram(&self.column, self.rows, self.nulls)?;
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Compression::ZSTD(compressor.level))
            .set_encodings_mask(encodings)
            .set_page_encoding_stats(self.page_encodings)
            .set_total_compressed_size(number(bytes.len())?)
            .set_total_uncompressed_size(number(self.uncompressed_bytes)?)
            .set_num_values(number(self.rows)?)
            .set_data_page_offset(number(dictionary_bytes)?)
            .set_dictionary_page_offset(dictionary.map(|_| 0))
            .set_statistics(V::statistics(self.bounds.as_ref(), null_count))
            .set_unencoded_byte_array_data_bytes(self.value_bytes.map(number).transpose()?)
            .set_definition_level_histogram(levels)
            .build()?;
        let mut column_index = self.column_index;
        column_index.set_boundary_order(match (self.ascending, self.descending) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        });
        let close = ColumnCloseResult {
            bytes_written: number(bytes.len())?,
            rows_written: number(self.rows)?,
            metadata,
            bloom_filter: None,
            column_index: Some(column_index.build()?),
            offset_index: Some(offset_index(&self.pages, dictionary_bytes)?),
        };
        Ok(ColumnChunk { bytes, close })
    }

    fn dictionary_page(
        &mut self,
        body: &[u8],
        values: usize,
        compressor: &mut PageCompressor,
    ) -> Result<Vec<u8>, ParquetError> {
        let page = Page::DictionaryPage {
            buf: compressor.compress(body)?,
            num_values: number(values)?,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let (page_type, encoding) = (page.page_type(), page.encoding());
        self.page_encodings.insert(0, PageEncodingStats { page_type, encoding, count: 1 });
        let mut out = TrackedWrite::new(Vec::new());
        let spec = write_page(&mut out, page, body.len())?;
        self.uncompressed_bytes += spec.uncompressed_size;
        let mut bytes = out.into_inner()?;
        bytes.reserve_exact(self.out.bytes_written());
        Ok(bytes)
    }

    fn describe(&mut self, facts: PageFacts<V>) -> Result<(), ParquetError> {
        self.rows += facts.rows;
        self.nulls += facts.nulls;
        if let Some(value_bytes) = facts.value_bytes {
            *self.value_bytes.get_or_insert(0) += value_bytes;
        }
        let (min, max) = match &facts.bounds {
            Some((min, max)) => (min.lower_bound().0, max.upper_bound().0),
            None => (Vec::new(), Vec::new()),
        };
        self.column_index.append(facts.bounds.is_none(), min, max, number(facts.nulls)?);
        let levels = histogram(&self.column, facts.rows, facts.nulls)?;
        self.column_index.append_histograms(&None, &levels);
        self.compare(facts.bounds);
        Ok(())
    }

    /// Widens the bounds of the chunk, and sees whether pages still ascend or descend.
    fn compare(&mut self, page: Option<(V, V)>) {
        let Some((min, max)) = page else { return };
        if let Some((last_min, last_max)) = &self.last_bounds {
            let orders = [last_min.cmp(&min), last_max.cmp(&max)];
            self.ascending &= !orders.contains(&Ordering::Greater);
            self.descending &= !orders.contains(&Ordering::Less);
        }
        self.last_bounds = Some((min.clone(), max.clone()));
        self.bounds = Some(match self.bounds.take() {
            Some((least, greatest)) => (least.min(min), greatest.max(max)),
            None => (min, max),
        });
    }
}

fn write_page(
    out: &mut TrackedWrite<Vec<u8>>,
    page: Page,
    body_bytes: usize,
) -> Result<PageWriteSpec, ParquetError> {
    SerializedPageWriter::new(out).write_page(CompressedPage::new(page, body_bytes))
}

fn offset_index(
    pages: &[DataPage],
    dictionary_bytes: usize,
) -> Result<OffsetIndexMetaData, ParquetError> {
    let mut index = OffsetIndexBuilder::new();
    let mut offset = dictionary_bytes;
    for page in pages {
        index.append_offset_and_size(number(offset)?, number(page.bytes)?);
        index.append_row_count(number(page.rows)?);
        let value_bytes = page.value_bytes.map(number).transpose()?;
        index.append_unencoded_byte_array_data_bytes(value_bytes);
        offset += page.bytes;
    }
    Ok(index.build())
}

impl Value for Box<str> {
    fn lower_bound(&self) -> (Vec<u8>, bool) {
        let end = self.floor_char_boundary(BOUND_BYTES);
        let end = if end == 0 { self.len() } else { end };
        (self.as_bytes()[..end].to_vec(), end == self.len())
    }

    fn upper_bound(&self) -> (Vec<u8>, bool) {
        let is_long = self.len() > BOUND_BYTES;
        let beginning = &self[..self.floor_char_boundary(BOUND_BYTES)];
        match next_text(beginning).filter(|_| is_long) {
            Some(bound) => (bound.into_bytes(), false),
            None => (self.as_bytes().to_vec(), true),
        }
    }

    fn statistics(bounds: Option<&(Self, Self)>, null_count: u64) -> Statistics {
        let min = bounds.map(|(min, _)| min.lower_bound());
        let max = bounds.map(|(_, max)| max.upper_bound());
        let min_is_exact = min.as_ref().is_some_and(|(_, exact)| *exact);
        let max_is_exact = max.as_ref().is_some_and(|(_, exact)| *exact);
        let value = |bound: Option<(Vec<u8>, bool)>| bound.map(|(bytes, _)| ByteArray::from(bytes));
        Statistics::ByteArray(
            ValueStatistics::new(value(min), value(max), None, Some(null_count), false)
                .with_min_is_exact(min_is_exact)
                .with_max_is_exact(max_is_exact),
        )
    }
}

/// A decimal, in 16 bytes with the highest first.
impl Value for i128 {
    fn lower_bound(&self) -> (Vec<u8>, bool) {
        (self.to_be_bytes().to_vec(), true)
    }

    fn upper_bound(&self) -> (Vec<u8>, bool) {
        self.lower_bound()
    }

    fn statistics(bounds: Option<&(Self, Self)>, null_count: u64) -> Statistics {
        let value = |value: &i128| FixedLenByteArray::from(value.to_be_bytes().to_vec());
        let (min, max) = bounds.map(|(min, max)| (value(min), value(max))).unzip();
        Statistics::FixedLenByteArray(
            ValueStatistics::new(min, max, None, Some(null_count), false)
                .with_backwards_compatible_min_max(true),
        )
    }
}

/// Returns text of no more bytes that comes after every text with this beginning: the last character
/// that has a successor of its own length is replaced by it, and what follows is dropped.
fn next_text(beginning: &str) -> Option<String> {
    beginning.char_indices().rev().find_map(|(at, character)| {
        let next = char::from_u32(u32::from(character) + 1)?;
        let fits = next.len_utf8() == character.len_utf8();
        fits.then(|| beginning[..at].chars().chain([next]).collect())
    })
}

/// How many rows have which definition level; a required column has but one.
fn histogram(
    column: &ColumnDescriptor,
    rows: usize,
    nulls: usize,
) -> Result<Option<LevelHistogram>, ParquetError> {
    let mut histogram = LevelHistogram::try_new(column.max_def_level());
    if let Some(histogram) = &mut histogram {
        histogram.increment_by(0, number(nulls)?);
        histogram.increment_by(1, number(rows - nulls)?);
    }
    Ok(histogram)
}

/// Returns the nulls of an array, if it has any.
pub(crate) fn nulls_of(
    array: &dyn Array,
    column: &ColumnDescPtr,
) -> Result<Option<NullBuffer>, ParquetError> {
    // A key may also lead to a null in its dictionary.
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    if nulls.is_some() && column.max_def_level() == 0 {
        return Err(ParquetError::General(format!("column {} has nulls", column.name())));
    }
    Ok(nulls)
}

/// Parquet counts with signed numbers, and in pages with 32 bits.
pub(crate) fn number<T, U: TryFrom<T>>(count: T) -> Result<U, ParquetError> {
    let too_large = |_| ParquetError::General("a page or column chunk is too large".to_owned());
    U::try_from(count).map_err(too_large)
}
