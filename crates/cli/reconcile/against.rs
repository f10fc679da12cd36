//! A lake of an enrollment against one of its departments: what only the enrollment has.
//!
//! Reports of department scopes show no purchases (`azure-apis.md`, 1), so departments that are pulled by
//! themselves add up to less.

use std::collections::{BTreeMap, BTreeSet};

use costlake_model::{BillingPeriod, ExactSum, Metric, ScopeSlug};
use costlake_sink::Lake;
use costlake_transform::reconcile::{self, ClassCosts};

use super::Reconciler;
use crate::error::Error;
use crate::rollups::{self, Manifests, Months, months_of};

/// What two lakes differ in.
pub(crate) struct Against {
    /// The lake of the department scopes.
    pub lake: String,
    /// Reports that only one of the two has.
    pub not_compared: BTreeSet<(BillingPeriod, Metric)>,
    /// Where the two differ, sorted by month, metric, currency, class and department.
    pub differences: Vec<Difference>,
}

/// A class of charges of a department of which the two lakes have different costs.
pub(crate) struct Difference {
    /// What costs.
    pub key: Key,
    /// In the lake.
    pub enrollment_cost: ExactSum,
    /// In the lake of the department scopes.
    pub department_cost: ExactSum,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The month.
    pub period: BillingPeriod,
    /// The metric.
    pub metric: Metric,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// What is charged.
    pub charge_class: String,
    /// The id of the department.
    pub department_id: String,
}

/// Compares months of a lake with another one that has the scopes of departments.
///
/// # Errors
/// The lakes, and sums that do not fit.
pub(super) async fn compare(
    reconciler: &Reconciler<'_>,
    departments: &Lake,
    wanted: &Months,
) -> Result<Against, Error> {
    // `department_class_month`: the classes tell what it is that only the enrollment has.
    let by_class = &reconciler.definitions.of_departments[1..];
    let others = months_of(departments).await?;
    let ours = reports(reconciler.lake, wanted).await?;
    let theirs = reports(departments, &others).await?;
    let (our_reports, their_reports) = (names(&ours), names(&theirs));
    let both: BTreeSet<_> = our_reports.intersection(&their_reports).copied().collect();
    let mut costs: BTreeMap<Key, [ExactSum; 2]> = BTreeMap::new();
    for (side, (lake, months)) in
        [(reconciler.lake, &ours), (departments, &theirs)].into_iter().enumerate()
    {
        for ((scope, period), manifests) in months {
            if manifests.keys().any(|metric| both.contains(&(*period, *metric))) {
                for batch in rollups::current(lake, by_class, *period, scope, manifests).await? {
                    for class in reconcile::class_costs(&batch)? {
                        add(&mut costs, *period, side, &class);
                    }
                }
            }
        }
    }
    costs.retain(|key, [ours, theirs]| both.contains(&(key.period, key.metric)) && ours != theirs);
    Ok(Against {
        lake: departments.location().to_owned(),
        not_compared: our_reports.difference(&both).copied().collect(),
        differences: costs.into_iter().map(difference).collect(),
    })
}

type Reports = BTreeMap<(ScopeSlug, BillingPeriod), Manifests>;

/// The reports that a lake holds of some months.
async fn reports(lake: &Lake, months: &Months) -> Result<Reports, Error> {
    let mut reports = Reports::new();
    for (scope, period) in months {
        let manifests = rollups::manifests_of(lake, *period, scope).await?;
        reports.insert((scope.clone(), *period), manifests);
    }
    Ok(reports)
}

/// Of which month and metric there are reports, of any scope.
fn names(reports: &Reports) -> BTreeSet<(BillingPeriod, Metric)> {
    let of_month = |((_, period), manifests): (&(_, BillingPeriod), &Manifests)| {
        manifests.keys().map(|metric| (*period, *metric)).collect::<Vec<_>>()
    };
    reports.iter().flat_map(of_month).collect()
}

fn add(
    costs: &mut BTreeMap<Key, [ExactSum; 2]>,
    period: BillingPeriod,
    side: usize,
    class: &ClassCosts,
) {
    let of_metric =
        [(Metric::Actual, class.actual_cost), (Metric::Amortized, class.amortized_cost)];
    for (metric, cost) in of_metric {
        let key = Key {
            period,
            metric,
            billing_currency: class.billing_currency.clone(),
            charge_class: class.charge_class.clone(),
            department_id: class.department.id.clone(),
        };
        costs.entry(key).or_default()[side] += cost.unwrap_or_default();
    }
}

fn difference((key, [enrollment_cost, department_cost]): (Key, [ExactSum; 2])) -> Difference {
    Difference { key, enrollment_cost, department_cost }
}
