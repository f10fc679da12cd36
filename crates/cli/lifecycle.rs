//! The frame of every run that publishes: its name, leftovers of dead runs, its commit record.

use std::time::Duration;

use chrono::{DateTime, Utc};
use costlake_sink::{CommitRecord, DEFAULT_LEFTOVER_AGE, Lake, Publication, RunId};

use crate::error::Error;

/// Runs `work` with the publications of one run, and ends the run however `work` ends: with a commit
/// record of what it published, and nothing left in the staging folder. Ctrl-C ends it too.
///
/// # Errors
/// Those of `work`, [`Error::Interrupted`], and the lake.
pub(crate) async fn publishing<T>(
    lake: &Lake,
    started_at: DateTime<Utc>,
    work: impl AsyncFnOnce(&Publication, &PuttingInPlace) -> Result<T, Error>,
) -> Result<(T, Option<CommitRecord>), Error> {
    sweep(lake, started_at).await?;
    let publication = lake.begin(run_id(started_at)?, started_at);
    let putting = PuttingInPlace::default();
    let done = tokio::select! {
        done = work(&publication, &putting) => done,
        () = stopped_between(&putting) => Err(Error::Interrupted),
    };
    let record = publication.commit(Utc::now()).await;
    Ok((done?, record?))
}

/// Held while the objects of a month are put in place: some renames, which Ctrl-C waits for, so that
/// no month is left with one report new and the other old.
#[derive(Debug, Default)]
pub(crate) struct PuttingInPlace(tokio::sync::Mutex<()>);

impl PuttingInPlace {
    /// Begins to put a month in place, until the guard is dropped.
    pub(crate) async fn begin(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.lock().await
    }
}

async fn stopped_between(putting: &PuttingInPlace) {
    stop_signal().await;
    drop(putting.begin().await);
}

/// Runs a future until it ends, Ctrl-C is pressed or the process is told to terminate.
///
/// # Errors
/// Those of the future, and [`Error::Interrupted`].
pub(crate) async fn interruptible<T>(
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        done = future => done,
        () = stop_signal() => Err(Error::Interrupted),
    }
}

/// Waits for Ctrl-C, or the signal that tells a process to terminate.
#[cfg(unix)]
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn stop_signal() {
    drop(tokio::signal::ctrl_c().await);
}

/// Removes what runs left that died a day ago or earlier.
async fn sweep(lake: &Lake, started_at: DateTime<Utc>) -> Result<(), Error> {
    let age = chrono::TimeDelta::from_std(DEFAULT_LEFTOVER_AGE).unwrap_or_default();
    for run_id in lake.sweep(started_at - age).await? {
        tracing::info!(%run_id, "removed what a dead run left in the staging folder");
    }
    Ok(())
}

/// A name for the run: its start and its process, so that names sort by time and do not repeat.
pub(crate) fn run_id(started_at: DateTime<Utc>) -> Result<RunId, Error> {
    let time = started_at.format("%Y%m%dT%H%M%S%3fZ");
    let name = format!("{time}-{}", std::process::id());
    name.parse().map_err(|error: costlake_sink::ParseRunIdError| Error::Internal(error.to_string()))
}

/// How long to wait for blocking threads when the program ends early.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);
