//! Writing an object row group by row group: bytes leave memory as they come.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};

use crate::digest::Sha256Digest;
use crate::encode::{EncodedRowGroup, WriteOptions, check_schema, file_writer};
use crate::error::Error;
use crate::lake::Lake;
use crate::manifest::ObjectFacts;

/// Parts of at least this size are sent as soon as they are there; cloud stores want 5 MiB or more.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// An object on its way to the staging folder.
///
/// After the first error nothing more is written and the upload never completes: a local store would
/// put the stump in place, and say that all is well (`reliability.md`, finding 11).
pub struct ObjectWriter {
    lake: Lake,
    path: Path,
    schema: SchemaRef,
    file: SerializedFileWriter<Vec<u8>>,
    /// Absent after a failure.
    upload: Option<Box<dyn MultipartUpload>>,
    hasher: Sha256,
    bytes: u64,
    rows: u64,
    row_groups: u64,
}

/// A complete object in the staging folder, durable but not yet read back.
#[derive(Debug)]
pub struct StagedObject {
    pub(crate) path: Path,
    pub(crate) facts: ObjectFacts,
}

impl ObjectWriter {
    pub(crate) async fn create(lake: Lake, path: Path, schema: SchemaRef) -> Result<Self, Error> {
        let file = file_writer(&schema, WriteOptions::default())?;
        let upload =
            lake.store.put_multipart(&path).await.map_err(Error::store("create", &path))?;
        Ok(Self {
            lake,
            path,
            schema,
            file,
            upload: Some(upload),
            hasher: Sha256::new(),
            bytes: 0,
            rows: 0,
            row_groups: 0,
        })
    }

    /// Appends a row group. One without rows is left out.
    ///
    /// # Errors
    /// [`Error::Schema`] if it is of another table, [`Error::Encode`] beyond 32,767 row groups,
    /// [`Error::Store`] if the store fails, and [`Error::Aborted`] ever after.
    pub async fn append(&mut self, group: EncodedRowGroup) -> Result<(), Error> {
        let result = self.try_append(group).await;
        self.abort_if_failed(result).await
    }

    /// Writes the footer with its key-value metadata, completes the upload and makes it durable.
    /// Without row groups the object has the schema and no rows.
    ///
    /// # Errors
    /// As for [`ObjectWriter::append`].
    pub async fn finish(
        mut self,
        key_value_metadata: Vec<(String, String)>,
    ) -> Result<StagedObject, Error> {
        let result = self.try_finish(key_value_metadata).await;
        self.abort_if_failed(result).await?;
        Ok(StagedObject {
            facts: ObjectFacts {
                bytes: self.bytes,
                rows: self.rows,
                row_groups: self.row_groups,
                sha256: Sha256Digest::from_hasher(self.hasher),
            },
            path: self.path,
        })
    }

    async fn try_append(&mut self, group: EncodedRowGroup) -> Result<(), Error> {
        self.check_open()?;
        if !Arc::ptr_eq(&self.schema, &group.schema) {
            check_schema(&self.schema, &group.schema)?;
        }
        let rows = group.rows();
        if rows == 0 {
            return Ok(());
        }
        group.append_to(&mut self.file).map_err(Error::Encode)?;
        self.rows += rows;
        self.row_groups += 1;
        if self.file.inner().len() >= PART_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    async fn try_finish(&mut self, key_value_metadata: Vec<(String, String)>) -> Result<(), Error> {
        self.check_open()?;
        for (key, value) in key_value_metadata {
            self.file.append_key_value_metadata(KeyValue::new(key, value));
        }
        self.file.finish().map_err(Error::Encode)?;
        self.send().await?;
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(Error::store("complete", &self.path))?;
        }
        self.lake.durability.sync_object(&self.path).await
    }

    /// Sends what the Parquet writer has let go of as one part, and waits for it.
    async fn send(&mut self) -> Result<(), Error> {
        let part = std::mem::take(self.file.inner_mut());
        self.hasher.update(&part);
        self.bytes += part.len() as u64;
        match &mut self.upload {
            Some(upload) => {
                let sent = upload.put_part(PutPayload::from(part));
                sent.await.map(drop).map_err(Error::store("write", &self.path))
            }
            None => self.check_open(),
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.upload {
            Some(_) => Ok(()),
            None => Err(Error::Aborted { path: self.path.to_string() }),
        }
    }

    async fn abort_if_failed(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if result.is_err()
            && let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            // What is left lies in the staging folder, and is swept like all leftovers.
            tracing::debug!(path = %self.path, error = %error, "could not abort an upload");
        }
        result
    }
}

impl StagedObject {
    /// Where it lies, below the lake.
    pub fn path(&self) -> &str {
        self.path.as_ref()
    }

    /// What was written.
    pub fn facts(&self) -> &ObjectFacts {
        &self.facts
    }
}
