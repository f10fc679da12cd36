//! One month of one scope: read from the lake, reconciled, as tables.

use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};
use costlake_model::departments::UNASSIGNED;
use costlake_model::rollup::Definition;
use costlake_model::{BillingPeriod, ExactSum, Metric, ScopeSlug};
use costlake_sink::{InputObject, PartitionAccount, PartitionManifest};
use costlake_transform::reconcile::{
    self, ClassCosts, CommitmentFigures, CommitmentMonth, ControlFault, ControlTotals,
    DepartmentDifference, Ledger, Unknown,
};

use super::{Definitions, Reconciler};
use crate::error::Error;
use crate::rollups::{self, Manifests, rollup_partition};

/// A reconciled month of a scope.
pub(crate) struct Month {
    /// The scope.
    pub scope: ScopeSlug,
    /// The month.
    pub period: BillingPeriod,
    /// The departments, sorted by id and currency; nothing where a metric is not in the lake.
    pub departments: Result<Vec<DepartmentDifference>, Unknown>,
    /// Sums over departments that are not those of the line items.
    pub control_faults: Vec<ControlFault>,
    /// What lies in no department, by class and currency.
    pub unassigned: Vec<ClassCosts>,
    /// The commitments to the end of the month.
    pub commitments: Vec<CommitmentFigures>,
    /// The two reports.
    pub reports: Vec<ReportFacts>,
    /// The table `reconciliation`, where departments are known.
    pub reconciliation: Option<RecordBatch>,
    /// The table `commitment_reconciliation`.
    pub commitment_reconciliation: RecordBatch,
    /// Whether publishing its tables changed the lake.
    pub is_new: bool,
    /// The line items of the month.
    inputs: Vec<InputObject>,
    /// Those of all months to its end.
    inputs_to_date: Vec<InputObject>,
}

/// What became of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The lake has one metric only.
    Unknown,
    /// A sum is not what it must be.
    Residual,
    /// The two reports differ in more than commitments.
    Differs,
    /// Commitments explain every difference.
    Explained,
}

impl Verdict {
    /// The word in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Residual => "residual",
            Self::Differs => "differs",
            Self::Explained => "explained",
        }
    }
}

/// What two reports of a month may differ in.
pub(crate) struct ReportFacts {
    /// Which of them.
    pub metric: Metric,
    /// Its last charge date.
    pub last_date: Option<NaiveDate>,
    /// Rows that could not be typed.
    pub quarantined_rows: u64,
    /// Their cost, as far as it could be read, over all currencies.
    pub quarantined_cost: ExactSum,
    /// When it was published, UTC.
    pub published_at: DateTime<Utc>,
}

/// Reads what a month needs.
pub(super) struct Reader<'a> {
    pub reconciler: &'a Reconciler<'a>,
    pub scope: &'a ScopeSlug,
    pub period: BillingPeriod,
}

impl Reader<'_> {
    /// Adds the commitments of the month to those before.
    pub(super) async fn absorb(
        &self,
        ledger: &mut Ledger,
        inputs: &mut Vec<InputObject>,
    ) -> Result<(), Error> {
        let manifests = self.manifests().await?;
        inputs.extend(rollups::inputs_of(&manifests));
        self.commitments(&manifests, ledger).await.map(drop)
    }

    /// Reconciles the month.
    pub(super) async fn read(
        &self,
        ledger: &mut Ledger,
        inputs_to_date: &mut Vec<InputObject>,
    ) -> Result<Month, Error> {
        let manifests = self.manifests().await?;
        let inputs = rollups::inputs_of(&manifests);
        inputs_to_date.extend(inputs.iter().cloned());
        let month = self.commitments(&manifests, ledger).await?;
        let definitions = &self.reconciler.definitions.of_departments;
        let [costs, classes] = self.rollups(definitions, &manifests).await?;
        let mut classes = reconcile::class_costs(&classes)?;
        let costs = reconcile::department_costs(&costs)?;
        let (departments, control_faults) =
            match reconcile::departments(&month.metrics, &costs, &classes) {
                Ok(rows) => {
                    let faults = control_totals(&manifests)
                        .map_or_else(Vec::new, |control| reconcile::control_faults(&rows, control));
                    let rows = match self.reconciler.policy {
                        Some(policy) => reconcile::share_back(policy, rows, &month, ledger)?,
                        None => rows,
                    };
                    (Ok(rows), faults)
                }
                Err(unknown) => (Err(unknown), Vec::new()),
            };
        let reconciliation =
            departments.as_ref().ok().map(|rows| reconcile::reconciliation_batch(rows));
        let commitments = ledger.figures()?;
        classes.retain(|class| class.department.id == UNASSIGNED);
        Ok(Month {
            scope: self.scope.clone(),
            period: self.period,
            departments,
            control_faults,
            unassigned: classes,
            reports: manifests.iter().map(|(metric, manifest)| facts(*metric, manifest)).collect(),
            reconciliation: reconciliation.transpose()?,
            commitment_reconciliation: reconcile::commitment_reconciliation_batch(&commitments)?,
            commitments,
            is_new: false,
            inputs,
            inputs_to_date: inputs_to_date.clone(),
        })
    }

    async fn manifests(&self) -> Result<Manifests, Error> {
        rollups::manifests_of(self.reconciler.lake, self.period, self.scope).await
    }

    /// The rows of two rollups of the month.
    async fn rollups(
        &self,
        definitions: &[Arc<Definition>],
        manifests: &Manifests,
    ) -> Result<[RecordBatch; 2], Error> {
        let (lake, period, scope) = (self.reconciler.lake, self.period, self.scope);
        let batches = rollups::current(lake, definitions, period, scope, manifests);
        let batches = batches.await?.try_into();
        batches.map_err(|_| Error::Internal("a rollup was not computed".to_owned()))
    }

    async fn commitments(
        &self,
        manifests: &Manifests,
        ledger: &mut Ledger,
    ) -> Result<CommitmentMonth, Error> {
        let definitions = &self.reconciler.definitions.of_commitments;
        let [names, shares] = self.rollups(definitions, manifests).await?;
        // Shares say whether a commitment runs. Late charges lie in another month, and say nothing of how far
        // the reports reach.
        let last_day = self.period.last_day();
        let last_date = |metric| manifests.get(&metric).and_then(|m| m.account.last_date);
        let last_date = last_date(Metric::Amortized).or_else(|| last_date(Metric::Actual));
        let month = CommitmentMonth {
            period: self.period,
            metrics: manifests.keys().copied().collect(),
            last_charge_date: last_date.unwrap_or(last_day).min(last_day),
            names: reconcile::commitment_names(&names)?,
            rows: reconcile::commitment_shares(&shares)?,
        };
        ledger.absorb(&month)?;
        Ok(month)
    }
}

impl Month {
    /// What became of it.
    pub(crate) fn verdict(&self) -> Verdict {
        let Ok(rows) = &self.departments else { return Verdict::Unknown };
        let has_residual = rows.iter().any(|row| !row.figures.residual().is_zero());
        if has_residual || !self.control_faults.is_empty() {
            return Verdict::Residual;
        }
        match rows.iter().all(|row| row.figures.other_by_class.is_empty()) {
            true => Verdict::Explained,
            false => Verdict::Differs,
        }
    }

    /// The tables of the month, with where they come from. Departments that cannot be told have none.
    pub(super) fn tables(
        &self,
        reconciler: &Reconciler<'_>,
    ) -> Vec<(PartitionAccount, RecordBatch)> {
        let policy = reconciler.policy.map_or("", |policy| policy.name());
        let Definitions { of_departments, of_commitments } = &reconciler.definitions;
        let canonical = |definitions: &[Arc<Definition>]| -> String {
            definitions.iter().map(|definition| definition.canonical()).collect()
        };
        let departments = of_departments.first().map(|first| first.departments.canonical());
        let account = |name: &str, definition: &str, inputs: &[InputObject]| {
            let partition = rollup_partition(name, self.period, &self.scope);
            let departments = departments.unwrap_or_default();
            let (inputs, now) = (inputs.to_vec(), reconciler.now);
            PartitionAccount::of_rollup(partition, definition, departments, inputs, now)
        };
        let commitments = canonical(of_commitments);
        let of_departments = format!("{}{commitments}{policy}", canonical(of_departments));
        // What is shared back depends on what was paid in the months before.
        let inputs = if policy.is_empty() { &self.inputs } else { &self.inputs_to_date };
        let reconciliation = self
            .reconciliation
            .clone()
            .map(|batch| (account("reconciliation", &of_departments, inputs), batch));
        let to_date = account("commitment_reconciliation", &commitments, &self.inputs_to_date);
        reconciliation
            .into_iter()
            .chain([(to_date, self.commitment_reconciliation.clone())])
            .collect()
    }
}

/// The stored totals of both reports; nothing where one is not in the lake.
fn control_totals(manifests: &Manifests) -> Option<ControlTotals> {
    let total = |metric| {
        let manifest: &PartitionManifest = manifests.get(&metric)?;
        Some(manifest.decimals.get("cost").map_or(ExactSum::ZERO, |totals| totals.stored))
    };
    Some(ControlTotals {
        actual_cost: total(Metric::Actual)?,
        amortized_cost: total(Metric::Amortized)?,
    })
}

fn facts(metric: Metric, manifest: &PartitionManifest) -> ReportFacts {
    let account = &manifest.account;
    let quarantined = account.conservation.as_ref().map(|conservation| &conservation.quarantined);
    let cost = quarantined.and_then(|totals| totals.decimals.get("cost"));
    ReportFacts {
        metric,
        last_date: account.last_date,
        quarantined_rows: quarantined.map_or(0, |totals| totals.rows),
        quarantined_cost: cost.map_or(ExactSum::ZERO, |totals| totals.exact),
        published_at: account.published_at,
    }
}
