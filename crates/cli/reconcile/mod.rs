//! `costlake reconcile`: why actual and amortized differ, and that the departments are the whole. `run` does it
//! at its end.

mod against;
mod month;
mod show;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_model::rollup::Definition;
use costlake_model::{BillingPeriod, ScopeSlug};
use costlake_sink::{Lake, Publication};
use costlake_transform::reconcile::{Ledger, Policy};

use crate::args::ReconcileArgs;
use crate::config::{self, PipelineFile};
use crate::error::Error;
use crate::lifecycle::{self, PuttingInPlace};
use crate::rollups::{self, Months, months_of};

pub(crate) use against::Against;
pub(crate) use month::Month;
pub(crate) use show::{check_residual, summary, warnings};

/// The shipped rollups that departments are reconciled from.
pub(crate) const OF_DEPARTMENTS: [&str; 2] = ["department_month", "department_class_month"];

/// The shipped rollups that commitments are reconciled from.
pub(crate) const OF_COMMITMENTS: [&str; 2] = ["commitment_month", "commitment_department_month"];

/// What was reconciled.
pub(crate) struct Reconciled {
    /// The lake.
    pub lake: String,
    /// The run, if it changed anything.
    pub run_id: Option<String>,
    /// When it started, UTC.
    pub started_at: DateTime<Utc>,
    /// When it ended, UTC.
    pub finished_at: DateTime<Utc>,
    /// What becomes of unused shares.
    pub policy: Option<Policy>,
    /// The months, by scope and period.
    pub months: Vec<Month>,
    /// Whether nothing was to be published.
    pub is_dry_run: bool,
    /// Whether the months were asked for one by one.
    pub asked_for_months: bool,
    /// The lake against one of department scopes.
    pub against: Option<Against>,
}

/// Reconciles months of a lake, and publishes the tables unless told not to.
///
/// # Errors
/// Wrong usage, a month that is not there, or the lake. What does not reconcile is in the result.
pub(crate) async fn reconcile(args: &ReconcileArgs) -> Result<Reconciled, Error> {
    let started_at = Utc::now();
    let pipeline = PipelineFile::read_if_given(args.lake.config.as_deref())?;
    let policy = pipeline.unused_policy(args.unused)?;
    let periods = config::parse_periods(&args.lake.periods, started_at.date_naive())?;
    let lake = Lake::open(&pipeline.lake(args.lake.lake.as_deref())?, false).await?;
    let held = months_of(&lake).await?;
    let wanted = rollups::asked_for(&lake, &held, &periods)?;
    if args.lake.config.is_none() {
        rollups::check_departments(&lake, &wanted).await?;
    }
    let reconciler =
        Reconciler::new(&lake, pipeline.definitions_of_reconcile()?, policy, started_at);
    let against = match &args.department_lake {
        Some(location) => {
            let other = Lake::open(location, false).await?;
            if other.location() == lake.location() {
                return Err(Error::usage(
                    "--department-lake is the lake itself",
                    "name the lake into which the department scopes were pulled",
                ));
            }
            Some(lifecycle::interruptible(against::compare(&reconciler, &other, &wanted)).await?)
        }
        None => None,
    };
    let (months, run_id) = if args.dry_run {
        (lifecycle::interruptible(reconciler.months(&held, &wanted)).await?, None)
    } else {
        let work = async |publication: &Publication, putting: &PuttingInPlace| {
            let months = reconciler.months(&held, &wanted).await?;
            reconciler.publish(publication, putting, months).await
        };
        let (months, record) = lifecycle::publishing(&lake, started_at, work).await?;
        (months, record.map(|record| record.run_id.to_string()))
    };
    Ok(Reconciled {
        lake: lake.location().to_owned(),
        run_id,
        started_at,
        finished_at: Utc::now(),
        policy,
        months,
        is_dry_run: args.dry_run,
        asked_for_months: !periods.is_empty(),
        against,
    })
}

/// Reconciles months of one lake.
pub(crate) struct Reconciler<'a> {
    /// The lake.
    lake: &'a Lake,
    /// The rollups that it stands on: those of departments, then those of commitments.
    definitions: Definitions,
    /// What becomes of unused shares.
    policy: Option<Policy>,
    /// The time that is written as that of publication, UTC.
    now: DateTime<Utc>,
}

/// The rollups of [`OF_DEPARTMENTS`] and [`OF_COMMITMENTS`], in their order.
#[derive(Clone)]
pub(crate) struct Definitions {
    /// The former.
    pub of_departments: Vec<Arc<Definition>>,
    /// The latter.
    pub of_commitments: Vec<Arc<Definition>>,
}

impl<'a> Reconciler<'a> {
    /// Reconciles months of a lake.
    pub(crate) fn new(
        lake: &'a Lake,
        definitions: Definitions,
        policy: Option<Policy>,
        now: DateTime<Utc>,
    ) -> Self {
        Self { lake, definitions, policy, now }
    }

    /// Reconciles months, of those that the lake holds.
    ///
    /// # Errors
    /// The lake, and sums that do not fit.
    pub(crate) async fn months(&self, held: &Months, wanted: &Months) -> Result<Vec<Month>, Error> {
        let mut months = Vec::new();
        let scopes: BTreeSet<&ScopeSlug> = wanted.iter().map(|(scope, _)| scope).collect();
        for scope in scopes {
            let periods = |months: &Months| -> BTreeSet<BillingPeriod> {
                let of_scope = months.iter().filter(|(of, _)| of == scope);
                of_scope.map(|(_, period)| *period).collect()
            };
            months.extend(self.months_of_scope(scope, &periods(held), &periods(wanted)).await?);
        }
        Ok(months)
    }

    /// Figures to date need every month before, from the first one that the lake holds.
    async fn months_of_scope(
        &self,
        scope: &ScopeSlug,
        held: &BTreeSet<BillingPeriod>,
        wanted: &BTreeSet<BillingPeriod>,
    ) -> Result<Vec<Month>, Error> {
        let (mut ledger, mut inputs) = (Ledger::new(), Vec::new());
        let mut months = Vec::new();
        for period in held.iter().copied().take_while(|period| Some(period) <= wanted.last()) {
            let reader = month::Reader { reconciler: self, scope, period };
            if wanted.contains(&period) {
                months.push(reader.read(&mut ledger, &mut inputs).await?);
            } else {
                reader.absorb(&mut ledger, &mut inputs).await?;
            }
        }
        Ok(months)
    }

    /// Reconciles months that were just published, and the later ones of the same scopes, and publishes the
    /// tables.
    ///
    /// # Errors
    /// The lake, and sums that do not fit.
    pub(crate) async fn after_publishing(
        &self,
        publication: &Publication,
        putting: &PuttingInPlace,
        published: &Months,
    ) -> Result<Vec<Month>, Error> {
        let held = months_of(self.lake).await?;
        let mut wanted = held.clone();
        wanted.retain(|(scope, period)| {
            published.iter().any(|(of, first)| of == scope && first <= period)
        });
        let months = self.months(&held, &wanted).await?;
        self.publish(publication, putting, months).await
    }

    /// Publishes the tables of months.
    ///
    /// # Errors
    /// The lake.
    async fn publish(
        &self,
        publication: &Publication,
        putting: &PuttingInPlace,
        mut months: Vec<Month>,
    ) -> Result<Vec<Month>, Error> {
        for month in &mut months {
            let mut ready = Vec::new();
            for (account, batch) in month.tables(self) {
                ready.push(rollups::ready_table(publication, account, batch).await?);
            }
            let put = rollups::put_all(publication, putting, month.period, &month.scope, ready);
            month.is_new = put.await?.iter().any(|table| table.is_new);
        }
        Ok(months)
    }
}
