//! Commit records: what each run changed, written when all else is done.

use chrono::{DateTime, Utc};
use costlake_model::Partition;

use crate::digest::Sha256Digest;
use crate::manifest::{ObjectFacts, Source};
use crate::run_id::RunId;

/// What a run did to the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The version of costlake.
    pub costlake_version: String,
    /// The run.
    pub run_id: RunId,
    /// When the run started, UTC; kept to the millisecond.
    pub started_at: DateTime<Utc>,
    /// When it had published everything, UTC; kept to the millisecond.
    pub finished_at: DateTime<Utc>,
    /// Every partition of the run, sorted.
    pub partitions: Vec<CommittedPartition>,
}

/// What a run did to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPartition {
    /// The partition.
    pub partition: Partition,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// The object in place; `None` if it was removed.
    pub object: Option<ObjectFacts>,
    /// The run that published that object: this one, or for unchanged partitions an earlier one.
    pub published_by: RunId,
    /// The SHA-256 of the object that was in place before, for published and removed partitions.
    pub previous: Option<Sha256Digest>,
    /// What the object was made from; `None` if it was removed.
    pub source: Option<Source>,
}

/// What became of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// A new object is in place.
    Published,
    /// The object in place was right already.
    Unchanged,
    /// The partition is gone.
    Removed,
}

impl OutcomeKind {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Published, Self::Unchanged, Self::Removed];

    /// The name in commit records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        }
    }
}
