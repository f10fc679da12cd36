//! The journal of fetching, kept in the lake.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use costlake_fetch::journal::JournalStore;
use costlake_sink::{Lake, Records, RunId};
use futures::future::{BoxFuture, FutureExt, TryFutureExt};

use crate::error::Error;

/// The folder below `_costlake`.
const FOLDER: &str = "journal";

/// The journal of a lake; what is staged for it goes by the name of a run.
///
/// # Errors
/// None in practice: the name of a run with a suffix is one.
pub(crate) fn of_lake(lake: &Lake, run: &RunId) -> Result<Arc<LakeJournal>, Error> {
    let name = format!("{run}-journal").parse();
    let run_id: RunId =
        name.map_err(|error: costlake_sink::ParseRunIdError| Error::Internal(error.to_string()))?;
    Ok(Arc::new(LakeJournal(lake.records(FOLDER, run_id))))
}

/// Held while a run is at work on a lake: two that write the same journal would confuse each other.
pub(crate) struct RunLock(File);

impl RunLock {
    /// Takes the lock of a lake; it is released when dropped, or when the process ends however it does.
    ///
    /// # Errors
    /// [`Error::Locked`], and a folder that cannot be written.
    pub(crate) fn take(lake: &Lake) -> Result<Self, Error> {
        let folder = Path::new(lake.location()).join("_costlake");
        let path = folder.join("lock");
        let failed = |source| Error::File { action: "lock", path: path.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Locked { lake: lake.location().to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Closing the file releases it, too.
        drop(self.0.unlock());
    }
}

/// A journal in a lake.
pub(crate) struct LakeJournal(Records);

impl LakeJournal {
    /// Removes what was left staged; failing to is no harm.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.0.clear_staged().await {
            tracing::warn!(%error, "cannot clear what was staged for the journal");
        }
    }
}

impl JournalStore for LakeJournal {
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Option<Vec<u8>>>> {
        self.0.read(name).map_err(io::Error::other).boxed()
    }

    fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, io::Result<()>> {
        self.0.write(name, bytes).map_err(io::Error::other).boxed()
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<()>> {
        self.0.remove(name).map_ok(|_was_there| ()).map_err(io::Error::other).boxed()
    }

    fn names(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        self.0.names().map_err(io::Error::other).boxed()
    }
}
