//! A report from its plan to the landing area, with every step in the journal before it is taken.
//!
//! ```text
//! fetch(key) ─┬─ all blobs landed already ──────────────────────────────────► ArrivingReport
//!             ├─ an operation that is still usable: poll ─┬─ manifest ─► download what is missing ─►
//!             └─ else: submit, poll ──────────────────────┘
//!                        └─ failed or timed out: once more, then its days in parts
//! ```

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use costlake_model::TimePeriod;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::cost_details::{
    BlobInfo, Operation, OperationLink, ReportManifest, Submission, Waiting,
};
use crate::error::{Error, ErrorKind};
use crate::journal::{Entry, Journal, JournaledBlob, JournaledOperation, ReportKey, State};
use crate::landing::{Arriving, ArrivingBlob, Landing};
use crate::monitor::Event;

/// How often a report is asked for before it is split or given up.
const MOST_SUBMISSIONS: u32 = 2;
/// How often the links of a report are renewed while it is downloaded.
const MOST_RENEWALS: u32 = 5;
/// Parts of one report that are fetched at the same time.
const PARTS_AT_ONCE: usize = 2;

/// Fetches reports into a landing area. Clones share everything.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    journal: Journal,
    landing: Landing,
    /// How old a report may be to be gone on with.
    reuse: TimeDelta,
}

/// A report whose blobs lie in the landing area or are on their way there. Dropped, it gives up
/// what has not arrived.
pub struct ArrivingReport {
    /// Which report.
    pub key: ReportKey,
    /// Its blobs, in Azure's order.
    pub blobs: Vec<ArrivingBlob>,
    /// The size of all blobs, as stored.
    pub stored_bytes: u64,
    /// How long Azure worked on it, if that is known.
    pub waited: Option<Duration>,
    entry: Arc<Mutex<Entry>>,
    /// Aborted when dropped.
    downloads: JoinSet<()>,
}

/// What came of a report that was asked for.
#[derive(Default)]
pub struct Fetched {
    /// The report, or its parts in the order of their days.
    pub reports: Vec<ArrivingReport>,
    /// Which of it Azure has no data for.
    pub without_data: Vec<ReportKey>,
}

/// In which parts a report may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splitting {
    /// The parts to begin with; none for the whole.
    pub parts: Vec<TimePeriod>,
    /// Whether what Azure cannot do is asked for in smaller parts.
    pub is_allowed: bool,
}

/// How a report came to be at hand.
enum Reached {
    /// Every blob is in the landing area.
    Landed,
    /// Its blobs can be downloaded.
    Ready(Box<ReportManifest>),
    /// There is nothing.
    NoData,
}

impl Fetcher {
    /// A fetcher that goes on with reports which were asked for less than `reuse` ago.
    pub fn new(client: Client, journal: Journal, landing: Landing, reuse: TimeDelta) -> Self {
        Self { inner: Arc::new(Inner { client, journal, landing, reuse }) }
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// Fetches a report, or its parts if it has to be split. Downloads go on in the background.
    ///
    /// # Errors
    /// As for [`Client::create_report`], and of journal and landing area. What was reached is in the journal.
    pub async fn fetch(&self, key: &ReportKey, splitting: &Splitting) -> Result<Fetched, Error> {
        let inner = &self.inner;
        let mut entry = inner.journal.entry(key, Utc::now()).await?;
        let was_split = entry.pull == inner.journal.pull() && !entry.parts.is_empty();
        // Of a split that was in vain nothing is gone on with.
        let goes_on = was_split && inner.has_any_part(key).await?;
        if !goes_on && (was_split || !splitting.parts.is_empty()) {
            entry = inner.journal.new_entry(key, Utc::now());
            entry.parts.clone_from(&splitting.parts);
            let state = if entry.parts.is_empty() { State::Planned } else { State::Split };
            inner.record(&mut entry, state).await?;
        }
        inner.fetch_or_split(key, splitting.is_allowed).await
    }

    /// Fetches what is missing of a report after some of it turned out to be of no use.
    ///
    /// # Errors
    /// As for [`Self::fetch`].
    pub async fn fetch_again(
        &self,
        key: &ReportKey,
        splitting: &Splitting,
        arrived: Vec<ArrivingReport>,
    ) -> Result<Fetched, Error> {
        for report in arrived {
            report.give_up().await;
        }
        self.fetch(key, splitting).await
    }

    /// Notes that all rows of a report are staged in the lake.
    ///
    /// # Errors
    /// Of the journal; so for the others.
    pub async fn converted(&self, report: &ArrivingReport) -> Result<(), Error> {
        let mut entry = report.entry.lock().await;
        self.inner.record(&mut entry, State::Converted).await
    }

    /// Notes that the reports of a month, with their parts, are in place, and empties their landing areas.
    pub async fn published(&self, keys: &[ReportKey]) -> Result<(), Error> {
        let inner = &self.inner;
        for key in keys {
            let mut entry = inner.journal.entry(key, Utc::now()).await?;
            inner.record(&mut entry, State::Published).await?;
        }
        // Only now, for until then a killed run needs them all again.
        for key in keys {
            inner.landing.clear(key).await?;
        }
        Ok(())
    }

    /// Notes that a report could not be published for what is in it: it is asked for anew the next time.
    pub async fn refused(&self, report: ArrivingReport, message: &str) -> Result<(), Error> {
        let key = report.key.clone();
        report.give_up().await;
        self.refused_no_data(&key, message).await?;
        self.inner.landing.clear(&key).await
    }

    /// Notes that it is not believed that there is no data for a report.
    pub async fn refused_no_data(&self, key: &ReportKey, message: &str) -> Result<(), Error> {
        let mut entry = self.inner.journal.new_entry(key, Utc::now());
        let journal = &self.inner.journal;
        journal.record_failure(&mut entry, message.to_owned(), None, Utc::now()).await
    }

    /// Forgets reports that nothing has happened to for `keep`, and removes blobs of which no report can
    /// make use any more: none that is in place, if all that was asked for is.
    ///
    /// # Errors
    /// Of journal and landing area.
    pub async fn tidy(&self, keep: TimeDelta, all_is_in_place: bool) -> Result<(), Error> {
        let inner = &self.inner;
        let entries = inner.journal.clean(Utc::now() - keep).await?;
        let is_needed = |entry: &&Entry| {
            let is_in_place = all_is_in_place && entry.state == State::Published;
            inner.is_usable(entry) && !is_in_place
        };
        let in_use = entries.iter().filter(is_needed);
        let names = in_use.map(|entry| entry.key.name()).collect();
        inner.landing.sweep(names).await
    }
}

impl Inner {
    fn fetch_or_split<'a>(
        &'a self,
        key: &'a ReportKey,
        may_split: bool,
    ) -> BoxFuture<'a, Result<Fetched, Error>> {
        async move {
            let entry = self.journal.entry(key, Utc::now()).await?;
            let is_split = entry.pull == self.journal.pull() && !entry.parts.is_empty();
            if is_split {
                return self.fetch_parts(&entry, may_split).await;
            }
            match self.fetch_whole(entry).await {
                Ok(Some(report)) => Ok(Fetched { reports: vec![report], ..Fetched::default() }),
                Ok(None) => Ok(Fetched { without_data: vec![key.clone()], ..Fetched::default() }),
                Err(error) if may_split && may_pass_in_parts(&error) => {
                    let parts = key.covered().split();
                    if parts.is_empty() {
                        return Err(error);
                    }
                    let request = key.request();
                    let told = Event::Split { request: &request, parts: parts.len(), why: &error };
                    self.client.tell(&told);
                    let mut entry = self.journal.new_entry(key, Utc::now());
                    entry.parts = parts;
                    self.record(&mut entry, State::Split).await?;
                    self.landing.clear(key).await?;
                    let fetched = self.fetch_parts(&entry, may_split).await;
                    if let Err(error) = &fetched
                        && !self.has_any_part(key).await?
                    {
                        // Nothing was won: the next run begins with the whole.
                        entry.parts.clear();
                        let message = error.to_string();
                        self.journal.record_failure(&mut entry, message, None, Utc::now()).await?;
                    }
                    fetched
                }
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    async fn fetch_parts(&self, entry: &Entry, may_split: bool) -> Result<Fetched, Error> {
        let key = &entry.key;
        if !key.covered().is_tiled_by(&entry.parts) {
            return Err(Error::JournalSyntax {
                file: key.name(),
                problem: "its parts are not the whole".to_owned(),
            });
        }
        let parts: Vec<ReportKey> = entry.parts.iter().map(|days| key.part(*days)).collect();
        let fetching: Vec<_> =
            parts.iter().map(|part| self.fetch_or_split(part, may_split)).collect();
        let mut parts = stream::iter(fetching).buffered(PARTS_AT_ONCE);
        let mut all = Fetched::default();
        while let Some(fetched) = parts.try_next().await? {
            all.reports.extend(fetched.reports);
            all.without_data.extend(fetched.without_data);
        }
        Ok(all)
    }

    /// Whether Azure has made any part of a report.
    async fn has_any_part(&self, key: &ReportKey) -> Result<bool, Error> {
        let whole = key.covered();
        let is_part = |entry: &Entry| {
            let ReportKey { scope, month, metric, days } = &entry.key;
            let is_inside = days.is_some_and(|days| whole.contains(days.start()));
            (scope, month, metric) == (&key.scope, &key.month, &key.metric) && is_inside
        };
        let is_made = |entry: &Entry| entry.pull == self.journal.pull() && !entry.blobs.is_empty();
        let entries = self.journal.entries().await?;
        Ok(entries.iter().any(|entry| is_part(entry) && is_made(entry)))
    }

    async fn fetch_whole(&self, mut entry: Entry) -> Result<Option<ArrivingReport>, Error> {
        if !self.is_usable(&entry) {
            entry = self.journal.new_entry(&entry.key, Utc::now());
            self.record(&mut entry, State::Planned).await?;
            self.landing.clear(&entry.key).await?;
        }
        self.journal.pull().clone_into(&mut entry.pull);
        let fetched = self.fetch_entry(&mut entry).await;
        match fetched {
            Ok(Reached::Ready(manifest)) => self.land(entry, *manifest).await.map(Some),
            Ok(Reached::Landed) => Ok(Some(self.landed(entry))),
            Ok(Reached::NoData) => {
                self.record(&mut entry, State::NoData).await?;
                Ok(None)
            }
            Err(error) => {
                let error = error.about(&entry.key.request());
                let (message, asked) = (error.to_string(), error.asked_wait());
                self.journal.record_failure(&mut entry, message, asked, Utc::now()).await?;
                Err(error)
            }
        }
    }

    /// Whether a report that was asked for before can be gone on with.
    fn is_usable(&self, entry: &Entry) -> bool {
        let now = Utc::now();
        let is_young = entry
            .submitted_at
            .is_some_and(|at| now.signed_duration_since(at) < self.reuse && at <= now);
        let is_going_on = match entry.state {
            State::Polling
            | State::Completed
            | State::Downloading
            | State::Converted
            | State::Failed => true,
            // The month was not put in place whole.
            State::Published => entry.pull == self.journal.pull(),
            State::Planned | State::Submitting | State::NoData | State::Split => false,
        };
        is_young && is_going_on && (entry.operation.is_some() || entry.is_landed())
    }

    /// Brings a report to where its blobs can be had.
    async fn fetch_entry(&self, entry: &mut Entry) -> Result<Reached, Error> {
        if self.has_all(entry).await {
            return Ok(Reached::Landed);
        }
        let kept = entry.operation.clone();
        let kept = kept.and_then(|kept| self.client.kept_operation(&kept.id, &kept.address?));
        if let Some(operation) = kept {
            let request = entry.key.request();
            let operation_id = operation.id.clone().unwrap_or_default();
            self.client.tell(&Event::Resumed { request: &request, operation_id: &operation_id });
            match self.wait(entry, operation, Duration::ZERO).await {
                // It is not what it was.
                Ok(reached) if !reached.continues(&entry.blobs) => {}
                Ok(reached) => return Ok(reached),
                Err(error) if says_nothing_of_the_report(&error) => return Err(error),
                Err(_) => {}
            }
        }
        // What there is of another operation must not be mixed with the next one.
        if entry.operation.is_some() || !entry.blobs.is_empty() {
            self.forget_operation(entry).await?;
        }
        loop {
            match self.create(entry).await {
                Err(error) if may_pass_anew(&error) && entry.submissions < MOST_SUBMISSIONS => {
                    self.forget_operation(entry).await?;
                }
                created => return created,
            }
        }
    }

    async fn has_all(&self, entry: &mut Entry) -> bool {
        let mut has_all = !entry.blobs.is_empty();
        for (ordinal, blob) in entry.blobs.iter_mut().enumerate() {
            if !self.landing.has(&entry.key, ordinal, blob).await {
                blob.crc32 = None;
                has_all = false;
            }
        }
        has_all
    }

    async fn forget_operation(&self, entry: &mut Entry) -> Result<(), Error> {
        let submissions = entry.submissions;
        *entry = Entry { submissions, ..self.journal.new_entry(&entry.key, Utc::now()) };
        self.record(entry, State::Planned).await?;
        self.landing.clear(&entry.key).await
    }

    /// Asks for the report and waits for it.
    async fn create(&self, entry: &mut Entry) -> Result<Reached, Error> {
        entry.submissions += 1;
        entry.submitted_at = Some(Utc::now());
        self.record(entry, State::Submitting).await?;
        let request = entry.key.request();
        match self.client.submit(&request).await? {
            Submission::Finished(manifest) => Ok(Reached::of(manifest.map(|found| *found))),
            Submission::Pending { operation, wait } => {
                let operation_id = operation.id.clone().unwrap_or_default();
                self.note_operation(entry, &operation);
                self.record(entry, State::Polling).await?;
                let told = Event::Submitted { request: &request, operation_id: &operation_id };
                self.client.tell(&told);
                self.wait(entry, operation, wait).await
            }
        }
    }

    async fn wait(
        &self,
        entry: &mut Entry,
        operation: Operation,
        wait: Duration,
    ) -> Result<Reached, Error> {
        let request = entry.key.request();
        let mut waiting = Waiting::new(&self.client, &request, operation, wait);
        loop {
            let ended = waiting.next().await?;
            entry.polls += 1;
            self.note_operation(entry, waiting.operation());
            match ended {
                Some(manifest) => return Ok(Reached::of(manifest)),
                None => self.record(entry, State::Polling).await?,
            }
        }
    }

    fn note_operation(&self, entry: &mut Entry, operation: &Operation) {
        entry.operation = Some(JournaledOperation {
            id: operation.id.clone().unwrap_or_default(),
            address: Some(operation.link().public_address()),
        });
    }

    /// Begins to download what is not in the landing area yet.
    async fn land(
        &self,
        mut entry: Entry,
        manifest: ReportManifest,
    ) -> Result<ArrivingReport, Error> {
        let key = entry.key.clone();
        if entry.blobs.is_empty() {
            self.landing.clear(&key).await?;
            entry.blobs = manifest.blobs.iter().map(journaled).collect();
        }
        entry.operation = Some(JournaledOperation {
            id: manifest.operation_id.clone(),
            address: manifest.operation.as_ref().map(OperationLink::public_address),
        });
        entry.completed_at = entry.completed_at.or(Some(Utc::now()));
        self.record(&mut entry, State::Completed).await?;
        self.landing.make_folder(&key).await?;
        self.record(&mut entry, State::Downloading).await?;

        let (stored_bytes, waited) = (manifest.blob_bytes(), entry.waited());
        let journaled = entry.blobs.clone();
        let entry = Arc::new(Mutex::new(entry));
        let links = Arc::new(Links::new(manifest));
        let mut downloads = JoinSet::new();
        let mut blobs = Vec::new();
        for (ordinal, blob) in journaled.iter().enumerate() {
            let path = self.landing.file(&key, ordinal);
            if let Some(crc32) = blob.crc32 {
                blobs.push(ArrivingBlob::landed(&blob.name, path, blob.bytes, crc32));
                continue;
            }
            let (blob, arriving) = ArrivingBlob::begin(&blob.name, path);
            blobs.push(blob);
            let download = BlobDownload {
                key: key.clone(),
                client: self.client.clone(),
                journal: self.journal.clone(),
                entry: Arc::clone(&entry),
                links: Arc::clone(&links),
                ordinal,
            };
            downloads.spawn(download.run(arriving));
        }
        Ok(ArrivingReport { key, blobs, stored_bytes, waited, entry, downloads })
    }

    /// A report all of whose blobs are in the landing area.
    fn landed(&self, entry: Entry) -> ArrivingReport {
        let key = entry.key.clone();
        let blob = |(ordinal, blob): (usize, &JournaledBlob)| {
            let path = self.landing.file(&key, ordinal);
            ArrivingBlob::landed(&blob.name, path, blob.bytes, blob.crc32.unwrap_or_default())
        };
        ArrivingReport {
            blobs: entry.blobs.iter().enumerate().map(blob).collect(),
            stored_bytes: entry.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.bytes)),
            waited: entry.waited(),
            key,
            entry: Arc::new(Mutex::new(entry)),
            downloads: JoinSet::new(),
        }
    }

    async fn record(&self, entry: &mut Entry, state: State) -> Result<(), Error> {
        self.journal.record(entry, state, Utc::now()).await
    }
}

impl ArrivingReport {
    /// Ends what is on its way, so that nothing writes any more.
    async fn give_up(mut self) {
        self.downloads.shutdown().await;
    }
}

impl Reached {
    fn of(manifest: Option<ReportManifest>) -> Self {
        manifest.map_or(Self::NoData, |manifest| Self::Ready(Box::new(manifest)))
    }

    /// Whether it has the blobs that were known of it before, if any were.
    fn continues(&self, known: &[JournaledBlob]) -> bool {
        match self {
            Self::Landed => true,
            Self::NoData => known.is_empty(),
            Self::Ready(manifest) => {
                let sizes = manifest.blobs.iter().map(|blob| blob.byte_count);
                known.is_empty() || sizes.eq(known.iter().map(|blob| blob.bytes))
            }
        }
    }
}

/// The links of a report, renewed by whoever first finds one dead.
struct Links {
    current: Mutex<(u32, ReportManifest)>,
}

impl Links {
    fn new(manifest: ReportManifest) -> Self {
        Self { current: Mutex::new((0, manifest)) }
    }

    /// The link of a blob, and which renewal it is of.
    async fn link(&self, ordinal: usize) -> Option<(u32, BlobInfo)> {
        let current = self.current.lock().await;
        Some((current.0, current.1.blobs.get(ordinal)?.clone()))
    }

    /// A newer link than that of renewal `dead`.
    async fn renewed(
        &self,
        client: &Client,
        ordinal: usize,
        dead: u32,
    ) -> Result<(u32, BlobInfo), Error> {
        // Held over the poll on purpose: the other downloads wait for its links.
        let mut current = self.current.lock().await;
        let (renewals, manifest) = &mut *current;
        let gone = |manifest: &ReportManifest| Error::ReportGone {
            operation_id: manifest.operation_id.clone(),
            place: None,
        };
        if *renewals == dead {
            if *renewals >= MOST_RENEWALS {
                return Err(gone(manifest));
            }
            *manifest = client.renew(manifest).await?;
            *renewals += 1;
        }
        match manifest.blobs.get(ordinal) {
            Some(blob) => Ok((*renewals, blob.clone())),
            None => Err(gone(manifest)),
        }
    }
}

/// The download of one blob into the landing area.
struct BlobDownload {
    key: ReportKey,
    client: Client,
    journal: Journal,
    entry: Arc<Mutex<Entry>>,
    links: Arc<Links>,
    ordinal: usize,
}

impl BlobDownload {
    async fn run(self, mut arriving: Arriving) {
        let landed = self.land(&mut arriving).await;
        let noted = match landed {
            Ok(crc32) => self.note_whole(crc32).await.map(|()| crc32),
            Err(error) => {
                let error = error.about(&self.key.request());
                self.note_broken(&error).await.and(Err(error))
            }
        };
        arriving.end(noted);
    }

    async fn land(&self, arriving: &mut Arriving) -> Result<u32, Error> {
        let gone = || Error::ReportGone { operation_id: String::new(), place: None };
        let (mut renewal, blob) = self.links.link(self.ordinal).await.ok_or_else(gone)?;
        let mut download = self.client.download(&blob);
        loop {
            match download.next_chunk().await {
                Ok(Some(chunk)) => arriving.write(chunk).await?,
                Ok(None) => return arriving.finish().await,
                Err(Error::LinkExpired { .. }) => {
                    let renewed = self.links.renewed(&self.client, self.ordinal, renewal).await?;
                    renewal = renewed.0;
                    download.replace_link(&renewed.1)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn note_whole(&self, crc32: u32) -> Result<(), Error> {
        let mut entry = self.entry.lock().await;
        if let Some(blob) = entry.blobs.get_mut(self.ordinal) {
            blob.crc32 = Some(crc32);
        }
        let state = entry.state;
        self.journal.record(&mut entry, state, Utc::now()).await
    }

    /// A report that is gone or another one now must be asked for anew.
    async fn note_broken(&self, error: &Error) -> Result<(), Error> {
        let mut entry = self.entry.lock().await;
        if matches!(error, Error::ReportGone { .. } | Error::ReportChanged { .. }) {
            entry.operation = None;
            entry.blobs.clear();
        }
        let (message, asked) = (error.to_string(), error.asked_wait());
        self.journal.record_failure(&mut entry, message, asked, Utc::now()).await
    }
}

fn journaled(blob: &BlobInfo) -> JournaledBlob {
    JournaledBlob { name: blob.link.path().to_owned(), bytes: blob.byte_count, crc32: None }
}

/// Whether another report of the same may do better.
fn may_pass_anew(error: &Error) -> bool {
    match error {
        Error::ReportGone { .. } => true,
        Error::ReportFailed { .. } => may_pass_in_parts(error),
        _ => false,
    }
}

/// Whether Azure may manage a part of what it could not do whole.
fn may_pass_in_parts(error: &Error) -> bool {
    match error {
        Error::ReportFailed { code, .. } => !crate::client::is_about_rights(code),
        Error::PollDeadline { .. } => true,
        _ => false,
    }
}

/// Whether an error of asking about a report would have come whatever had become of the report.
fn says_nothing_of_the_report(error: &Error) -> bool {
    match error {
        Error::Authentication { .. } | Error::CredentialUnavailable { .. } => true,
        Error::Journal { .. } | Error::JournalSyntax { .. } | Error::Landing { .. } => true,
        error => matches!(error.kind(), ErrorKind::Busy | ErrorKind::Configuration),
    }
}
