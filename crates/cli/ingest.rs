//! The one bridge between bytes that arrive and the cores that type and encode them.
//!
//! ```text
//! a thread cuts      ─ chunks ─▶   rayon decodes and sums,   ─ in order ─▶   a row group grows, its columns
//! blob after blob                  chunks in parallel                        in parallel; appended when full
//! ```
//!
//! Everything between has a bound, so memory depends on the bound and not on the bill. Results are
//! taken in the order of the source, so the output does not depend on which core was faster.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use costlake_model::aliases::{Naming, by_key};
use costlake_model::columns::{line_item_schema, quarantine_schema};
use costlake_model::ledger::Ledger;
use costlake_model::rollup::Definition;
use costlake_model::{Metric, TimePeriod};
use costlake_sink::{
    BlobAccount, BlobName, BlobRecord, ColumnJob, EncodedRowGroup, ObjectWriter, Publication,
    RowGroup, RowGroupEncoder, Scratch, Sha256Digest, Source, StagedObject, TableTotals,
    footer_metadata,
};
use costlake_transform::blob::DEFAULT_CHUNK_BYTES;
use costlake_transform::header::Binding;
use costlake_transform::rollup::{Partial, Rollup};
use costlake_transform::{BlobOptions, BlobReader, BlobSummary, Buffers, Chunk, quarantine_batch};
use futures::future::{self, FutureExt};
use futures::stream::{FuturesOrdered, StreamExt};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, oneshot};

use crate::args::WorkArgs;
use crate::config;
use crate::contract::missing_in;
use crate::error::Error;
use crate::facts::RowFacts;
use crate::progress::{Bar, Progress};

/// The machinery that all reports of a run share.
pub(crate) struct Engine {
    pool: rayon::ThreadPool,
    bounds: Bounds,
    /// One for each chunk that has its text, whatever its report.
    texts: Arc<Semaphore>,
    /// One for each report that may be cut at the same time. The next one begins while the last chunks of
    /// this one are worked on and its object is finished.
    cutting: Semaphore,
    encoding: Arc<Encoding>,
    definitions: Vec<Arc<Definition>>,
    limits: Limits,
    buffers: Buffers,
    progress: Arc<Progress>,
}

/// What keeps a report from being published although its rows were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Whether values that must be rounded to be stored are refused.
    pub strict_decimals: bool,
    /// How many rows may go to quarantine; `None` for any number, as long as some row is sound.
    pub max_quarantined: Option<u64>,
}

/// What to read as one report.
pub(crate) struct Report {
    /// What to call it.
    pub name: String,
    /// The view that it shows.
    pub metric: Metric,
    /// Whose names the headers of its blobs must have, if that is known; else they are to agree.
    pub naming: Option<Naming>,
    /// The currency, for files without one.
    pub currency: Option<String>,
    /// Its blobs, in order.
    pub blobs: Vec<Blob>,
    /// Bytes as stored, if known beforehand.
    pub stored_bytes: Option<u64>,
}

/// A blob that can be opened once.
pub(crate) struct Blob {
    /// Its name, without secrets.
    pub name: String,
    /// Opens it, decompressed; called on a thread that may block.
    pub open: Box<dyn FnOnce() -> Result<OpenBlob, Error> + Send>,
    /// How many rows it should have, if a manifest says so.
    pub rows: Option<u64>,
    /// The days that its charges may be of, if it is a part of a month.
    pub days: Option<TimePeriod>,
}

/// A blob that was opened.
pub(crate) struct OpenBlob {
    /// Its bytes, as the text of a CSV file.
    pub text: Box<dyn Read + Send>,
    /// What there is to say about how that text was made.
    pub notes: Vec<String>,
}

impl From<Box<dyn Read + Send>> for OpenBlob {
    fn from(text: Box<dyn Read + Send>) -> Self {
        Self { text, notes: Vec::new() }
    }
}

/// A report that lies staged in the lake, not yet visible.
pub(crate) struct Ingested {
    /// The line items.
    pub staged: StagedObject,
    /// Rows that could not be typed, if any.
    pub quarantine: Option<StagedObject>,
    /// What was read.
    pub account: ReportAccount,
}

/// What was read of a report.
pub(crate) struct ReportAccount {
    /// The view that it shows.
    pub metric: Metric,
    /// The account of all blobs.
    pub ledger: Ledger,
    /// The account of each blob.
    pub blobs: Vec<BlobRecord>,
    /// The sums of each rollup over this report.
    pub rollups: Vec<Rollup>,
    /// Source columns that neither the table nor the layout of the files knows.
    pub unknown_columns: Vec<String>,
    /// How the first file that departs from its layout does, if any does.
    pub departure: Option<String>,
    /// How the first file that has other columns than the first one differs, if any does.
    pub uneven: Option<String>,
    /// What the rows say about period and scope.
    pub facts: RowFacts,
    /// What was passed over in the files: lines before a header, a second byte-order mark.
    pub notes: Vec<String>,
    /// The first row that went to quarantine, and why.
    pub first_fault: Option<String>,
}

/// Peak bytes per chunk in flight: its text, its typed columns, and what waits before and behind it.
const MEMORY_PER_CHUNK: u64 = 4 * DEFAULT_CHUNK_BYTES as u64;
/// Peak bytes of all else: the program, the row group in the making, the part that is sent.
const MEMORY_BESIDE: u64 = 128 << 20;
/// The least memory limit: one chunk at a time.
const MIN_MEMORY: u64 = MEMORY_BESIDE + MEMORY_PER_CHUNK;
/// The memory that makes it worth to cut one report more at the same time.
const MEMORY_PER_CUTTER: u64 = 512 << 20;
/// How many cores one thread keeps busy that reads, digests and cuts: it takes 0.5 s for what keeps them
/// busy for two.
const CORES_PER_CUTTER: usize = 4;
/// Results that wait for the row group.
const STEPS_WAITING: usize = 2;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// How much is under way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// Chunks whose text is held.
    chunks: usize,
    /// Reports that are cut.
    cutters: usize,
}

impl Bounds {
    fn of(threads: usize, memory_limit: u64) -> Result<Self, Error> {
        let fit = |bytes: u64| usize::try_from(memory_limit / bytes).unwrap_or(usize::MAX);
        let cutters = threads.div_ceil(CORES_PER_CUTTER).min(fit(MEMORY_PER_CUTTER)).max(1);
        let beside = MEMORY_BESIDE.saturating_mul(cutters as u64);
        let affordable = memory_limit.saturating_sub(beside) / MEMORY_PER_CHUNK;
        if memory_limit < MIN_MEMORY {
            return Err(Error::usage(
                format!("a memory limit of {memory_limit} bytes is too small"),
                format!("give at least --memory-limit {}MB", MIN_MEMORY >> 20),
            ));
        }
        let chunks = usize::try_from(affordable).unwrap_or(usize::MAX).min(threads + cutters);
        Ok(Self { chunks, cutters })
    }
}

impl Engine {
    /// An engine with as many threads as are asked for, that keeps to the memory limit as well as its
    /// chunks allow.
    ///
    /// # Errors
    /// If threads cannot be started, or the limit is too small for one chunk.
    pub(crate) fn new(
        work: &WorkArgs,
        definitions: Vec<Arc<Definition>>,
        progress: Arc<Progress>,
    ) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = work.jobs.map_or(cores, NonZeroUsize::get);
        let bounds = Bounds::of(threads, config::parse_bytes(&work.memory_limit)?)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|at| format!("costlake-{at}"))
            // A panic would end the process; this way its result is missing, and that is an error.
            .panic_handler(|_| {})
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self {
            pool,
            texts: Arc::new(Semaphore::new(bounds.chunks)),
            cutting: Semaphore::new(bounds.cutters),
            bounds,
            encoding: Arc::new(Encoding::new(threads)?),
            definitions,
            limits: work.limits(),
            buffers: Buffers::default(),
            progress,
        })
    }

    /// How many reports it is worth to have under way: those that are cut, and one that is finished.
    pub(crate) fn reports_under_way(&self) -> usize {
        self.bounds.cutters + 1
    }

    /// The rollups that are summed on the way.
    pub(crate) fn definitions(&self) -> &[Arc<Definition>] {
        &self.definitions
    }

    /// The progress display.
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Reads a report whole, types it and stages it. Nothing is visible yet.
    ///
    /// # Errors
    /// The first blob, in order, that is refused or breaks off; a figure that does not balance; the
    /// lake.
    pub(crate) async fn ingest(
        &self,
        publication: &Publication,
        report: Report,
    ) -> Result<Ingested, Error> {
        // The semaphore is never closed.
        let turn = self.cutting.acquire().await.ok();
        let (name, metric, naming) = (report.name.clone(), report.metric, report.naming);
        let bar = self.progress.report(&name, report.stored_bytes);
        let blob_count = report.blobs.len();
        let (cuts_sender, cuts) = mpsc::channel(1);
        let buffers = self.buffers.clone();
        tokio::task::spawn_blocking(move || cut_blobs(report, &buffers, &cuts_sender));

        let mut staging = Staging {
            publication,
            engine: self,
            line_items: Growing::new(publication.object_writer(line_item_schema()).await?),
            quarantine: None,
            ledger: Ledger::default(),
            blob: Ledger::default(),
            blobs: Vec::new(),
            rollups: self.definitions.iter().map(|d| Rollup::new(Arc::clone(d))).collect(),
            unknown_columns: BTreeSet::new(),
            departure: None,
            uneven: None,
            naming,
            facts: RowFacts::default(),
            notes: Vec::new(),
            first_fault: None,
            bar,
        };
        let (steps_sender, mut steps) = mpsc::channel(STEPS_WAITING);
        let working = self.work(metric, cuts, turn, steps_sender);
        let taking = async {
            while let Some(step) = steps.recv().await {
                staging.take(step?).await?;
            }
            // Dropped here, it tells the work to end after an error.
            drop(steps);
            Ok::<_, Error>(())
        };
        let ((), taken) = tokio::join!(working, taking);
        taken?;
        if staging.blobs.len() != blob_count {
            let read = staging.blobs.len();
            return Err(Error::Internal(format!("{read} of {blob_count} blobs were read")));
        }
        staging.finish(&name, metric, self.limits).await
    }

    /// Has the cuts worked on, as many at a time as there is memory for, and sends what they give in
    /// the order of the source, until all are done or nobody listens.
    async fn work(
        &self,
        metric: Metric,
        mut cuts: Cuts,
        mut turn: Option<SemaphorePermit<'_>>,
        steps: mpsc::Sender<Result<Step, Error>>,
    ) {
        let mut working = FuturesOrdered::new();
        let mut is_cutting = true;
        while is_cutting || !working.is_empty() {
            tokio::select! {
                biased;
                // After an error nobody listens, and the source may be slow to give more.
                () = steps.closed() => return,
                Some(done) = working.next(), if !working.is_empty() => {
                    if steps.send(done).await.is_err() {
                        return;
                    }
                }
                (cut, text) = self.next_cut(&mut cuts),
                    if is_cutting && working.len() < self.bounds.chunks =>
                {
                    match cut {
                        // An error waits for its turn too: the first in the source is the one to tell.
                        Some(cut) => working.push_back(self.start(metric, cut, text)),
                        None => {
                            is_cutting = false;
                            drop(turn.take());
                        }
                    }
                }
            }
        }
    }

    /// The next cut, with the leave to hold its text.
    async fn next_cut(&self, cuts: &mut Cuts) -> (Option<Result<Cut, Error>>, Option<Text>) {
        // The semaphore is never closed.
        let text = Arc::clone(&self.texts).acquire_owned().await.ok();
        (cuts.recv().await, text)
    }

    /// Starts the work on a cut; the future is its result.
    fn start(
        &self,
        metric: Metric,
        cut: Result<Cut, Error>,
        text: Option<Text>,
    ) -> impl Future<Output = Result<Step, Error>> + use<> {
        match cut {
            Ok(Cut::Chunk { file, chunk }) => {
                let work = Work { definitions: self.definitions.clone(), metric };
                let worked = self.on_pool(move |_| {
                    let worked = work.run(&file, chunk, text)?;
                    Ok(Step::Chunk(Box::new(worked)))
                });
                worked.left_future()
            }
            Ok(Cut::End(end)) => future::ready(Ok(Step::End(end))).right_future(),
            Err(error) => future::ready(Err(error)).right_future(),
        }
    }

    /// Starts work on the pool, all of whose threads it may use; the future is its result.
    fn on_pool<T: Send + 'static, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Error>> + use<T, W>
    where
        W: FnOnce(&Encoding) -> Result<T, Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let encoding = Arc::clone(&self.encoding);
        // The receiver is gone only when the whole run is.
        self.pool.spawn(move || drop(sender.send(work(&encoding))));
        let died = |_| Err(Error::Internal("a worker thread died".to_owned()));
        receiver.map(move |worked| worked.unwrap_or_else(died))
    }
}

type Cuts = mpsc::Receiver<Result<Cut, Error>>;

/// The leave to hold the text of a chunk.
type Text = OwnedSemaphorePermit;

/// What the cutting thread gives.
enum Cut {
    Chunk { file: Arc<str>, chunk: Chunk },
    End(BlobEnd),
}

struct BlobEnd {
    name: String,
    sha256: Sha256Digest,
    summary: BlobSummary,
    rows_expected: Option<u64>,
    days_expected: Option<TimePeriod>,
    notes: Vec<String>,
}

/// Reads blob after blob and cuts them into chunks, until done or nobody listens.
fn cut_blobs(report: Report, buffers: &Buffers, cuts: &mpsc::Sender<Result<Cut, Error>>) {
    for (ordinal, blob) in report.blobs.into_iter().enumerate() {
        let result = cut_blob(ordinal, blob, report.metric, report.currency.clone(), buffers, cuts);
        match result {
            Ok(()) => {}
            Err(error) => {
                drop(cuts.blocking_send(Err(error)));
                return;
            }
        }
    }
}

fn cut_blob(
    ordinal: usize,
    blob: Blob,
    metric: Metric,
    currency: Option<String>,
    buffers: &Buffers,
    cuts: &mpsc::Sender<Result<Cut, Error>>,
) -> Result<(), Error> {
    let file: Arc<str> = Arc::from(blob.name.as_str());
    let refused = |source| Error::Refused { file: file.to_string(), source };
    let OpenBlob { text: mut source, notes } = (blob.open)()?;
    let options = BlobOptions {
        ordinal: i32::try_from(ordinal).unwrap_or(i32::MAX),
        metric,
        currency,
        chunk_bytes: DEFAULT_CHUNK_BYTES,
    };
    let mut reader = BlobReader::with_buffers(options, buffers);
    let mut hasher = Sha256::new();
    let send = |chunk: Chunk| {
        let cut = Cut::Chunk { file: Arc::clone(&file), chunk };
        cuts.blocking_send(Ok(cut)).map_err(|_| Error::Interrupted)
    };
    loop {
        // No more at once than stays in the cache until it is digested.
        let room = reader.room();
        let most = room.len().min(READ_BYTES);
        let length = match source.read(&mut room[..most]) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(&file, error)),
        };
        hasher.update(&room[..length]);
        reader.advance(length);
        while let Some(chunk) = reader.next_chunk().map_err(refused)? {
            send(chunk)?;
        }
    }
    let (chunks, summary) = reader.finish().map_err(refused)?;
    chunks.into_iter().try_for_each(send)?;
    let end = BlobEnd {
        name: blob.name,
        sha256: Sha256Digest::from(<[u8; 32]>::from(hasher.finalize())),
        summary,
        rows_expected: blob.rows,
        days_expected: blob.days,
        notes,
    };
    cuts.blocking_send(Ok(Cut::End(end))).map_err(|_| Error::Interrupted)
}

/// Returns an error that came through `Read`: of a download, our own; else the file is damaged, or in a
/// form that is not read.
pub(crate) fn read_error(file: &str, error: io::Error) -> Error {
    let (file, kind) = (file.to_owned(), error.kind());
    let error = match error.downcast::<costlake_fetch::Error>() {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) if kind == io::ErrorKind::Unsupported => {
            Error::Unsupported { file, problem: error.to_string() }
        }
        Err(error) => Error::Damaged { file, problem: error.to_string() },
    }
}

/// What a worker thread needs.
struct Work {
    definitions: Vec<Arc<Definition>>,
    metric: Metric,
}

/// A result, in the order of the source.
enum Step {
    Chunk(Box<WorkedChunk>),
    End(BlobEnd),
}

struct WorkedChunk {
    line_items: RecordBatch,
    quarantine: Option<RecordBatch>,
    ledger: Ledger,
    partials: Vec<Partial>,
    facts: RowFacts,
    first_fault: Option<String>,
}

impl Work {
    fn run(&self, file: &str, chunk: Chunk, text: Option<Text>) -> Result<WorkedChunk, Error> {
        let decoded =
            chunk.decode().map_err(|source| Error::Refused { file: file.to_owned(), source })?;
        // The text is no longer needed, and as large as all that comes of it.
        drop((chunk, text));
        let partials = self
            .definitions
            .iter()
            .map(|definition| Partial::of_batch(definition, self.metric, &decoded.batch))
            .collect::<Result<_, _>>()
            .map_err(Error::Rollup)?;
        let quarantine = match decoded.quarantined.as_slice() {
            [] => None,
            rows => Some(quarantine_batch(rows).map_err(|e| Error::Internal(e.to_string()))?),
        };
        Ok(WorkedChunk {
            facts: RowFacts::of_batch(&decoded.batch),
            line_items: decoded.batch,
            quarantine,
            ledger: decoded.ledger,
            partials,
            first_fault: decoded.quarantined.first().map(ToString::to_string),
        })
    }
}

/// What the threads encode with.
struct Encoding {
    line_items: RowGroupEncoder,
    quarantine: RowGroupEncoder,
    /// One for each thread.
    scratch: Vec<Mutex<Scratch>>,
}

impl Encoding {
    fn new(threads: usize) -> Result<Self, Error> {
        let line_items = RowGroupEncoder::new(line_item_schema())?;
        let scratch = (0..threads).map(|_| line_items.scratch().map(Mutex::new));
        Ok(Self {
            scratch: scratch.collect::<Result<_, _>>()?,
            line_items,
            quarantine: RowGroupEncoder::new(quarantine_schema())?,
        })
    }

    fn begin(&self, schema: &Schema) -> Result<RowGroup, Error> {
        let is_quarantine = *schema == *quarantine_schema();
        let encoder = if is_quarantine { &self.quarantine } else { &self.line_items };
        Ok(encoder.begin()?)
    }

    /// Does the work on the columns of a row group, on all threads of the pool that this runs on.
    fn run(&self, jobs: Vec<ColumnJob<'_>>) -> Result<(), Error> {
        jobs.into_par_iter().try_for_each(|job| {
            let thread = rayon::current_thread_index().unwrap_or(0) % self.scratch.len();
            // A thread that panicked leaves nothing behind that the next page would see.
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            Ok(job.run(&mut scratch)?)
        })
    }

    fn append(&self, group: &mut RowGroup, batch: &RecordBatch) -> Result<(), Error> {
        self.run(group.append_jobs(batch)?)
    }

    fn close(&self, mut group: RowGroup) -> Result<EncodedRowGroup, Error> {
        self.run(group.close_jobs())?;
        Ok(group.finish()?)
    }
}

/// An object, and the row group that comes next in it.
struct Growing {
    writer: ObjectWriter,
    group: Option<RowGroup>,
}

/// A row group before or after its end.
enum Grown {
    Open(RowGroup),
    Full(EncodedRowGroup),
}

impl Growing {
    fn new(writer: ObjectWriter) -> Self {
        Self { writer, group: None }
    }

    /// Adds the rows of a chunk to the row group, and closes it if it is full.
    async fn append(&mut self, engine: &Engine, batch: RecordBatch) -> Result<(), Error> {
        let group = self.group.take();
        let grown = engine.on_pool(move |encoding| {
            let mut group = match group {
                Some(group) => group,
                None => encoding.begin(batch.schema_ref())?,
            };
            encoding.append(&mut group, &batch)?;
            if group.is_full() {
                encoding.close(group).map(Grown::Full)
            } else {
                Ok(Grown::Open(group))
            }
        });
        match grown.await? {
            Grown::Open(group) => self.group = Some(group),
            Grown::Full(group) => self.writer.append(group).await?,
        }
        Ok(())
    }

    /// Closes the last row group.
    async fn finish(mut self, engine: &Engine) -> Result<ObjectWriter, Error> {
        if let Some(group) = self.group.take() {
            let group = engine.on_pool(move |encoding| encoding.close(group)).await?;
            self.writer.append(group).await?;
        }
        Ok(self.writer)
    }
}

/// A report on its way into the lake.
struct Staging<'a> {
    engine: &'a Engine,
    publication: &'a Publication,
    line_items: Growing,
    quarantine: Option<Growing>,
    ledger: Ledger,
    /// The account of the blob that is under way.
    blob: Ledger,
    blobs: Vec<BlobRecord>,
    rollups: Vec<Rollup>,
    unknown_columns: BTreeSet<String>,
    departure: Option<String>,
    uneven: Option<String>,
    naming: Option<Naming>,
    facts: RowFacts,
    notes: Vec<String>,
    first_fault: Option<String>,
    bar: Bar,
}

impl Staging<'_> {
    async fn take(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Chunk(chunk) => self.take_chunk(*chunk).await,
            Step::End(end) => self.end_blob(end),
        }
    }

    async fn take_chunk(&mut self, chunk: WorkedChunk) -> Result<(), Error> {
        self.bar.advance(chunk.ledger.bytes, chunk.ledger.records);
        self.line_items.append(self.engine, chunk.line_items).await?;
        if let Some(rows) = chunk.quarantine {
            if self.quarantine.is_none() {
                let writer = self.publication.object_writer(quarantine_schema()).await?;
                self.quarantine = Some(Growing::new(writer));
            }
            if let Some(growing) = &mut self.quarantine {
                growing.append(self.engine, rows).await?;
            }
        }
        self.blob.merge(&chunk.ledger);
        for (rollup, partial) in self.rollups.iter_mut().zip(chunk.partials) {
            rollup.merge(partial);
        }
        self.facts.merge(chunk.facts);
        self.first_fault = self.first_fault.take().or(chunk.first_fault);
        Ok(())
    }

    fn end_blob(&mut self, end: BlobEnd) -> Result<(), Error> {
        let summary = &end.summary;
        if let Some(problem) = self.unaccounted(summary, end.rows_expected) {
            return Err(Error::Damaged { file: end.name, problem });
        }
        self.check_naming(&end)?;
        self.check_days(&end)?;
        let mut ledger = std::mem::take(&mut self.blob);
        ledger
            .check()
            .map_err(|source| Error::Conservation { report: end.name.clone(), source })?;
        // Header, byte-order mark and trailing blank lines belong to no chunk.
        ledger.bytes = summary.bytes;
        ledger.blank_lines = summary.blank_lines;
        let twin = self.blobs.iter().find(|other| other.sha256 == end.sha256 && ledger.records > 0);
        if let Some(twin) = twin {
            return Err(Error::Damaged {
                file: end.name,
                problem: format!(
                    "it has the same bytes as {}: its rows would count twice",
                    twin.name.as_str()
                ),
            });
        }
        self.blobs.push(BlobRecord {
            ordinal: u32::try_from(self.blobs.len()).unwrap_or(u32::MAX),
            name: BlobName::of_public(&end.name),
            bytes: ledger.bytes,
            sha256: end.sha256,
            records: ledger.records,
            published: ledger.published.rows,
            quarantined: ledger.quarantined.rows,
            account: summary.binding.as_ref().map(|binding| {
                let (layout, columns) = (binding.fingerprint.to_string(), binding.headers.clone());
                BlobAccount::of_ledger(layout, columns, &ledger)
            }),
        });
        self.note(&end);
        self.ledger.merge(&ledger);
        Ok(())
    }

    /// A FOCUS file among others, or in place of them, would count under the wrong metric.
    fn check_naming(&mut self, end: &BlobEnd) -> Result<(), Error> {
        let Some(found) = end.summary.binding.as_ref().map(|binding| binding.naming) else {
            return Ok(());
        };
        let expected = *self.naming.get_or_insert(found);
        let name = |naming| match naming {
            Naming::Native => "Azure's own columns",
            Naming::Focus => "the columns of FOCUS",
        };
        if found == expected {
            return Ok(());
        }
        Err(Error::OtherNaming {
            file: end.name.clone(),
            expected: name(expected),
            found: name(found),
        })
    }

    /// Parts of a month are the whole only if each has the charges of its own days and no others.
    fn check_days(&self, end: &BlobEnd) -> Result<(), Error> {
        let Some(days) = end.days_expected else { return Ok(()) };
        let found = [self.blob.first_date, self.blob.last_date].into_iter().flatten();
        match found.into_iter().find(|day| !days.contains(*day)) {
            Some(day) => Err(Error::OtherDays { file: end.name.clone(), days, day }),
            None => Ok(()),
        }
    }

    /// What of a blob is not accounted for, if anything (`reliability.md`, I1 and I2).
    fn unaccounted(&self, summary: &BlobSummary, rows_expected: Option<u64>) -> Option<String> {
        let (records, bytes) = (self.blob.records, self.blob.bytes);
        let accounted = summary.head_bytes + bytes + summary.tail_bytes;
        if records != summary.records {
            Some(format!("{} records were cut, {records} decoded", summary.records))
        } else if accounted != summary.bytes {
            Some(format!("{} bytes were read, {accounted} accounted for", summary.bytes))
        } else {
            let rows = rows_expected.filter(|rows| *rows != records)?;
            Some(format!("it has {records} rows, its manifest says {rows}"))
        }
    }

    /// Notes what is odd about a blob.
    fn note(&mut self, end: &BlobEnd) {
        if let Some(binding) = &end.summary.binding {
            self.unknown_columns.extend(binding.unknown_columns().map(str::to_owned));
            let departure = binding.fingerprint.departure();
            let departure = departure.map(|departure| format!("{}: {departure}", end.name));
            self.departure = self.departure.take().or(departure);
            self.note_other_columns(&end.name, binding);
        }
        self.notes.extend(end.notes.iter().map(|note| format!("{}: {note}", end.name)));
        if end.summary.title_lines > 0 {
            let lines = end.summary.title_lines;
            self.notes.push(format!("{}: {lines} lines before the header", end.name));
        }
        if end.summary.has_second_mark {
            self.notes.push(format!("{}: a second byte-order mark behind the header", end.name));
        }
    }

    /// Blobs of one report may have their columns in different orders, but have the same ones as a rule.
    fn note_other_columns(&mut self, name: &str, binding: &Binding) {
        let first = self.blobs.first().and_then(|blob| blob.account.as_ref());
        let Some(first) = first.map(|account| by_key(&account.columns)) else { return };
        let own = by_key(&binding.headers);
        let mut differing = missing_in(&own, &first);
        differing.extend(missing_in(&first, &own));
        if !differing.is_empty() {
            let differing = differing.join(", ");
            let uneven =
                format!("{name}: its columns are not those of the first file: {differing}");
            self.notes.push(uneven.clone());
            self.uneven.get_or_insert(uneven);
        }
    }

    async fn finish(self, name: &str, metric: Metric, limits: Limits) -> Result<Ingested, Error> {
        self.ledger
            .check()
            .map_err(|source| Error::Conservation { report: name.to_owned(), source })?;
        limits.check(&self.ledger).map_err(|problem| {
            let first = self.first_fault.iter().map(|fault| format!("; the first: {fault}"));
            let problem = first.fold(problem, |problem, fault| problem + &fault);
            Error::BeyondLimit { report: name.to_owned(), problem }
        })?;
        // Whether blobs came from Azure or from disk does not matter: the same bill, the same bytes.
        let source = Source::Files(self.blobs.clone());
        let totals = TableTotals::from(&self.ledger.published);
        let writer = self.line_items.finish(self.engine).await?;
        let staged = writer.finish(footer_metadata(&source, &totals)?).await?;
        let quarantine = match self.quarantine {
            Some(growing) => {
                let writer = growing.finish(self.engine).await?;
                let totals = TableTotals::for_table(&self.ledger.quarantined, &quarantine_schema());
                Some(writer.finish(footer_metadata(&source, &totals)?).await?)
            }
            None => None,
        };
        self.bar.finish();
        let account = ReportAccount {
            metric,
            ledger: self.ledger,
            blobs: self.blobs,
            rollups: self.rollups,
            unknown_columns: self.unknown_columns.into_iter().collect(),
            departure: self.departure,
            uneven: self.uneven,
            facts: self.facts,
            notes: self.notes,
            first_fault: self.first_fault,
        };
        Ok(Ingested { staged, quarantine, account })
    }
}

impl Limits {
    /// Holds the account of a report against the limits.
    fn check(self, ledger: &Ledger) -> Result<(), String> {
        let (published, quarantined) = (ledger.published.rows, ledger.quarantined.rows);
        if quarantined > 0 && published == 0 {
            return Err(format!("none of its {quarantined} rows could be typed"));
        }
        if let Some(limit) = self.max_quarantined.filter(|limit| quarantined > *limit) {
            return Err(format!(
                "{quarantined} rows could not be typed, --max-quarantined allows {limit}"
            ));
        }
        let mut rounded = ledger.published.decimals.iter().filter(|(_, t)| t.rounded > 0);
        match rounded.next().filter(|_| self.strict_decimals) {
            Some((column, totals)) => Err(format!(
                "{} values of {column} have more than 24 fraction digits, and --strict-decimals is set",
                totals.rounded
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_and_cores_let_more_be_under_way() {
        for (threads, limit, chunks, cutters) in [
            (1, 161 << 20, 1, 1),
            (2, 192 << 20, 2, 1),
            (2, 512 << 20, 3, 1),
            (16, 512 << 20, 12, 1),
            (16, 4 << 30, 20, 4),
            (64, 64 << 30, 80, 16),
        ] {
            assert_eq!(Bounds::of(threads, limit).ok(), Some(Bounds { chunks, cutters }));
        }
        assert!(Bounds::of(2, 159 << 20).is_err());
    }
}
