//! The frame of every run that publishes: its name, leftovers of dead runs, its commit record.

use std::time::Duration;

use chrono::{DateTime, Utc};
use costlake_sink::{CommitRecord, DEFAULT_LEFTOVER_AGE, Lake, Publication, RunId};

use crate::error::Error;

/// Begins a run, after sweeping what runs left that died a day ago or earlier.
///
/// # Errors
/// The lake.
pub(crate) async fn begin(lake: &Lake, started_at: DateTime<Utc>) -> Result<Publication, Error> {
    let age = chrono::TimeDelta::from_std(DEFAULT_LEFTOVER_AGE).unwrap_or_default();
    for run_id in lake.sweep(started_at - age).await? {
        tracing::info!(%run_id, "removed what a dead run left in the staging folder");
    }
    Ok(lake.begin(run_id(started_at)?, started_at))
}

/// A name for the run: its start and its process, so that names sort by time and do not repeat.
fn run_id(started_at: DateTime<Utc>) -> Result<RunId, Error> {
    let time = started_at.format("%Y%m%dT%H%M%S%3fZ");
    let name = format!("{time}-{}", std::process::id());
    name.parse().map_err(|error: costlake_sink::ParseRunIdError| Error::Internal(error.to_string()))
}

/// Writes the commit record of what was published; `None` if nothing changed.
///
/// # Errors
/// The lake.
pub(crate) async fn commit(publication: Publication) -> Result<Option<CommitRecord>, Error> {
    Ok(publication.commit(Utc::now()).await?)
}

/// How long to wait for blocking threads when the program ends early.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);
