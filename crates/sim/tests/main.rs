//! What the simulator promises, proved from the CSV and from the wire alone.
//!
//! Every module is marked as a test, helpers too, so that the lints let it unwrap.

#[cfg(test)]
mod client;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod reading;

// Actual and amortized cost of the same commitments, to the last digit.
#[cfg(test)]
mod identities;

// Scopes, blobs, revisions: which rows a report holds.
#[cfg(test)]
mod selections;

// Bytes on disk: layout, determinism, manifest.
#[cfg(test)]
mod files;

// The wire: signing in, reports, blobs.
#[cfg(test)]
mod server;

// Faults and the control plane.
#[cfg(test)]
mod faults;

// A client on a bare socket.
#[cfg(test)]
mod raw;

// Every fault, byte by byte.
#[cfg(test)]
mod wire;

// Quotas, sizes, identities, billing objects, clocks.
#[cfg(test)]
mod service;
