//! Bytes of cost files in, typed Arrow batches out.
//!
//! ```text
//! bytes ─▶ BlobReader ─▶ Chunk (whole records) ─▶ decode, on any thread ─▶ DecodedChunk ─▶ Rollup
//!          byte-order mark, header,               fields, values, charge     batch, quarantine,
//!          record boundaries                      classes                    ledger
//! ```
//!
//! No I/O, no clock, no threads of its own: the caller feeds bytes cut anywhere and decodes chunks
//! where it likes; the result is the same.

pub mod blob;
mod buffers;
mod csv;
mod decode;
pub mod error;
pub mod header;
#[cfg(feature = "internals")]
pub mod internals;
#[cfg(feature = "rollup")]
mod polars_bridge;
pub mod reconcile;
#[cfg(feature = "rollup")]
pub mod rollup;

pub use blob::{BlobOptions, BlobReader, BlobSummary, Chunk};
pub use buffers::Buffers;
pub use decode::{DecodedChunk, QuarantinedRow, Rule, quarantine_batch};
pub use error::Error;
