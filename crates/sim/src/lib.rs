//! A local Azure for tests and demonstrations: one invented Enterprise Agreement enrollment, the cost reports it would
//! have, and a server on 127.0.0.1 that hands them out the way Azure does.
//!
//! Everything here is read from Azure's public documentation and shares no type with the rest of the workspace, so a
//! misreading on one side is not mirrored on the other.
//!
//! - [`generator`] makes the charges: a pure function of a seed, no clock, same bytes on every machine.
//! - [`server`] serves them: token endpoint, Cost Details reports, blobs with signed links, and a control plane for tests.
//!
//! **Invariant**: this crate depends on no other crate of the workspace.

pub mod generator;
pub mod server;
