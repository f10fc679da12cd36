//! The publications of one run: staged, audited, put in place, and committed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use costlake_model::{BillingPeriod, Partition, ScopeSlug};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::VERSION;
use crate::commit::{CommitRecord, CommittedPartition, OutcomeKind};
use crate::digest::Sha256Digest;
use crate::encode::RowGroupEncoder;
use crate::error::Error;
use crate::lake::{self, Lake, STAGING};
use crate::manifest::{ObjectFacts, PartitionAccount, PartitionManifest};
use crate::object::PinnedObject;
use crate::object_writer::{ObjectWriter, StagedObject};
use crate::proof::{compare_bytes, prove};
use crate::run_id::RunId;
use crate::totals::TableTotals;
use crate::{leftovers, wire};

/// The publications of one run. May be shared by tasks, each with partitions of its own.
#[derive(Debug)]
pub struct Publication {
    lake: Lake,
    run_id: RunId,
    started: DateTime<Utc>,
    next_name: AtomicU64,
    done: Mutex<BTreeMap<Partition, CommittedPartition>>,
}

/// A staged object that was read back and found to hold what it should.
#[derive(Debug)]
pub struct AuditedObject {
    staged: StagedObject,
    totals: TableTotals,
}

/// An audited object of which all is staged, manifest included: see [`Publication::put`].
#[derive(Debug)]
pub struct ReadyObject(Readiness);

#[derive(Debug)]
enum Readiness {
    /// The object in place is the same, with this manifest.
    Unchanged(Box<PartitionManifest>),
    New(Box<NewObject>),
}

#[derive(Debug)]
struct NewObject {
    staged: Path,
    staged_manifest: Path,
    manifest_digest: Sha256Digest,
    manifest: PartitionManifest,
    previous: Option<ObjectFacts>,
}

/// What became of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new object is in place.
    Published {
        /// The object that its predecessor's manifest described.
        previous: Option<ObjectFacts>,
    },
    /// The object in place was right already, byte for byte.
    Unchanged,
}

impl Publication {
    pub(crate) fn new(lake: Lake, run_id: RunId, started: DateTime<Utc>) -> Self {
        Self { lake, run_id, started, next_name: AtomicU64::new(0), done: Mutex::default() }
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// Begins a staged object of a table.
    ///
    /// # Errors
    /// [`Error::Encode`] if Parquet has no such type, and [`Error::Store`].
    pub async fn object_writer(&self, schema: SchemaRef) -> Result<ObjectWriter, Error> {
        ObjectWriter::create(self.lake.clone(), self.staging_path("parquet"), schema).await
    }

    /// Stages a small table at once, each batch as a row group.
    ///
    /// # Errors
    /// As for [`ObjectWriter::append`].
    pub async fn stage_table(
        &self,
        schema: SchemaRef,
        batches: &[RecordBatch],
        key_value_metadata: Vec<(String, String)>,
    ) -> Result<StagedObject, Error> {
        let encoder = RowGroupEncoder::new(SchemaRef::clone(&schema))?;
        let mut writer = self.object_writer(schema).await?;
        for batch in batches {
            writer.append(encoder.encode(batch)?).await?;
        }
        writer.finish(key_value_metadata).await
    }

    /// Reads a staged object back from the store and proves that it holds what was written, and what
    /// the account says: length, SHA-256, rows, and for every decimal column the number of values
    /// and the exact stored total. A column that `expected` does not name must have no values.
    ///
    /// # Errors
    /// [`Error::Audit`] with all that is wrong; the object stays in the staging folder. Also
    /// [`Error::Store`] if it cannot be read.
    pub async fn audit(
        &self,
        staged: StagedObject,
        expected: &TableTotals,
    ) -> Result<AuditedObject, Error> {
        let findings = prove(&self.lake, &staged.path, &staged.facts, expected).await?;
        if findings.is_empty() {
            Ok(AuditedObject { staged, totals: expected.clone() })
        } else {
            Err(Error::Audit { path: staged.path.to_string(), findings })
        }
    }

    /// Compares an audited object with the one in place, and stages its manifest: then only renames are
    /// left. The object in place is read for that, so that a crash between the two, or damage since, is
    /// mended.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Disk`]; nothing is in place yet. [`Error::FormatVersion`] if a newer
    /// costlake was here.
    pub async fn ready(
        &self,
        audited: AuditedObject,
        account: PartitionAccount,
    ) -> Result<ReadyObject, Error> {
        let AuditedObject { staged, totals } = audited;
        let manifest = PartitionManifest {
            costlake_version: VERSION.to_owned(),
            run_id: self.run_id.clone(),
            object: staged.facts,
            decimals: totals.decimals,
            account,
        };
        let current = self.current_manifest(&manifest.account.partition).await?;
        if let Some(current) = &current
            && current.says_the_same(&manifest)
            && self.is_in_place(current).await?
        {
            self.discard(&staged.path).await;
            return Ok(ReadyObject(Readiness::Unchanged(Box::new(current.clone()))));
        }
        let path = lake::manifest_path(&manifest.account.partition);
        let bytes = wire::write_manifest(path.as_ref(), &manifest)?;
        let staged_manifest = self.staging_path("json");
        let manifest_digest = self.lake.stage(&staged_manifest, bytes).await?;
        Ok(ReadyObject(Readiness::New(Box::new(NewObject {
            staged: staged.path,
            staged_manifest,
            manifest_digest,
            manifest,
            previous: current.map(|current| current.object),
        }))))
    }

    /// Puts an object in place, and its manifest after it; nothing is to be done if both are already.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Disk`]: the old object is in place, or the new one with the old
    /// manifest; publishing again mends it.
    pub async fn put(&self, ready: ReadyObject) -> Result<Outcome, Error> {
        let new = match ready.0 {
            Readiness::Unchanged(current) => {
                self.record(committed(&current, OutcomeKind::Unchanged, None));
                return Ok(Outcome::Unchanged);
            }
            Readiness::New(new) => new,
        };
        let NewObject { staged, staged_manifest, manifest_digest, manifest, previous } = *new;
        let partition = &manifest.account.partition;
        self.lake.rename(&staged, &lake::data_path(partition), manifest.object.sha256).await?;
        let path = lake::manifest_path(partition);
        self.lake.rename(&staged_manifest, &path, manifest_digest).await?;
        tracing::debug!(%partition, rows = manifest.object.rows, "published");
        self.record(committed(&manifest, OutcomeKind::Published, previous));
        Ok(Outcome::Published { previous })
    }

    /// Takes what the lake holds of a month into this run's account as it is: an earlier run put it in
    /// place, and may have died before its commit record.
    ///
    /// # Errors
    /// [`Error::Store`], or a manifest that cannot be understood.
    pub async fn confirm(&self, period: BillingPeriod, scope: &ScopeSlug) -> Result<(), Error> {
        let partitions = self.lake.partitions().await?.into_iter();
        for partition in partitions.filter(|p| p.period == period && p.scope == *scope) {
            if let Some(manifest) = self.lake.manifest(&partition).await? {
                self.record(committed(&manifest, OutcomeKind::Unchanged, None));
            }
        }
        Ok(())
    }

    /// Does both: [`Publication::ready`] and [`Publication::put`].
    ///
    /// # Errors
    /// Those of both.
    pub async fn publish(
        &self,
        audited: AuditedObject,
        account: PartitionAccount,
    ) -> Result<Outcome, Error> {
        let ready = self.ready(audited, account).await?;
        self.put(ready).await
    }

    /// Removes the object and the manifest of a partition that has become empty; returns whether
    /// there was either.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Disk`]; removing again mends it.
    pub async fn remove(&self, partition: &Partition) -> Result<bool, Error> {
        let current = self.current_manifest(partition).await?;
        let had_object = self.lake.delete(&lake::data_path(partition)).await?;
        let had_manifest = self.lake.delete(&lake::manifest_path(partition)).await?;
        if had_object || had_manifest {
            self.record(CommittedPartition {
                partition: partition.clone(),
                outcome: OutcomeKind::Removed,
                object: None,
                published_by: self.run_id.clone(),
                previous: current.map(|current| current.object.sha256),
                source: None,
            });
        }
        Ok(had_object || had_manifest)
    }

    /// Writes the commit record, last of all, and clears the staging folder of the run. Returns
    /// `None`, and writes nothing, if every partition is unchanged and already in some record.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Disk`]: the partitions are in place, and the next run
    /// writes the record.
    pub async fn commit(self, finished_at: DateTime<Utc>) -> Result<Option<CommitRecord>, Error> {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let record = CommitRecord {
            costlake_version: VERSION.to_owned(),
            run_id: self.run_id,
            started_at: self.started,
            finished_at,
            partitions: done.into_values().collect(),
        };
        let is_news = is_news(&self.lake, &record).await?;
        if is_news {
            let path = lake::commit_path(&record.run_id, record.started_at);
            let bytes = wire::write_commit(path.as_ref(), &record)?;
            let staged = Path::from(format!("{STAGING}/{}/commit.json", record.run_id));
            self.lake.put_atomically(&staged, &path, bytes).await?;
            tracing::info!(run_id = %record.run_id, partitions = record.partitions.len(), "committed");
        }
        if let Err(error) = leftovers::clear_run(&self.lake, &record.run_id).await {
            tracing::debug!(run_id = %record.run_id, %error, "could not clear the staging folder");
        }
        Ok(is_news.then_some(record))
    }

    /// The manifest in place; one that cannot be understood is as none, and will be replaced.
    async fn current_manifest(
        &self,
        partition: &Partition,
    ) -> Result<Option<PartitionManifest>, Error> {
        match self.lake.manifest(partition).await {
            Err(error @ (Error::RecordSyntax { .. } | Error::RecordField { .. })) => {
                tracing::warn!(%partition, %error, "replacing a damaged manifest");
                Ok(None)
            }
            result => result,
        }
    }

    async fn is_in_place(&self, manifest: &PartitionManifest) -> Result<bool, Error> {
        let path = lake::data_path(&manifest.account.partition);
        match PinnedObject::open(&self.lake.store, &path).await? {
            Some(object) if object.bytes() == manifest.object.bytes => {
                Ok(compare_bytes(&object, &manifest.object).await?.is_empty())
            }
            _ => Ok(false),
        }
    }

    /// Deletes a staged object. If that fails, it is a leftover like others.
    async fn discard(&self, staged: &Path) {
        if let Err(error) = self.lake.store.delete(staged).await {
            tracing::debug!(path = %staged, %error, "could not discard a staged object");
        }
    }

    fn record(&self, committed: CommittedPartition) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let is_change = committed.outcome != OutcomeKind::Unchanged;
        if is_change || !done.contains_key(&committed.partition) {
            done.insert(committed.partition.clone(), committed);
        }
    }

    fn staging_path(&self, extension: &str) -> Path {
        let name = self.next_name.fetch_add(1, Ordering::Relaxed);
        Path::from(format!("{STAGING}/{}/{name}.{extension}", self.run_id))
    }
}

impl AuditedObject {
    /// What was written, and read back.
    pub fn facts(&self) -> &ObjectFacts {
        &self.staged.facts
    }
}

fn committed(
    manifest: &PartitionManifest,
    outcome: OutcomeKind,
    previous: Option<ObjectFacts>,
) -> CommittedPartition {
    CommittedPartition {
        partition: manifest.account.partition.clone(),
        outcome,
        object: Some(manifest.object),
        published_by: manifest.run_id.clone(),
        previous: previous.map(|previous| previous.sha256),
        source: Some(manifest.account.source.without_accounts()),
    }
}

/// Whether the run changed anything, or found what a run left that died before its commit record.
async fn is_news(lake: &Lake, record: &CommitRecord) -> Result<bool, Error> {
    let partitions = &record.partitions;
    if partitions.iter().any(|partition| partition.outcome != OutcomeKind::Unchanged) {
        return Ok(true);
    }
    let paths = lake.commit_paths().await?;
    let committed: BTreeSet<RunId> =
        paths.iter().filter_map(|path| lake::run_of_commit_path(path)).collect();
    Ok(partitions.iter().any(|partition| !committed.contains(&partition.published_by)))
}
