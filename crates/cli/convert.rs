//! `costlake convert`: files that are already there, without Azure.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::Utc;
use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug};
use costlake_sink::{Lake, Publication, Source};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::args::ConvertArgs;
use crate::config::{PipelineFile, Reconciliation};
use crate::contract::History;
use crate::error::Error;
use crate::facts::RowFacts;
use crate::ingest::{Blob, Engine, Ingested, Report};
use crate::inputs::{self, FileReport, Found, InputFile, ReportKind, Skipped};
use crate::lifecycle::{self, PuttingInPlace};
use crate::month::Publisher;
use crate::output;
use crate::progress::Progress;
use crate::result::{MonthResult, RunResult};
use crate::rollups;

/// A staged report and the partition that it belongs to.
struct Placed {
    scope: ScopeSlug,
    period: BillingPeriod,
    ingested: Ingested,
}

/// Converts files into a lake. All are staged and audited before any month is published.
///
/// # Errors
/// Wrong usage, a file that is refused, or the lake.
pub(crate) async fn convert(
    args: &ConvertArgs,
    progress: Arc<Progress>,
) -> Result<RunResult, Error> {
    let started_at = Utc::now();
    let given = Given::of(args)?;
    let pipeline = PipelineFile::read_if_given(args.config.as_deref())?;
    let location = pipeline.lake(args.work.lake.as_deref())?;
    let definitions = pipeline.definitions(&args.work.definitions)?;
    let reconciliation = pipeline.reconciliation_unless(&args.work.definitions)?;
    let finding = inputs::find_reports(&args.paths);
    let Found { reports, skipped } = lifecycle::interruptible(finding).await?;
    let reports = match given.metric {
        None => lifecycle::interruptible(with_kinds(reports, given.currency.clone())).await?,
        // Whether its files are of FOCUS, the reader finds out.
        Some(_) => reports,
    };
    check_given(&given, &reports)?;
    for Skipped { path, reason } in &skipped {
        progress.say(&format!("skipped {}: {reason}", output::printable(path)));
    }
    let engine = Engine::new(&args.work, definitions, progress)?;

    let lake = Lake::open(&location, true).await?;
    let work = async |publication: &Publication, putting: &PuttingInPlace| {
        let publisher = Publisher {
            lake: &lake,
            publication,
            definitions: engine.definitions(),
            now: started_at,
            source: Source::Files,
            contract: args.work.contract,
            history: History::of(&lake),
            putting,
        };
        let placed = stage(&engine, publication, reports, &given).await?;
        let places = placed.iter().map(|placed| (placed.scope.clone(), placed.period)).collect();
        if args.config.is_none() {
            rollups::check_departments(&lake, &places).await?;
        }
        let months = publish(&publisher, placed).await?;
        let reconciled = Reconciliation::after_publishing(
            reconciliation.as_ref(),
            &lake,
            publication,
            putting,
            &places,
            started_at,
        );
        Ok((months, reconciled.await?))
    };
    let ((months, reconciled), record) = lifecycle::publishing(&lake, started_at, work).await?;
    Ok(RunResult {
        command: "convert",
        lake: lake.location().to_owned(),
        run_id: record.map(|record| record.run_id.to_string()),
        started_at,
        finished_at: Utc::now(),
        months,
        reconciled,
        without_data: Vec::new(),
        left_alone: Vec::new(),
        retry_after: None,
        skipped,
        errors: Vec::new(),
    })
}

/// Stages every report, and finds the partition that it belongs to.
async fn stage(
    engine: &Engine,
    publication: &Publication,
    reports: Vec<FileReport>,
    given: &Given,
) -> Result<Vec<Placed>, Error> {
    let mut wanted = Vec::new();
    for files in &reports {
        wanted.extend(metrics_of(files, given)?.into_iter().map(|metric| (files, metric)));
    }
    // The next ones are cut while the one before is finished.
    let mut placed: Vec<Placed> = stream::iter(wanted)
        .map(|(files, metric)| stage_report(engine, publication, files, metric, given))
        .buffered(engine.reports_under_way())
        .try_collect()
        .await?;
    placed.sort_by(|a, b| (&a.scope, a.period).cmp(&(&b.scope, b.period)));
    check_distinct(&placed)?;
    Ok(placed)
}

async fn stage_report(
    engine: &Engine,
    publication: &Publication,
    files: &FileReport,
    metric: Metric,
    given: &Given,
) -> Result<Placed, Error> {
    let report = report_of(files, metric, given);
    let name = report.name.clone();
    let ingested = engine.ingest(publication, report).await?;
    files.check_totals(&ingested.account.ledger)?;
    let facts = &ingested.account.facts;
    let scope = files.scope.clone().or_else(|| given.scope.clone());
    let period = files.period.or(given.period);
    Ok(Placed {
        scope: scope.map_or_else(|| scope_of_rows(facts, &name), Ok)?,
        period: period.map_or_else(|| period_of_rows(facts, &name), Ok)?,
        ingested,
    })
}

/// The metrics that a report is read for.
fn metrics_of(files: &FileReport, given: &Given) -> Result<Vec<Metric>, Error> {
    match (files.kind, given.metric) {
        (ReportKind::Metric(metric), _) => Ok(vec![metric]),
        (ReportKind::Unknown | ReportKind::Focus, Some(metric)) => Ok(vec![metric]),
        (ReportKind::Focus, None) => Ok(Metric::ALL.to_vec()),
        (ReportKind::Unknown, None) => Err(metric_missing("a report")),
    }
}

/// Finds out which reports are of FOCUS files, where nothing else says the metric: they show both. Only
/// the headers of all their files tell.
async fn with_kinds(
    mut reports: Vec<FileReport>,
    currency: Option<String>,
) -> Result<Vec<FileReport>, Error> {
    let looking = tokio::task::spawn_blocking(move || {
        for report in reports.iter_mut().filter(|report| report.kind == ReportKind::Unknown) {
            check_focus(report, currency.as_ref())?;
            report.kind = ReportKind::Focus;
        }
        Ok(reports)
    });
    looking.await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

/// Checks that all files of a report have the columns of FOCUS.
fn check_focus(report: &FileReport, currency: Option<&String>) -> Result<(), Error> {
    let mut files = report.files.iter().peekable();
    if files.peek().is_none() {
        return Err(metric_missing("an empty report"));
    }
    for file in files {
        if !file.can_be_read_twice() {
            return Err(metric_missing(&format!("{file} can be read only once")));
        }
        if !inputs::read_binding(file, currency.cloned())?.has_both_metrics() {
            return Err(metric_missing(&file.to_string()));
        }
    }
    Ok(())
}

/// Prepares every month, the reports of each together, and then puts all in place.
async fn publish(
    publisher: &Publisher<'_>,
    placed: Vec<Placed>,
) -> Result<Vec<MonthResult>, Error> {
    let mut prepared = Vec::new();
    let mut placed = placed.into_iter().peekable();
    while let Some(first) = placed.next() {
        let (scope, period) = (first.scope, first.period);
        let mut reports = vec![first.ingested];
        while let Some(next) = placed.next_if(|next| next.scope == scope && next.period == period) {
            reports.push(next.ingested);
        }
        // One month after the other: the columns of each are held against those of the one before.
        prepared.push(publisher.prepare(period, &scope, reports).await?);
    }
    let mut months = Vec::new();
    for month in prepared {
        months.push(publisher.put(month).await?);
    }
    Ok(months)
}

/// What flags say about files without a manifest.
struct Given {
    metric: Option<Metric>,
    asks_for_both: bool,
    period: Option<BillingPeriod>,
    scope: Option<ScopeSlug>,
    currency: Option<String>,
}

impl Given {
    fn of(args: &ConvertArgs) -> Result<Self, Error> {
        let usage = |message: String| Error::usage(message, "see `costlake convert --help`");
        let is_both = |metric: &&str| metric.eq_ignore_ascii_case("both");
        let asks_for_both = args.metric.as_deref().is_some_and(|metric| is_both(&metric));
        let metric = args.metric.as_deref().filter(|metric| !is_both(metric));
        let metric = metric.map(str::parse::<Metric>).transpose();
        let period = args.period.as_deref().map(str::parse::<BillingPeriod>).transpose();
        if let Some(currency) = &args.currency {
            let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
            if !is_code {
                return Err(usage(format!("`{currency}` is no currency code such as EUR")));
            }
        }
        Ok(Self {
            metric: metric.map_err(|error| usage(error.to_string()))?,
            asks_for_both,
            period: period.map_err(|error| usage(error.to_string()))?,
            scope: args.scope_name.as_deref().map(scope_of_name).transpose()?,
            currency: args.currency.clone(),
        })
    }
}

/// The slug of a name, if no two names could share it for want of letters.
fn scope_of_name(name: &str) -> Result<ScopeSlug, Error> {
    let loses = |c: char| c.is_alphanumeric() && !c.is_ascii();
    if name.chars().any(loses) || !name.chars().any(char::is_alphanumeric) {
        return Err(Error::usage(
            format!("the scope name `{name}` cannot be kept in a partition path"),
            "use ASCII letters, digits and dashes",
        ));
    }
    Ok(ScopeSlug::from_name(name))
}

/// Flags speak about files without a manifest; where all have one they would be ignored in silence.
fn check_given(given: &Given, reports: &[FileReport]) -> Result<(), Error> {
    let needs_metric = reports.iter().any(|report| report.kind.metric().is_none());
    let needs_period = reports.iter().any(|report| report.period.is_none());
    let needs_scope = reports.iter().any(|report| report.scope.is_none());
    if ((given.metric.is_some() || given.asks_for_both) && !needs_metric)
        || (given.period.is_some() && !needs_period)
        || (given.scope.is_some() && !needs_scope)
    {
        return Err(Error::usage(
            "--metric, --period and --scope-name are for files whose manifest or folder does not say it",
            "leave them out, or name the CSV files themselves",
        ));
    }
    Ok(())
}

fn metric_missing(report: &str) -> Error {
    Error::usage(
        format!("{report}: nothing in a cost file says whether it is actual or amortized"),
        "add --metric actual or --metric amortized; only FOCUS files show both",
    )
}

fn report_of(files: &FileReport, metric: Metric, given: &Given) -> Report {
    let blobs = files.files.iter().cloned().map(|file| Blob {
        name: file.to_string(),
        rows: file.rows,
        days: None,
        open: Box::new(move || inputs::open(&file)),
    });
    Report {
        name: name_of(files, metric),
        metric,
        naming: files.kind.naming(),
        currency: given.currency.clone(),
        stored_bytes: files.files.iter().map(InputFile::stored_bytes).sum(),
        blobs: blobs.collect(),
    }
}

fn name_of(files: &FileReport, metric: Metric) -> String {
    match (&files.period, files.files.as_slice()) {
        (Some(period), _) => format!("{period} {metric}"),
        (None, [file]) => format!("{} {metric}", file.file_name()),
        (None, files) => format!("{} files {metric}", files.len()),
    }
}

fn period_of_rows(facts: &RowFacts, name: &str) -> Result<BillingPeriod, Error> {
    let periods: Vec<&BillingPeriod> = facts.months().iter().collect();
    match periods.as_slice() {
        [period] => Ok(**period),
        [] => Err(Error::usage(
            format!("{name}: no row says which month it belongs to"),
            "add --period 2025-07",
        )),
        [first, .., last] => Err(Error::usage(
            format!("{name}: rows of {} months, {first} to {last}", periods.len()),
            "a partition holds one month: give the files of one month at a time",
        )),
    }
}

fn scope_of_rows(facts: &RowFacts, name: &str) -> Result<ScopeSlug, Error> {
    let one = |values: &BTreeSet<String>| match values.len() {
        1 => values.first().cloned(),
        _ => None,
    };
    if facts.billing_accounts.len() > 1 {
        return Err(Error::usage(
            format!("{name}: rows of {} billing accounts", facts.billing_accounts.len()),
            "give the files of one at a time, or add --scope-name NAME",
        ));
    }
    let account = one(&facts.billing_accounts).map(|id| {
        Scope::billing_account(&id).map_or_else(|_| ScopeSlug::from_name(&id), |scope| scope.slug())
    });
    let subscription = || {
        let id = one(&facts.subscriptions)?;
        Some(
            Scope::subscription(&id)
                .map_or_else(|_| ScopeSlug::from_name(&id), |scope| scope.slug()),
        )
    };
    account.or_else(subscription).ok_or_else(|| {
        Error::usage(
            format!("{name}: no row says which scope it belongs to"),
            "add --scope-name NAME",
        )
    })
}

fn check_distinct(placed: &[Placed]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for report in placed {
        let metric = report.ingested.account.metric;
        if !seen.insert((&report.scope, report.period, metric)) {
            return Err(Error::usage(
                format!(
                    "several reports are {metric} costs of {} for {}",
                    report.scope, report.period
                ),
                "a partition is replaced whole: give its files together, without another report of the same month",
            ));
        }
    }
    Ok(())
}
