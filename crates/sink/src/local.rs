//! Durability on a local disk, which `LocalFileSystem` of object_store 0.13 leaves to its caller:
//! it writes and renames, but syncs neither files nor directories, and hides the `#n` files that a
//! killed upload leaves behind.
//!
//! Cloud stores acknowledge only what is durable, and need none of this.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path as DiskPath, PathBuf};

use object_store::path::Path;

use crate::error::Error;

/// How what was written becomes durable.
#[derive(Clone, Debug)]
pub(crate) enum Durability {
    /// The store acknowledges only what is durable.
    Acknowledged,
    /// Files and directories below this directory have to be synced.
    Synced(PathBuf),
}

impl Durability {
    /// Flushes an object to stable storage.
    pub(crate) async fn sync_object(&self, object: &Path) -> Result<(), Error> {
        match self {
            Self::Acknowledged => Ok(()),
            Self::Synced(root) => {
                let file = root.join(object.as_ref());
                // Some systems flush only what is open for writing.
                let open = |file: &DiskPath| OpenOptions::new().write(true).open(file);
                on_disk("sync", file, move |file| open(file)?.sync_all()).await
            }
        }
    }

    /// Flushes the names of an object and of all folders above it, which may be new.
    pub(crate) async fn sync_folders(&self, object: &Path) -> Result<(), Error> {
        let Self::Synced(root) = self else {
            return Ok(());
        };
        let file = root.join(object.as_ref());
        for folder in file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
            if folder.exists() {
                sync_directory(folder.to_owned()).await?;
            }
        }
        Ok(())
    }
}

/// Creates a directory and flushes its name.
pub(crate) async fn create_directory(path: PathBuf) -> Result<(), Error> {
    on_disk("create", path.clone(), |path| std::fs::create_dir_all(path)).await?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent.to_owned()).await,
        None => Ok(()),
    }
}

/// Runs a blocking operation on a file or directory.
pub(crate) async fn on_disk<T: Send + 'static>(
    operation: &'static str,
    path: PathBuf,
    run: impl FnOnce(&DiskPath) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let place = path.clone();
    tokio::task::spawn_blocking(move || run(&place))
        .await
        .unwrap_or_else(|broken_off| Err(io::Error::other(broken_off)))
        .map_err(|source| Error::Disk { operation, path, source })
}

#[cfg(unix)]
async fn sync_directory(path: PathBuf) -> Result<(), Error> {
    on_disk("sync", path, |path| std::fs::File::open(path)?.sync_all()).await
}

/// Elsewhere directories cannot be opened, and the file system keeps names in order by itself.
#[cfg(not(unix))]
async fn sync_directory(_path: PathBuf) -> Result<(), Error> {
    Ok(())
}
