//! One month of one scope: audited, published, rolled up.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_model::rollup::Definition;
use costlake_model::{BillingPeriod, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{
    AuditedObject, BlobRecord, InputObject, Lake, ObjectFacts, Outcome, PartitionAccount,
    Publication, ReadyObject, Source, TableTotals,
};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::contract::{Columns, Contract, History};
use crate::error::Error;
use crate::ingest::{Ingested, ReportAccount};
use crate::lifecycle::PuttingInPlace;
use crate::result::{MonthResult, ReportResult};
use crate::rollups::{self, ReadyTable, RollupOfMonth, check_rollup, line_items};

/// Where and when to publish.
pub(crate) struct Publisher<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// The publications of this run.
    pub publication: &'a Publication,
    /// The rollups to build.
    pub definitions: &'a [Arc<Definition>],
    /// The time that is written as that of publication, UTC.
    pub now: DateTime<Utc>,
    /// How blobs become a source.
    pub source: fn(Vec<BlobRecord>) -> Source,
    /// What becomes of a report whose columns have changed.
    pub contract: Contract,
    /// The columns of the months before.
    pub history: History<'a>,
    /// Held while a month is put in place.
    pub putting: &'a PuttingInPlace,
}

/// A month that lies staged and audited, manifests included: nothing of it is visible yet, and only
/// renames are left.
pub(crate) struct Prepared {
    scope: ScopeSlug,
    period: BillingPeriod,
    reports: Vec<ReadyReport>,
    rollups: Vec<ReadyTable>,
}

struct ReadyReport {
    line_items: ReadyObject,
    quarantine: Option<ReadyObject>,
    facts: ObjectFacts,
    columns: Columns,
    report: ReportAccount,
}

/// An audited report.
struct Audited {
    line_items: AuditedObject,
    quarantine: Option<AuditedObject>,
    columns: Columns,
    report: ReportAccount,
}

impl Publisher<'_> {
    /// Audits the reports of a month, and computes, stages and audits its rollups.
    ///
    /// # Errors
    /// Reports that cannot be what they should: empty, or of another month; an audit or control sum
    /// that fails; the lake. Nothing of the month is visible then.
    pub(crate) async fn prepare(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        reports: Vec<Ingested>,
    ) -> Result<Prepared, Error> {
        self.check_empty(period, scope, &reports).await?;
        let mut audited: Vec<Audited> = stream::iter(reports)
            .map(async |report| {
                check_month(&report.account, period, scope)?;
                let ReportAccount { rollups, metric, ledger, .. } = &report.account;
                rollups.iter().try_for_each(|rollup| check_rollup(rollup, *metric, ledger))?;
                let columns = self.check_columns(&report.account, period, scope).await?;
                self.audit(report, columns).await
            })
            .buffered(Metric::ALL.len())
            .try_collect()
            .await?;
        let mut rollups = Vec::new();
        for month in self.merge_rollups(period, scope, &mut audited).await? {
            let ready = rollups::ready(self.publication, self.now, period, scope, month);
            rollups.push(ready.await?);
        }
        let mut reports = Vec::new();
        for report in audited {
            reports.push(self.ready_report(period, scope, report).await?);
        }
        Ok(Prepared { scope: scope.clone(), period, reports, rollups })
    }

    /// Puts a month in place: its reports, then its rollups. Ctrl-C waits for the end of it.
    ///
    /// # Errors
    /// The lake.
    pub(crate) async fn put(&self, month: Prepared) -> Result<MonthResult, Error> {
        let _putting = self.putting.begin().await;
        let Prepared { scope, period, reports: ready_reports, rollups: ready_rollups } = month;
        let mut reports = Vec::new();
        for report in ready_reports {
            reports.push(self.put_report(period, &scope, report).await?);
        }
        let mut rollups = Vec::new();
        for rollup in ready_rollups {
            rollups.push(rollups::put(self.publication, period, &scope, rollup).await?);
        }
        Ok(MonthResult { scope, period, reports, rollups })
    }

    /// An empty report is believed only where nothing contradicts it (`reliability.md`, I20).
    async fn check_empty(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        reports: &[Ingested],
    ) -> Result<(), Error> {
        let rows = |report: &Ingested| report.account.ledger.records;
        for empty in reports.iter().filter(|report| rows(report) == 0) {
            let metric = empty.account.metric;
            let other = reports.iter().find(|other| rows(other) > 0);
            self.check_no_data(metric, period, scope, other.map(|other| &other.account)).await?;
        }
        Ok(())
    }

    /// Checks that a report may be without data: its other metric is, and the lake has no rows of it.
    ///
    /// # Errors
    /// [`Error::MetricMissing`], [`Error::Vanished`], and the lake.
    pub(crate) async fn check_no_data(
        &self,
        metric: Metric,
        period: BillingPeriod,
        scope: &ScopeSlug,
        other: Option<&ReportAccount>,
    ) -> Result<(), Error> {
        let report = format!("{metric} costs of {scope} for {period}");
        if let Some(other) = other {
            let (other, rows) = (other.metric.name(), other.ledger.records);
            return Err(Error::MetricMissing { report, other, rows });
        }
        let manifest = self.lake.manifest(&line_items(metric, period, scope)).await?;
        match manifest.map_or(0, |manifest| manifest.object.rows) {
            0 => Ok(()),
            rows => Err(Error::Vanished { report, rows }),
        }
    }

    /// Holds the columns of a report to the contract.
    async fn check_columns(
        &self,
        report: &ReportAccount,
        period: BillingPeriod,
        scope: &ScopeSlug,
    ) -> Result<Columns, Error> {
        let metric = report.metric;
        let columns = self.history.compare(metric, period, scope, &report.blobs).await?;
        let name = format!("{metric} costs of {scope} for {period}");
        columns.hold_to(self.contract, &name, report)?;
        Ok(columns)
    }

    async fn audit(&self, report: Ingested, columns: Columns) -> Result<Audited, Error> {
        let Ingested { staged, quarantine, account } = report;
        let ledger = &account.ledger;
        let line_items =
            self.publication.audit(staged, &TableTotals::from(&ledger.published)).await?;
        let quarantine = match quarantine {
            Some(staged) => {
                let schema = costlake_model::columns::quarantine_schema();
                let expected = TableTotals::for_table(&ledger.quarantined, &schema);
                Some(self.publication.audit(staged, &expected).await?)
            }
            None => None,
        };
        Ok(Audited { line_items, quarantine, columns, report: account })
    }

    async fn ready_report(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        audited: Audited,
    ) -> Result<ReadyReport, Error> {
        let Audited { line_items, quarantine, columns, report } = audited;
        let account = |table| {
            let metric = Some(report.metric);
            let partition = Partition { table, metric, period, scope: scope.clone() };
            let source = (self.source)(report.blobs.clone());
            PartitionAccount::of_ledger(partition, source, &report.ledger, self.now)
        };
        let facts = *line_items.facts();
        let unknown_columns = report.unknown_columns.clone();
        let of_rows = PartitionAccount { unknown_columns, ..account(Table::LineItems) };
        let line_items = self.publication.ready(line_items, of_rows).await?;
        let quarantine = match quarantine {
            Some(rows) => {
                // Dates and costs are figures of the published rows.
                let of_rows = PartitionAccount {
                    first_date: None,
                    last_date: None,
                    cost_by_currency: BTreeMap::new(),
                    ..account(Table::Quarantine)
                };
                Some(self.publication.ready(rows, of_rows).await?)
            }
            None => None,
        };
        Ok(ReadyReport { line_items, quarantine, facts, columns, report })
    }

    async fn put_report(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        ready: ReadyReport,
    ) -> Result<ReportResult, Error> {
        let ReadyReport { line_items, quarantine, facts, columns, report } = ready;
        let partition = |table| {
            let metric = Some(report.metric);
            Partition { table, metric, period, scope: scope.clone() }
        };
        let outcome = self.publication.put(line_items).await?;
        let quarantine_changed = match quarantine {
            Some(rows) => self.publication.put(rows).await? != Outcome::Unchanged,
            None => self.publication.remove(&partition(Table::Quarantine)).await?,
        };
        Ok(ReportResult {
            metric: report.metric,
            is_new: outcome != Outcome::Unchanged || quarantine_changed,
            path: partition(Table::LineItems).data_path(),
            object: facts,
            ledger: report.ledger,
            change: columns.change().filter(|_| self.contract != Contract::Evolve),
            columns,
            unknown_columns: report.unknown_columns,
            notes: report.notes,
            first_fault: report.first_fault,
        })
    }

    /// The rollups over both metrics: what this run read, and for a metric that it did not read,
    /// what the lake holds.
    async fn merge_rollups(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        audited: &mut [Audited],
    ) -> Result<Vec<RollupOfMonth>, Error> {
        let mut months: Vec<RollupOfMonth> =
            self.definitions.iter().map(RollupOfMonth::new).collect();
        for metric in Metric::ALL {
            let partition = line_items(metric, period, scope);
            match audited.iter_mut().find(|audited| audited.report.metric == metric) {
                Some(audited) => {
                    let sha256 = audited.line_items.facts().sha256;
                    let rollups = std::mem::take(&mut audited.report.rollups);
                    for (month, rollup) in months.iter_mut().zip(rollups) {
                        month.add(
                            metric,
                            rollup,
                            InputObject { partition: partition.clone(), sha256 },
                        );
                    }
                }
                None => {
                    if let Some(manifest) = self.lake.manifest(&partition).await? {
                        rollups::add_from_lake(self.lake, &manifest, metric, &mut months).await?;
                    }
                }
            }
        }
        Ok(months)
    }
}

/// Rows that name another month than the one that they would be published under.
fn check_month(
    report: &ReportAccount,
    period: BillingPeriod,
    scope: &ScopeSlug,
) -> Result<(), Error> {
    let facts = &report.facts;
    // Late charges have a day in another month, so of days only one has to be of this one.
    let has_day = facts.billing_months.is_empty() && facts.charge_months.contains(&period);
    let months = if has_day { &facts.billing_months } else { facts.months() };
    match months.iter().find(|month| **month != period) {
        None => Ok(()),
        Some(month) => Err(Error::OtherMonth {
            report: format!("{} costs of {scope} for {period}", report.metric),
            month: month.to_string(),
        }),
    }
}
