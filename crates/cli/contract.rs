//! The columns that files are expected to have: those of the month before them.
//!
//! A layout that changes is no error of a row, so nothing but this comparison would tell. Names are
//! compared as headers are: without case, blanks, dashes and underscores.

use std::collections::BTreeMap;

use clap::ValueEnum;
use costlake_model::aliases::header_key;
use costlake_model::{BillingPeriod, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{BlobRecord, Lake};
use serde_json::{Value, json};

use crate::error::Error;

/// What becomes of a report whose columns have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contract {
    /// It is refused, and so is a first report in a layout that is not known to the last column.
    Strict,
    /// It is published, and the changes are told.
    #[default]
    Warn,
    /// It is published.
    Evolve,
}

/// The columns of a report, held against those of the last published month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The layouts of its files.
    pub layouts: Vec<String>,
    /// What it is held against; `None` if the lake has no earlier report with an account of its blobs.
    pub against: Option<BillingPeriod>,
    /// Columns that the last month did not have.
    pub added: Vec<String>,
    /// Columns of the last month that this one does not have.
    pub removed: Vec<String>,
}

impl Columns {
    /// Holds the blobs of a report against the last published month of the same metric and scope, which
    /// may be the same month.
    ///
    /// # Errors
    /// The lake.
    pub(crate) async fn of_report(
        lake: &Lake,
        metric: Metric,
        period: BillingPeriod,
        scope: &ScopeSlug,
        blobs: &[BlobRecord],
    ) -> Result<Self, Error> {
        let mut layouts: Vec<String> =
            accounts(blobs).map(|account| account.layout.clone()).collect();
        layouts.sort();
        layouts.dedup();
        let mut columns = Self { layouts, against: None, added: Vec::new(), removed: Vec::new() };
        let Some((last, before)) = last_names(lake, metric, period, scope).await? else {
            return Ok(columns);
        };
        let now = names(blobs);
        // A report without blobs has no columns to speak of.
        if !now.is_empty() {
            columns.against = Some(last);
            columns.added = missing_in(&now, &before);
            columns.removed = missing_in(&before, &now);
        }
        Ok(columns)
    }

    /// What changed, in words; `None` if nothing did.
    pub(crate) fn change(&self) -> Option<String> {
        let list = |what: &str, names: &[String]| match names {
            [] => None,
            names => Some(format!("{what} {}", names.join(", "))),
        };
        let changes = [list("new:", &self.added), list("gone:", &self.removed)];
        let changes: Vec<String> = changes.into_iter().flatten().collect();
        match (self.against, changes.as_slice()) {
            (_, []) | (None, _) => None,
            (Some(last), changes) => {
                Some(format!("columns differ from those of {last}; {}", changes.join("; ")))
            }
        }
    }

    /// Holds the report to the contract. `departures` says how its files differ from their layouts.
    ///
    /// # Errors
    /// [`Error::Contract`].
    pub(crate) fn hold_to(
        &self,
        contract: Contract,
        report: &str,
        departures: Option<&str>,
    ) -> Result<(), Error> {
        let is_first = self.against.is_none();
        let problem = self.change().or_else(|| departures.filter(|_| is_first).map(str::to_owned));
        match problem {
            Some(problem) if contract == Contract::Strict => {
                Err(Error::Contract { report: report.to_owned(), problem })
            }
            _ => Ok(()),
        }
    }

    /// For machines.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "layouts": self.layouts,
            "against": self.against.map(|period| period.to_string()),
            "added": self.added,
            "removed": self.removed,
        })
    }
}

/// Names by the form in which they are compared.
type Names = BTreeMap<String, String>;

fn accounts(blobs: &[BlobRecord]) -> impl Iterator<Item = &costlake_sink::BlobAccount> {
    blobs.iter().filter_map(|blob| blob.account.as_ref())
}

fn names(blobs: &[BlobRecord]) -> Names {
    let columns = accounts(blobs).flat_map(|account| &account.columns);
    columns.map(|name| (header_key(name), name.clone())).collect()
}

fn missing_in(these: &Names, those: &Names) -> Vec<String> {
    let missing = these.iter().filter(|(key, _)| !those.contains_key(*key));
    missing.map(|(_, name)| name.clone()).collect()
}

/// The columns of the newest month, up to this one, that the lake holds with an account of its blobs.
async fn last_names(
    lake: &Lake,
    metric: Metric,
    period: BillingPeriod,
    scope: &ScopeSlug,
) -> Result<Option<(BillingPeriod, Names)>, Error> {
    let is_before = |partition: &Partition| {
        partition.table == Table::LineItems
            && partition.metric == Some(metric)
            && partition.scope == *scope
            && partition.period <= period
    };
    let mut partitions = lake.partitions().await?;
    partitions.retain(is_before);
    partitions.sort_by_key(|partition| partition.period);
    for partition in partitions.iter().rev() {
        let Some(manifest) = lake.manifest(partition).await? else { continue };
        let names = names(manifest.account.source.blobs());
        if !names.is_empty() {
            return Ok(Some((partition.period, names)));
        }
    }
    Ok(None)
}
