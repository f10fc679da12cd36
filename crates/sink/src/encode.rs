//! Batches to row groups: work for the CPU only, on any thread.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;

use crate::VERSION;
use crate::error::Error;

/// How Parquet is written. The same options and batches give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The zstd level, 1 to 22.
    pub zstd_level: i32,
    /// From which size of its dictionary a column chunk goes on without one.
    pub dictionary_bytes: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { zstd_level: 1, dictionary_bytes: 1024 * 1024 }
    }
}

/// Encodes batches of one table, each as one row group.
#[derive(Debug)]
pub struct RowGroupEncoder {
    schema: SchemaRef,
    writers: ArrowRowGroupWriterFactory,
}

/// A row group that is ready to be appended to an object.
#[derive(Debug)]
pub struct EncodedRowGroup {
    pub(crate) schema: SchemaRef,
    pub(crate) chunks: Vec<ArrowColumnChunk>,
    rows: u64,
    bytes: u64,
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
        let file = file_writer(&schema, options)?;
        Ok(Self { writers: ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema)), schema })
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
            bytes: chunks.iter().map(|chunk| chunk.close().bytes_written).sum(),
            chunks,
        })
    }

    /// Columns one after the other, so that only one holds its uncompressed pages at a time.
    fn encode_columns(&self, batch: &RecordBatch) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        let mut writers = self.writers.create_column_writers(0)?.into_iter();
        let mut chunks = Vec::with_capacity(batch.num_columns());
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let missing = || ParquetError::General(format!("no writer for {}", field.name()));
                let mut writer: ArrowColumnWriter = writers.next().ok_or_else(missing)?;
                writer.write(&leaf)?;
                chunks.push(writer.close()?);
            }
        }
        Ok(chunks)
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
    let properties = writer_properties(options).map_err(Error::Encode)?;
    let root = ArrowSchemaConverter::new()
        .schema_root("schema")
        .convert(schema)
        .map_err(Error::Encode)?
        .root_schema_ptr();
    SerializedFileWriter::new(Vec::new(), root, properties).map_err(Error::Encode)
}

fn writer_properties(options: WriteOptions) -> Result<WriterPropertiesPtr, ParquetError> {
    // "<name> version <version>" is what parquet-mr parses; it drops the statistics of strings and
    // decimals where it cannot (PARQUET-251).
    let properties = WriterProperties::builder()
        .set_created_by(format!("costlake version {VERSION}"))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(options.zstd_level)?))
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(options.dictionary_bytes)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_offset_index_disabled(false)
        .build();
    Ok(Arc::new(properties))
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
