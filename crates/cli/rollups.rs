//! Rollups of one month of one scope: computed, checked, staged, put in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use chrono::{DateTime, Utc};
use costlake_model::columns::source_position;
use costlake_model::ledger::Ledger;
use costlake_model::rollup::{Definition, Formula};
use costlake_model::{BillingPeriod, ChargeClass, ExactSum, Metric, Partition, ScopeSlug, Table};
use costlake_sink::{
    Error as LakeError, InputObject, Lake, Outcome, PartitionAccount, PartitionManifest,
    Publication, ReadyObject, Sha256Digest, TableTotals, footer_metadata,
};
use costlake_transform::rollup::{Partial, Rollup};
use futures::stream::{StreamExt, TryStreamExt};

use crate::error::Error;
use crate::lifecycle::PuttingInPlace;
use crate::result::RollupResult;

/// A rollup and what it is computed from.
pub(crate) struct RollupOfMonth {
    rollup: Rollup,
    inputs: Vec<InputObject>,
}

impl RollupOfMonth {
    /// A rollup of nothing yet.
    pub(crate) fn new(definition: &Arc<Definition>) -> Self {
        Self { rollup: Rollup::new(Arc::clone(definition)), inputs: Vec::new() }
    }

    /// The rows of the table.
    ///
    /// # Errors
    /// A sum that does not fit.
    pub(crate) fn finish(&self) -> Result<RecordBatch, Error> {
        self.rollup.finish().map_err(Error::Rollup)
    }

    /// Adds what was computed from all line items of a metric.
    pub(crate) fn add(&mut self, metric: Metric, rollup: Rollup, input: InputObject) {
        self.rollup.absorb(rollup);
        self.rollup.add_metric(metric);
        self.inputs.push(input);
    }
}

/// A small table that lies staged and audited, its manifest included.
pub(crate) struct ReadyTable {
    name: String,
    batch: RecordBatch,
    object: ReadyObject,
}

/// The partition of line items.
pub(crate) fn line_items(metric: Metric, period: BillingPeriod, scope: &ScopeSlug) -> Partition {
    Partition { table: Table::LineItems, metric: Some(metric), period, scope: scope.clone() }
}

/// The partition of a rollup.
pub(crate) fn rollup_partition(name: &str, period: BillingPeriod, scope: &ScopeSlug) -> Partition {
    let table = Table::Rollup(name.to_owned());
    Partition { table, metric: None, period, scope: scope.clone() }
}

/// Months of scopes.
pub(crate) type Months = BTreeSet<(ScopeSlug, BillingPeriod)>;

/// The manifests of a month's line items.
pub(crate) type Manifests = BTreeMap<Metric, PartitionManifest>;

/// The months of a lake that have line items.
///
/// # Errors
/// The lake.
pub(crate) async fn months_of(lake: &Lake) -> Result<Months, Error> {
    let partitions = lake.partitions().await?.into_iter();
    let line_items = partitions.filter(|partition| partition.table == Table::LineItems);
    Ok(line_items.map(|partition| (partition.scope, partition.period)).collect())
}

/// Those of the months of a lake that are asked for; all, if none is named.
///
/// # Errors
/// [`Error::MonthMissing`] for a month that no scope has.
pub(crate) fn asked_for(
    lake: &Lake,
    held: &Months,
    periods: &[BillingPeriod],
) -> Result<Months, Error> {
    let is_missing = |wanted: &&BillingPeriod| held.iter().all(|(_, period)| period != *wanted);
    if let Some(period) = periods.iter().find(is_missing) {
        return Err(Error::MonthMissing { lake: lake.location().to_owned(), period: *period });
    }
    let is_wanted =
        |(_, period): &&(_, BillingPeriod)| periods.is_empty() || periods.contains(period);
    Ok(held.iter().filter(is_wanted).cloned().collect())
}

/// The manifests of a month's line items, of all metrics that the lake holds.
///
/// # Errors
/// The lake.
pub(crate) async fn manifests_of(
    lake: &Lake,
    period: BillingPeriod,
    scope: &ScopeSlug,
) -> Result<Manifests, Error> {
    let mut manifests = Manifests::new();
    for metric in Metric::ALL {
        let manifest = lake.manifest(&line_items(metric, period, scope)).await?;
        manifests.extend(manifest.map(|manifest| (metric, manifest)));
    }
    Ok(manifests)
}

/// The line items as what something is computed from.
pub(crate) fn inputs_of(manifests: &Manifests) -> Vec<InputObject> {
    manifests.values().map(input).collect()
}

fn input(manifest: &PartitionManifest) -> InputObject {
    InputObject { partition: manifest.account.partition.clone(), sha256: manifest.object.sha256 }
}

/// Refuses to replace rollups that were computed by the department rules of a pipeline file, where none is
/// given now.
///
/// # Errors
/// [`Error::OtherDepartments`], and the lake.
pub(crate) async fn check_departments(lake: &Lake, months: &Months) -> Result<(), Error> {
    for (scope, period) in months {
        let manifest = lake.manifest(&rollup_partition("department_month", *period, scope)).await?;
        if manifest.is_some_and(|manifest| manifest.account.departments.is_some()) {
            return Err(Error::OtherDepartments { period: *period });
        }
    }
    Ok(())
}

/// Computes rollups of a month from its line items in the lake.
///
/// # Errors
/// The lake; a sum that is not its control sum.
pub(crate) async fn compute(
    lake: &Lake,
    definitions: &[Arc<Definition>],
    manifests: &Manifests,
) -> Result<Vec<RollupOfMonth>, Error> {
    let mut months: Vec<RollupOfMonth> = definitions.iter().map(RollupOfMonth::new).collect();
    for (metric, manifest) in manifests.iter().filter(|_| !definitions.is_empty()) {
        add_from_lake(lake, manifest, *metric, &mut months).await?;
    }
    Ok(months)
}

/// Adds the line items of a partition to rollups of the month. They are read once.
///
/// # Errors
/// The lake; a sum that is not its control sum.
pub(crate) async fn add_from_lake(
    lake: &Lake,
    manifest: &PartitionManifest,
    metric: Metric,
    months: &mut [RollupOfMonth],
) -> Result<(), Error> {
    let definitions: Arc<[Arc<Definition>]> =
        months.iter().map(|month| Arc::clone(month.rollup.definition())).collect();
    let columns: BTreeSet<&str> = definitions.iter().flat_map(|d| d.columns()).collect();
    let mut rollups: Vec<Rollup> =
        definitions.iter().map(|definition| Rollup::new(Arc::clone(definition))).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut partials = lake
        .read_line_items(&manifest.account.partition, &columns)
        .await?
        .map(|batch| sums(Arc::clone(&definitions), metric, batch))
        .buffered(cores);
    while let Some(of_batch) = partials.try_next().await? {
        rollups.iter_mut().zip(of_batch).for_each(|(rollup, partial)| rollup.merge(partial));
    }
    for (month, rollup) in months.iter_mut().zip(rollups) {
        check_rollup(&rollup, metric, manifest)?;
        month.add(metric, rollup, input(manifest));
    }
    Ok(())
}

/// Sums a batch for every definition, on a thread of its own.
async fn sums(
    definitions: Arc<[Arc<Definition>]>,
    metric: Metric,
    batch: Result<RecordBatch, costlake_sink::Error>,
) -> Result<Vec<Partial>, Error> {
    let batch = batch?;
    let work = move || {
        let partial = |definition: &Arc<Definition>| Partial::of_batch(definition, metric, &batch);
        definitions.iter().map(partial).collect::<Result<_, _>>()
    };
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|error| Error::Internal(error.to_string()))?.map_err(Error::Rollup)
}

/// The rows of rollups of a month, in the order of the definitions: as published, or computed where that is
/// not by the definition and of these line items.
///
/// # Errors
/// The lake; a sum that is not its control sum.
pub(crate) async fn current(
    lake: &Lake,
    definitions: &[Arc<Definition>],
    period: BillingPeriod,
    scope: &ScopeSlug,
    manifests: &Manifests,
) -> Result<Vec<RecordBatch>, Error> {
    let inputs = inputs_of(manifests);
    let mut batches = Vec::new();
    for definition in definitions {
        batches.push(published(lake, definition, period, scope, &inputs).await?);
    }
    let missing: Vec<Arc<Definition>> = definitions
        .iter()
        .zip(&batches)
        .filter(|(_, batch)| batch.is_none())
        .map(|(definition, _)| Arc::clone(definition))
        .collect();
    let mut computed = compute(lake, &missing, manifests).await?.into_iter();
    let rows = |batch: Option<RecordBatch>| match batch {
        Some(batch) => Ok(batch),
        None => match computed.next() {
            Some(month) => month.finish(),
            None => Err(Error::Internal("a rollup was not computed".to_owned())),
        },
    };
    batches.into_iter().map(rows).collect()
}

/// The rows of a published rollup, if they are by this definition and of these line items.
async fn published(
    lake: &Lake,
    definition: &Definition,
    period: BillingPeriod,
    scope: &ScopeSlug,
    inputs: &[InputObject],
) -> Result<Option<RecordBatch>, Error> {
    let partition = rollup_partition(&definition.name, period, scope);
    let Some(manifest) = lake.manifest(&partition).await? else { return Ok(None) };
    let digest = Sha256Digest::of(definition.canonical().as_bytes());
    let is_current =
        manifest.account.definition == Some(digest) && manifest.account.source.inputs() == inputs;
    if !is_current {
        return Ok(None);
    }
    // One that is missing or damaged is computed again.
    let batches = match lake.read_table(&partition).await {
        Err(LakeError::Audit { .. } | LakeError::PartitionMissing { .. }) => return Ok(None),
        batches => batches?,
    };
    let schema = Arc::new(definition.schema());
    let rows = concat_batches(&schema, &batches);
    rows.map(Some).map_err(|error| Error::Internal(error.to_string()))
}

/// Finishes, stages and audits a rollup.
///
/// # Errors
/// A sum that does not fit; an audit that fails; the lake.
pub(crate) async fn ready(
    publication: &Publication,
    now: DateTime<Utc>,
    period: BillingPeriod,
    scope: &ScopeSlug,
    month: RollupOfMonth,
) -> Result<ReadyTable, Error> {
    let definition = month.rollup.definition();
    let partition = rollup_partition(&definition.name, period, scope);
    let batch = month.finish()?;
    let departments = definition.departments.canonical();
    let account = PartitionAccount::of_rollup(
        partition,
        &definition.canonical(),
        departments,
        month.inputs,
        now,
    );
    ready_table(publication, account, batch).await
}

/// Stages and audits a table that was computed from objects of the lake.
///
/// # Errors
/// An audit that fails; the lake.
pub(crate) async fn ready_table(
    publication: &Publication,
    account: PartitionAccount,
    batch: RecordBatch,
) -> Result<ReadyTable, Error> {
    let name = account.partition.table.name().to_owned();
    let batches = [batch];
    let totals = TableTotals::of_batches(&batches);
    let metadata = footer_metadata(&account.source, &totals)?;
    let staged = publication.stage_table(batches[0].schema(), &batches, metadata).await?;
    let audited = publication.audit(staged, &totals).await?;
    let object = publication.ready(audited, account).await?;
    let [batch] = batches;
    Ok(ReadyTable { name, batch, object })
}

/// Puts tables of a month in place. Ctrl-C waits for the end of it.
///
/// # Errors
/// The lake.
pub(crate) async fn put_all(
    publication: &Publication,
    putting: &PuttingInPlace,
    period: BillingPeriod,
    scope: &ScopeSlug,
    tables: Vec<ReadyTable>,
) -> Result<Vec<RollupResult>, Error> {
    let _putting = putting.begin().await;
    let mut done = Vec::new();
    for table in tables {
        done.push(put(publication, period, scope, table).await?);
    }
    Ok(done)
}

/// Puts a rollup in place.
///
/// # Errors
/// The lake.
pub(crate) async fn put(
    publication: &Publication,
    period: BillingPeriod,
    scope: &ScopeSlug,
    table: ReadyTable,
) -> Result<RollupResult, Error> {
    let ReadyTable { name, batch, object } = table;
    let is_new = publication.put(object).await? != Outcome::Unchanged;
    let path = rollup_partition(&name, period, scope).data_path();
    Ok(RollupResult { name, is_new, path, batch })
}

/// What a sum over all rows, or all of some classes, must be: by column and classes, where that is known.
pub(crate) trait ControlSums {
    /// The sum, if it is known.
    fn of(&self, column: &str, classes: &BTreeSet<ChargeClass>) -> Option<ExactSum>;
}

impl ControlSums for Ledger {
    fn of(&self, column: &str, classes: &BTreeSet<ChargeClass>) -> Option<ExactSum> {
        if classes.is_empty() {
            let totals = self.published.decimals.get(column);
            return Some(totals.map_or(ExactSum::ZERO, |totals| totals.stored));
        }
        let of_class = |class: &ChargeClass| self.cost_by_class.get(class).copied();
        (column == "cost").then(|| classes.iter().filter_map(of_class).sum())
    }
}

impl ControlSums for PartitionManifest {
    fn of(&self, column: &str, classes: &BTreeSet<ChargeClass>) -> Option<ExactSum> {
        let totals = self.decimals.get(column);
        classes.is_empty().then(|| totals.map_or(ExactSum::ZERO, |totals| totals.stored))
    }
}

/// Sums of the rollup engine over all rows of a metric must equal the control sums, taken in 256 bits
/// when the rows were read (`reliability.md`, I5).
///
/// # Errors
/// The first measure that does not.
pub(crate) fn check_rollup(
    rollup: &Rollup,
    metric: Metric,
    control: &impl ControlSums,
) -> Result<(), Error> {
    let definition = rollup.definition();
    for (measure, total) in definition.measures.iter().zip(rollup.totals()) {
        let Formula::Sum(column, filter) = &measure.formula else { continue };
        let is_of_rows = source_position(column).is_some() && filter.is_of_classes();
        if !is_of_rows || !definition.only.takes_all_rows() || filter.metric != Some(metric) {
            continue;
        }
        let Some(expected) = control.of(column, &filter.charge_classes) else { continue };
        let found = total.unwrap_or_default();
        if found != expected {
            return Err(Error::Rollup(costlake_transform::Error::ControlSum {
                rollup: definition.name.clone(),
                measure: measure.name.clone(),
                expected: expected.to_string(),
                found: found.to_string(),
            }));
        }
    }
    Ok(())
}
