//! `costlake run`: the main job, from Azure to the department table. `costlake plan` shows it.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use costlake_fetch::{
    BlobInfo, Client, Error as FetchError, ErrorKind, ReportManifest, ReportPeriod, ReportRequest,
};
use costlake_model::aliases::Naming;
use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug};
use costlake_sink::{BlobName, Error as LakeError, Lake, Publication, Source};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::args::RunArgs;
use crate::config::{self, PipelineFile, Plan, Reconciliation};
use crate::contract::History;
use crate::error::Error;
use crate::ingest::{Blob, Engine, Ingested, OpenBlob, Report, read_error};
use crate::inputs::decompressed;
use crate::lifecycle::{self, PuttingInPlace};
use crate::month::Publisher;
use crate::output::{self, Row, Show};
use crate::pipe;
use crate::progress::Progress;
use crate::reconcile;
use crate::result::{MonthResult, RunResult};
use crate::rollups::line_items;

/// A month of a scope: the unit that is published whole or not at all.
struct Month {
    scope: Scope,
    period: BillingPeriod,
    reports: Vec<(ReportRequest, Pending)>,
}

type Pending = JoinHandle<Result<Option<ReportManifest>, FetchError>>;

/// Runs the pipeline. Months that fail are in the result's errors; the others are published.
///
/// # Errors
/// Wrong configuration, or a lake that cannot be opened; and every month's error.
pub(crate) async fn run(
    args: &RunArgs,
    progress: Arc<Progress>,
) -> Result<(RunResult, Vec<Error>), Error> {
    let started_at = Utc::now();
    let file = read_pipeline(args)?;
    let plan = file.plan(args, started_at.date_naive())?;
    let (fetch_config, credentials) = file.azure()?;
    let monitor: Arc<Progress> = Arc::clone(&progress);
    let client = Client::new(fetch_config, credentials, monitor)?;
    let engine = Engine::new(&args.work, plan.definitions.clone(), progress)?;

    let lake = Lake::open(&plan.lake, true).await?;
    let work = async |publication: &Publication, putting: &PuttingInPlace| {
        let publisher = Publisher {
            lake: &lake,
            publication,
            definitions: engine.definitions(),
            now: started_at,
            source: Source::CostDetails,
            contract: args.work.contract,
            history: History::of(&lake),
            putting,
        };
        let mut done = publish_months(&client, &engine, &publisher, &plan).await;
        let published =
            done.months.iter().map(|month| (month.scope.clone(), month.period)).collect();
        let reconciled = Reconciliation::after_publishing(
            plan.reconciliation.as_ref(),
            &lake,
            publication,
            putting,
            &published,
            started_at,
        );
        match reconciled.await {
            Ok(months) => {
                done.errors.extend(reconcile::check_residual(&months).err());
                done.reconciled = months;
            }
            Err(error) => done.errors.push(error),
        }
        Ok(done)
    };
    let (done, record) = lifecycle::publishing(&lake, started_at, work).await?;
    let result = RunResult {
        command: "run",
        lake: lake.location().to_owned(),
        run_id: record.map(|record| record.run_id.to_string()),
        started_at,
        finished_at: Utc::now(),
        months: done.months,
        reconciled: done.reconciled,
        without_data: done.without_data,
        skipped: Vec::new(),
        errors: done.errors.iter().map(Error::render).collect(),
    };
    Ok((result, done.errors))
}

/// What became of the months of a plan.
#[derive(Default)]
struct Done {
    months: Vec<MonthResult>,
    reconciled: Vec<reconcile::Month>,
    without_data: Vec<(ScopeSlug, BillingPeriod)>,
    errors: Vec<Error>,
}

/// Publishes month after month. One that fails does not keep the others from being published, unless
/// they would fail in the same way.
async fn publish_months(
    client: &Client,
    engine: &Engine,
    publisher: &Publisher<'_>,
    plan: &Plan,
) -> Done {
    let mut done = Done::default();
    for month in request_all(client, plan) {
        let (scope, period) = (month.scope.slug(), month.period);
        match publish_month(client, engine, publisher, month).await {
            Ok(Some(result)) => done.months.push(result),
            Ok(None) => done.without_data.push((scope, period)),
            Err(error) => {
                let is_general = error.is_about_all_reports();
                done.errors.push(error);
                if is_general {
                    break;
                }
            }
        }
    }
    done
}

fn read_pipeline(args: &RunArgs) -> Result<PipelineFile, Error> {
    let path = args.config.as_deref().ok_or_else(|| {
        Error::usage(
            "no pipeline file is given",
            "add --config FILE, such as pipelines/ea-daily.toml, or set COSTLAKE_CONFIG",
        )
    })?;
    PipelineFile::read(path)
}

/// Starts every report, so that Azure works on all while the first ones are read.
fn request_all(client: &Client, plan: &Plan) -> Vec<Month> {
    let mut months = Vec::new();
    for scope in &plan.scopes {
        for period in &plan.periods {
            let start = |metric: &Metric| {
                let request = ReportRequest {
                    scope: scope.clone(),
                    metric: *metric,
                    period: ReportPeriod::Billing(*period),
                };
                let (client, pending) = (client.clone(), request.clone());
                let pending = tokio::spawn(async move { client.create_report(&pending).await });
                (request, pending)
            };
            months.push(Month {
                scope: scope.clone(),
                period: *period,
                reports: plan.metrics.iter().map(start).collect(),
            });
        }
    }
    months
}

/// Reads the reports of a month and publishes them together; `None` if Azure has no data at all.
async fn publish_month(
    client: &Client,
    engine: &Engine,
    publisher: &Publisher<'_>,
    month: Month,
) -> Result<Option<MonthResult>, Error> {
    let Month { scope, period, reports } = month;
    let mut ingested = Vec::new();
    let mut empty = Vec::new();
    for (request, pending) in reports {
        let about = |source: Error| match source {
            // These name their report themselves.
            Error::Fetch(error) => Error::Fetch(error),
            source => Error::Report { report: request.to_string(), source: Box::new(source) },
        };
        let manifest = pending.await.map_err(|error| about(Error::Internal(error.to_string())))?;
        match manifest.map_err(|error| about(error.into()))? {
            Some(manifest) => {
                let read = ingest(client, engine, publisher, &request, manifest).await;
                ingested.extend(read.map_err(about)?);
            }
            None => empty.push(request.metric),
        }
    }
    let scope = scope.slug();
    let other = ingested.iter().map(|report| &report.account).find(|a| a.ledger.records > 0);
    for metric in empty {
        publisher.check_no_data(metric, period, &scope, other).await?;
    }
    if ingested.is_empty() {
        return Ok(None);
    }
    let prepared = publisher.prepare(period, &scope, ingested).await?;
    publisher.put(prepared).await.map(Some)
}

/// How often a report is started anew because its links or the report itself aged out meanwhile.
const MAX_RENEWALS: u32 = 3;

/// Downloads and stages a report; `None` if it had to be made anew and has no data any more. Parts of
/// two reports are never mixed: after a change, staging starts from the beginning.
async fn ingest(
    client: &Client,
    engine: &Engine,
    publisher: &Publisher<'_>,
    request: &ReportRequest,
    mut manifest: ReportManifest,
) -> Result<Option<Ingested>, Error> {
    let mut renewals = 0;
    loop {
        let report = report_of(client, request, &manifest);
        match engine.ingest(publisher.publication, report).await {
            Err(Error::Fetch(error))
                if error.kind() == ErrorKind::Stale && renewals < MAX_RENEWALS =>
            {
                renewals += 1;
                engine.progress().say(&format!("{request}: {error}; asking again"));
                manifest = match client.renew(&manifest).await {
                    Ok(renewed) => renewed,
                    Err(_) => match client.create_report(request).await? {
                        Some(created) => created,
                        None => return Ok(None),
                    },
                };
            }
            result => return result.map(Some),
        }
    }
}

fn report_of(client: &Client, request: &ReportRequest, manifest: &ReportManifest) -> Report {
    let blobs = manifest.blobs.iter().cloned().map(|blob| {
        let client = client.clone();
        // The path of a link names the blob; its query is the secret.
        Blob {
            name: BlobName::of_link(blob.link.reveal().path()).as_str().to_owned(),
            open: Box::new(move || open_download(&client, &blob)),
            rows: None,
        }
    });
    Report {
        name: format!("{} {} {}", request.scope.slug(), request.period, request.metric),
        metric: request.metric,
        naming: Some(Naming::Native),
        currency: None,
        blobs: blobs.collect(),
        stored_bytes: Some(manifest.blob_bytes()),
    }
}

fn open_download(client: &Client, blob: &BlobInfo) -> Result<OpenBlob, Error> {
    let mut download = client.download(blob);
    let (sender, reader) = pipe::pipe();
    tokio::spawn(async move {
        loop {
            let piece = download.next_chunk().await;
            let is_last = !matches!(piece, Ok(Some(_)));
            let message = piece.map_err(|error| io::Error::other(Error::from(error)));
            if sender.send(message).await.is_err() || is_last {
                break;
            }
        }
    });
    let name = blob.link.reveal().path();
    let text = decompressed(Box::new(reader)).map_err(|error| read_error(name, error))?;
    Ok(text.into())
}

/// What `run` would do.
pub(crate) struct PlannedRun {
    lake: String,
    at: DateTime<Utc>,
    reports: Vec<PlannedReport>,
    rollups: Vec<String>,
}

struct PlannedReport {
    scope: Scope,
    period: BillingPeriod,
    metric: Metric,
    /// Rows and bytes of the partition that would be replaced.
    replaces: Option<(u64, u64)>,
}

/// Works out what `run` would do, without asking Azure and without changing anything.
///
/// # Errors
/// Wrong configuration, or a lake that cannot be read.
pub(crate) async fn plan(args: &RunArgs) -> Result<PlannedRun, Error> {
    let at = Utc::now();
    let plan = read_pipeline(args)?.plan(args, at.date_naive())?;
    let lake = match Lake::open(&plan.lake, false).await {
        Ok(lake) => Some(lake),
        Err(LakeError::LakeMissing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut reports = Vec::new();
    for scope in &plan.scopes {
        for period in &plan.periods {
            for metric in &plan.metrics {
                let partition = line_items(*metric, *period, &scope.slug());
                let manifest = match &lake {
                    Some(lake) => lake.manifest(&partition).await?,
                    None => None,
                };
                reports.push(PlannedReport {
                    scope: scope.clone(),
                    period: *period,
                    metric: *metric,
                    replaces: manifest
                        .map(|manifest| (manifest.object.rows, manifest.object.bytes)),
                });
            }
        }
    }
    Ok(PlannedRun {
        lake: plan.lake,
        at,
        reports,
        rollups: plan.definitions.iter().map(|definition| definition.name.clone()).collect(),
    })
}

impl PlannedReport {
    fn partition(&self) -> String {
        line_items(self.metric, self.period, &self.scope.slug()).directory()
    }

    /// Months before the look-back of the Cost Details API answer with an error.
    fn is_too_old(&self, at: DateTime<Utc>) -> bool {
        at.date_naive() - self.period.first_day() > config::MAX_LOOK_BACK
    }
}

impl Show for PlannedRun {
    fn for_people(&self) -> String {
        let mut text = format!("Reports to create for {}: {}\n", self.lake, self.reports.len());
        for report in &self.reports {
            let replaces = match report.replaces {
                Some((rows, _)) => format!("replaces {rows} rows"),
                None => "new".to_owned(),
            };
            let warning = if report.is_too_old(self.at) {
                "; older than 13 months: Azure may refuse"
            } else {
                ""
            };
            text.push_str(&format!(
                "  {} costs of {} for {}: {} ({replaces}{warning})\n",
                report.metric,
                report.scope,
                report.period,
                report.partition()
            ));
        }
        text.push_str(&format!("Rollups: {}\n", self.rollups.join(", ")));
        text.push_str("Each report takes Azure some minutes; all are requested at once. Nothing was changed.\n");
        text
    }

    fn to_json(&self) -> Value {
        let reports: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        json!({ "command": "plan", "lake": self.lake, "reports": reports, "rollups": self.rollups })
    }

    fn rows(&self) -> Vec<Row> {
        let row = |report: &PlannedReport| {
            let fields = [
                ("scope", Value::from(report.scope.path())),
                ("billing_period", Value::from(report.period.to_string())),
                ("metric", Value::from(report.metric.name())),
                ("partition", Value::from(report.partition())),
                ("replaces_rows", Value::from(report.replaces.map(|(rows, _)| rows))),
                ("replaces_bytes", Value::from(report.replaces.map(|(_, bytes)| bytes))),
            ];
            fields.map(|(name, value)| (name.to_owned(), value)).into()
        };
        self.reports.iter().map(row).collect()
    }
}
