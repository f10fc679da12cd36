//! What the simulator promises, proved from the CSV and from the wire alone.

mod exact;
mod reading;

// Actual and amortized cost of the same commitments, to the last digit.
mod identities;

// Scopes, blobs, revisions: which rows a report holds.
mod selections;

// Bytes on disk: layout, determinism, manifest.
mod files;

// The wire: signing in, reports, blobs.
mod server;

// Faults and the control plane.
mod faults;
