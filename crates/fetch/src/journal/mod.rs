//! The journal: what is known of every report, on disk before what it announces is done.
//!
//! One small file per report, for people to read (`docs/format.md`, "The journal"). It holds no secret:
//! of the address of an operation only the parameters that are known to be none, of a blob its name and size.

mod history;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug, TimePeriod};
use futures::future::BoxFuture;

use crate::cost_details::{ReportPeriod, ReportRequest};
use crate::error::Error;
use crate::governor::BudgetState;
pub use history::{MonthHistory, Pull, PulledReport, Stability};
pub(crate) use wire::{parse_time, time};

/// Where a journal is kept: small files by name, each replaced whole.
pub trait JournalStore: Send + Sync {
    /// The bytes of a file, or `None` if there is none.
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Option<Vec<u8>>>>;
    /// Replaces a file atomically; when the future is done, a loss of power does not undo it.
    fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, io::Result<()>>;
    /// Removes a file, if there is one.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<()>>;
    /// The names of all files, sorted.
    fn names(&self) -> BoxFuture<'_, io::Result<Vec<String>>>;
}

/// Which report: a metric of a scope over a month, or over some of its days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportKey {
    /// Whose costs.
    pub scope: Scope,
    /// Of which month of the bill.
    pub month: BillingPeriod,
    /// Which view of them.
    pub metric: Metric,
    /// The days, where it is a part of the month.
    pub days: Option<TimePeriod>,
}

impl ReportKey {
    /// What Azure is asked for.
    pub fn request(&self) -> ReportRequest {
        let period = self.days.map_or(ReportPeriod::Billing(self.month), ReportPeriod::Time);
        ReportRequest { scope: self.scope.clone(), metric: self.metric, period }
    }

    /// The days that it covers.
    pub fn covered(&self) -> TimePeriod {
        self.days.unwrap_or_else(|| self.month.into())
    }

    /// A part of the same month.
    pub fn part(&self, days: TimePeriod) -> Self {
        Self { days: Some(days), ..self.clone() }
    }

    /// Its name in the journal and in the landing area: plain ASCII, without an extension.
    pub fn name(&self) -> String {
        let days = self.days.map(|days| format!("_{}_{}", days.start(), days.end()));
        let (scope, month, metric) = (self.scope.slug(), self.month, self.metric.name());
        format!("{scope}/{month}/{metric}{}", days.unwrap_or_default())
    }
}

impl fmt::Display for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request().fmt(f)
    }
}

/// How far a report has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Wanted; nothing was asked.
    Planned,
    /// The request that creates it is about to be sent, or was, without a known answer.
    Submitting,
    /// Azure works on it.
    Polling,
    /// Its manifest is known.
    Completed,
    /// Its blobs are fetched.
    Downloading,
    /// All its rows are staged in the lake.
    Converted,
    /// Its month is in place.
    Published,
    /// Azure has nothing for it.
    NoData,
    /// Its days are fetched as reports of their own.
    Split,
    /// It failed.
    Failed,
}

/// What the journal knows of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which report.
    pub key: ReportKey,
    /// How far it has come.
    pub state: State,
    /// Since when, UTC.
    pub changed_at: DateTime<Utc>,
    /// The pull that it is made for: runs that go on after each other have the same.
    pub pull: String,
    /// How often it was asked for in this pull.
    pub submissions: u32,
    /// When it was last asked for, UTC.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When its manifest came, UTC.
    pub completed_at: Option<DateTime<Utc>>,
    /// Azure's name of the work, where there is any.
    pub operation: Option<JournaledOperation>,
    /// Times that Azure was asked whether it is ready.
    pub polls: u32,
    /// The blobs of the manifest, in Azure's order.
    pub blobs: Vec<JournaledBlob>,
    /// The days of its parts, where it was split.
    pub parts: Vec<TimePeriod>,
    /// Why it failed the last time, if it did.
    pub failure: Option<JournaledFailure>,
}

/// Work at Azure, as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledOperation {
    /// Azure's name of the work; empty if it gave none yet.
    pub id: String,
    /// Where to ask about it, without parameters that could be secret; `None` if it was ready at once.
    pub address: Option<String>,
}

/// A blob of a report, as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledBlob {
    /// The path of its link.
    pub name: String,
    /// Its size, as stored.
    pub bytes: u64,
    /// The CRC-32 of what lies in the landing area, once it is whole.
    pub crc32: Option<u32>,
}

/// Why a report failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledFailure {
    /// When, UTC.
    pub at: DateTime<Utc>,
    /// The error, for people.
    pub message: String,
    /// The wait that Azure asked for, in seconds, if it did.
    pub asked_seconds: Option<u64>,
}

impl Entry {
    fn new(key: &ReportKey, pull: &str, now: DateTime<Utc>) -> Self {
        Self {
            key: key.clone(),
            state: State::Planned,
            changed_at: now,
            pull: pull.to_owned(),
            submissions: 0,
            submitted_at: None,
            completed_at: None,
            operation: None,
            polls: 0,
            blobs: Vec::new(),
            parts: Vec::new(),
            failure: None,
        }
    }

    /// Whether all its blobs are known to be in the landing area.
    pub fn is_landed(&self) -> bool {
        !self.blobs.is_empty() && self.blobs.iter().all(|blob| blob.crc32.is_some())
    }

    /// From the request to the manifest, if both are known.
    pub fn waited(&self) -> Option<Duration> {
        let waited = self.completed_at?.signed_duration_since(self.submitted_at?);
        waited.to_std().ok()
    }
}

/// The journal of one lake, for one pull.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn JournalStore>,
    pull: Arc<str>,
    /// The file of the job's pull.
    job: Arc<str>,
}

/// A pull: what one run of a job began, and others may have to finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRecord {
    /// Its name: that of the run that began it.
    pub pull: String,
    /// When it began, UTC.
    pub started_at: DateTime<Utc>,
    /// When everything that a run of it was asked for was in place, UTC.
    pub finished_at: Option<DateTime<Utc>>,
}

const REPORTS: &str = "reports/";
const MONTHS: &str = "months/";
const PULLS: &str = "pulls/";
const BUDGETS: &str = "budgets.json";

impl Journal {
    /// Opens the journal for a pull of a job (an id of letters and digits, of what is asked for): the
    /// job's last one, if it has not finished and began less than `reuse` ago, else a new one, which is
    /// called `run`.
    ///
    /// # Errors
    /// [`Error::Journal`]; so for the other methods.
    pub async fn open(
        store: Arc<dyn JournalStore>,
        job: &str,
        run: &str,
        now: DateTime<Utc>,
        reuse: Option<TimeDelta>,
    ) -> Result<Self, Error> {
        let mut journal = Self::for_reading(store, job, now, reuse).await?;
        if journal.pull.is_empty() {
            journal.pull = Arc::from(run);
            let record = PullRecord { pull: run.to_owned(), started_at: now, finished_at: None };
            journal.write(&journal.job, wire::write_pull(&record)).await?;
        }
        Ok(journal)
    }

    /// Opens the journal for looking at it: for the pull that [`Self::open`] would go on with, else for one
    /// without a name.
    pub async fn for_reading(
        store: Arc<dyn JournalStore>,
        job: &str,
        now: DateTime<Utc>,
        reuse: Option<TimeDelta>,
    ) -> Result<Self, Error> {
        let job = Arc::from(format!("{PULLS}{job}.json"));
        let mut journal = Self { store, pull: Arc::from(""), job };
        let last = journal.read(&journal.job, wire::parse_pull).await?;
        let unfinished = last.filter(|last| {
            let age = now.signed_duration_since(last.started_at);
            // A start in the future is that of another clock.
            let is_young = reuse.is_some_and(|reuse| age >= TimeDelta::zero() && age < reuse);
            last.finished_at.is_none() && is_young
        });
        if let Some(last) = unfinished {
            journal.pull = Arc::from(last.pull.as_str());
        }
        Ok(journal)
    }

    /// The pull that it is open for.
    pub fn pull(&self) -> &str {
        &self.pull
    }

    /// Says that everything that was asked for is in place.
    pub async fn finish_pull(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let last = self.read(&self.job, wire::parse_pull).await?;
        let started_at = last.map_or(now, |last| last.started_at);
        let record = PullRecord { pull: self.pull.to_string(), started_at, finished_at: Some(now) };
        self.write(&self.job, wire::write_pull(&record)).await
    }

    /// The entry of a report: as it is on disk, or a new one that is not written yet.
    pub async fn entry(&self, key: &ReportKey, now: DateTime<Utc>) -> Result<Entry, Error> {
        let name = report_name(key);
        let found = self.read(&name, wire::parse_entry).await?;
        Ok(found.filter(|entry| entry.key == *key).unwrap_or_else(|| {
            // Another spelling of the same scope: what is known of it is of no use.
            Entry::new(key, &self.pull, now)
        }))
    }

    /// A new entry for a report, not written yet.
    pub fn new_entry(&self, key: &ReportKey, now: DateTime<Utc>) -> Entry {
        Entry::new(key, &self.pull, now)
    }

    /// Writes an entry in another state.
    pub async fn record(
        &self,
        entry: &mut Entry,
        state: State,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        entry.state = state;
        entry.changed_at = now;
        if state != State::Failed {
            entry.failure = None;
        }
        self.write(&report_name(&entry.key), wire::write_entry(entry)).await
    }

    /// Writes an entry as failed, with the error for people and the wait that Azure asked for, if it did.
    pub async fn record_failure(
        &self,
        entry: &mut Entry,
        message: String,
        asked: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let asked_seconds = asked.map(|wait| wait.as_secs());
        entry.failure = Some(JournaledFailure { at: now, message, asked_seconds });
        self.record(entry, State::Failed, now).await
    }

    /// All entries, by scope, month and metric.
    pub async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for name in self.names(REPORTS).await? {
            entries.extend(self.read(&name, wire::parse_entry).await?);
        }
        Ok(entries)
    }

    /// Forgets reports that nothing has happened to since `before`, and pulls that began before; returns the
    /// reports that stay.
    pub async fn clean(&self, before: DateTime<Utc>) -> Result<Vec<Entry>, Error> {
        for name in self.names(PULLS).await? {
            let pull = self.read(&name, wire::parse_pull).await?;
            if pull.is_some_and(|pull| pull.started_at < before) {
                self.remove(&name).await?;
            }
        }
        let (old, kept): (Vec<_>, Vec<_>) =
            self.entries().await?.into_iter().partition(|entry| entry.changed_at < before);
        for entry in old {
            self.remove(&report_name(&entry.key)).await?;
        }
        Ok(kept)
    }

    /// What is known of earlier pulls of a month.
    pub async fn history(
        &self,
        scope: &ScopeSlug,
        month: BillingPeriod,
    ) -> Result<MonthHistory, Error> {
        let found = self.read(&month_name(scope, month), history::parse).await?;
        Ok(found.unwrap_or_default())
    }

    /// Adds a pull to the history of a month.
    pub async fn remember(
        &self,
        scope: &ScopeSlug,
        month: BillingPeriod,
        pull: Pull,
    ) -> Result<(), Error> {
        let mut history = self.history(scope, month).await?;
        history.add(pull);
        self.write(&month_name(scope, month), history::write(&history)).await
    }

    /// The budgets that Azure has asked patience for.
    pub async fn budgets(&self) -> Result<Vec<BudgetState>, Error> {
        Ok(self.read(BUDGETS, wire::parse_budgets).await?.unwrap_or_default())
    }

    /// Keeps the budgets that Azure has asked patience for.
    pub async fn keep_budgets(&self, budgets: &[BudgetState]) -> Result<(), Error> {
        self.write(BUDGETS, wire::write_budgets(budgets)).await
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let names = self.store.names().await.map_err(failed("list", folder))?;
        let is_ours = |name: &String| name.starts_with(folder) && name.ends_with(".json");
        Ok(names.into_iter().filter(is_ours).collect())
    }

    async fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.store.read(name).await.map_err(failed("read", name))? else {
            return Ok(None);
        };
        let found = wire::version(&bytes).unwrap_or(wire::FORMAT_VERSION);
        if found > wire::FORMAT_VERSION {
            let (file, known) = (name.to_owned(), wire::FORMAT_VERSION);
            return Err(Error::JournalVersion { file, found, known });
        }
        match parse(&bytes) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(problem) => Err(Error::JournalSyntax { file: name.to_owned(), problem }),
        }
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.store.write(name, bytes).await.map_err(failed("write", name))
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        self.store.remove(name).await.map_err(failed("remove", name))
    }
}

fn report_name(key: &ReportKey) -> String {
    format!("{REPORTS}{}.json", key.name())
}

fn month_name(scope: &ScopeSlug, month: BillingPeriod) -> String {
    format!("{MONTHS}{scope}/{month}.json")
}

fn failed(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let file = file.to_owned();
    move |source| Error::Journal { operation, file, source }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use futures::future::FutureExt;

    use super::*;

    #[derive(Default)]
    struct InMemory(Mutex<BTreeMap<String, Vec<u8>>>);

    impl InMemory {
        fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
            self.0.lock().unwrap()
        }
    }

    impl JournalStore for InMemory {
        fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Option<Vec<u8>>>> {
            async { Ok(self.files().get(name).cloned()) }.boxed()
        }

        fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, io::Result<()>> {
            async move {
                self.files().insert(name.to_owned(), bytes);
                Ok(())
            }
            .boxed()
        }

        fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<()>> {
            async move {
                self.files().remove(name);
                Ok(())
            }
            .boxed()
        }

        fn names(&self) -> BoxFuture<'_, io::Result<Vec<String>>> {
            async { Ok(self.files().keys().cloned().collect()) }.boxed()
        }
    }

    fn now() -> DateTime<Utc> {
        "2025-08-01T03:00:00.125Z".parse().unwrap()
    }

    fn key() -> ReportKey {
        ReportKey {
            scope: "/providers/Microsoft.Billing/billingAccounts/7".parse().unwrap(),
            month: "2025-07".parse().unwrap(),
            metric: Metric::Amortized,
            days: None,
        }
    }

    fn full_entry() -> Entry {
        let days = TimePeriod::from(key().month).split();
        Entry {
            key: key().part(days[1]),
            state: State::Failed,
            submissions: 2,
            submitted_at: Some(now()),
            completed_at: Some(now() + TimeDelta::seconds(61)),
            operation: Some(JournaledOperation {
                id: "op".to_owned(),
                address: Some("https://management.azure.com/op?api-version=1".to_owned()),
            }),
            polls: 3,
            blobs: vec![
                JournaledBlob { name: "/c/a_0.csv".to_owned(), bytes: 5, crc32: Some(0x0123_abcd) },
                JournaledBlob { name: "/c/a_1.csv".to_owned(), bytes: u64::MAX, crc32: None },
            ],
            parts: days,
            failure: Some(JournaledFailure {
                at: now(),
                message: "it \"failed\"\nso".to_owned(),
                asked_seconds: Some(60),
            }),
            ..Entry::new(&key(), "pull-1", now())
        }
    }

    async fn open(store: &Arc<InMemory>, run: &str, at: DateTime<Utc>) -> Journal {
        let store: Arc<dyn JournalStore> = store.clone();
        Journal::open(store, "job1", run, at, Some(TimeDelta::hours(6))).await.unwrap()
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        for entry in [full_entry(), Entry::new(&key(), "p", now())] {
            assert_eq!(wire::parse_entry(&wire::write_entry(&entry)).unwrap(), entry);
        }
        assert_eq!(full_entry().waited(), Some(std::time::Duration::from_secs(61)));
        assert_eq!(
            full_entry().key.name(),
            "billing-account-7/2025-07/amortized_2025-07-17_2025-07-31"
        );
    }

    #[test]
    fn other_files_are_refused() {
        let text = String::from_utf8(wire::write_entry(&full_entry())).unwrap();
        for (from, to) in [
            ("\"failed\"", "\"lost\""),
            ("amortized", "other"),
            ("0123abcd", "xyz"),
            ("2025-07-31", "2025-07-01"),
            ("2025-08-01T03", "2025-08-01 03"),
            ("{", "["),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let parsed = wire::parse_entry(changed.as_bytes());
            assert!(parsed.is_err() || parsed.unwrap() == full_entry(), "{from}");
        }
        for length in 0..text.trim_end().len() {
            assert!(wire::parse_entry(&text.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[tokio::test]
    async fn a_pull_goes_on_until_it_has_finished_or_is_old() {
        let store = Arc::new(InMemory::default());
        assert_eq!(open(&store, "a", now()).await.pull(), "a");
        assert_eq!(open(&store, "b", now() + TimeDelta::hours(5)).await.pull(), "a");
        let finished = open(&store, "c", now() + TimeDelta::hours(5)).await;
        finished.finish_pull(now() + TimeDelta::hours(5)).await.unwrap();
        assert_eq!(open(&store, "d", now() + TimeDelta::hours(5)).await.pull(), "d");
        assert_eq!(open(&store, "e", now() + TimeDelta::hours(12)).await.pull(), "e");
        // The clock was wrong, or is.
        assert_eq!(open(&store, "f", now() + TimeDelta::hours(11)).await.pull(), "f");
        let other: Arc<dyn JournalStore> = store.clone();
        let reuse = Some(TimeDelta::hours(6));
        let other = Journal::open(other, "job2", "g", now() + TimeDelta::hours(11), reuse);
        assert_eq!(other.await.unwrap().pull(), "g", "another job goes its own way");
    }

    #[tokio::test]
    async fn reports_are_found_again_and_forgotten_when_they_are_old() {
        let store = Arc::new(InMemory::default());
        let journal = open(&store, "a", now()).await;
        let mut entry = journal.entry(&key(), now()).await.unwrap();
        assert_eq!(entry, Entry::new(&key(), "a", now()));
        assert!(journal.entries().await.unwrap().is_empty(), "nothing is written by looking");
        entry.failure = full_entry().failure;
        journal.record(&mut entry, State::Polling, now()).await.unwrap();
        assert_eq!(entry.failure, None, "what goes on has not failed");
        assert_eq!(journal.entries().await.unwrap(), [entry.clone()]);
        // The same partition by another path is another report.
        let other = ReportKey { scope: "/subscriptions/x".parse().unwrap(), ..key() };
        assert_eq!(journal.entry(&other, now()).await.unwrap().state, State::Planned);

        assert_eq!(journal.clean(now()).await.unwrap(), [entry]);
        assert!(journal.clean(now() + TimeDelta::days(1)).await.unwrap().is_empty());
        assert!(store.files().is_empty(), "its pull is forgotten, too");
    }

    #[tokio::test]
    async fn a_newer_file_is_told_apart_from_a_broken_one() {
        let store = Arc::new(InMemory::default());
        let journal = open(&store, "a", now()).await;
        let name = "reports/billing-account-7/2025-07/amortized.json";
        store.files().insert(name.to_owned(), br#"{"format_version": 2}"#.to_vec());
        let error = journal.entry(&key(), now()).await.unwrap_err();
        assert!(matches!(error, Error::JournalVersion { found: 2, known: 1, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_broken_file_is_named() {
        let store = Arc::new(InMemory::default());
        let journal = open(&store, "a", now()).await;
        let name = "reports/billing-account-7/2025-07/amortized.json";
        store.files().insert(name.to_owned(), b"{".to_vec());
        let error = journal.entry(&key(), now()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the journal `{name}` cannot be used: it is no journal file (line 1, column 1)"
            )
        );
    }
}
