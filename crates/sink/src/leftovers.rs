//! What killed runs leave in the staging folder, and nowhere else.

use std::path::Path as DiskPath;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::Error;
use crate::lake::{Lake, STAGING};
use crate::local::{self, Durability};
use crate::run_id::RunId;

/// After this time without a change, a run is taken to be dead.
pub const DEFAULT_LEFTOVER_AGE: Duration = Duration::from_hours(24);

impl Lake {
    /// Removes the staging folders in which nothing has changed since `untouched_since`, and
    /// returns their runs, sorted. Only names that costlake gives are touched.
    ///
    /// # Errors
    /// [`Error::Disk`] or [`Error::Store`].
    pub async fn sweep(&self, untouched_since: DateTime<Utc>) -> Result<Vec<RunId>, Error> {
        let mut dead = Vec::new();
        for run_id in self.staging_runs().await? {
            if self.last_change(&run_id).await?.is_none_or(|change| change < untouched_since) {
                clear_run(self, &run_id).await?;
                dead.push(run_id);
            }
        }
        Ok(dead)
    }

    async fn staging_runs(&self) -> Result<Vec<RunId>, Error> {
        let mut runs: Vec<RunId> = match &self.durability {
            Durability::Acknowledged => {
                let folder = Path::from(STAGING);
                let list = self.store.list_with_delimiter(Some(&folder)).await;
                let list = list.map_err(Error::store("list", &folder))?;
                let names = list.common_prefixes.iter().filter_map(|path| path.filename());
                names.filter_map(|name| name.parse().ok()).collect()
            }
            Durability::Synced(root) => {
                let names = local::on_disk("list", root.join(STAGING), folder_names).await?;
                names.iter().filter_map(|name| name.parse().ok()).collect()
            }
        };
        runs.sort();
        Ok(runs)
    }

    async fn last_change(&self, run_id: &RunId) -> Result<Option<DateTime<Utc>>, Error> {
        match &self.durability {
            Durability::Acknowledged => {
                let objects = staged_objects(self, run_id).await?;
                Ok(objects.iter().map(|object| object.last_modified).max())
            }
            Durability::Synced(root) => {
                let folder = root.join(STAGING).join(run_id.as_str());
                let change = local::on_disk("list", folder, last_change_on_disk).await?;
                Ok(change.map(DateTime::from))
            }
        }
    }
}

/// Removes what a run has in the staging folder.
pub(crate) async fn clear_run(lake: &Lake, run_id: &RunId) -> Result<(), Error> {
    match &lake.durability {
        Durability::Acknowledged => {
            for object in staged_objects(lake, run_id).await? {
                let path = object.location;
                if path.filename().is_some_and(is_our_name) {
                    lake.store.delete(&path).await.map_err(Error::store("delete", &path))?;
                }
            }
            Ok(())
        }
        Durability::Synced(root) => {
            let folder = root.join(STAGING).join(run_id.as_str());
            local::on_disk("clear", folder, clear_on_disk).await
        }
    }
}

async fn staged_objects(lake: &Lake, run_id: &RunId) -> Result<Vec<ObjectMeta>, Error> {
    let folder = Path::from(format!("{STAGING}/{run_id}"));
    let objects = lake.store.list(Some(&folder)).try_collect().await;
    objects.map_err(Error::store("list", &folder))
}

/// Names of `Publication`, with the `#n` that the local store appends while it writes.
fn is_our_name(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let whole = match name.split_once('#') {
        Some((whole, attempt)) if is_number(attempt) => whole,
        Some(_) => return false,
        None => name,
    };
    match whole.split_once('.') {
        Some(("commit", "json")) => true,
        Some((number, "parquet" | "json")) => is_number(number),
        _ => false,
    }
}

/// The names in a folder; none if there is no such folder.
fn entry_names(folder: &DiskPath) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// The names of the folders in a folder; links are not followed.
fn folder_names(folder: &DiskPath) -> io::Result<Vec<String>> {
    let mut names = entry_names(folder)?;
    names.retain(|name| {
        let metadata = fs::symlink_metadata(folder.join(name));
        metadata.is_ok_and(|metadata| metadata.is_dir())
    });
    Ok(names)
}

/// The last change of a folder or of a file in it; `None` if it has gone.
fn last_change_on_disk(folder: &DiskPath) -> io::Result<Option<SystemTime>> {
    let mut last = modified(folder)?;
    for name in entry_names(folder)? {
        last = last.max(modified(&folder.join(name))?);
    }
    Ok(last)
}

fn modified(path: &DiskPath) -> io::Result<Option<SystemTime>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata?.modified().map(Some),
    }
}

/// Removes our files, and then the folder if nothing else is in it.
fn clear_on_disk(folder: &DiskPath) -> io::Result<()> {
    for name in entry_names(folder)? {
        if is_our_name(&name) {
            unless_gone(fs::remove_file(folder.join(name)))?;
        }
    }
    if entry_names(folder)?.is_empty() {
        unless_gone(fs::remove_dir(folder))?;
    }
    Ok(())
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_swept() {
        for name in ["0.parquet", "17.json", "commit.json", "3.parquet#1", "3.json#22"] {
            assert!(is_our_name(name), "{name}");
        }
        for name in [
            "",
            ".parquet",
            "a.parquet",
            "0.csv",
            "0.parquet#",
            "0.parquet#a",
            "notes.txt",
            "0.parquet.bak",
        ] {
            assert!(!is_our_name(name), "{name}");
        }
    }
}
