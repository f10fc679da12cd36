//! One version of an object, read in pieces.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::digest::Sha256Digest;
use crate::error::Error;

/// Large enough that opening the file per piece does not show, small enough for any memory limit.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// An object pinned by its entity tag: a replacement in between is an error, never a mixture.
#[derive(Clone)]
pub(crate) struct PinnedObject {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    e_tag: Option<String>,
}

impl PinnedObject {
    /// Pins the object that is there now, if any.
    pub(crate) async fn open(
        store: &Arc<dyn ObjectStore>,
        path: &Path,
    ) -> Result<Option<Self>, Error> {
        let head = match store.head(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            head => head.map_err(Error::store("open", path))?,
        };
        Ok(Some(Self {
            store: Arc::clone(store),
            path: path.clone(),
            bytes: head.size,
            e_tag: head.e_tag,
        }))
    }

    /// Where the object lies.
    pub(crate) fn path(&self) -> &str {
        self.path.as_ref()
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a range of it, whole or not at all.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let expected = range.end.saturating_sub(range.start);
        let options = GetOptions::new().with_range(Some(range)).with_if_match(self.e_tag.clone());
        let result = match self.store.get_opts(&self.path, options).await {
            Err(object_store::Error::Precondition { .. }) => {
                return Err(Error::Changed { path: self.path.to_string() });
            }
            result => result.map_err(Error::store("read", &self.path))?,
        };
        let bytes = result.bytes().await.map_err(Error::store("read", &self.path))?;
        if bytes.len() as u64 == expected {
            Ok(bytes)
        } else {
            Err(Error::ShortRead {
                path: self.path.to_string(),
                expected,
                found: bytes.len() as u64,
            })
        }
    }

    /// Returns the SHA-256 of the whole object, read piece by piece.
    pub(crate) async fn digest(&self) -> Result<Sha256Digest, Error> {
        let mut hasher = Sha256::new();
        let mut start = 0;
        while start < self.bytes {
            let end = self.bytes.min(start + PIECE_BYTES);
            let piece = self.read(start..end).await?;
            hasher = self.apart(move || hasher.chain_update(piece)).await?;
            start = end;
        }
        Ok(Sha256Digest::from_hasher(hasher))
    }

    /// Runs work for the CPU apart from the async threads. A panic in it, as the Parquet reader may
    /// have on damaged bytes (`reliability.md`, finding 10), becomes an error.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|source| Error::BrokeOff { path: self.path.to_string(), source })
    }
}
