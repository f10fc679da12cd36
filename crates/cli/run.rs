//! `costlake run`: the main job, from Azure to the department table. `costlake plan` shows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use costlake_fetch::journal::{Journal, Pull, PulledReport, ReportKey};
use costlake_fetch::{
    ArrivingBlob, ArrivingReport, Client, Error as FetchError, Fetched, Fetcher, Landing, Splitting,
};
use costlake_model::aliases::Naming;
use costlake_model::{BillingPeriod, Scope, ScopeSlug, TimePeriod};
use costlake_sink::{BlobName, Error as LakeError, Lake, Publication, Source};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::args::RunArgs;
use crate::config::{self, PipelineFile, Plan, Reconciliation};
use crate::contract::History;
use crate::error::Error;
use crate::ingest::{Blob, Engine, Ingested, OpenBlob, Report, ReportAccount, read_error};
use crate::inputs::decompressed;
use crate::journal::{self, LakeJournal, RunLock};
use crate::lifecycle::{self, PuttingInPlace};
use crate::month::Publisher;
use crate::output::{self, Row, Show, hex};
use crate::planner::{self, Decision, PlannedMonth, PlannedReport};
use crate::progress::Progress;
use crate::reconcile;
use crate::result::{LeftAlone, MonthResult, RunResult};

/// How long the journal remembers reports that nothing happens to.
const JOURNAL_AGE: TimeDelta = TimeDelta::days(30);
/// How often a report is fetched again because a blob broke while it was read.
const MOST_REFETCHES: u32 = 3;
/// The landing area of a lake that is a local folder.
const LANDING: &str = "_costlake/landing";

/// Runs the pipeline. Months that fail are in the result's errors; the others are published.
///
/// # Errors
/// Wrong configuration, or a lake that cannot be opened; and every month's error.
pub(crate) async fn run(
    args: &RunArgs,
    progress: Arc<Progress>,
) -> Result<(RunResult, Vec<Error>), Error> {
    let started_at = Utc::now();
    let file = PipelineFile::read_given(args.config.as_deref())?;
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
        let mut done = pull(client, &engine, &publisher, &plan).await?;
        let published = done.in_place().collect();
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
    let (mut done, record) = lifecycle::publishing(&lake, started_at, work).await?;
    if let Some(pull) = done.pull.take() {
        done.errors.extend(pull.end(done.errors.is_empty()).await.err());
    }
    let result = RunResult {
        command: "run",
        lake: lake.location().to_owned(),
        run_id: record.map(|record| record.run_id.to_string()),
        started_at,
        finished_at: Utc::now(),
        months: done.months,
        reconciled: done.reconciled,
        without_data: done.without_data,
        left_alone: done.left_alone,
        skipped: Vec::new(),
        retry_after: done.errors.iter().filter_map(Error::asked_wait).max(),
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
    left_alone: Vec<LeftAlone>,
    errors: Vec<Error>,
    /// What is to be ended last of all.
    pull: Option<OpenPull>,
}

impl Done {
    /// The months that this pull has put in place, by this run or one before it.
    fn in_place(&self) -> impl Iterator<Item = (ScopeSlug, BillingPeriod)> {
        let before = self.left_alone.iter().filter(|month| month.decision == Decision::Done);
        let before = before.map(|month| (month.scope.clone(), month.period));
        self.months.iter().map(|month| (month.scope.clone(), month.period)).chain(before)
    }
}

/// A pull that has not ended.
struct OpenPull {
    fetcher: Fetcher,
    store: Arc<LakeJournal>,
    /// Held to the end.
    _lock: RunLock,
}

impl OpenPull {
    /// Ends it: as finished, if all that was asked for is in place.
    async fn end(self, is_finished: bool) -> Result<(), Error> {
        self.fetcher.tidy(JOURNAL_AGE, is_finished).await?;
        if is_finished {
            self.fetcher.journal().finish_pull(Utc::now()).await?;
        }
        self.store.close().await;
        Ok(())
    }
}

/// Pulls the months that are due, and goes on with what an earlier run left unfinished.
async fn pull(
    client: Client,
    engine: &Engine,
    publisher: &Publisher<'_>,
    plan: &Plan,
) -> Result<Done, Error> {
    let lock = RunLock::take(publisher.lake)?;
    let store = journal::of_lake(publisher.lake, publisher.publication.run_id())?;
    let run = publisher.publication.run_id().to_string();
    let reuse = Some(plan.reuse).filter(|_| !plan.policy.force);
    let journal = Journal::open(store.clone(), &plan.job(), &run, publisher.now, reuse).await?;
    let client = with_budgets(client, &journal).await?;
    let landing = landing_folder(plan.landing.as_deref(), publisher.lake);
    let reuse = reuse.unwrap_or(TimeDelta::zero());
    let landing = Landing::new(landing);
    let fetcher = Fetcher::new(client.clone(), journal.clone(), landing, reuse);
    fetcher.tidy(JOURNAL_AGE, false).await?;

    let months = planner::months(plan, Some(publisher.lake), Some(&journal), publisher.now).await?;
    let (due, left_alone): (Vec<_>, Vec<_>) =
        months.into_iter().partition(|month| month.decision.is_due());
    for month in left_alone.iter().filter(|month| month.decision == Decision::Done) {
        publisher.publication.confirm(month.period, &month.scope.slug()).await?;
    }
    let done = publish_months(&fetcher, engine, publisher, due, plan.concurrent_reports).await;
    journal.keep_budgets(&client.budgets()).await?;
    Ok(Done {
        left_alone: left_alone.iter().map(LeftAlone::from).collect(),
        pull: Some(OpenPull { fetcher, store, _lock: lock }),
        ..done
    })
}

/// Where blobs lie until their month is published: below the lake, or in a folder of the lake's own below a given one.
fn landing_folder(given: Option<&Path>, lake: &Lake) -> PathBuf {
    match given {
        None => Path::new(lake.location()).join(LANDING),
        Some(given) => {
            let lake = hex(&Sha256::digest(lake.location().as_bytes())[..6]);
            given.join(format!("costlake-{lake}"))
        }
    }
}

/// A client that knows for how long Azure asked for patience, and has it written down when that changes.
async fn with_budgets(client: Client, journal: &Journal) -> Result<Client, Error> {
    let budgets = journal.budgets().await?;
    let (changed, mut changes) = watch::channel(Vec::new());
    let keeper = journal.clone();
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let budgets = changes.borrow_and_update().clone();
            if let Err(error) = keeper.keep_budgets(&budgets).await {
                tracing::warn!(%error, "cannot write down for how long Azure asked for patience");
            }
        }
    });
    Ok(client.with_budgets(budgets, Arc::new(move |budgets| drop(changed.send_replace(budgets)))))
}

/// Publishes month after month. One that fails does not keep the others from being published, unless
/// they would fail in the same way.
async fn publish_months(
    fetcher: &Fetcher,
    engine: &Engine,
    publisher: &Publisher<'_>,
    months: Vec<PlannedMonth>,
    concurrent_reports: usize,
) -> Done {
    let mut done = Done::default();
    let mut fetching = fetch_months(fetcher, months, concurrent_reports);
    while let Some(month) = fetching.recv().await {
        let (scope, period) = (month.scope.slug(), month.period);
        match publish_month(fetcher, engine, publisher, month).await {
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

/// A month of a scope whose reports are fetched: the unit that is published whole or not at all.
struct Month {
    scope: Scope,
    period: BillingPeriod,
    reports: Vec<FetchedReport>,
}

/// A report that is fetched, with the leave to be on its way.
struct FetchedReport {
    key: ReportKey,
    splitting: Splitting,
    fetching: Fetching,
    _leave: OwnedSemaphorePermit,
}

/// A task that ends when nobody waits for it any more.
struct Fetching(JoinHandle<Result<Fetched, FetchError>>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to fetch the reports of all months, in order, as many at a time as are allowed: so Azure works on
/// some while others are read. A report is on its way until its month is dropped.
fn fetch_months(
    fetcher: &Fetcher,
    months: Vec<PlannedMonth>,
    concurrent_reports: usize,
) -> mpsc::UnboundedReceiver<Month> {
    // A month needs all its reports at once.
    let most = months.iter().map(|month| month.reports.len()).max().unwrap_or_default();
    let leaves = Arc::new(Semaphore::new(concurrent_reports.max(most)));
    let (started, receiver) = mpsc::unbounded_channel();
    let fetcher = fetcher.clone();
    tokio::spawn(async move {
        for month in months {
            let mut reports = Vec::new();
            for PlannedReport { key, splitting, .. } in month.reports {
                // The semaphore is never closed.
                let Ok(leave) = Arc::clone(&leaves).acquire_owned().await else { return };
                if started.is_closed() {
                    return;
                }
                let (fetcher, wanted) = (fetcher.clone(), (key.clone(), splitting.clone()));
                let fetching =
                    tokio::spawn(async move { fetcher.fetch(&wanted.0, &wanted.1).await });
                let fetching = Fetching(fetching);
                reports.push(FetchedReport { key, splitting, fetching, _leave: leave });
            }
            let month = Month { scope: month.scope, period: month.period, reports };
            if started.send(month).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads the reports of a month and publishes them together; `None` if Azure has no data at all.
async fn publish_month(
    fetcher: &Fetcher,
    engine: &Engine,
    publisher: &Publisher<'_>,
    month: Month,
) -> Result<Option<MonthResult>, Error> {
    let Month { scope, period, mut reports } = month;
    let scope = scope.slug();
    let mut read: Vec<ReadReport> = Vec::new();
    let mut empty = Vec::new();
    for report in &mut reports {
        match read_report(fetcher, engine, publisher, report).await? {
            Some(report) => read.push(report),
            None => empty.push(&report.key),
        }
    }
    let other = read.iter().map(|read| &read.ingested.account).find(|a| a.ledger.records > 0);
    for key in empty {
        let checked = publisher.check_no_data(key.metric, period, &scope, other).await;
        if let Err(error) = checked {
            fetcher.refused_no_data(key, &error.to_string()).await?;
            return Err(error);
        }
    }
    if read.is_empty() {
        return Ok(None);
    }
    let mut pulled: Vec<PulledReport> = read.iter().map(|read| pulled(read, period)).collect();
    let (ingested, arrived): (Vec<Ingested>, Vec<_>) =
        read.into_iter().map(|read| (read.ingested, (read.key, read.arrived))).unzip();
    let published = match publisher.prepare(period, &scope, ingested).await {
        Ok(prepared) => publisher.put(prepared).await?,
        Err(error) => {
            if error.is_about_data() {
                let arrived = arrived.into_iter().flat_map(|(_, arrived)| arrived);
                refuse(fetcher, arrived, &error).await?;
            }
            return Err(error);
        }
    };
    for pulled in &mut pulled {
        let report = published.reports.iter().find(|report| report.metric == pulled.metric);
        pulled.sha256 = report.map(|report| report.object.sha256.to_string()).unwrap_or_default();
    }
    let pull = fetcher.journal().pull().to_owned();
    let pull = Pull { pull, at: publisher.now, reports: pulled };
    fetcher.journal().remember(&scope, period, pull).await?;
    let parts = arrived.iter().flat_map(|(_, arrived)| arrived.iter().map(|part| &part.key));
    let mut keys: Vec<ReportKey> = parts.cloned().collect();
    // The whole comes last: with it the month is done.
    for (key, _) in arrived {
        keys.retain(|part| *part != key);
        keys.push(key);
    }
    fetcher.published(&keys).await?;
    Ok(Some(published))
}

/// A report that was read and staged.
struct ReadReport {
    key: ReportKey,
    ingested: Ingested,
    /// Its parts, or itself.
    arrived: Vec<ArrivingReport>,
}

/// What to remember of a report; what was published of it is not known yet.
fn pulled(read: &ReadReport, month: BillingPeriod) -> PulledReport {
    let ReportAccount { metric, ledger, .. } = &read.ingested.account;
    let month = TimePeriod::from(month);
    let is_other = |day: Option<chrono::NaiveDate>| day.is_some_and(|day| !month.contains(day));
    PulledReport {
        metric: *metric,
        sha256: String::new(),
        rows: ledger.records,
        bytes: ledger.bytes,
        waited: read.arrived.iter().filter_map(|part| part.waited).max().unwrap_or_default(),
        parts: u32::try_from(read.arrived.len()).unwrap_or(u32::MAX),
        has_other_days: is_other(ledger.first_date) || is_other(ledger.last_date),
    }
}

/// Fetches and stages a report; `None` if there is no data. Parts of two reports are never mixed: after a
/// change, staging starts from the beginning.
async fn read_report(
    fetcher: &Fetcher,
    engine: &Engine,
    publisher: &Publisher<'_>,
    report: &mut FetchedReport,
) -> Result<Option<ReadReport>, Error> {
    let key = report.key.clone();
    let about = |source: Error| match source {
        // These name their report themselves.
        Error::Fetch(error) => Error::Fetch(error),
        source => Error::Report { report: key.to_string(), source: Box::new(source) },
    };
    let fetched = (&mut report.fetching.0).await;
    let fetched = fetched.map_err(|error| about(Error::Internal(error.to_string())))?;
    let mut fetched = fetched.map_err(Error::from)?;
    let mut refetches = 0;
    loop {
        check_parts(fetcher, &key, &fetched, publisher.now).await.map_err(about)?;
        let arrived = fetched.reports;
        if arrived.is_empty() {
            return Ok(None);
        }
        match engine.ingest(publisher.publication, report_of(&key, &arrived)).await {
            Ok(mut ingested) => {
                for part in &arrived {
                    fetcher.converted(part).await?;
                }
                ingested.account.notes.extend(note_on_parts(&arrived));
                return Ok(Some(ReadReport { key, ingested, arrived }));
            }
            Err(Error::Fetch(error)) if error.may_pass_when_fetched_again() => {
                if refetches == MOST_REFETCHES {
                    refuse(fetcher, arrived, &error).await?;
                    return Err(about(Error::Fetch(error)));
                }
                refetches += 1;
                engine.progress().say(&format!("{key}: {error}; fetching it again"));
                fetched = fetcher.fetch_again(&key, &report.splitting, arrived).await?;
            }
            Err(error) => {
                if error.is_about_data() {
                    refuse(fetcher, arrived, &error).await?;
                }
                return Err(about(error));
            }
        }
    }
}

/// Notes that reports cannot be published for what is in them.
async fn refuse(
    fetcher: &Fetcher,
    arrived: impl IntoIterator<Item = ArrivingReport>,
    why: &(impl std::fmt::Display + Sync),
) -> Result<(), Error> {
    for report in arrived {
        fetcher.refused(report, &why.to_string()).await?;
    }
    Ok(())
}

/// Days without data among days with some are not believed, unless they are still to come.
async fn check_parts(
    fetcher: &Fetcher,
    key: &ReportKey,
    fetched: &Fetched,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let is_past = |part: &&ReportKey| part.covered().start() <= now.date_naive();
    let Some(empty) = fetched.without_data.iter().find(is_past) else { return Ok(()) };
    let Some(other) = fetched.reports.first() else { return Ok(()) };
    let (days, other) = (empty.covered(), other.key.covered());
    let error = Error::PartMissing { report: empty.to_string(), days, other };
    // The next run asks for the whole.
    for key in [empty, key] {
        fetcher.refused_no_data(key, &error.to_string()).await?;
    }
    Err(error)
}

/// What is to be known of a report that came in parts.
fn note_on_parts(arrived: &[ArrivingReport]) -> Option<String> {
    (arrived.len() > 1).then(|| {
        format!(
            "fetched in {} parts by day: charges that Azure books into the month under a day outside of it would be missing",
            arrived.len()
        )
    })
}

/// The report that the engine reads: the blobs of all parts, one after the other.
fn report_of(key: &ReportKey, arrived: &[ArrivingReport]) -> Report {
    let blobs = arrived.iter().flat_map(|part| part.blobs.iter().map(move |blob| (part, blob)));
    let blobs = blobs.map(|(part, blob)| {
        let arriving = blob.clone();
        Blob {
            // The path of a link names the blob; its query is the secret.
            name: BlobName::of_link(blob.name()).as_str().to_owned(),
            open: Box::new(move || open(&arriving)),
            rows: None,
            days: part.key.days,
        }
    });
    Report {
        name: format!("{} {} {}", key.scope.slug(), key.month, key.metric),
        metric: key.metric,
        naming: Some(Naming::Native),
        currency: None,
        blobs: blobs.collect(),
        stored_bytes: Some(arrived.iter().map(|part| part.stored_bytes).sum()),
    }
}

fn open(blob: &ArrivingBlob) -> Result<OpenBlob, Error> {
    let text = decompressed(Box::new(blob.reader()));
    text.map(OpenBlob::from).map_err(|error| read_error(blob.name(), error))
}

/// What `run` would do.
pub(crate) struct PlannedRun {
    lake: String,
    at: DateTime<Utc>,
    months: Vec<PlannedMonth>,
    rollups: Vec<String>,
}

/// Works out what `run` would do, without asking Azure and without changing anything.
///
/// # Errors
/// Wrong configuration, or a lake that cannot be read.
pub(crate) async fn plan(args: &RunArgs) -> Result<PlannedRun, Error> {
    let at = Utc::now();
    let plan = PipelineFile::read_given(args.config.as_deref())?.plan(args, at.date_naive())?;
    let lake = match Lake::open(&plan.lake, false).await {
        Ok(lake) => Some(lake),
        Err(LakeError::LakeMissing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let journal = match &lake {
        Some(lake) => {
            let store = journal::of_lake(lake, &lifecycle::run_id(at)?)?;
            let reuse = Some(plan.reuse).filter(|_| !plan.policy.force);
            Some(Journal::for_reading(store, &plan.job(), at, reuse).await?)
        }
        None => None,
    };
    let months = planner::months(&plan, lake.as_ref(), journal.as_ref(), at).await?;
    let rollups = plan.definitions.iter().map(|definition| definition.name.clone()).collect();
    Ok(PlannedRun { lake: plan.lake, at, months, rollups })
}

impl PlannedRun {
    fn reports(&self) -> impl Iterator<Item = (&PlannedMonth, &PlannedReport)> {
        let due = self.months.iter().filter(|month| month.decision.is_due());
        due.flat_map(|month| month.reports.iter().map(move |report| (month, report)))
    }

    /// Months before the look-back of the Cost Details API answer with an error.
    fn is_too_old(&self, month: &PlannedMonth) -> bool {
        self.at.date_naive() - month.period.first_day() > config::MAX_LOOK_BACK
    }

    fn month_text(&self, month: &PlannedMonth) -> String {
        let (scope, period) = (&month.scope, month.period);
        let mut text = format!("{period} {scope}: {}", month.decision.reason());
        if !month.decision.is_due() {
            return text + ", not pulled\n";
        }
        if self.is_too_old(month) {
            text.push_str("; older than 13 months: Azure may refuse");
        }
        if let Some(wait) = month.expected_wait() {
            text.push_str(&format!("; Azure took {} the last time", seconds(wait)));
        }
        text.push('\n');
        for report in &month.reports {
            text.push_str(&report_text(report));
        }
        text
    }
}

fn report_text(report: &PlannedReport) -> String {
    let mut facts = Vec::new();
    if let Some(at) = report.asked_at {
        facts.push(format!("goes on with the one asked for at {}", output::time(at)));
    }
    match report.splitting.parts.len() {
        0 => {}
        parts => facts.push(format!("in {parts} parts")),
    }
    if let Some(last) = &report.last {
        let bytes = indicatif::HumanBytes(last.bytes);
        facts.push(format!("about {} rows, {bytes}", last.rows));
    }
    facts.push(match report.replaces {
        Some((rows, _)) => format!("replaces {rows} rows"),
        None => "new".to_owned(),
    });
    let partition = report.partition().directory();
    format!("  {} costs: {partition} ({})\n", report.key.metric, facts.join("; "))
}

fn seconds(wait: Duration) -> String {
    indicatif::HumanDuration(wait).to_string()
}

impl Show for PlannedRun {
    fn for_people(&self) -> String {
        let to_create = self.reports().filter(|(_, report)| report.asked_at.is_none());
        let reports =
            to_create.map(|(_, report)| report.splitting.parts.len().max(1)).sum::<usize>();
        let mut text = format!("Reports to create for {}: {reports}\n", self.lake);
        for month in &self.months {
            text.push_str(&self.month_text(month));
        }
        text.push_str(&format!("Rollups: {}\n", self.rollups.join(", ")));
        let rows: u64 = self.reports().filter_map(|(_, r)| Some(r.last.as_ref()?.rows)).sum();
        let bytes: u64 = self.reports().filter_map(|(_, r)| Some(r.last.as_ref()?.bytes)).sum();
        if rows > 0 {
            let bytes = indicatif::HumanBytes(bytes);
            text.push_str(&format!("Expected, going by the last pulls: {rows} rows, {bytes}\n"));
        }
        text.push_str("Each report takes Azure some minutes. Nothing was changed.\n");
        text
    }

    fn to_json(&self) -> Value {
        let months: Vec<Value> = self
            .months
            .iter()
            .map(|month| {
                json!({
                    "scope": month.scope.path(),
                    "billing_period": month.period.to_string(),
                    "decision": month.decision.name(),
                    "is_due": month.decision.is_due(),
                    "reason": month.decision.reason(),
                    "expected_wait_seconds": month.expected_wait().map(|wait| wait.as_secs()),
                })
            })
            .collect();
        let reports: Vec<Value> = self.rows().into_iter().map(output::object).collect();
        json!({
            "command": "plan", "lake": self.lake, "months": months, "reports": reports,
            "rollups": self.rollups,
        })
    }

    /// The reports that would be created.
    fn rows(&self) -> Vec<Row> {
        let row = |(month, report): (&PlannedMonth, &PlannedReport)| {
            let last = report.last.as_ref();
            let fields = [
                ("scope", Value::from(report.key.scope.path())),
                ("billing_period", Value::from(month.period.to_string())),
                ("metric", Value::from(report.key.metric.name())),
                ("decision", Value::from(month.decision.name())),
                ("parts", Value::from(report.splitting.parts.len().max(1))),
                ("partition", Value::from(report.partition().directory())),
                ("expected_rows", Value::from(last.map(|last| last.rows))),
                ("expected_bytes", Value::from(last.map(|last| last.bytes))),
                ("expected_wait_seconds", Value::from(last.map(|last| last.waited.as_secs()))),
                ("asked_at", Value::from(report.asked_at.map(output::time))),
                ("replaces_rows", Value::from(report.replaces.map(|(rows, _)| rows))),
                ("replaces_bytes", Value::from(report.replaces.map(|(_, bytes)| bytes))),
            ];
            fields.map(|(name, value)| (name.to_owned(), value)).into()
        };
        self.reports().map(row).collect()
    }
}
