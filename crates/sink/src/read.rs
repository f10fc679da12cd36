//! Reading published tables back, in the types that they were written from.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use costlake_model::columns::line_item_schema;
use costlake_model::{Partition, Table};
use futures::stream::{self, BoxStream, StreamExt};

use crate::digest::Sha256Digest;
use crate::error::Error;
use crate::lake::{self, Lake};
use crate::object::PinnedObject;
use crate::proof::Finding;
use crate::scan::ParquetObject;

impl Lake {
    /// Reads columns of the line items of a partition: batches of at most 65,536 rows, in the order
    /// of the rows, with the types and in the column order of [`line_item_schema`].
    ///
    /// One version is read from beginning to end. Only its length is held against the manifest;
    /// `verify` proves the rest.
    ///
    /// # Errors
    /// [`Error::PartitionMissing`], [`Error::ColumnMissing`], [`Error::Audit`] if object and manifest
    /// are not of one publication; in the stream [`Error::Changed`] if the partition is replaced
    /// meanwhile, [`Error::Decode`], [`Error::BrokeOff`] and [`Error::Store`].
    pub async fn read_line_items(
        &self,
        partition: &Partition,
        columns: &BTreeSet<&str>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let (object, _) = self.open_published(partition).await?;
        let path = object.path().to_owned();
        let parquet = ParquetObject::open(object).await?;
        let schema = schema_to_read(&partition.table, parquet.schema());
        let positions = positions_of(&schema, columns, &path)?;
        let scan = parquet.scan(schema, positions)?;
        let batches = stream::try_unfold(scan, |mut scan| async move {
            Ok(scan.next().await?.map(|batch| (batch, scan)))
        });
        Ok(batches.boxed())
    }

    /// Reads a small table whole, such as a rollup or quarantine, and proves its bytes first.
    ///
    /// # Errors
    /// As for [`Lake::read_line_items`]; [`Error::Audit`] also for bytes of another digest.
    pub async fn read_table(&self, partition: &Partition) -> Result<Vec<RecordBatch>, Error> {
        let (object, expected) = self.open_published(partition).await?;
        let found = object.digest().await?;
        if found != expected {
            let findings = vec![Finding::Digest { expected, found }];
            return Err(Error::Audit { path: partition.data_path(), findings });
        }
        let parquet = ParquetObject::open(object).await?;
        let schema = schema_to_read(&partition.table, parquet.schema());
        let all = (0..schema.fields().len()).collect();
        let mut scan = parquet.scan(schema, all)?;
        let mut batches = Vec::new();
        while let Some(batch) = scan.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The object of a partition, of the length that its manifest says, and the digest that it says.
    async fn open_published(
        &self,
        partition: &Partition,
    ) -> Result<(PinnedObject, Sha256Digest), Error> {
        let missing = || Error::PartitionMissing { partition: partition.to_string() };
        let facts = self.manifest(partition).await?.ok_or_else(missing)?.object;
        let finding = match PinnedObject::open(&self.store, &lake::data_path(partition)).await? {
            Some(object) if object.bytes() == facts.bytes => return Ok((object, facts.sha256)),
            Some(object) => Finding::Bytes { expected: facts.bytes, found: object.bytes() },
            None => Finding::ObjectMissing,
        };
        Err(Error::Audit { path: partition.data_path(), findings: vec![finding] })
    }
}

/// Restores the dictionaries of line items, which Parquet knows as plain strings.
fn schema_to_read(table: &Table, found: &Schema) -> Schema {
    let written = line_item_schema();
    let restore = |field: &Arc<Field>| {
        let dictionary = written
            .field_with_name(field.name())
            .map(Field::data_type)
            .ok()
            .filter(|data_type| *table == Table::LineItems && is_dictionary(data_type));
        match dictionary {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type.clone())),
            None => Arc::clone(field),
        }
    };
    Schema::new(found.fields().iter().map(restore).collect::<Vec<_>>())
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(..))
}

fn positions_of(
    schema: &Schema,
    columns: &BTreeSet<&str>,
    path: &str,
) -> Result<Vec<usize>, Error> {
    let position = |column: &&str| {
        schema.index_of(column).map_err(|_| Error::ColumnMissing {
            path: path.to_owned(),
            column: (*column).to_owned(),
        })
    };
    columns.iter().map(position).collect()
}
