//! `costlake rollup`: rollups of months that are in the lake already.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_model::rollup::Definition;
use costlake_model::{BillingPeriod, ExactSum, ScopeSlug};
use costlake_sink::{Lake, Publication};
use serde_json::{Value, json};

use crate::args::RollupArgs;
use crate::config::{self, PipelineFile, Reconciliation};
use crate::error::Error;
use crate::lifecycle::{self, PuttingInPlace};
use crate::output::{self, Row, Show, TextTable};
use crate::progress::Progress;
use crate::reconcile;
use crate::result::RollupResult;
use crate::rollups;

/// What was computed anew.
pub(crate) struct RolledUp {
    lake: String,
    run_id: Option<String>,
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    months: Vec<Month>,
    /// What was reconciled anew, where all rollups were computed.
    pub reconciled: Vec<reconcile::Month>,
}

struct Month {
    scope: ScopeSlug,
    period: BillingPeriod,
    rollups: Vec<RollupResult>,
}

/// Computes rollups from the line items of a lake and publishes them, month by month.
///
/// # Errors
/// Wrong usage, a definition that cannot be used, a month that is not there, or the lake.
pub(crate) async fn rollup(args: &RollupArgs, progress: &Progress) -> Result<RolledUp, Error> {
    let started_at = Utc::now();
    let pipeline = PipelineFile::read_if_given(args.lake.config.as_deref())?;
    let definitions = pipeline.definitions(&args.definitions)?;
    let reconciliation = pipeline.reconciliation_unless(&args.definitions)?;
    let periods = config::parse_periods(&args.lake.periods, started_at.date_naive())?;
    let lake = Lake::open(&pipeline.lake(args.lake.lake.as_deref())?, false).await?;
    let wanted = rollups::asked_for(&lake, &rollups::months_of(&lake).await?, &periods)?;
    if args.lake.config.is_none() {
        rollups::check_departments(&lake, &wanted).await?;
    }
    let work = async |publication: &Publication, putting: &PuttingInPlace| {
        let mut months = Vec::new();
        for (scope, period) in &wanted {
            let month =
                publish(&lake, publication, putting, &definitions, *period, scope, started_at);
            months.push(month.await?);
            progress.say(&format!("rolled up {period} of {scope}"));
        }
        let reconciled = Reconciliation::after_publishing(
            reconciliation.as_ref(),
            &lake,
            publication,
            putting,
            &wanted,
            started_at,
        );
        Ok((months, reconciled.await?))
    };
    let ((months, reconciled), record) = lifecycle::publishing(&lake, started_at, work).await?;
    Ok(RolledUp {
        lake: lake.location().to_owned(),
        run_id: record.map(|record| record.run_id.to_string()),
        started_at,
        finished_at: Utc::now(),
        months,
        reconciled,
    })
}

async fn publish(
    lake: &Lake,
    publication: &Publication,
    putting: &PuttingInPlace,
    definitions: &[Arc<Definition>],
    period: BillingPeriod,
    scope: &ScopeSlug,
    now: DateTime<Utc>,
) -> Result<Month, Error> {
    let mut ready = Vec::new();
    let manifests = rollups::manifests_of(lake, period, scope).await?;
    for month in rollups::compute(lake, definitions, &manifests).await? {
        ready.push(rollups::ready(publication, now, period, scope, month).await?);
    }
    let rollups = rollups::put_all(publication, putting, period, scope, ready).await?;
    Ok(Month { scope: scope.clone(), period, rollups })
}

impl RolledUp {
    /// The rows of the one rollup that was asked for, if it was one.
    fn rows_of_the_only(&self) -> Option<Vec<Row>> {
        let rollups = || self.months.iter().flat_map(|month| &month.rollups);
        let first = rollups().next()?;
        if rollups().any(|rollup| rollup.name != first.name) {
            return None;
        }
        let mut rows = Vec::new();
        for month in &self.months {
            for rollup in &month.rollups {
                rows.extend((0..rollup.batch.num_rows()).map(|row| {
                    let mut cells = output::month_cells(&month.scope, month.period);
                    cells.extend(output::row_of(&rollup.batch, row));
                    cells
                }));
            }
        }
        Some(rows)
    }

    /// The rows for people: amounts rounded to two digits, without the scope where there is only one.
    fn table_of(&self, rows: Vec<Row>) -> String {
        let Some(first) = rows.first() else { return String::new() };
        let has_one_scope = self.months.windows(2).all(|pair| pair[0].scope == pair[1].scope);
        let is_shown = |(name, _): &&(String, Value)| !has_one_scope || name != "scope";
        let header: Vec<&str> =
            first.iter().filter(is_shown).map(|(name, _)| name.as_str()).collect();
        let definition = self.months.iter().flat_map(|month| &month.rollups).next();
        let schema = definition.map(|rollup| rollup.batch.schema());
        let is_amount = |name: &str| {
            schema
                .as_ref()
                .and_then(|schema| schema.field_with_name(name).ok())
                .is_some_and(|field| *field.data_type() == costlake_model::columns::decimal_type())
        };
        let texts = header.iter().take_while(|name| !is_amount(name)).count();
        let mut table = TextTable::new(texts, header);
        for row in &rows {
            let cell = |(name, value): &(String, Value)| match value {
                Value::Null => "-".to_owned(),
                Value::String(text) if is_amount(name) => ExactSum::parse(text)
                    .map_or_else(|| text.clone(), |amount| output::rounded(amount, 2)),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            table.add(row.iter().filter(is_shown).map(cell));
        }
        table.into_text()
    }

    /// A line for each rollup.
    fn overview(&self) -> String {
        let mut by_name: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
        for rollup in self.months.iter().flat_map(|month| &month.rollups) {
            let (months, rows, new) = by_name.entry(&rollup.name).or_default();
            *months += 1;
            *rows += rollup.batch.num_rows();
            *new += usize::from(rollup.is_new);
        }
        let line = |(name, (months, rows, new)): (&str, (usize, usize, usize))| {
            let outcome =
                if new == 0 { "unchanged".to_owned() } else { format!("{new} published") };
            format!("{name}: {}, {rows} rows, {outcome}\n", output::counted(months, "month"))
        };
        by_name.into_iter().map(line).collect()
    }
}

impl Show for RolledUp {
    fn for_people(&self) -> String {
        let mut text = self.rows_of_the_only().map_or_else(String::new, |rows| self.table_of(rows));
        text.push_str(&self.overview());
        for warning in reconcile::warnings(&self.reconciled) {
            text.push_str(&format!("Warning: {}\n", output::printable(&warning)));
        }
        if !self.reconciled.is_empty() {
            text.push_str(&format!("{}\n", reconcile::summary(&self.reconciled)));
        }
        let mut rollups = self.months.iter().flat_map(|month| &month.rollups);
        let is_new =
            rollups.any(|rollup| rollup.is_new) || self.reconciled.iter().any(|month| month.is_new);
        text.push_str(&match (self.months.len(), is_new) {
            (0, _) => format!("{} has no line items\n", self.lake),
            (_, false) => format!("Nothing new: {} holds exactly this already\n", self.lake),
            (months, true) => {
                format!("Published {} in {}\n", output::counted(months, "month"), self.lake)
            }
        });
        text
    }

    fn to_json(&self) -> Value {
        let month = |month: &Month| {
            json!({
                "scope": month.scope.as_str(),
                "billing_period": month.period.to_string(),
                "rollups": month.rollups.iter().map(RollupResult::to_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "command": "rollup",
            "lake": self.lake,
            "run_id": self.run_id,
            "started_at": output::time(self.started_at),
            "finished_at": output::time(self.finished_at),
            "months": self.months.iter().map(month).collect::<Vec<_>>(),
            "reconciled": self.reconciled.iter().map(reconcile::Month::to_json).collect::<Vec<_>>(),
        })
    }

    /// The rows of one rollup; of several, what became of each.
    fn rows(&self) -> Vec<Row> {
        if let Some(rows) = self.rows_of_the_only() {
            return rows;
        }
        let mut rows = Vec::new();
        for month in &self.months {
            rows.extend(month.rollups.iter().map(|rollup| {
                let mut cells = output::month_cells(&month.scope, month.period);
                cells.extend([
                    ("name".to_owned(), Value::from(rollup.name.as_str())),
                    ("row_count".to_owned(), Value::from(rollup.batch.num_rows())),
                    ("changed".to_owned(), Value::from(rollup.is_new)),
                    ("path".to_owned(), Value::from(rollup.path.as_str())),
                ]);
                cells
            }));
        }
        rows
    }
}
