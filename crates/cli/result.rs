//! What a run did, and how it is shown: a table for people, exact texts for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};
use costlake_model::ledger::Ledger;
use costlake_model::{BillingPeriod, ExactSum, Metric, STORED_SCALE, ScopeSlug};
use costlake_sink::ObjectFacts;
use serde_json::{Map, Value, json};

use crate::contract::Columns;
use crate::inputs::Skipped;
use crate::output::{self, Row, Show, TextTable};
use crate::planner::{Decision, PlannedMonth};
use crate::reconcile;

/// What a run did.
pub(crate) struct RunResult {
    /// The command.
    pub command: &'static str,
    /// The lake.
    pub lake: String,
    /// The run, if it changed anything.
    pub run_id: Option<String>,
    /// When it started, UTC.
    pub started_at: DateTime<Utc>,
    /// When it ended, UTC.
    pub finished_at: DateTime<Utc>,
    /// The months, sorted by scope and period.
    pub months: Vec<MonthResult>,
    /// What was reconciled: these months, and the later ones of the same scopes.
    pub reconciled: Vec<reconcile::Month>,
    /// Months for which Azure has no data.
    pub without_data: Vec<(ScopeSlug, BillingPeriod)>,
    /// Months that were not pulled.
    pub left_alone: Vec<LeftAlone>,
    /// The wait that Azure asked for when patience ended.
    pub retry_after: Option<Duration>,
    /// What was there and not read.
    pub skipped: Vec<Skipped>,
    /// Reports that failed, rendered.
    pub errors: Vec<String>,
}

/// A month that was not pulled.
pub(crate) struct LeftAlone {
    /// The scope.
    pub scope: ScopeSlug,
    /// The month.
    pub period: BillingPeriod,
    /// Why.
    pub decision: Decision,
}

impl From<&PlannedMonth> for LeftAlone {
    fn from(month: &PlannedMonth) -> Self {
        Self { scope: month.scope.slug(), period: month.period, decision: month.decision }
    }
}

/// One month of one scope.
pub(crate) struct MonthResult {
    /// The scope.
    pub scope: ScopeSlug,
    /// The month.
    pub period: BillingPeriod,
    /// The reports that were read.
    pub reports: Vec<ReportResult>,
    /// The rollups that were computed.
    pub rollups: Vec<RollupResult>,
}

/// One report.
pub(crate) struct ReportResult {
    /// The view that it shows.
    pub metric: Metric,
    /// Whether the lake changed.
    pub is_new: bool,
    /// Where the line items lie, below the lake.
    pub path: String,
    /// The object.
    pub object: ObjectFacts,
    /// The account.
    pub ledger: Ledger,
    /// The columns of its files, against those of the last month.
    pub columns: Columns,
    /// How they changed, where that is to be told.
    pub change: Option<String>,
    /// Source columns that neither the table nor the layout of the files knows.
    pub unknown_columns: Vec<String>,
    /// What was passed over in the files.
    pub notes: Vec<String>,
    /// The first row that went to quarantine, and why.
    pub first_fault: Option<String>,
}

/// One rollup of a month.
pub(crate) struct RollupResult {
    /// Its name.
    pub name: String,
    /// Whether the lake changed.
    pub is_new: bool,
    /// Where it lies, below the lake.
    pub path: String,
    /// Its rows.
    pub batch: RecordBatch,
}

const DEPARTMENT_MONTH: &str = "department_month";

/// The columns of the department table: header, measure.
const SHOWN: [(&str, &str); 7] = [
    ("Actual", "actual_cost"),
    ("Amortized", "amortized_cost"),
    ("Difference", "difference"),
    ("- Purchases", "commitment_purchases"),
    ("- Refunds", "commitment_refunds"),
    ("+ Used", "used_shares"),
    ("+ Unused", "unused_shares"),
];

impl RunResult {
    /// The number of rows that went to quarantine.
    pub(crate) fn quarantined_rows(&self) -> u64 {
        self.reports().map(|(_, report)| report.ledger.quarantined.rows).sum()
    }

    /// Whether the lake changed.
    pub(crate) fn is_new(&self) -> bool {
        self.months.iter().any(MonthResult::is_new)
            || self.reconciled.iter().any(|month| month.is_new)
    }

    fn reports(&self) -> impl Iterator<Item = (&MonthResult, &ReportResult)> {
        self.months.iter().flat_map(|month| month.reports.iter().map(move |report| (month, report)))
    }

    fn departments(&self) -> impl Iterator<Item = (&MonthResult, &RecordBatch)> {
        self.months.iter().filter_map(|month| {
            let rollup = month.rollups.iter().find(|rollup| rollup.name == DEPARTMENT_MONTH)?;
            Some((month, &rollup.batch))
        })
    }

    fn department_table(&self) -> String {
        let header = ["Month", "Department", "Currency"].into_iter();
        let mut table = TextTable::new(3, header.chain(SHOWN.map(|(header, _)| header)));
        let mut totals: BTreeMap<String, Amounts> = BTreeMap::new();
        for (month, batch) in self.departments() {
            for row in 0..batch.num_rows() {
                let amounts = SHOWN.map(|(_, measure)| amount(batch, measure, row));
                let cell = |column| text(batch, column, row);
                let currency = cell("billing_currency").unwrap_or_default();
                let total = totals
                    .entry(currency.to_owned())
                    .or_insert([Some(ExactSum::ZERO); SHOWN.len()]);
                for (total, amount) in total.iter_mut().zip(amounts) {
                    *total = total.zip(amount).map(|(total, amount)| total + amount);
                }
                let id = cell("department_id").unwrap_or_default();
                let department = output::department(id, cell("department_name"));
                table.add(cells(
                    [month.period.to_string(), department, currency.to_owned()],
                    amounts,
                ));
            }
        }
        for (currency, amounts) in totals {
            table.add(cells([String::new(), "TOTAL".to_owned(), currency], amounts));
        }
        table.into_text()
    }

    /// The lines below the table.
    fn facts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.departments().next().is_some() {
            lines.push(
                "Amounts are rounded to two digits here; exact in the lake and with -o json."
                    .to_owned(),
            );
        }
        lines.extend(self.freshness());
        lines.extend(self.conservation());
        if !self.reconciled.is_empty() {
            lines.push(reconcile::summary(&self.reconciled));
        }
        let warnings = reconcile::warnings(&self.reconciled);
        lines.extend(warnings.into_iter().map(|warning| format!("Warning: {warning}")));
        for (scope, period) in &self.without_data {
            lines.push(format!("{period} {scope}: Azure has no data"));
        }
        for LeftAlone { scope, period, decision } in &self.left_alone {
            lines.push(format!("{period} {scope}: not pulled, {}", decision.reason()));
        }
        let unknown: BTreeSet<&str> = self
            .reports()
            .flat_map(|(_, report)| &report.unknown_columns)
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            let unknown: Vec<&str> = unknown.into_iter().collect();
            lines.push(format!("Unknown columns, kept in `extra`: {}", unknown.join(", ")));
        }
        for (month, report) in self.reports() {
            let name = format!("{} {} {}", month.scope, month.period, report.metric);
            let change = report.change.iter();
            lines.extend(change.map(|c| format!("Warning: {name}: {c}")));
        }
        let notes = self.reports().flat_map(|(_, report)| &report.notes);
        lines.extend(notes.map(|note| format!("Note: {note}")));
        for (month, report) in self.reports() {
            let rows = report.ledger.quarantined.rows;
            if let Some(fault) = &report.first_fault {
                let name = format!("{} {} {}", month.scope, month.period, report.metric);
                lines.push(format!("Quarantine: {rows} rows of {name}; the first: {fault}"));
            }
        }
        lines.push(self.outcome());
        lines.iter().map(|line| output::printable(line)).collect()
    }

    fn freshness(&self) -> Vec<String> {
        let last = self
            .reports()
            .filter_map(|(month, report)| Some((month.period, report.ledger.last_date?)))
            .max();
        last.map(|(_, date)| format!("Freshness: charges up to {date}")).into_iter().collect()
    }

    /// The check line: what came in, and that all of it went somewhere.
    fn conservation(&self) -> Vec<String> {
        let mut all = Ledger::default();
        self.reports().for_each(|(_, report)| all.merge(&report.ledger));
        if self.reports().next().is_none() {
            return Vec::new();
        }
        let (published, quarantined) = (all.published.rows, all.quarantined.rows);
        let mut lines = vec![format!(
            "Check: {} rows in = {published} published + {quarantined} quarantined, cost in = cost out:",
            all.records
        )];
        for metric in Metric::ALL {
            lines.extend(self.cost_line(metric));
        }
        let readable = all.quarantined.decimals.get("cost").map_or(0, |totals| totals.values);
        if quarantined > readable {
            let unknown = quarantined - readable;
            lines.push(format!("       {unknown} quarantined rows have no readable cost"));
        }
        lines
    }

    /// The cost of a metric as the files have it, and what storing it at 24 digits rounded away.
    fn cost_line(&self, metric: Metric) -> Option<String> {
        let mut money: BTreeMap<&str, ExactSum> = BTreeMap::new();
        let mut all = Ledger::default();
        for (_, report) in self.reports().filter(|(_, report)| report.metric == metric) {
            all.merge(&report.ledger);
            for (currency, cost) in &report.ledger.cost_by_currency {
                *money.entry(currency).or_default() += *cost;
            }
        }
        let cost = all.published.decimals.get("cost")?;
        let money: Vec<String> =
            money.iter().map(|(currency, cost)| format!("{cost} {currency}")).collect();
        let (money, rounded) = (money.join(" and "), cost.rounded);
        Some(match rounded {
            0 => format!("       {metric} {money}, stored exactly"),
            _ => format!(
                "       {metric} {money}; {rounded} values rounded at 24 digits, {} in all",
                cost.stored - cost.exact
            ),
        })
    }

    fn outcome(&self) -> String {
        let lake = &self.lake;
        let new: BTreeSet<String> =
            self.months.iter().filter(|m| m.is_new()).map(|m| m.period.to_string()).collect();
        let new: Vec<String> = new.into_iter().collect();
        match (self.months.is_empty(), new.is_empty()) {
            (true, _) => format!("Nothing published in {lake}"),
            (false, false) => format!("Published {} in {lake}", new.join(", ")),
            (false, true) if self.is_new() => {
                format!("Published tables of reconciliation in {lake}; nothing else is new")
            }
            (false, true) => format!("Nothing new: {lake} holds exactly this already"),
        }
    }
}

impl Show for RunResult {
    fn for_people(&self) -> String {
        let mut text = self.department_table();
        for line in self.facts() {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "command": self.command,
            "lake": self.lake,
            "run_id": self.run_id,
            "started_at": output::time(self.started_at),
            "finished_at": output::time(self.finished_at),
            "changed": self.is_new(),
            "quarantined_rows": self.quarantined_rows(),
            "months": self.months.iter().map(MonthResult::to_json).collect::<Vec<_>>(),
            "reconciled": self.reconciled.iter().map(reconcile::Month::to_json).collect::<Vec<_>>(),
            "without_data": self.without_data.iter().map(|(scope, period)| json!({
                "scope": scope.as_str(), "billing_period": period.to_string(),
            })).collect::<Vec<_>>(),
            "left_alone": self.left_alone.iter().map(LeftAlone::to_json).collect::<Vec<_>>(),
            "retry_after_seconds": self.retry_after.map(|wait| wait.as_secs()),
            "skipped": self.skipped.iter().map(|skipped| json!({
                "path": skipped.path, "reason": skipped.reason,
            })).collect::<Vec<_>>(),
            "errors": self.errors,
        })
    }

    /// The department rows.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (month, batch) in self.departments() {
            for row in 0..batch.num_rows() {
                let mut object = output::month_cells(&month.scope, month.period);
                object.extend(output::row_of(batch, row));
                rows.push(object);
            }
        }
        rows
    }
}

impl LeftAlone {
    fn to_json(&self) -> Value {
        json!({
            "scope": self.scope.as_str(),
            "billing_period": self.period.to_string(),
            "decision": self.decision.name(),
            "reason": self.decision.reason(),
        })
    }
}

impl MonthResult {
    fn is_new(&self) -> bool {
        self.reports.iter().any(|report| report.is_new)
            || self.rollups.iter().any(|rollup| rollup.is_new)
    }

    fn to_json(&self) -> Value {
        json!({
            "scope": self.scope.as_str(),
            "billing_period": self.period.to_string(),
            "reports": self.reports.iter().map(ReportResult::to_json).collect::<Vec<_>>(),
            "rollups": self.rollups.iter().map(RollupResult::to_json).collect::<Vec<_>>(),
        })
    }
}

impl ReportResult {
    fn to_json(&self) -> Value {
        let ledger = &self.ledger;
        let totals: Map<String, Value> = ledger
            .published
            .decimals
            .iter()
            .map(|(column, totals)| {
                let totals = json!({
                    "values": totals.values,
                    "exact_total": totals.exact.to_string(),
                    "stored_total": totals.stored.to_string(),
                    "difference": (totals.exact - totals.stored).to_string(),
                    "rounded": totals.rounded,
                });
                ((*column).to_owned(), totals)
            })
            .collect();
        let cost: Map<String, Value> = ledger
            .cost_by_currency
            .iter()
            .map(|(c, cost)| (c.clone(), Value::from(cost.to_string())))
            .collect();
        json!({
            "metric": self.metric.name(),
            "changed": self.is_new,
            "path": self.path,
            "sha256": self.object.sha256.to_string(),
            "bytes": self.object.bytes,
            "records": ledger.records,
            "rows": ledger.published.rows,
            "quarantined_rows": ledger.quarantined.rows,
            "first_date": ledger.first_date.map(|date| date.to_string()),
            "last_date": ledger.last_date.map(|date| date.to_string()),
            "cost": cost,
            "decimals": totals,
            "columns": self.columns.to_json(),
            "unknown_columns": self.unknown_columns,
            "notes": self.notes,
            "first_fault": self.first_fault,
        })
    }
}

impl RollupResult {
    /// Name, path and rows.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row| output::object(output::row_of(&self.batch, row));
        json!({
            "name": self.name,
            "changed": self.is_new,
            "path": self.path,
            "rows": (0..self.batch.num_rows()).map(row).collect::<Vec<_>>(),
        })
    }
}

/// The amounts of a row of the table; `None` is unknown, and so is a total over it.
type Amounts = [Option<ExactSum>; SHOWN.len()];

fn cells(texts: [String; 3], amounts: Amounts) -> impl Iterator<Item = String> {
    let shown = |amount| output::rounded(amount, 2);
    let amounts = amounts.map(|amount| amount.map_or_else(|| "-".to_owned(), shown));
    texts.into_iter().chain(amounts)
}

fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let array = batch.column_by_name(column)?.as_string_opt::<i32>()?;
    array.is_valid(row).then(|| array.value(row))
}

/// The amount in a cell; `None` where it is unknown.
fn amount(batch: &RecordBatch, column: &str, row: usize) -> Option<ExactSum> {
    let array = batch.column_by_name(column)?.as_primitive_opt::<Decimal128Type>()?;
    array.is_valid(row).then(|| ExactSum::from_stored(array.value(row)))
}

/// The value of a cell for machines; amounts are exact texts.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        DataType::Int64 => Value::from(array.as_primitive::<Int64Type>().value(row)),
        DataType::Decimal128(_, STORED_SCALE) => {
            let stored = array.as_primitive::<Decimal128Type>().value(row);
            Value::from(ExactSum::from_stored(stored).to_string())
        }
        DataType::Decimal128(..) | DataType::Date32 => {
            array_value_to_string(array, row).map_or(Value::Null, Value::from)
        }
        _ => Value::Null,
    }
}
