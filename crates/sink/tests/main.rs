//! Tests of the crate through its public face, one module per topic.

/// Stores whose n-th operation fails.
#[cfg(test)]
mod failing_store;
/// Line items and accounts to publish.
#[cfg(test)]
mod samples;

/// Every kind of damage is found, by `audit` and by `verify`.
#[cfg(test)]
mod damage;
/// A run that fails at any operation leaves the old month or the new one, and the next run mends it.
#[cfg(test)]
mod faults;
/// `docs/format.md` says what the code does.
#[cfg(test)]
mod format_document;
/// Publishing, replacing, removing, committing, sweeping.
#[cfg(test)]
mod publishing;
/// What is written is what is read.
#[cfg(test)]
mod round_trip;
