//! What the lake holds, as its manifests say.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use costlake_model::{ExactSum, Partition};

use crate::error::Error;
use crate::lake::Lake;
use crate::manifest::PartitionManifest;

/// A partition in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: Partition,
    /// Its rows.
    pub rows: u64,
    /// The length of its object.
    pub bytes: u64,
    /// The exact cost of its rows, by billing currency; empty for tables other than line items.
    pub cost_by_currency: BTreeMap<String, ExactSum>,
    /// Records of the same source that went to quarantine.
    pub quarantined_rows: u64,
    /// When it was published, UTC.
    pub published_at: DateTime<Utc>,
    /// The first charge date.
    pub first_date: Option<NaiveDate>,
    /// The last charge date.
    pub last_date: Option<NaiveDate>,
}

impl Lake {
    /// Returns every partition in brief, sorted.
    ///
    /// # Errors
    /// As for [`Lake::manifest`].
    pub async fn status(&self) -> Result<Vec<PartitionStatus>, Error> {
        let mut status = Vec::new();
        for partition in self.partitions().await? {
            status.extend(self.manifest(&partition).await?.map(PartitionStatus::from));
        }
        Ok(status)
    }
}

impl From<PartitionManifest> for PartitionStatus {
    fn from(manifest: PartitionManifest) -> Self {
        let account = manifest.account;
        Self {
            partition: account.partition,
            rows: manifest.object.rows,
            bytes: manifest.object.bytes,
            cost_by_currency: account.cost_by_currency,
            quarantined_rows: account.conservation.map_or(0, |c| c.quarantined.rows),
            published_at: account.published_at,
            first_date: account.first_date,
            last_date: account.last_date,
        }
    }
}
