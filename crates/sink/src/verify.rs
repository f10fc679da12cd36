//! Proof of everything that was published, by reading all of it.

use std::collections::BTreeSet;

use costlake_model::{Partition, Table};
use object_store::path::Path;

use crate::error::Error;
use crate::lake::{self, Lake, OWN_FOLDER};
use crate::manifest::PartitionManifest;
use crate::partition_path::partition_of_data_path;
use crate::proof::{Finding, prove};

/// An object of the lake and all that is wrong with it.
#[derive(Debug)]
pub struct CheckedObject {
    /// Where it lies, below the lake.
    pub path: String,
    /// Its partition; `None` for a foreign file.
    pub partition: Option<Partition>,
    /// Its manifest, as far as there is one.
    pub manifest: Option<PartitionManifest>,
    /// All that is wrong; empty if nothing is.
    pub findings: Vec<Finding>,
}

impl Lake {
    /// Re-reads the objects of the partitions that pass `filter` and proves each against its manifest;
    /// then names objects of such partitions that have no manifest, and foreign files in table folders.
    /// Sorted by partition, foreign files last.
    ///
    /// Files that a local store hides, `x#1`, are not seen: nothing of costlake's makes them there.
    ///
    /// # Errors
    /// [`Error::Store`] if the lake cannot be listed. Whatever is wrong with an object is a finding.
    pub async fn verify(
        &self,
        filter: impl Fn(&Partition) -> bool + Send + Sync,
    ) -> Result<Vec<CheckedObject>, Error> {
        let published = self.partitions().await?;
        let mut checked = Vec::new();
        for partition in published.iter().filter(|partition| filter(partition)) {
            checked.push(self.check(partition).await);
        }
        let strays = self.strays(&published).await?;
        checked.extend(
            strays.into_iter().filter(|stray| stray.partition.as_ref().is_none_or(&filter)),
        );
        checked.sort_by(|a, b| {
            let key =
                |checked: &CheckedObject| (checked.partition.is_none(), checked.partition.clone());
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        Ok(checked)
    }

    async fn check(&self, partition: &Partition) -> CheckedObject {
        let unreadable = |error| vec![Finding::Unreadable(Box::new(error))];
        let (manifest, findings) = match self.manifest(partition).await {
            Ok(Some(manifest)) => {
                let path = lake::data_path(partition);
                let proof = prove(self, &path, &manifest.object, &manifest.totals()).await;
                (Some(manifest), proof.unwrap_or_else(unreadable))
            }
            Ok(None) => (None, vec![Finding::ManifestMissing]),
            Err(error) => (None, unreadable(error)),
        };
        CheckedObject {
            path: partition.data_path(),
            partition: Some(partition.clone()),
            manifest,
            findings,
        }
    }

    /// Objects in table folders that no manifest speaks of.
    async fn strays(&self, published: &[Partition]) -> Result<Vec<CheckedObject>, Error> {
        let known: BTreeSet<String> = published.iter().map(Partition::data_path).collect();
        let mut paths = self.list(&Path::default()).await?;
        paths.retain(|path| folder(path) != OWN_FOLDER && !known.contains(path));
        let tables = table_folders(published, &paths);
        let strays = paths.into_iter().filter(|path| tables.contains(folder(path))).map(|path| {
            let partition = partition_of_data_path(&path);
            let finding = match partition {
                Some(_) => Finding::ManifestMissing,
                None => Finding::Foreign,
            };
            CheckedObject { path, partition, manifest: None, findings: vec![finding] }
        });
        Ok(strays.collect())
    }
}

/// The folders of tables; others in the lake are none of ours.
fn table_folders(published: &[Partition], paths: &[String]) -> BTreeSet<String> {
    let of_paths = paths.iter().filter_map(|path| partition_of_data_path(path));
    published
        .iter()
        .cloned()
        .chain(of_paths)
        .map(|partition| partition.table)
        .chain([Table::LineItems, Table::Quarantine])
        .map(|table| table.name().to_owned())
        .collect()
}

/// The first segment of a path, or nothing for a file beside the tables.
fn folder(path: &str) -> &str {
    path.split_once('/').map_or("", |(folder, _)| folder)
}
