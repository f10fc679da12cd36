//! A lake: where it lies, and what it says that it holds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_model::Partition;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use url::Url;

use crate::commit::CommitRecord;
use crate::digest::Sha256Digest;
use crate::error::Error;
use crate::local::{self, Durability};
use crate::manifest::PartitionManifest;
use crate::object::PinnedObject;
use crate::partition_path::parse_partition;
use crate::publication::Publication;
use crate::run_id::RunId;
use crate::wire;

/// The folder of costlake's own records.
pub(crate) const OWN_FOLDER: &str = "_costlake";
const MANIFESTS: &str = "_costlake/manifests";
const COMMITS: &str = "_costlake/commits";
/// The folder of objects on their way.
pub(crate) const STAGING: &str = "_costlake/staging";

/// A lake. Cloning is cheap and gives another handle to the same lake.
#[derive(Clone)]
pub struct Lake {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) durability: Durability,
    location: String,
}

impl Lake {
    /// Opens the lake in a local directory, given as a path or as a `file://` URL.
    ///
    /// # Errors
    /// [`Error::Location`] for any other kind of location, [`Error::LakeMissing`] if there is no
    /// such directory and `create` is false, [`Error::NotADirectory`], and [`Error::Disk`].
    pub async fn open(location: &str, create: bool) -> Result<Self, Error> {
        let path = local_path(location)?;
        if path.exists() && !path.is_dir() {
            return Err(Error::NotADirectory { path });
        }
        if !path.exists() && !create {
            return Err(Error::LakeMissing { path });
        }
        if !path.exists() {
            local::create_directory(path.clone()).await?;
        }
        let root = local::on_disk("open", path, |path| path.canonicalize()).await?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(Error::store("open", &Path::default()))?;
        Ok(Self {
            store: Arc::new(store),
            location: root.display().to_string(),
            durability: Durability::Synced(root),
        })
    }

    /// Returns the lake in a store that acknowledges only what is durable, under a name for people.
    pub fn in_store(store: Arc<dyn ObjectStore>, location: &str) -> Self {
        Self { store, durability: Durability::Acknowledged, location: location.to_owned() }
    }

    /// Where the lake lies, for people.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Begins the publications of a run that started at `started`.
    pub fn begin(&self, run_id: RunId, started: DateTime<Utc>) -> Publication {
        Publication::new(self.clone(), run_id, started)
    }

    /// Returns the partitions that have a manifest, sorted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn partitions(&self) -> Result<Vec<Partition>, Error> {
        let folder = Path::from(MANIFESTS);
        let objects = self.list(&folder).await?;
        let mut partitions: Vec<Partition> = objects
            .iter()
            .filter_map(|path| {
                path.strip_prefix(MANIFESTS)?.strip_prefix('/')?.strip_suffix(".json")
            })
            .filter_map(|directory| parse_partition(directory).ok())
            .collect();
        partitions.sort();
        Ok(partitions)
    }

    /// Returns the manifest of a partition, or `None` if the lake does not hold it.
    ///
    /// # Errors
    /// [`Error::RecordSyntax`], [`Error::RecordField`] or [`Error::FormatVersion`] if it cannot be
    /// understood, and [`Error::Store`].
    pub async fn manifest(
        &self,
        partition: &Partition,
    ) -> Result<Option<PartitionManifest>, Error> {
        let path = manifest_path(partition);
        match self.get(&path).await? {
            Some(bytes) => wire::read_manifest(path.as_ref(), &bytes, partition).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the commit records of the lake, in the order in which their runs started.
    ///
    /// # Errors
    /// As for [`Lake::manifest`].
    pub async fn commits(&self) -> Result<Vec<CommitRecord>, Error> {
        let mut records = Vec::new();
        for path in self.commit_paths().await? {
            if let Some(bytes) = self.get(&Path::from(path.as_str())).await? {
                records.push(wire::read_commit(&path, &bytes)?);
            }
        }
        Ok(records)
    }

    /// The paths of commit records, sorted by the start of their runs.
    pub(crate) async fn commit_paths(&self) -> Result<Vec<String>, Error> {
        let mut paths = self.list(&Path::from(COMMITS)).await?;
        paths.sort();
        Ok(paths)
    }

    /// The paths of all objects below a folder, in no order.
    pub(crate) async fn list(&self, folder: &Path) -> Result<Vec<String>, Error> {
        self.store
            .list(Some(folder))
            .map_ok(|object| object.location.to_string())
            .try_collect()
            .await
            .map_err(Error::store("list", folder))
    }

    /// The bytes of a small object, or `None` if there is none.
    pub(crate) async fn get(&self, path: &Path) -> Result<Option<bytes::Bytes>, Error> {
        let result = match self.store.get(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            result => result.map_err(Error::store("read", path))?,
        };
        result.bytes().await.map(Some).map_err(Error::store("read", path))
    }

    /// Puts a small object in place: staged, synced, renamed, synced.
    pub(crate) async fn put_atomically(
        &self,
        staged: &Path,
        target: &Path,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        let digest = self.stage(staged, bytes).await?;
        self.rename(staged, target, digest).await
    }

    /// Writes a small object and makes it durable, for a rename to come; returns its digest.
    pub(crate) async fn stage(&self, path: &Path, bytes: Vec<u8>) -> Result<Sha256Digest, Error> {
        let digest = Sha256Digest::of(&bytes);
        let written = self.store.put(path, PutPayload::from(bytes)).await;
        written.map_err(Error::store("write", path))?;
        self.durability.sync_object(path).await?;
        Ok(digest)
    }

    /// Renames an object onto another, atomically, and makes the new name durable.
    ///
    /// A failure whose effect is in place all the same was a lost answer, and is none.
    pub(crate) async fn rename(
        &self,
        from: &Path,
        to: &Path,
        digest: Sha256Digest,
    ) -> Result<(), Error> {
        if let Err(source) = self.store.rename(from, to).await
            && !self.holds(to, digest).await
        {
            return Err(Error::store("put in place", to)(source));
        }
        self.durability.sync_folders(to).await
    }

    async fn holds(&self, path: &Path, digest: Sha256Digest) -> bool {
        match PinnedObject::open(&self.store, path).await {
            Ok(Some(object)) => object.digest().await.is_ok_and(|found| found == digest),
            _ => false,
        }
    }

    /// Deletes an object and makes that durable; returns whether there was one.
    pub(crate) async fn delete(&self, path: &Path) -> Result<bool, Error> {
        match self.store.delete(path).await {
            Ok(()) => self.durability.sync_folders(path).await.map(|()| true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(Error::store("delete", path)(source)),
        }
    }
}

impl fmt::Debug for Lake {
    /// The location only: stores print their credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("location", &self.location).finish_non_exhaustive()
    }
}

/// The path of the one object of a partition.
pub(crate) fn data_path(partition: &Partition) -> Path {
    Path::from(partition.data_path())
}

/// The path of the manifest of a partition.
pub(crate) fn manifest_path(partition: &Partition) -> Path {
    Path::from(format!("{MANIFESTS}/{}.json", partition.directory()))
}

/// The path of the commit record of a run.
pub(crate) fn commit_path(run_id: &RunId, started: DateTime<Utc>) -> Path {
    Path::from(format!("{COMMITS}/{}-{run_id}.json", started.format("%Y%m%dT%H%M%SZ")))
}

/// The run that a commit record is of, by its path.
pub(crate) fn run_of_commit_path(path: &str) -> Option<RunId> {
    let name = path.strip_prefix(COMMITS)?.strip_prefix('/')?.strip_suffix(".json")?;
    let (_started, run_id) = name.split_once('-')?;
    run_id.parse().ok()
}

fn local_path(location: &str) -> Result<PathBuf, Error> {
    if !location.contains("://") {
        return Ok(PathBuf::from(location));
    }
    Url::parse(location)
        .ok()
        .filter(|url| url.scheme() == "file")
        .and_then(|url| url.to_file_path().ok())
        .ok_or_else(|| Error::Location { location: without_secrets(location) })
}

/// Cuts the query and the user off a location: either may be a credential.
fn without_secrets(location: &str) -> String {
    let public = location.split(['?', '#']).next().unwrap_or_default();
    match (public.split_once("://"), public.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => public.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_are_local() {
        for (location, path) in
            [("lake", "lake"), ("/a b/lake", "/a b/lake"), ("file:///a%20b/lake", "/a b/lake")]
        {
            assert_eq!(local_path(location).unwrap(), PathBuf::from(path));
        }
    }

    #[test]
    fn other_schemes_are_refused_without_their_secrets() {
        for (location, shown) in [
            ("az://container/lake?sig=secret", "az://container/lake"),
            ("https://user:secret@host/lake", "https://host/lake"),
            ("s3://bucket", "s3://bucket"),
        ] {
            let error = local_path(location).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("cannot open a lake at `{shown}`: expected a local path or a file:// URL")
            );
        }
    }

    #[test]
    fn commit_records_name_their_run() {
        let run_id: RunId = "run-7".parse().unwrap();
        let path = commit_path(&run_id, DateTime::UNIX_EPOCH);
        assert_eq!(path.as_ref(), "_costlake/commits/19700101T000000Z-run-7.json");
        assert_eq!(run_of_commit_path(path.as_ref()), Some(run_id));
    }
}
