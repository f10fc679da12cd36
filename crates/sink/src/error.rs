//! Everything that can go wrong with a lake, with the facts.

use std::path::PathBuf;

use crate::proof::Finding;

/// An error of the lake. Paths are relative to the lake, unless they name a place on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A location of a kind that is not supported.
    #[error("cannot open a lake at `{location}`: expected a local path or a file:// URL")]
    Location {
        /// The location, without a query.
        location: String,
    },
    /// There is no such directory, and it was not to be created.
    #[error("there is no lake at `{}`", path.display())]
    LakeMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The location is a file.
    #[error("`{}` is no directory", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// An operation on the local disk failed.
    #[error("cannot {operation} `{}`", path.display())]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// An operation on the store failed, a full disk included.
    #[error("cannot {operation} `{path}`")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The object or folder.
        path: String,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// The store gave fewer bytes than the object has.
    #[error("`{path}` ended early: {expected} bytes asked for, {found} received")]
    ShortRead {
        /// The object.
        path: String,
        /// Bytes asked for.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// The object was replaced while it was read.
    #[error("`{path}` was replaced while it was read")]
    Changed {
        /// The object.
        path: String,
    },
    /// A batch does not have the columns of its table.
    #[error("column `{column}` does not fit its table: expected {expected}, found {found}")]
    Schema {
        /// The column.
        column: String,
        /// Its type in the table, or that there is none.
        expected: String,
        /// Its type in the batch, or that there is none.
        found: String,
    },
    /// Encoding failed.
    #[error("cannot encode Parquet")]
    Encode(#[source] parquet::errors::ParquetError),
    /// Decoding failed.
    #[error("cannot decode `{path}`")]
    Decode {
        /// The object.
        path: String,
        /// Why it failed.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Decoding panicked, as it may on damaged bytes, or the program is shutting down.
    #[error("decoding `{path}` broke off")]
    BrokeOff {
        /// The object.
        path: String,
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
    /// An object has no column of that name.
    #[error("`{path}` has no column `{column}`")]
    ColumnMissing {
        /// The object.
        path: String,
        /// The column.
        column: String,
    },
    /// An earlier part could not be written, so the upload was aborted.
    #[error("the upload of `{path}` was aborted after a failure")]
    Aborted {
        /// The staged object.
        path: String,
    },
    /// What is in the store is not what was written.
    #[error("`{path}` does not hold what it should: {}", list(findings))]
    Audit {
        /// The object.
        path: String,
        /// All that is wrong, never empty.
        findings: Vec<Finding>,
    },
    /// The lake holds no such partition.
    #[error("the lake has no manifest of `{partition}`")]
    PartitionMissing {
        /// The folder of the partition.
        partition: String,
    },
    /// A manifest or commit record is not JSON of the expected form.
    #[error("`{path}` is not of the expected form")]
    RecordSyntax {
        /// The manifest or commit record.
        path: String,
        /// Where it is not.
        #[source]
        source: serde_json::Error,
    },
    /// A field of a manifest or commit record has a value that it cannot have.
    #[error("`{path}` has `{found}` as {field}")]
    RecordField {
        /// The manifest or commit record.
        path: String,
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
    },
    /// A manifest or commit record of a newer costlake.
    #[error("`{path}` has format version {found}: this costlake knows {supported}")]
    FormatVersion {
        /// The manifest or commit record.
        path: String,
        /// Its version.
        found: u32,
        /// The version of this program.
        supported: u32,
    },
    /// A record could not be turned into JSON.
    #[error("cannot write the record `{path}`")]
    RecordEncode {
        /// The manifest or commit record.
        path: String,
        /// Why it failed.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the operation failed for want of space, so that the same may succeed later.
    pub fn is_storage_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    pub(crate) fn store(
        operation: &'static str,
        path: &object_store::path::Path,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Store { operation, path, source }
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
