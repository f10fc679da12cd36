//! Several runs of one report: an export writes its month again every day, into a folder of its own.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use costlake_model::{BillingPeriod, ScopeSlug};

use super::manifests::Manifest;
use super::{ReportKind, Skipped};
use crate::error::Error;

/// What report a manifest is of: two manifests with the same are runs of one report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReportKey {
    /// Which view, in which columns.
    pub kind: ReportKind,
    /// The month.
    pub period: Option<BillingPeriod>,
    /// The scope.
    pub scope: Option<ScopeSlug>,
    /// The name of the export: two may differ in filters and columns.
    pub export: Option<String>,
    /// Where the export writes to. Exports that do not name their scope may be of different ones.
    pub place: Option<PathBuf>,
}

/// Up to which day a run goes and when it was submitted: the run that goes furthest wins, of several
/// the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The last day.
    pub end: Option<NaiveDate>,
    /// When it was submitted.
    pub submitted: Option<DateTime<Utc>>,
}

/// Chooses one run of every report; the others are skipped.
///
/// # Errors
/// If nothing says which of two runs is newer.
pub(super) fn choose(
    manifests: Vec<Manifest>,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Manifest>, Error> {
    let mut chosen: BTreeMap<ReportKey, Manifest> = BTreeMap::new();
    for manifest in manifests {
        let key = manifest.key.clone();
        let winner = match chosen.remove(&key) {
            None => manifest,
            Some(other) => {
                let (winner, loser) = compare(other, manifest)?;
                let reason = "a run of the same report that goes further, or is newer, is there";
                skipped.push(Skipped { path: loser.folder_name(), reason: reason.to_owned() });
                winner
            }
        };
        chosen.insert(key, winner);
    }
    Ok(chosen.into_values().collect())
}

/// The winner and the loser.
fn compare(first: Manifest, second: Manifest) -> Result<(Manifest, Manifest), Error> {
    match first.rank.cmp(&second.rank) {
        Ordering::Greater => Ok((first, second)),
        Ordering::Less => Ok((second, first)),
        // A copy of the same run.
        Ordering::Equal if first.rank.submitted.is_some() => Ok((second, first)),
        Ordering::Equal => Err(Error::usage(
            format!(
                "nothing says which is the newer run of one report: {} or {}",
                first.folder_name(),
                second.folder_name()
            ),
            "name the folder to read",
        )),
    }
}
