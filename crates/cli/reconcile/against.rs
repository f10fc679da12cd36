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
use crate::rollups::{self, months_of};

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
    wanted: &BTreeSet<(ScopeSlug, BillingPeriod)>,
) -> Result<Against, Error> {
    // `department_class_month`: the classes tell what it is that only the enrollment has.
    let by_class = &reconciler.definitions.of_departments[1..];
    let others = months_of(departments, &[]).await?;
    let ours = reports(reconciler.lake, wanted).await?;
    let theirs = reports(departments, &others).await?;
    let both: BTreeSet<_> = ours.intersection(&theirs).copied().collect();
    let mut costs: BTreeMap<Key, [ExactSum; 2]> = BTreeMap::new();
    let sides = [(reconciler.lake, wanted), (departments, &others)];
    for (side, (lake, months)) in sides.into_iter().enumerate() {
        for (scope, period) in months {
            if Metric::ALL.iter().any(|metric| both.contains(&(*period, *metric))) {
                for batch in rollups::current(lake, by_class, *period, scope).await? {
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
        not_compared: ours.difference(&both).copied().collect(),
        differences: costs.into_iter().map(difference).collect(),
    })
}

/// The reports that a lake holds, of any scope.
async fn reports(
    lake: &Lake,
    months: &BTreeSet<(ScopeSlug, BillingPeriod)>,
) -> Result<BTreeSet<(BillingPeriod, Metric)>, Error> {
    let mut reports = BTreeSet::new();
    for (scope, period) in months {
        for metric in Metric::ALL {
            let manifest = lake.manifest(&rollups::line_items(metric, *period, scope)).await?;
            reports.extend(manifest.map(|_| (*period, metric)));
        }
    }
    Ok(reports)
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
