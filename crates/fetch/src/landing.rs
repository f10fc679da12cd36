//! The landing area: blobs on local disk, from the first byte of their download until their month is
//! published. Conversion reads a blob while it arrives; a killed run leaves whole ones for the next.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use costlake_model::{BillingPeriod, Metric};
use crc32fast::Hasher;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::journal::{JournaledBlob, ReportKey};

/// Chunks that wait to be written; some hundred KB.
const CHUNKS_WAITING: usize = 8;
/// Digits of the name of a blob.
const BLOB_DIGITS: usize = 5;
/// Bytes checked at once.
const CHECK_BYTES: usize = 1 << 20;

/// A folder of blobs, one folder below it for each report.
#[derive(Clone, Debug)]
pub struct Landing {
    root: PathBuf,
}

impl Landing {
    /// The landing area in a local folder, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn folder(&self, key: &ReportKey) -> PathBuf {
        self.root.join(key.name())
    }

    /// Where a blob of a report lies.
    pub(crate) fn file(&self, key: &ReportKey, ordinal: usize) -> PathBuf {
        self.folder(key).join(format!("{ordinal:0BLOB_DIGITS$}"))
    }

    /// Whether a blob lies there whole, as the journal has it: size and CRC-32.
    pub(crate) async fn has(&self, key: &ReportKey, ordinal: usize, blob: &JournaledBlob) -> bool {
        let Some(expected) = blob.crc32 else { return false };
        let (path, bytes) = (self.file(key, ordinal), blob.bytes);
        let found = tokio::task::spawn_blocking(move || checksum(&path, bytes)).await;
        matches!(found, Ok(Ok(Some(crc))) if crc == expected)
    }

    /// Makes the folder of a report, if it is not there.
    pub(crate) async fn make_folder(&self, key: &ReportKey) -> Result<(), Error> {
        let folder = self.folder(key);
        on_disk("create", folder, |folder| fs::create_dir_all(folder)).await
    }

    /// Removes all blobs of a report.
    ///
    /// # Errors
    /// [`Error::Landing`]; so for [`Self::sweep`].
    pub async fn clear(&self, key: &ReportKey) -> Result<(), Error> {
        on_disk("remove", self.folder(key), remove_blobs).await
    }

    /// Removes what is of no report that `keep` names (see [`ReportKey::name`]), and empty folders.
    pub async fn sweep(&self, keep: Vec<String>) -> Result<(), Error> {
        on_disk("sweep", self.root.clone(), move |root| {
            for scope in subfolders(root)? {
                for month in subfolders(&scope)?.iter().filter(|month| is_month(month)) {
                    for report in subfolders(month)?.iter().filter(|report| is_report(report)) {
                        let name = report.strip_prefix(root).unwrap_or(report);
                        if !keep.iter().any(|kept| Path::new(kept) == name) {
                            remove_blobs(report)?;
                        }
                    }
                    remove_if_empty(month);
                }
                remove_if_empty(&scope);
            }
            remove_if_empty(root);
            Ok(())
        })
        .await
    }
}

/// The CRC-32 of a file of so many bytes; `None` if it has another size.
fn checksum(path: &Path, bytes: u64) -> io::Result<Option<u32>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != bytes {
        return Ok(None);
    }
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHECK_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Some(hasher.finalize())),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Removes the blobs of a folder, and the folder if nothing else is in it.
fn remove_blobs(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if name_of(&path).is_some_and(|name| is_number(name, BLOB_DIGITS)) {
            fs::remove_file(&path)?;
        }
    }
    remove_if_empty(folder);
    Ok(())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_month(folder: &Path) -> bool {
    name_of(folder).is_some_and(|name| name.len() == 7 && name.parse::<BillingPeriod>().is_ok())
}

fn is_report(folder: &Path) -> bool {
    let metric = name_of(folder).and_then(|name| name.split('_').next());
    metric.is_some_and(|metric| Metric::ALL.iter().any(|known| known.name() == metric))
}

/// A folder that is not empty stays, for whatever reason.
fn remove_if_empty(folder: &Path) {
    drop(fs::remove_dir(folder));
}

fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

async fn on_disk<T: Send + 'static>(
    operation: &'static str,
    path: PathBuf,
    run: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let place = path.clone();
    tokio::task::spawn_blocking(move || run(&place))
        .await
        .unwrap_or_else(|died| Err(io::Error::other(died)))
        .map_err(|source| Error::Landing { operation, path, source })
}

/// How far a blob has arrived, shared by who writes and who reads.
#[derive(Default)]
struct Arrival {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Bytes in the file.
    bytes: u64,
    end: End,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    /// All is there, with this CRC-32.
    Whole(u32),
    /// The error is told once.
    Broken(Option<Error>),
}

impl Arrival {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// A blob in the landing area, or on its way there.
#[derive(Clone)]
pub struct ArrivingBlob {
    name: String,
    path: PathBuf,
    arrival: Arc<Arrival>,
}

impl ArrivingBlob {
    /// A blob that lies there whole.
    pub(crate) fn landed(name: &str, path: PathBuf, bytes: u64, crc32: u32) -> Self {
        let arrival = Arrival::default();
        arrival.update(|progress| *progress = Progress { bytes, end: End::Whole(crc32) });
        Self { name: name.to_owned(), path, arrival: Arc::new(arrival) }
    }

    /// A blob that is about to arrive, and what brings it.
    pub(crate) fn begin(name: &str, path: PathBuf) -> (Self, Arriving) {
        let arrival = Arc::new(Arrival::default());
        let blob =
            Self { name: name.to_owned(), path: path.clone(), arrival: Arc::clone(&arrival) };
        (blob, Arriving { path, arrival, writer: None })
    }

    /// The path of its link, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads it as stored, from the start, on a thread that may block: waits for bytes that have not arrived. An error
    /// of the download comes as the inner error of [`io::Error::other`].
    pub fn reader(&self) -> impl Read + Send + use<> {
        BlobReader { blob: self.clone(), file: None, at: 0, hasher: Hasher::new() }
    }

    /// An error of the landing area, inside one that a reader may return.
    fn error(&self, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
        let (path, source) = (self.path.clone(), io::Error::other(problem));
        io::Error::other(Error::Landing { operation: "read", path, source })
    }
}

struct BlobReader {
    blob: ArrivingBlob,
    file: Option<File>,
    at: u64,
    /// Over what was read.
    hasher: Hasher,
}

impl BlobReader {
    /// Waits until there are bytes to read, and returns how many; 0 at the end.
    fn available(&self) -> io::Result<u64> {
        let arrival = &self.blob.arrival;
        let mut progress = arrival.lock();
        loop {
            if progress.bytes > self.at {
                return Ok(progress.bytes - self.at);
            }
            match &mut progress.end {
                End::Whole(crc32) if self.hasher.clone().finalize() == *crc32 => return Ok(0),
                End::Whole(_) => return Err(self.blob.error("other bytes than were downloaded")),
                End::Broken(error) => {
                    return Err(match error.take() {
                        Some(error) => io::Error::other(error),
                        None => self.blob.error("the download was given up"),
                    });
                }
                End::Open => {}
            }
            progress = arrival.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = usize::try_from(self.available()?).unwrap_or(usize::MAX);
        let most = available.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.blob.path).map_err(|e| self.blob.error(e))?),
        };
        let length = file.read(&mut buffer[..most]).map_err(|error| self.blob.error(error))?;
        if length == 0 {
            return Err(self.blob.error("it is shorter than what was downloaded"));
        }
        self.hasher.update(&buffer[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

/// The writing end of a blob on its way. Dropped before its end, it tells readers that nothing more comes.
pub(crate) struct Arriving {
    path: PathBuf,
    arrival: Arc<Arrival>,
    writer: Option<(mpsc::Sender<Bytes>, JoinHandle<io::Result<u32>>)>,
}

impl Arriving {
    /// Adds bytes.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        let (chunks, _) =
            self.writer.get_or_insert_with(|| spawn_writer(&self.path, &self.arrival));
        if chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        // The writer ended before its time: it has the reason.
        Err(self.join().await.err().unwrap_or_else(|| self.error(io::ErrorKind::BrokenPipe.into())))
    }

    /// Ends the file and returns its CRC-32; readers are told by [`Self::end`].
    pub(crate) async fn finish(&mut self) -> Result<u32, Error> {
        self.writer.get_or_insert_with(|| spawn_writer(&self.path, &self.arrival));
        self.join().await
    }

    /// Tells readers how it ended.
    pub(crate) fn end(self, result: Result<u32, Error>) {
        let end = match result {
            Ok(crc32) => End::Whole(crc32),
            Err(error) => End::Broken(Some(error)),
        };
        self.arrival.update(|progress| progress.end = end);
    }

    async fn join(&mut self) -> Result<u32, Error> {
        let Some((chunks, writer)) = self.writer.take() else { return Ok(0) };
        drop(chunks);
        let written = writer.await.unwrap_or_else(|died| Err(io::Error::other(died)));
        written.map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Landing { operation: "write", path: self.path.clone(), source }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.arrival.update(|progress| {
            if let End::Open = progress.end {
                progress.end = End::Broken(None);
            }
        });
    }
}

fn spawn_writer(
    path: &Path,
    arrival: &Arc<Arrival>,
) -> (mpsc::Sender<Bytes>, JoinHandle<io::Result<u32>>) {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
    let (path, arrival) = (path.to_owned(), Arc::clone(arrival));
    let writer = tokio::task::spawn_blocking(move || {
        // A file of its own: a writer that was given up may still have the former one open.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&path)?;
        let mut hasher = Hasher::new();
        while let Some(chunk) = chunks.blocking_recv() {
            file.write_all(&chunk)?;
            hasher.update(&chunk);
            arrival.update(|progress| progress.bytes += chunk.len() as u64);
        }
        Ok(hasher.finalize())
    });
    (sender, writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ReportKey {
        ReportKey {
            scope: "/subscriptions/a".parse().unwrap(),
            month: "2025-07".parse().unwrap(),
            metric: costlake_model::Metric::Actual,
            days: None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn blobs_are_read_while_they_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let landing = Landing::new(directory.path().join("landing"));
        landing.make_folder(&key()).await.unwrap();
        let (blob, mut arriving) = ArrivingBlob::begin("b.csv", landing.file(&key(), 0));
        let mut reader = blob.reader();
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        for piece in ["one ", "two ", "three"] {
            arriving.write(Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        let crc = arriving.finish().await.unwrap();
        assert!(!reading.is_finished());
        arriving.end(Ok(crc));
        assert_eq!(reading.await.unwrap().unwrap(), "one two three");

        let mut journaled = JournaledBlob { name: "b.csv".to_owned(), bytes: 13, crc32: Some(crc) };
        assert!(landing.has(&key(), 0, &journaled).await);
        fs::write(landing.file(&key(), 0), "one two thref").unwrap();
        assert!(!landing.has(&key(), 0, &journaled).await);
        let mut damaged = blob.reader();
        let read = tokio::task::spawn_blocking(move || damaged.read_to_end(&mut Vec::new()));
        let error = read.await.unwrap().unwrap_err().downcast::<Error>().unwrap();
        assert!(error.may_pass_when_fetched_again(), "{error}");
        journaled.crc32 = None;
        assert!(!landing.has(&key(), 0, &journaled).await);
        landing.clear(&key()).await.unwrap();
        landing.clear(&key()).await.unwrap();
        assert!(!landing.has(&key(), 0, &journaled).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_breaks_off_is_an_error_for_its_reader() {
        let directory = tempfile::tempdir().unwrap();
        for given_up in [true, false] {
            let (blob, mut arriving) = ArrivingBlob::begin("b", directory.path().join("b"));
            arriving.write(Bytes::from_static(b"ab")).await.unwrap();
            if given_up {
                drop(arriving);
            } else {
                arriving.end(Err(Error::Configuration { problem: "why".to_owned() }));
            }
            let mut reader = blob.reader();
            let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
            let error = read.await.unwrap().unwrap_err();
            let error = error.downcast::<Error>().unwrap();
            assert_eq!(matches!(error, Error::Landing { .. }), given_up, "{error}");
            assert_eq!(matches!(error, Error::Configuration { .. }), !given_up, "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sweeping_keeps_what_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let landing = Landing::new(directory.path().join("landing"));
        landing.sweep(Vec::new()).await.unwrap();
        let part = key().part("2025-07".parse::<costlake_model::BillingPeriod>().unwrap().into());
        for key in [&key(), &part] {
            landing.make_folder(key).await.unwrap();
            fs::write(landing.file(key, 0), "x").unwrap();
        }
        landing.sweep(vec![key().name()]).await.unwrap();
        assert!(landing.file(&key(), 0).exists());
        assert!(!landing.file(&part, 0).exists());

        // What is not ours stays, wherever it lies.
        let foreign = [
            "a/b/c/file",
            "subscription-a/2025-07/other/00000",
            "subscription-a/2025-07/actual/mine",
        ];
        for path in foreign {
            let path = landing.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        landing.sweep(Vec::new()).await.unwrap();
        assert!(!landing.file(&key(), 0).exists());
        for path in foreign {
            let path = landing.root.join(path);
            assert!(path.exists(), "{}", path.display());
            fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::remove_dir_all(landing.root.join("a")).unwrap();
        landing.sweep(Vec::new()).await.unwrap();
        assert!(!landing.root.exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("landing"), "a file").unwrap();
        let landing = Landing::new(directory.path().join("landing"));
        let error = landing.make_folder(&key()).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot create"), "{error}");
    }
}
