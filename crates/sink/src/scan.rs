//! Decoding an object row group by row group: only the columns asked for, only one row group held.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use crate::error::Error;
use crate::object::PinnedObject;

/// Rows of a batch: dictionaries of text columns are shared by all of them.
const BATCH_ROWS: usize = 64 * 1024;

/// An object and its footer.
pub(crate) struct ParquetObject {
    object: PinnedObject,
    metadata: Arc<ParquetMetaData>,
    schema: SchemaRef,
}

impl ParquetObject {
    /// Reads the footer.
    pub(crate) async fn open(object: PinnedObject) -> Result<Self, Error> {
        let decode_error = |source| Error::Decode { path: object.path().to_owned(), source };
        let mut decoder = ParquetMetaDataPushDecoder::try_new(object.bytes())
            .map_err(decode_error)?
            .with_page_index_policy(PageIndexPolicy::Skip);
        let metadata = loop {
            let step = object.apart(move || (decoder.try_decode(), decoder)).await?;
            decoder = step.1;
            match step.0.map_err(decode_error)? {
                DecodeResult::NeedsData(ranges) => {
                    let pieces = read_all(&object, &ranges).await?;
                    decoder.push_ranges(ranges, pieces).map_err(decode_error)?;
                }
                DecodeResult::Data(metadata) => break Arc::new(metadata),
                DecodeResult::Finished => {
                    return Err(decode_error(ParquetError::EOF("no footer".to_owned())));
                }
            }
        };
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader =
            ArrowReaderMetadata::try_new(Arc::clone(&metadata), options).map_err(decode_error)?;
        let schema = Arc::clone(reader.schema());
        Ok(Self { object, metadata, schema })
    }

    /// The Arrow schema as Parquet types give it: text is plain.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many row groups it has.
    pub(crate) fn row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Begins to read columns, by their position, as the types of `schema`.
    pub(crate) fn scan(self, schema: Schema, columns: Vec<usize>) -> Result<Scan, Error> {
        let decoder = build_decoder(self.metadata, schema, columns)
            .map_err(|source| Error::Decode { path: self.object.path().to_owned(), source })?;
        Ok(Scan { object: self.object, decoding: Some(Decoding { decoder, reader: None }) })
    }
}

fn build_decoder(
    metadata: Arc<ParquetMetaData>,
    schema: Schema,
    columns: Vec<usize>,
) -> Result<ParquetPushDecoder, ParquetError> {
    let options =
        ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(Arc::new(schema));
    let projection = ProjectionMask::roots(metadata.file_metadata().schema_descr(), columns);
    ParquetPushDecoderBuilder::try_new_decoder_with_options(Arc::clone(&metadata), options)?
        .with_projection(projection)
        .with_batch_size(BATCH_ROWS)
        .build()
}

/// The batches of an object, in order.
pub(crate) struct Scan {
    object: PinnedObject,
    /// Absent while it works elsewhere, and after an error.
    decoding: Option<Decoding>,
}

struct Decoding {
    decoder: ParquetPushDecoder,
    reader: Option<ParquetRecordBatchReader>,
}

enum Step {
    Needs(Vec<Range<u64>>),
    Batch(RecordBatch),
    Finished,
}

impl Scan {
    /// Returns the next batch, or `None` after the last one or after an error.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        while let Some(mut decoding) = self.decoding.take() {
            let (step, decoding) =
                self.object.apart(move || (decoding.advance(), decoding)).await?;
            let decoding = self.decoding.insert(decoding);
            match step {
                Ok(Step::Batch(batch)) => return Ok(Some(batch)),
                Ok(Step::Finished) => self.decoding = None,
                Ok(Step::Needs(ranges)) => {
                    let pieces = read_all(&self.object, &ranges).await?;
                    let pushed = decoding.decoder.push_ranges(ranges, pieces);
                    pushed.map_err(|source| self.decode_error(source))?;
                }
                Err(source) => {
                    self.decoding = None;
                    return Err(self.decode_error(source));
                }
            }
        }
        Ok(None)
    }

    fn decode_error(&self, source: ParquetError) -> Error {
        Error::Decode { path: self.object.path().to_owned(), source }
    }
}

impl Decoding {
    fn advance(&mut self) -> Result<Step, ParquetError> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                return Ok(Step::Batch(batch?));
            }
            match self.decoder.try_next_reader()? {
                DecodeResult::NeedsData(ranges) => return Ok(Step::Needs(ranges)),
                DecodeResult::Data(reader) => self.reader = Some(reader),
                DecodeResult::Finished => return Ok(Step::Finished),
            }
        }
    }
}

async fn read_all(object: &PinnedObject, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
    let mut pieces = Vec::with_capacity(ranges.len());
    for range in ranges {
        pieces.push(object.read(range.clone()).await?);
    }
    Ok(pieces)
}
