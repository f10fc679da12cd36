//! One month of one scope: audited, published, rolled up.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_model::rollup::{Definition, Formula};
use costlake_model::{BillingPeriod, ExactSum, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{
    AuditedObject, BlobRecord, InputObject, Lake, Outcome, PartitionAccount, Publication, Source,
    TableTotals, footer_metadata,
};
use costlake_transform::rollup::{Partial, Rollup};
use futures::TryStreamExt;

use crate::error::Error;
use crate::ingest::{Ingested, ReportAccount};
use crate::result::{MonthResult, ReportResult, RollupResult};

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
}

/// An audited report, ready to be put in place.
struct Audited {
    line_items: AuditedObject,
    quarantine: Option<AuditedObject>,
    report: ReportAccount,
}

impl Publisher<'_> {
    /// Publishes the reports of a month and its rollups: all are audited before the first is visible.
    ///
    /// # Errors
    /// An audit or control sum that fails, with nothing published; or the lake.
    pub(crate) async fn publish(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        reports: Vec<Ingested>,
    ) -> Result<MonthResult, Error> {
        let mut audited = Vec::new();
        for report in reports {
            check_rollups(&report.account)?;
            audited.push(self.audit(report).await?);
        }
        let mut rollups = self.merge_rollups(period, scope, &mut audited).await?;
        let mut results = Vec::new();
        for report in audited {
            results.push(self.publish_report(period, scope, report).await?);
        }
        let mut tables = Vec::new();
        for rollup in &mut rollups {
            tables.push(self.publish_rollup(period, scope, rollup).await?);
        }
        Ok(MonthResult { scope: scope.clone(), period, reports: results, rollups: tables })
    }

    async fn audit(&self, report: Ingested) -> Result<Audited, Error> {
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
        Ok(Audited { line_items, quarantine, report: account })
    }

    async fn publish_report(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        audited: Audited,
    ) -> Result<ReportResult, Error> {
        let Audited { line_items, quarantine, report } = audited;
        let partition =
            |table| Partition { table, metric: Some(report.metric), period, scope: scope.clone() };
        let account = |table| {
            let source = (self.source)(report.blobs.clone());
            let mut account =
                PartitionAccount::of_ledger(partition(table), source, &report.ledger, self.now);
            account.unknown_columns = report.unknown_columns.clone();
            account
        };
        let facts = *line_items.facts();
        let outcome = self.publication.publish(line_items, account(Table::LineItems)).await?;
        let quarantine_changed = match quarantine {
            Some(rows) => {
                let outcome = self.publication.publish(rows, account(Table::Quarantine)).await?;
                outcome != Outcome::Unchanged
            }
            None => self.publication.remove(&partition(Table::Quarantine)).await?,
        };
        Ok(ReportResult {
            metric: report.metric,
            is_new: outcome != Outcome::Unchanged || quarantine_changed,
            path: partition(Table::LineItems).data_path(),
            object: facts,
            ledger: report.ledger,
            unknown_columns: report.unknown_columns,
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
        let mut merged: Vec<RollupOfMonth> =
            self.definitions.iter().map(RollupOfMonth::new).collect();
        for metric in Metric::ALL {
            match audited.iter_mut().find(|audited| audited.report.metric == metric) {
                Some(audited) => {
                    let digest = audited.line_items.facts().sha256;
                    for (month, rollup) in
                        merged.iter_mut().zip(std::mem::take(&mut audited.report.rollups))
                    {
                        month.rollup.absorb(rollup);
                        month.inputs.push(InputObject {
                            partition: line_items(metric, period, scope),
                            sha256: digest,
                        });
                    }
                }
                None => {
                    self.add_from_lake(line_items(metric, period, scope), metric, &mut merged)
                        .await?
                }
            }
        }
        Ok(merged)
    }

    async fn add_from_lake(
        &self,
        partition: Partition,
        metric: Metric,
        merged: &mut [RollupOfMonth],
    ) -> Result<(), Error> {
        let Some(manifest) = self.lake.manifest(&partition).await? else {
            return Ok(());
        };
        for month in merged {
            let definition = Arc::clone(month.rollup.definition());
            let mut rollup = Rollup::new(Arc::clone(&definition));
            let mut batches = self.lake.read_line_items(&partition, &definition.columns()).await?;
            while let Some(batch) = batches.try_next().await? {
                let partial =
                    Partial::of_batch(&definition, metric, &batch).map_err(Error::Rollup)?;
                rollup.merge(partial);
            }
            let stored = |column: &str| manifest.decimals.get(column).map(|totals| totals.stored);
            check_rollup(&rollup, metric, stored)?;
            month.rollup.absorb(rollup);
            month
                .inputs
                .push(InputObject { partition: partition.clone(), sha256: manifest.object.sha256 });
        }
        Ok(())
    }

    async fn publish_rollup(
        &self,
        period: BillingPeriod,
        scope: &ScopeSlug,
        month: &mut RollupOfMonth,
    ) -> Result<RollupResult, Error> {
        let batch = month.rollup.finish().map_err(Error::Rollup)?;
        let batches = [batch];
        let partition = Partition {
            table: Table::Rollup(month.rollup.definition().name.clone()),
            metric: None,
            period,
            scope: scope.clone(),
        };
        let inputs = std::mem::take(&mut month.inputs);
        let totals = TableTotals::of_batches(&batches);
        let metadata = footer_metadata(&Source::Lake(inputs.clone()), &totals)?;
        let staged = self.publication.stage_table(batches[0].schema(), &batches, metadata).await?;
        let audited = self.publication.audit(staged, &totals).await?;
        let account = PartitionAccount::of_rollup(partition.clone(), inputs, self.now);
        let outcome = self.publication.publish(audited, account).await?;
        let [batch] = batches;
        Ok(RollupResult {
            name: month.rollup.definition().name.clone(),
            is_new: outcome != Outcome::Unchanged,
            path: partition.data_path(),
            batch,
        })
    }
}

/// A rollup and what it is computed from.
struct RollupOfMonth {
    rollup: Rollup,
    inputs: Vec<InputObject>,
}

impl RollupOfMonth {
    fn new(definition: &Arc<Definition>) -> Self {
        Self { rollup: Rollup::new(Arc::clone(definition)), inputs: Vec::new() }
    }
}

fn line_items(metric: Metric, period: BillingPeriod, scope: &ScopeSlug) -> Partition {
    Partition { table: Table::LineItems, metric: Some(metric), period, scope: scope.clone() }
}

fn check_rollups(report: &ReportAccount) -> Result<(), Error> {
    let decimals = &report.ledger.published.decimals;
    let stored = |column: &str| decimals.get(column).map(|totals| totals.stored);
    report.rollups.iter().try_for_each(|rollup| check_rollup(rollup, report.metric, stored))
}

/// Sums of the rollup engine over all rows of a metric must equal the control sums, taken in 256 bits
/// when the rows were read (`reliability.md`, I5).
fn check_rollup(
    rollup: &Rollup,
    metric: Metric,
    control: impl Fn(&str) -> Option<ExactSum>,
) -> Result<(), Error> {
    for measure in &rollup.definition().measures {
        let Formula::Sum(column, filter) = &measure.formula else { continue };
        if filter.metric != Some(metric) || !filter.charge_classes.is_empty() {
            continue;
        }
        let expected = control(column).unwrap_or_default();
        let found = rollup.total(&measure.name).unwrap_or_default();
        if found != expected {
            return Err(Error::Rollup(costlake_transform::Error::ControlSum {
                rollup: rollup.definition().name.clone(),
                measure: measure.name.clone(),
                expected: expected.to_string(),
                found: found.to_string(),
            }));
        }
    }
    Ok(())
}
