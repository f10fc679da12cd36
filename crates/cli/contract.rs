//! The columns that files are expected to have: those of the month before them.
//!
//! A layout that changes is no error of a row, so nothing but this comparison would tell. Names are
//! compared as headers are: without case, blanks, dashes and underscores.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use costlake_model::aliases::by_key;
use costlake_model::{BillingPeriod, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{BlobRecord, Lake};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::ingest::ReportAccount;

/// What becomes of a report whose columns have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contract {
    /// It is refused, as is one whose files have different columns, and a first one in a layout that is not
    /// known to the last column.
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

/// The columns of the months that the lake holds, and of those that this run has prepared.
pub(crate) struct History<'a> {
    lake: &'a Lake,
    /// What the lake held when it was first asked for.
    partitions: OnceCell<Vec<Partition>>,
    prepared: Mutex<BTreeMap<(ScopeSlug, Metric, BillingPeriod), Names>>,
}

impl<'a> History<'a> {
    /// The history of a lake, as far as it goes.
    pub(crate) fn of(lake: &'a Lake) -> Self {
        Self { lake, partitions: OnceCell::new(), prepared: Mutex::default() }
    }

    /// Holds the blobs of a report against the last month of the same metric and scope, which may be the
    /// same month, published before; remembers them for the months to come.
    ///
    /// # Errors
    /// The lake.
    pub(crate) async fn compare(
        &self,
        metric: Metric,
        period: BillingPeriod,
        scope: &ScopeSlug,
        blobs: &[BlobRecord],
    ) -> Result<Columns, Error> {
        let mut layouts: Vec<String> =
            accounts(blobs).map(|account| account.layout.clone()).collect();
        layouts.sort();
        layouts.dedup();
        let mut columns =
            Columns { layouts, against: None, added: Vec::new(), removed: Vec::new() };
        let now = names(blobs);
        // A report without blobs has no columns to speak of.
        if now.is_empty() {
            return Ok(columns);
        }
        if let Some((last, before)) = self.last(metric, period, scope).await? {
            columns.against = Some(last);
            columns.added = missing_in(&now, &before);
            columns.removed = missing_in(&before, &now);
        }
        self.prepared().insert((scope.clone(), metric, period), now);
        Ok(columns)
    }

    /// The newest month, up to this one, of which the columns are known.
    async fn last(
        &self,
        metric: Metric,
        period: BillingPeriod,
        scope: &ScopeSlug,
    ) -> Result<Option<(BillingPeriod, Names)>, Error> {
        let is_before = |partition: &&Partition| {
            partition.table == Table::LineItems
                && partition.metric == Some(metric)
                && partition.scope == *scope
                && partition.period <= period
        };
        let partitions = self.partitions.get_or_try_init(|| self.lake.partitions()).await?;
        let mut published: Vec<&Partition> = partitions.iter().filter(is_before).collect();
        published.sort_by_key(|partition| partition.period);
        let prepared = self.last_prepared(metric, period, scope);
        let newest_prepared = prepared.as_ref().map(|(month, _)| *month);
        let newer = published.into_iter().rev();
        for partition in newer.take_while(|partition| Some(partition.period) > newest_prepared) {
            let Some(manifest) = self.lake.manifest(partition).await? else { continue };
            let names = names(manifest.account.source.blobs());
            if !names.is_empty() {
                return Ok(Some((partition.period, names)));
            }
        }
        Ok(prepared)
    }

    fn last_prepared(
        &self,
        metric: Metric,
        period: BillingPeriod,
        scope: &ScopeSlug,
    ) -> Option<(BillingPeriod, Names)> {
        let prepared = self.prepared();
        let of_scope = prepared.iter().rev().find(|((of_scope, of_metric, month), _)| {
            of_scope == scope && *of_metric == metric && *month <= period
        });
        of_scope.map(|((_, _, month), names)| (*month, names.clone()))
    }

    fn prepared(&self) -> MutexGuard<'_, BTreeMap<(ScopeSlug, Metric, BillingPeriod), Names>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Columns {
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

    /// Holds the report to the contract.
    ///
    /// # Errors
    /// [`Error::Contract`].
    pub(crate) fn hold_to(
        &self,
        contract: Contract,
        name: &str,
        report: &ReportAccount,
    ) -> Result<(), Error> {
        let is_first = self.against.is_none();
        let departure = report.departure.clone().filter(|_| is_first);
        let problem = self.change().or_else(|| report.uneven.clone()).or(departure);
        match problem {
            Some(problem) if contract == Contract::Strict => {
                Err(Error::Contract { report: name.to_owned(), problem })
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
pub(crate) type Names = BTreeMap<String, String>;

fn accounts(blobs: &[BlobRecord]) -> impl Iterator<Item = &costlake_sink::BlobAccount> {
    blobs.iter().filter_map(|blob| blob.account.as_ref())
}

fn names(blobs: &[BlobRecord]) -> Names {
    accounts(blobs).flat_map(|account| by_key(&account.columns)).collect()
}

/// The names of these that those do not have.
pub(crate) fn missing_in(these: &Names, those: &Names) -> Vec<String> {
    let missing = these.iter().filter(|(key, _)| !those.contains_key(*key));
    missing.map(|(_, name)| name.clone()).collect()
}
