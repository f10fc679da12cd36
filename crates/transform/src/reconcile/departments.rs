//! Why actual and amortized costs of a department differ.
//!
//! | classes | actual is | amortized is |
//! |---|---|---|
//! | commitment purchases, refunds | a cause | other |
//! | used, unused shares | other, taken away | a cause |
//! | all others | other, taken away | other |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use costlake_model::{ChargeClass, ExactSum, Metric};

use super::shared_back::Policy;
use super::tables::{ClassCosts, Department, DepartmentCosts};

/// The two costs of a month and why they differ, in one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What was billed.
    pub actual_cost: ExactSum,
    /// What was consumed.
    pub amortized_cost: ExactSum,
    /// Commitments bought (actual).
    pub commitment_purchases: ExactSum,
    /// Commitments given back, negative (actual).
    pub commitment_refunds: ExactSum,
    /// Shares of commitments that usage took (amortized).
    pub used_shares: ExactSum,
    /// Shares of commitments that nothing used (amortized).
    pub unused_shares: ExactSum,
    /// What else differs, by class; never 0. Classes may cancel each other out: see whether it is empty.
    pub other_by_class: BTreeMap<String, ExactSum>,
}

impl Figures {
    /// Amortized less actual.
    pub fn difference(&self) -> ExactSum {
        self.amortized_cost - self.actual_cost
    }

    /// What commitments do not explain of the difference, over all classes.
    pub fn other_difference(&self) -> ExactSum {
        self.other_by_class.values().copied().sum()
    }

    /// The difference less all its causes: 0, or the lake is damaged.
    pub fn residual(&self) -> ExactSum {
        let explained = self.used_shares + self.unused_shares
            - self.commitment_purchases
            - self.commitment_refunds
            + self.other_difference();
        self.difference() - explained
    }

    fn add_class(&mut self, class: &str, actual: ExactSum, amortized: ExactSum) {
        use ChargeClass as Class;
        let other = match ChargeClass::from_name(class) {
            Some(Class::ReservationPurchase | Class::SavingsPlanPurchase) => {
                self.commitment_purchases += actual;
                amortized
            }
            Some(Class::ReservationRefund | Class::SavingsPlanRefund) => {
                self.commitment_refunds += actual;
                amortized
            }
            Some(Class::ReservationUsage | Class::SavingsPlanUsage) => {
                self.used_shares += amortized;
                -actual
            }
            Some(Class::UnusedReservation | Class::UnusedSavingsPlan) => {
                self.unused_shares += amortized;
                -actual
            }
            _ => amortized - actual,
        };
        self.add_other(class, other);
    }

    fn add_other(&mut self, class: &str, other: ExactSum) {
        let sum = self.other_by_class.remove(class).unwrap_or_default() + other;
        if !sum.is_zero() {
            self.other_by_class.insert(class.to_owned(), sum);
        }
    }

    fn add(&mut self, more: &Self) {
        self.actual_cost += more.actual_cost;
        self.amortized_cost += more.amortized_cost;
        self.commitment_purchases += more.commitment_purchases;
        self.commitment_refunds += more.commitment_refunds;
        self.used_shares += more.used_shares;
        self.unused_shares += more.unused_shares;
        for (class, other) in &more.other_by_class {
            self.add_other(class, *other);
        }
    }
}

/// A row of `reconciliation`: a department in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartmentDifference {
    /// The department.
    pub department: Department,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// The costs and the causes of their difference.
    pub figures: Figures,
    /// What falls to the department of unused shares, once [`share_back`](super::share_back) said so.
    pub shared_back: Option<SharedBack>,
}

/// What falls to a department of a month's unused shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedBack {
    /// By which policy.
    pub policy: Policy,
    /// The part of unused shares.
    pub amount: ExactSum,
}

impl DepartmentDifference {
    /// Amortized costs with what was shared back in place of the department's own unused shares.
    pub fn amortized_shared_back(&self) -> Option<ExactSum> {
        let shared_back = self.shared_back?;
        Some(self.figures.amortized_cost - self.figures.unused_shares + shared_back.amount)
    }
}

/// Why a month cannot be reconciled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The metrics that are not in the lake; at least one.
    pub missing: Vec<Metric>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.missing {
            [only] => write!(f, "cannot be reconciled: {only} is not in the lake"),
            _ => f.write_str("cannot be reconciled: actual and amortized are not in the lake"),
        }
    }
}

/// Returns why the two costs of each department differ, from `department_month` and `department_class_month` of one
/// month: one row per department and currency, sorted so. `metrics` are those that the lake has of it; a month without
/// rows has none that could tell.
///
/// A department that only one of the tables has counts as 0 in the other, and so has a residual.
///
/// # Errors
/// A metric that the lake does not have, or that a row does not know: nothing can be said, least of all 0.
pub fn departments(
    metrics: &BTreeSet<Metric>,
    costs: &[DepartmentCosts],
    classes: &[ClassCosts],
) -> Result<Vec<DepartmentDifference>, Unknown> {
    let missing = missing_metrics(metrics, costs, classes);
    if !missing.is_empty() {
        return Err(Unknown { missing });
    }
    let mut rows = Rows::default();
    for class in classes {
        let row = rows.of(&class.department, &class.billing_currency);
        let actual = class.actual_cost.unwrap_or_default();
        let amortized = class.amortized_cost.unwrap_or_default();
        row.figures.add_class(&class.charge_class, actual, amortized);
    }
    for cost in costs {
        let row = rows.of(&cost.department, &cost.billing_currency);
        // A class has the name on its latest day only; the department has the latest of all.
        row.department = cost.department.clone();
        row.figures.actual_cost += cost.actual_cost.unwrap_or_default();
        row.figures.amortized_cost += cost.amortized_cost.unwrap_or_default();
    }
    Ok(rows.into_sorted())
}

fn missing_metrics(
    metrics: &BTreeSet<Metric>,
    costs: &[DepartmentCosts],
    classes: &[ClassCosts],
) -> Vec<Metric> {
    let costs = costs.iter().map(|row| (row.actual_cost, row.amortized_cost));
    let classes = classes.iter().map(|row| (row.actual_cost, row.amortized_cost));
    let mut known = metrics.clone();
    for (actual, amortized) in costs.chain(classes) {
        known.retain(|metric| match metric {
            Metric::Actual => actual.is_some(),
            Metric::Amortized => amortized.is_some(),
        });
    }
    Metric::ALL.into_iter().filter(|metric| !known.contains(metric)).collect()
}

/// Rows by department, without case, and currency.
#[derive(Default)]
pub(super) struct Rows(BTreeMap<(String, String), DepartmentDifference>);

impl Rows {
    /// The row of a department in a currency; a new one has nothing but 0.
    pub(super) fn of(
        &mut self,
        department: &Department,
        billing_currency: &str,
    ) -> &mut DepartmentDifference {
        let key = (department.key(), billing_currency.to_owned());
        self.0.entry(key).or_insert_with(|| DepartmentDifference {
            department: department.clone(),
            billing_currency: billing_currency.to_owned(),
            figures: Figures::default(),
            shared_back: None,
        })
    }

    /// The rows, sorted by department and currency.
    pub(super) fn into_sorted(self) -> Vec<DepartmentDifference> {
        self.0.into_values().collect()
    }
}

impl FromIterator<DepartmentDifference> for Rows {
    fn from_iter<I: IntoIterator<Item = DepartmentDifference>>(rows: I) -> Self {
        let key = |row: &DepartmentDifference| (row.department.key(), row.billing_currency.clone());
        Self(rows.into_iter().map(|row| (key(&row), row)).collect())
    }
}

/// Returns the sums over all departments, by currency.
///
/// Classes that cancel each other out over departments are in no sum: look for them in the rows.
pub fn totals_by_currency(rows: &[DepartmentDifference]) -> BTreeMap<String, Figures> {
    let mut totals: BTreeMap<String, Figures> = BTreeMap::new();
    for row in rows {
        totals.entry(row.billing_currency.clone()).or_default().add(&row.figures);
    }
    totals
}

/// The stored totals of a month's cost, over all currencies, as its two manifests have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlTotals {
    /// Of the actual report.
    pub actual_cost: ExactSum,
    /// Of the amortized report.
    pub amortized_cost: ExactSum,
}

/// A sum over departments that is not the control total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFault {
    /// The metric.
    pub metric: Metric,
    /// The control total.
    pub expected: ExactSum,
    /// The sum over departments, all currencies added.
    pub found: ExactSum,
}

impl fmt::Display for ControlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, expected, found } = self;
        write!(f, "departments have {found} of {metric} cost, the control total is {expected}")
    }
}

/// Compares the sums over departments with the control totals; empty where both agree.
pub fn control_faults(rows: &[DepartmentDifference], control: ControlTotals) -> Vec<ControlFault> {
    let sum = |cost: fn(&Figures) -> ExactSum| rows.iter().map(|row| cost(&row.figures)).sum();
    let actual: ExactSum = sum(|figures| figures.actual_cost);
    let amortized: ExactSum = sum(|figures| figures.amortized_cost);
    [
        ControlFault { metric: Metric::Actual, expected: control.actual_cost, found: actual },
        ControlFault {
            metric: Metric::Amortized,
            expected: control.amortized_cost,
            found: amortized,
        },
    ]
    .into_iter()
    .filter(|fault| fault.expected != fault.found)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(text: &str) -> ExactSum {
        ExactSum::parse(text).unwrap()
    }

    fn department(id: &str) -> Department {
        Department { id: id.to_owned(), name: Some(format!("Department {id}")) }
    }

    fn cost(id: &str, currency: &str, actual: &str, amortized: &str) -> DepartmentCosts {
        DepartmentCosts {
            department: department(id),
            billing_currency: currency.to_owned(),
            actual_cost: Some(sum(actual)),
            amortized_cost: Some(sum(amortized)),
        }
    }

    fn class(id: &str, class: &str, actual: &str, amortized: &str) -> ClassCosts {
        ClassCosts {
            department: department(id),
            charge_class: class.to_owned(),
            billing_currency: "EUR".to_owned(),
            actual_cost: Some(sum(actual)),
            amortized_cost: Some(sum(amortized)),
        }
    }

    fn known(costs: &[DepartmentCosts], classes: &[ClassCosts]) -> Vec<DepartmentDifference> {
        departments(&Metric::ALL.into(), costs, classes)
            .unwrap_or_else(|unknown| panic!("{unknown}"))
    }

    #[test]
    fn the_example_of_the_documentation_is_explained_to_the_last_digit() {
        let rows = known(
            &[cost("12", "EUR", "3211.292673082493528058569214", "3850.203514104606812402569214")],
            &[
                class(
                    "12",
                    "on_demand_usage",
                    "3719.729056651901528058569214",
                    "3719.729056651901528058569214",
                ),
                class("12", "reservation_usage", "0", "130.474457452705284344"),
                class("12", "savings_plan_purchase", "170.928", "0"),
                class("12", "reservation_refund", "-679.364383569408", "0"),
            ],
        );
        let figures = &rows[0].figures;
        let text = |amount: ExactSum| amount.to_string();
        assert_eq!(text(figures.difference()), "638.910841022113284344");
        assert_eq!(text(figures.used_shares), "130.474457452705284344");
        assert_eq!(text(figures.commitment_purchases), "170.928");
        assert_eq!(text(figures.commitment_refunds), "-679.364383569408");
        assert!(figures.unused_shares.is_zero() && figures.residual().is_zero());
        assert!(figures.other_by_class.is_empty());
    }

    #[test]
    fn what_else_differs_is_named_by_class_even_where_it_cancels_out() {
        let rows = known(
            &[cost("12", "EUR", "29", "29")],
            &[
                class("12", "on_demand_usage", "10", "12"),
                class("12", "other", "7", "5"),
                class("12", "tax_or_credit", "3", "3"),
                class("12", "reservation_usage", "1", "4"),
                class("12", "unused_savings_plan", "2", "2.5"),
                class("12", "reservation_purchase", "8", "1"),
                class("12", "savings_plan_refund", "-2", "-0.5"),
                class("12", "of tomorrow", "0", "2"),
            ],
        );
        let figures = &rows[0].figures;
        let other: Vec<String> =
            figures.other_by_class.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
        assert_eq!(
            other,
            [
                "of tomorrow 2",
                "on_demand_usage 2",
                "other -2",
                "reservation_purchase 1",
                "reservation_usage -1",
                "savings_plan_refund -0.5",
                "unused_savings_plan -2",
            ]
        );
        assert_eq!(figures.other_difference().to_string(), "-0.5");
        assert!(figures.residual().is_zero());
    }

    #[test]
    fn a_difference_that_no_class_has_is_a_residual() {
        let classes = [class("12", "on_demand_usage", "10", "10"), class("13", "other", "0", "1")];
        let rows = known(&[cost("12", "EUR", "10", "10.5")], &classes);
        let residuals: Vec<String> =
            rows.iter().map(|row| row.figures.residual().to_string()).collect();
        assert_eq!(residuals, ["0.5", "-1"]);
    }

    #[test]
    fn a_metric_that_was_never_read_is_no_zero() {
        let mut costs = [cost("12", "EUR", "10", "10")];
        costs[0].amortized_cost = None;
        let Err(unknown) = departments(&Metric::ALL.into(), &costs, &[]) else { panic!("known") };
        assert_eq!(unknown.to_string(), "cannot be reconciled: amortized is not in the lake");
        costs[0].actual_cost = None;
        let Err(unknown) = departments(&Metric::ALL.into(), &costs, &[]) else { panic!("known") };
        assert_eq!(unknown.missing, Metric::ALL);
        assert_eq!(departments(&Metric::ALL.into(), &[], &[]), Ok(Vec::new()));
    }

    #[test]
    fn departments_are_one_whatever_their_case_and_keep_the_name_of_the_month() {
        let costs =
            [cost("b", "EUR", "1", "1"), cost("A", "USD", "2", "2"), cost("A", "EUR", "3", "3")];
        let mut classes = [class("a", "on_demand_usage", "3", "3"), class("B", "other", "1", "1")];
        classes[0].department.name = None;
        let rows = known(&costs, &classes);
        let keys: Vec<_> =
            rows.iter().map(|row| (&*row.department.id, &*row.billing_currency)).collect();
        assert_eq!(keys, [("A", "EUR"), ("A", "USD"), ("b", "EUR")]);
        assert_eq!(rows[0].department.name.as_deref(), Some("Department A"));
    }

    #[test]
    fn departments_add_up_per_currency_and_to_the_control_totals() {
        let rows = known(
            &[
                cost("12", "EUR", "1", "4"),
                cost("13", "EUR", "2", "5"),
                cost("13", "USD", "3", "6"),
            ],
            &[class("12", "other", "0", "3"), class("13", "other", "3", "0")],
        );
        let totals = totals_by_currency(&rows);
        assert_eq!(totals["EUR"].difference().to_string(), "6");
        assert!(totals["EUR"].other_by_class.is_empty(), "they cancel each other out");
        assert_eq!(totals["USD"].actual_cost.to_string(), "3");
        let control = ControlTotals { actual_cost: sum("6"), amortized_cost: sum("15") };
        assert_eq!(control_faults(&rows, control), []);
        let control = ControlTotals { actual_cost: sum("6"), amortized_cost: sum("14.9") };
        let faults: Vec<String> =
            control_faults(&rows, control).iter().map(ControlFault::to_string).collect();
        assert_eq!(faults, ["departments have 15 of amortized cost, the control total is 14.9"]);
    }
}
