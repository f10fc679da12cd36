//! Batches to row groups: work for the CPU only, on any thread.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef};
use costlake_model::columns::decimal_type;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, SchemaDescPtr};

use crate::VERSION;
use crate::column_chunk::{ColumnChunk, PageCompressor};
use crate::decimal_column::DecimalEncoder;
use crate::error::Error;
use crate::text_column::TextEncoder;

/// How Parquet is written. The same options and batches give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The zstd level, 1 to 22.
    pub zstd_level: i32,
    /// How large the dictionary page of a column chunk of text may be: readers decompress it whole
    /// before the first row.
    pub dictionary_bytes: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { zstd_level: 1, dictionary_bytes: 16 * 1024 * 1024 }
    }
}

/// Encodes batches of one table, each as one row group.
#[derive(Debug)]
pub struct RowGroupEncoder {
    schema: SchemaRef,
    options: WriteOptions,
    columns: SchemaDescPtr,
    /// For the columns that are not encoded here.
    writers: ArrowRowGroupWriterFactory,
}

/// A row group that is ready to be appended to an object.
#[derive(Debug)]
pub struct EncodedRowGroup {
    pub(crate) schema: SchemaRef,
    chunks: Vec<Chunk>,
    rows: u64,
    bytes: u64,
}

/// A column chunk, encoded here or by parquet's writer.
#[derive(Debug)]
enum Chunk {
    Ours(ColumnChunk),
    Other(ArrowColumnChunk),
}

impl RowGroupEncoder {
    /// Returns an encoder for batches of `schema`, with default options.
    ///
    /// # Errors
    /// [`Error::Encode`] if Parquet has no such type.
    pub fn new(schema: SchemaRef) -> Result<Self, Error> {
        Self::with_options(schema, WriteOptions::default())
    }

    /// Returns an encoder for batches of `schema`.
    ///
    /// # Errors
    /// [`Error::Encode`] if Parquet has no such type, or zstd no such level.
    pub fn with_options(schema: SchemaRef, options: WriteOptions) -> Result<Self, Error> {
        let root = ArrowSchemaConverter::new().convert(&schema).map_err(Error::Encode)?;
        let others = schema.fields().iter().filter(|field| !is_encoded_here(field)).cloned();
        let others = Arc::new(Schema::new(others.collect::<Vec<_>>()));
        let file = file_writer(&others, options)?;
        let writers = ArrowRowGroupWriterFactory::new(&file, others);
        Ok(Self { schema, options, columns: Arc::new(root), writers })
    }

    /// Encodes a batch as one row group. Dictionary arrays become plain strings.
    ///
    /// # Errors
    /// [`Error::Schema`] if the batch does not have exactly the columns of the table, and
    /// [`Error::Encode`] if Parquet cannot hold it.
    pub fn encode(&self, batch: &RecordBatch) -> Result<EncodedRowGroup, Error> {
        check_schema(&self.schema, batch.schema_ref())?;
        let chunks = self.encode_columns(batch).map_err(Error::Encode)?;
        Ok(EncodedRowGroup {
            schema: Arc::clone(&self.schema),
            rows: batch.num_rows() as u64,
            bytes: chunks.iter().map(Chunk::bytes).sum(),
            chunks,
        })
    }

    /// Columns one after the other, so that only one holds its uncompressed pages at a time.
    fn encode_columns(&self, batch: &RecordBatch) -> Result<Vec<Chunk>, ParquetError> {
        let mut compressor = PageCompressor::new(ZstdLevel::try_new(self.options.zstd_level)?)?;
        let (mut text, mut decimals) = (TextEncoder::default(), DecimalEncoder::default());
        let mut writers = self.writers.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::with_capacity(batch.num_columns());
        for (at, (field, array)) in self.schema.fields().iter().zip(batch.columns()).enumerate() {
            if !is_encoded_here(field) {
                encode_other(field, array, &mut writers, &mut chunks)?;
                continue;
            }
            let column = self.columns.column(at);
            chunks.push(Chunk::Ours(match array.as_primitive_opt::<Decimal128Type>() {
                Some(array) => decimals.encode(array, &column, &mut compressor)?,
                None => {
                    let limit = self.options.dictionary_bytes;
                    text.encode(array.as_dictionary(), &column, limit, &mut compressor)?
                }
            }));
        }
        Ok(chunks)
    }
}

/// Whether columns of a field are encoded here: dictionaries of text, and decimals in 16 bytes.
fn is_encoded_here(field: &Field) -> bool {
    match field.data_type() {
        DataType::Dictionary(key, value) => {
            (key.as_ref(), value.as_ref()) == (&DataType::Int32, &DataType::Utf8)
        }
        data_type => *data_type == decimal_type(),
    }
}

fn encode_other(
    field: &Field,
    array: &Arc<dyn Array>,
    writers: &mut impl Iterator<Item = ArrowColumnWriter>,
    chunks: &mut Vec<Chunk>,
) -> Result<(), ParquetError> {
    for leaf in compute_leaves(field, array)? {
        let missing = || ParquetError::General(format!("no writer for {}", field.name()));
        let mut writer = writers.next().ok_or_else(missing)?;
        writer.write(&leaf)?;
        chunks.push(Chunk::Other(writer.close()?));
    }
    Ok(())
}

impl Chunk {
    fn bytes(&self) -> u64 {
        match self {
            Self::Ours(chunk) => chunk.close.bytes_written,
            Self::Other(chunk) => chunk.close().bytes_written,
        }
    }

    fn append_to(
        self,
        row_group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Ours(chunk) => row_group.append_column(&chunk.bytes, chunk.close),
            Self::Other(chunk) => chunk.append_to_row_group(row_group),
        }
    }
}

impl EncodedRowGroup {
    /// How many rows it holds.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes it takes in the object.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends it to a file of the same schema.
    pub(crate) fn append_to(
        self,
        file: &mut SerializedFileWriter<Vec<u8>>,
    ) -> Result<(), ParquetError> {
        let mut row_group = file.next_row_group()?;
        for chunk in self.chunks {
            chunk.append_to(&mut row_group)?;
        }
        row_group.close().map(drop)
    }
}

/// Checks that a batch, or a row group of one, has exactly the columns of a table.
pub(crate) fn check_schema(expected: &Schema, found: &Schema) -> Result<(), Error> {
    let describe = |field: Option<&Arc<Field>>| match field {
        Some(field) => format!("{} {}", field.name(), field.data_type()),
        None => "no column".to_owned(),
    };
    for at in 0..expected.fields().len().max(found.fields().len()) {
        let (ours, theirs) = (expected.fields().get(at), found.fields().get(at));
        let fits = ours.zip(theirs).is_some_and(|(ours, theirs)| {
            ours.name() == theirs.name()
                && ours.data_type() == theirs.data_type()
                && (ours.is_nullable() || !theirs.is_nullable())
        });
        if !fits {
            return Err(Error::Schema {
                column: ours.or(theirs).map(|field| field.name().clone()).unwrap_or_default(),
                expected: describe(ours),
                found: describe(theirs),
            });
        }
    }
    Ok(())
}

/// Returns a Parquet writer into memory. No Arrow schema is embedded: readers see plain types.
pub(crate) fn file_writer(
    schema: &Schema,
    options: WriteOptions,
) -> Result<SerializedFileWriter<Vec<u8>>, Error> {
    let properties = writer_properties(schema, options).map_err(Error::Encode)?;
    let root = ArrowSchemaConverter::new()
        .schema_root("schema")
        .convert(schema)
        .map_err(Error::Encode)?
        .root_schema_ptr();
    SerializedFileWriter::new(Vec::new(), root, properties).map_err(Error::Encode)
}

fn writer_properties(
    schema: &Schema,
    options: WriteOptions,
) -> Result<WriterPropertiesPtr, ParquetError> {
    // "<name> version <version>" is what parquet-mr parses; it drops the statistics of strings and
    // decimals where it cannot (PARQUET-251).
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("costlake version {VERSION}"))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(options.zstd_level)?))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_offset_index_disabled(false);
    for field in schema.fields() {
        // Record numbers take 95 bytes instead of 64,724 in 22,500 rows, in a quarter of the time; dates
        // and blobs take as much of both either way.
        if field.data_type().is_integer() || *field.data_type() == DataType::Date32 {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_dictionary_enabled(path, false);
        }
    }
    Ok(Arc::new(properties.build()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use costlake_model::columns::{line_item_schema, quarantine_schema};

    fn shared_between_threads<T: Send + Sync>(_: &T) {}

    #[test]
    fn an_encoder_is_shared_and_its_row_groups_move_between_threads() {
        let encoder = RowGroupEncoder::new(line_item_schema()).unwrap();
        shared_between_threads(&encoder);
        let group = encoder.encode(&RecordBatch::new_empty(line_item_schema())).unwrap();
        assert_eq!(std::thread::spawn(move || group.rows()).join().unwrap(), 0);
    }

    #[test]
    fn batches_of_another_table_are_refused_by_column() {
        let encoder = RowGroupEncoder::new(line_item_schema()).unwrap();
        let error = encoder.encode(&RecordBatch::new_empty(quarantine_schema())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `charge_date` does not fit its table: expected charge_date Date32, found blob Int32"
        );
    }

    #[test]
    fn impossible_levels_are_refused() {
        let options = WriteOptions { zstd_level: 40, ..WriteOptions::default() };
        assert!(matches!(
            RowGroupEncoder::with_options(line_item_schema(), options),
            Err(Error::Encode(_))
        ));
    }
}
