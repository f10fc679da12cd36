//! What was reconciled, for people and for machines.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use costlake_model::{ChargeClass, ExactSum};
use costlake_transform::reconcile::{
    self, ClassCosts, CommitmentFigures, DepartmentDifference, Figures, State,
};
use serde_json::{Value, json};

use super::against::Key;
use super::month::{ReportFacts, Verdict};
use super::{Against, Month, Reconciled};
use crate::error::Error;
use crate::output::{self, Row, Show, TextTable};

impl Reconciled {
    /// Whether everything is explained.
    ///
    /// # Errors
    /// [`Error::Residual`]; [`Error::MetricUnknown`] for months that were asked for, or if no month could be
    /// reconciled; [`Error::OtherDifference`] unless it is allowed.
    pub(crate) fn check(&self, allow_other: bool) -> Result<(), Error> {
        check_residual(&self.months)?;
        let unknown = count(&self.months, Verdict::Unknown);
        if unknown > 0 && (self.asked_for_months || unknown == self.months.len()) {
            return Err(Error::MetricUnknown { months: unknown });
        }
        match count(&self.months, Verdict::Differs) {
            months @ 1.. if !allow_other => Err(Error::OtherDifference { months }),
            _ => Ok(()),
        }
    }

    fn has_several_scopes(&self) -> bool {
        self.months.windows(2).any(|pair| pair[0].scope != pair[1].scope)
    }

    /// The first cells of a row: the month and, where there are several, the scope.
    fn place(&self, month: Option<&Month>) -> Vec<String> {
        let mut cells = vec![month.map_or_else(String::new, |month| month.period.to_string())];
        if self.has_several_scopes() {
            cells.push(month.map_or_else(String::new, |month| month.scope.to_string()));
        }
        cells
    }

    fn table<'a>(&self, first: &'a str, texts: &[&'a str], figures: &[&'a str]) -> TextTable {
        let scope = self.has_several_scopes().then_some("Scope");
        let header = [first].into_iter().chain(scope);
        let header: Vec<&str> = header.chain(texts.iter().chain(figures).copied()).collect();
        TextTable::new(header.len() - figures.len(), header)
    }

    fn department_table(&self) -> String {
        let mut figures = vec![
            "Actual",
            "Amortized",
            "Difference",
            "- Purchases",
            "- Refunds",
            "+ Used",
            "+ Unused",
            "+ Other",
        ];
        if self.policy.is_some() {
            figures.extend(["Shared back", "Amortized then"]);
        }
        let mut table = self.table("Month", &["Department", "Currency"], &figures);
        let mut totals: BTreeMap<&str, Vec<ExactSum>> = BTreeMap::new();
        for month in &self.months {
            for row in month.departments.iter().flatten() {
                let amounts = amounts(row);
                let sums = totals.entry(&row.billing_currency).or_default();
                sums.resize(amounts.len(), ExactSum::ZERO);
                sums.iter_mut().zip(&amounts).for_each(|(sum, amount)| *sum += *amount);
                let texts = [department(&row.department), row.billing_currency.clone()];
                table.add(self.place(Some(month)).into_iter().chain(texts).chain(shown(&amounts)));
            }
        }
        for (currency, sums) in totals {
            let texts = ["TOTAL".to_owned(), currency.to_owned()];
            table.add(self.place(None).into_iter().chain(texts).chain(shown(&sums)));
        }
        table.into_text()
    }

    /// The latest month of each scope.
    fn latest(&self) -> Vec<&Month> {
        let by_scope: BTreeMap<_, &Month> =
            self.months.iter().map(|month| (&month.scope, month)).collect();
        by_scope.into_values().collect()
    }

    /// The commitments of each scope, to the end of its latest month.
    fn commitment_table(&self) -> String {
        let texts = ["Commitment", "Currency", "State", "Ends"];
        let figures = ["Paid", "Used", "Unused", "Balance", "Utilised", "Bought by", "Used by"];
        let mut table = self.table("To", &texts, &figures);
        for month in self.latest() {
            for commitment in &month.commitments {
                table.add(self.place(Some(month)).into_iter().chain(commitment_cells(commitment)));
            }
        }
        table.into_text()
    }

    fn outcome(&self) -> String {
        match (&self.run_id, self.is_dry_run) {
            (_, true) => "Nothing was published: this was a dry run".to_owned(),
            (Some(_), _) => format!("Published in {}", self.lake),
            (None, _) => format!("Nothing new: {} holds exactly this already", self.lake),
        }
    }
}

/// How many warnings of differences are shown; JSON has all.
const MOST_WARNINGS: usize = 10;

/// What needs attention, the largest differences first.
pub(crate) fn warnings(months: &[Month]) -> Vec<String> {
    let mut lines: Vec<String> = months.iter().flat_map(Month::faults).collect();
    let mut differences: Vec<(ExactSum, String)> =
        months.iter().flat_map(Month::differences).collect();
    differences.sort_by(|(one, _), (other, _)| other.cmp(one));
    let more = differences.len().saturating_sub(MOST_WARNINGS);
    lines.extend(differences.into_iter().take(MOST_WARNINGS).map(|(_, line)| line));
    if more > 0 {
        lines.push(format!("and {more} more such differences; -o json has all"));
    }
    let differing = months.iter().filter(|month| month.verdict() == Verdict::Differs);
    lines.extend(differing.map(Month::reports_in_brief));
    lines
}

impl Month {
    fn name(&self) -> String {
        format!("{} of {}", self.period, self.scope)
    }

    /// Sums that are not what they must be.
    fn faults(&self) -> Vec<String> {
        let name = self.name();
        let controls = self.control_faults.iter().map(|fault| format!("{name}: {fault}"));
        let rows = self.departments.iter().flatten();
        let residuals = rows.filter(|row| !row.figures.residual().is_zero()).map(|row| {
            let (residual, department) = (row.figures.residual(), department(&row.department));
            format!("{name}: {residual} {} of {department} have no cause", row.billing_currency)
        });
        controls.chain(residuals).collect()
    }

    /// What departments have more or less of in one report than in the other, with how much.
    fn differences(&self) -> Vec<(ExactSum, String)> {
        let mut lines = Vec::new();
        for row in self.departments.iter().flatten() {
            for (class, amount) in &row.figures.other_by_class {
                let (size, word) = more_or_less(*amount);
                let line = format!(
                    "{}: {}: {} {} {word} {class} in amortized than in actual",
                    self.name(),
                    department(&row.department),
                    output::rounded(size, 2),
                    row.billing_currency,
                );
                lines.push((size, line));
            }
        }
        lines
    }

    /// Why the two reports may differ.
    fn reports_in_brief(&self) -> String {
        let brief = |report: &ReportFacts| {
            let last = report.last_date.map_or("no day".to_owned(), |date| date.to_string());
            let published = report.published_at.format("%Y-%m-%d %H:%M");
            let quarantine = match report.quarantined_rows {
                0 => String::new(),
                rows => {
                    format!(", {rows} rows in quarantine that cost {}", report.quarantined_cost)
                }
            };
            format!(
                "{} has charges up to {last}, published {published} UTC{quarantine}",
                report.metric
            )
        };
        let reports = self.reports.iter().map(brief).collect::<Vec<_>>().join("; ");
        format!("{}: {reports}", self.name())
    }

    /// What commitments, third parties and rounding have in no department, in a line.
    fn unassigned_line(&self) -> Option<String> {
        let is_usage = |class: &ClassCosts| {
            matches!(
                ChargeClass::from_name(&class.charge_class),
                Some(ChargeClass::OnDemandUsage | ChargeClass::SpotUsage)
            )
        };
        let part = |class: &ClassCosts| {
            let shown = |cost: Option<ExactSum>| output::rounded(cost.unwrap_or_default(), 2);
            let (actual, amortized) = (shown(class.actual_cost), shown(class.amortized_cost));
            format!("{} {actual} / {amortized} {}", class.charge_class, class.billing_currency)
        };
        let classes = self.unassigned.iter().filter(|class| !is_usage(class));
        let parts: Vec<String> = classes.map(part).collect();
        (!parts.is_empty() && self.departments.is_ok()).then(|| {
            format!("{}: in no department, actual / amortized: {}", self.name(), parts.join(", "))
        })
    }

    /// Everything about the month.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "scope": self.scope.as_str(),
            "billing_period": self.period.to_string(),
            "state": self.verdict().name(),
            "reason": self.departments.as_ref().err().map(ToString::to_string),
            "reports": self.reports.iter().map(|report| json!({
                "metric": report.metric.name(),
                "last_date": report.last_date.map(|date| date.to_string()),
                "quarantined_rows": report.quarantined_rows,
                "quarantined_cost": report.quarantined_cost.to_string(),
                "published_at": output::time(report.published_at),
            })).collect::<Vec<_>>(),
            "departments": json_rows(self.reconciliation.as_ref()),
            "control_faults": self.control_faults.iter().map(|fault| json!({
                "metric": fault.metric.name(),
                "expected": fault.expected.to_string(),
                "found": fault.found.to_string(),
            })).collect::<Vec<_>>(),
            "unassigned_by_class": self.unassigned.iter().map(|class| json!({
                "charge_class": class.charge_class,
                "billing_currency": class.billing_currency,
                "actual_cost": class.actual_cost.map(|cost| cost.to_string()),
                "amortized_cost": class.amortized_cost.map(|cost| cost.to_string()),
            })).collect::<Vec<_>>(),
            "commitments": json_rows(Some(&self.commitment_reconciliation)),
        })
    }
}

impl Against {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (period, metric) in &self.not_compared {
            lines.push(format!("{period} {metric}: not compared, {} does not have it", self.lake));
        }
        let mut by_class: BTreeMap<_, ([ExactSum; 2], BTreeSet<&str>)> = BTreeMap::new();
        for difference in &self.differences {
            let Key { period, metric, charge_class, billing_currency, .. } = &difference.key;
            let (sums, departments) =
                by_class.entry((period, metric, charge_class, billing_currency)).or_default();
            sums[0] += difference.enrollment_cost;
            sums[1] += difference.department_cost;
            departments.insert(&difference.key.department_id);
        }
        for ((period, metric, class, currency), ([ours, theirs], departments)) in by_class {
            let (size, word) = more_or_less(ours - theirs);
            let departments: Vec<&str> = departments.into_iter().collect();
            let (size, departments) = (output::rounded(size, 2), departments.join(", "));
            lines.push(match theirs.is_zero() {
                true => format!(
                    "{period} {metric}: only the enrollment has {class}: {} {currency} ({departments})",
                    output::rounded(ours, 2)
                ),
                false => format!(
                    "{period} {metric}: the enrollment has {size} {currency} {word} {class} than the departments ({departments})"
                ),
            });
        }
        if self.differences.is_empty() {
            lines.push(format!("{} has every cost of the months that were compared", self.lake));
        }
        lines
    }

    fn to_json(&self) -> Value {
        json!({
            "lake": self.lake,
            "not_compared": self.not_compared.iter().map(|(period, metric)| json!({
                "billing_period": period.to_string(),
                "metric": metric.name(),
            })).collect::<Vec<_>>(),
            "differences": self.differences.iter().map(|difference| json!({
                "billing_period": difference.key.period.to_string(),
                "metric": difference.key.metric.name(),
                "billing_currency": difference.key.billing_currency,
                "charge_class": difference.key.charge_class,
                "department_id": difference.key.department_id,
                "enrollment_cost": difference.enrollment_cost.to_string(),
                "department_cost": difference.department_cost.to_string(),
                "difference": (difference.enrollment_cost - difference.department_cost).to_string(),
            })).collect::<Vec<_>>(),
        })
    }
}

impl Show for Reconciled {
    fn for_people(&self) -> String {
        if self.months.is_empty() {
            return format!("{} has no line items\n", self.lake);
        }
        let mut text = self.department_table();
        text.push_str(&self.commitment_table());
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.latest().into_iter().filter_map(Month::unassigned_line));
        lines.extend(self.against.iter().flat_map(Against::lines));
        for month in &self.months {
            let unknown = month.departments.as_ref().err();
            lines.extend(unknown.map(|unknown| format!("Warning: {}: {unknown}", month.name())));
        }
        lines.extend(warnings(&self.months).into_iter().map(|line| format!("Warning: {line}")));
        lines.push(summary(&self.months));
        lines.push(self.outcome());
        for line in lines {
            text.push_str(&output::printable(&line));
            text.push('\n');
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "command": "reconcile",
            "lake": self.lake,
            "run_id": self.run_id,
            "started_at": output::time(self.started_at),
            "finished_at": output::time(self.finished_at),
            "unused_policy": self.policy.map(|policy| policy.name()),
            "months": self.months.iter().map(Month::to_json).collect::<Vec<_>>(),
            "department_lake": self.against.as_ref().map(Against::to_json),
        })
    }

    /// The departments.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for month in &self.months {
            let Some(batch) = &month.reconciliation else { continue };
            rows.extend((0..batch.num_rows()).map(|row| {
                let mut cells = output::month_cells(&month.scope, month.period);
                cells.extend(output::row_of(batch, row));
                cells
            }));
        }
        rows
    }
}

/// Whether all sums are what they must be.
///
/// # Errors
/// [`Error::Residual`].
pub(crate) fn check_residual(months: &[Month]) -> Result<(), Error> {
    match count(months, Verdict::Residual) {
        0 => Ok(()),
        months => Err(Error::Residual { months }),
    }
}

/// The verdict over some months, in a line.
pub(crate) fn summary(months: &[Month]) -> String {
    let unknown = count(months, Verdict::Unknown);
    let known = output::counted(months.len() - unknown, "month");
    let scopes: BTreeSet<_> = months.iter().map(|month| &month.scope).collect();
    let known = match scopes.len() {
        0 | 1 => known,
        scopes => format!("{known} of {scopes} scopes"),
    };
    match (count(months, Verdict::Residual), count(months, Verdict::Differs)) {
        _ if unknown == months.len() => "Reconciled nothing: no month has both metrics".to_owned(),
        (0, 0) => {
            format!("Reconciled {known}: commitments explain every difference, to the last digit")
        }
        (0, differs) => format!("Reconciled {known}; the two reports differ in {differs} of them"),
        (wrong, _) => format!("Reconciled {known}; sums are wrong in {wrong} of them"),
    }
}

fn count(months: &[Month], verdict: Verdict) -> usize {
    months.iter().filter(|month| month.verdict() == verdict).count()
}

/// The rows of a table of reconciliation, with objects in place of their texts.
fn json_rows(batch: Option<&RecordBatch>) -> Vec<Value> {
    let row = |batch: &RecordBatch, row| {
        let cells = output::row_of(batch, row).into_iter().map(|(name, value)| {
            let value = match (JSON_COLUMNS.contains(&name.as_str()), &value) {
                (true, Value::String(text)) => serde_json::from_str(text).unwrap_or(value),
                _ => value,
            };
            (name, value)
        });
        output::object(cells.collect())
    };
    batch.map_or_else(Vec::new, |batch| (0..batch.num_rows()).map(|at| row(batch, at)).collect())
}

/// Columns whose texts are JSON objects.
const JSON_COLUMNS: [&str; 3] = ["other_by_class", "bought_by", "used_by"];

fn department(department: &reconcile::Department) -> String {
    output::department(&department.id, department.name.as_deref())
}

fn more_or_less(amount: ExactSum) -> (ExactSum, &'static str) {
    if amount < ExactSum::ZERO { (-amount, "less") } else { (amount, "more") }
}

fn amounts(row: &DepartmentDifference) -> Vec<ExactSum> {
    let figures: &Figures = &row.figures;
    let mut amounts = vec![
        figures.actual_cost,
        figures.amortized_cost,
        figures.difference(),
        figures.commitment_purchases,
        figures.commitment_refunds,
        figures.used_shares,
        figures.unused_shares,
        figures.other_difference(),
    ];
    amounts.extend(row.shared_back.map(|shared_back| shared_back.amount));
    amounts.extend(row.amortized_shared_back());
    amounts
}

fn shown(amounts: &[ExactSum]) -> impl Iterator<Item = String> {
    amounts.iter().map(|amount| output::rounded(*amount, 2))
}

fn commitment_cells(figures: &CommitmentFigures) -> Vec<String> {
    let unknown = || "-".to_owned();
    let shown = |amount| output::rounded(amount, 2);
    let state = figures.state.map_or("-", State::name).replace('_', " ");
    let names = |amounts: &BTreeMap<String, ExactSum>| {
        amounts.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    vec![
        figures.commitment_name.as_ref().unwrap_or(&figures.commitment_id).clone(),
        figures.billing_currency.clone(),
        state,
        figures.end_date.map_or_else(unknown, |date| date.to_string()),
        shown(figures.purchases_to_date + figures.refunds_to_date),
        shown(figures.used_to_date),
        shown(figures.unused_to_date),
        figures.balance.map_or_else(unknown, shown),
        figures.utilisation_to_date.map_or_else(unknown, percent),
        names(&figures.bought_by),
        names(&figures.used_by),
    ]
}

/// Millionths as a percentage.
fn percent(millionths: i128) -> String {
    // A millionth is 10^-4 %, which is 10^20 units of the last stored digit.
    let hundredths = ExactSum::from_stored(millionths.saturating_mul(10_i128.pow(20)));
    format!("{} %", output::rounded(hundredths, 2))
}
