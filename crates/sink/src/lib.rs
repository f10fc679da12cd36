//! Parquet encoding, partitions, atomic publication, manifests, and proof of what was published.
//!
//! `docs/format.md` is the promise; this crate keeps it. The way of an object:
//!
//! ```text
//! RowGroup::append_jobs        CPU, on any threads       batches      -> EncodedRowGroup
//! ObjectWriter::append         async, in order           row groups   -> _costlake/staging/…
//! ObjectWriter::finish         footer, sync                           -> StagedObject
//! Publication::audit           read back and compared                 -> AuditedObject
//! Publication::ready           its manifest staged beside it          -> ReadyObject
//! Publication::put             renamed, then its manifest             -> Outcome
//! Publication::commit          after everything else                  -> CommitRecord
//! ```
//!
//! No clock is read here: every time is a parameter.

mod column_chunk;
mod commit;
mod decimal_column;
mod digest;
mod encode;
mod error;
mod hybrid;
mod lake;
mod leftovers;
mod local;
mod manifest;
mod object;
mod object_writer;
mod partition_path;
mod proof;
mod publication;
mod read;
mod records;
mod run_id;
mod scan;
mod status;
mod text_column;
mod totals;
mod verify;
mod wire;

pub use column_chunk::Scratch;
pub use commit::{CommitRecord, CommittedPartition, OutcomeKind};
pub use digest::{ParseDigestError, Sha256Digest};
pub use encode::{ColumnJob, EncodedRowGroup, RowGroup, RowGroupEncoder, WriteOptions};
pub use error::Error;
pub use lake::Lake;
pub use leftovers::DEFAULT_LEFTOVER_AGE;
pub use manifest::{
    BlobAccount, BlobName, BlobRecord, BlobSums, Conservation, FORMAT_VERSION, InputObject,
    ObjectFacts, PartitionAccount, PartitionManifest, Source,
};
pub use object_writer::{ObjectWriter, StagedObject};
pub use partition_path::{ParsePartitionError, parse_partition};
pub use proof::Finding;
pub use publication::{AuditedObject, Outcome, Publication, ReadyObject};
pub use records::Records;
pub use run_id::{ParseRunIdError, RunId};
pub use status::PartitionStatus;
pub use totals::TableTotals;
pub use verify::CheckedObject;
pub use wire::footer_metadata;

/// The version of costlake, as manifests and objects name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
