//! Small files that others keep in costlake's own folder of a lake: the journal of fetching.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::error::Error;
use crate::lake::{Lake, OWN_FOLDER, STAGING};
use crate::leftovers;
use crate::local::Durability;
use crate::run_id::RunId;

/// Files below a folder of `_costlake`, each replaced whole. Readers see the old one or the new one, and
/// what was written when [`Records::write`] returns survives a loss of power.
#[derive(Debug)]
pub struct Records {
    lake: Lake,
    folder: &'static str,
    /// Whose staged files these are.
    run_id: RunId,
    next_name: AtomicU64,
}

impl Lake {
    /// The records of a folder below `_costlake`. What a writer has staged goes by its `run_id`, which must
    /// not be that of a publication.
    pub fn records(&self, folder: &'static str, run_id: RunId) -> Records {
        Records { lake: self.clone(), folder, run_id, next_name: AtomicU64::new(0) }
    }
}

impl Records {
    /// The bytes of a record, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Store`]; so for the other methods, and [`Error::Disk`] for those that write.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.lake.get(&self.path(name)).await?.map(Vec::from))
    }

    /// Replaces a record, atomically and durably.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let target = self.path(name);
        if let Durability::Acknowledged = self.lake.durability {
            let put = self.lake.store.put(&target, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(Error::store("write", &target));
        }
        let number = self.next_name.fetch_add(1, Ordering::Relaxed);
        let staged = Path::from(format!("{STAGING}/{}/{number}.json", self.run_id));
        self.lake.put_atomically(&staged, &target, bytes).await
    }

    /// Removes a record; returns whether there was one.
    pub async fn remove(&self, name: &str) -> Result<bool, Error> {
        self.lake.delete(&self.path(name)).await
    }

    /// The names of all records, sorted.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let folder = format!("{OWN_FOLDER}/{}", self.folder);
        let paths = self.lake.list(&Path::from(folder.as_str())).await?;
        let name = |path: &String| Some(path.strip_prefix(&folder)?.strip_prefix('/')?.to_owned());
        let mut names: Vec<String> = paths.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// Removes what writers left staged.
    pub async fn clear_staged(&self) -> Result<(), Error> {
        leftovers::clear_run(&self.lake, &self.run_id).await
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{OWN_FOLDER}/{}/{name}", self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_replaced_and_leave_nothing_staged() {
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::open(directory.path().to_str().unwrap(), true).await.unwrap();
        let records = lake.records("journal", "writer-1".parse().unwrap());
        assert_eq!(records.read("a/b.json").await.unwrap(), None);
        for text in ["one", "two"] {
            records.write("a/b.json", text.into()).await.unwrap();
            assert_eq!(records.read("a/b.json").await.unwrap(), Some(text.into()));
        }
        assert_eq!(records.names().await.unwrap(), ["a/b.json"]);
        assert!(directory.path().join("_costlake/journal/a/b.json").is_file());
        records.clear_staged().await.unwrap();
        assert!(!directory.path().join("_costlake/staging/writer-1").exists());
        assert!(records.remove("a/b.json").await.unwrap());
        assert!(!records.remove("a/b.json").await.unwrap());
    }
}
