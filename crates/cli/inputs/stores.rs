//! Object stores: listing them, and reading objects as they were when they were listed.
//!
//! A body is asked for in ranges, each with the ETag of the listing. So no connection has to outlive the
//! work on a large file, a broken one costs one range, and an object that is replaced while it is read is
//! an error and not a mixture.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::failure::{Failure, FailureKind};
use super::location::StoreUrl;
use super::tree::Listed;
use crate::error::Error;
use crate::pipe::{self, Message};

/// Bytes of one request.
const RANGE_BYTES: u64 = 4 << 20;
/// Requests at a time for one file.
const RANGES_IN_FLIGHT: usize = 2;
/// Bytes that go through a pipe at once, so that a full pipe holds a few MB.
const PIECE_BYTES: usize = 256 << 10;

/// A bucket or container. Reads from it block, and belong on threads that may.
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    url: StoreUrl,
    runtime: Handle,
}

/// An object, as it was listed.
#[derive(Clone)]
pub(crate) struct StoredObject {
    store: Arc<Store>,
    listed: Listed,
}

impl Store {
    /// Opens the store of a URL, with what variables say about credentials. Asks nobody yet.
    ///
    /// # Errors
    /// If variables are missing or contradict each other, or costlake was built without stores.
    pub(super) fn open(url: StoreUrl) -> Result<Self, Error> {
        let objects = connect(&url).map_err(|error| {
            let failure = Failure::of(&error);
            let problem = format!("cannot read from {}: {}", url.name_of(&url.key), failure);
            Error::usage(problem, CONNECT_HINT)
        })?;
        Ok(Self { objects, url, runtime: Handle::current() })
    }

    /// The URL of a path in it, for people.
    pub(super) fn name(&self, path: &Path) -> String {
        self.url.name_of(&key_text(path))
    }

    /// Looks for an object.
    ///
    /// # Errors
    /// If the store does not answer. An object that is not there is none.
    pub(super) fn find(&self, path: &Path) -> Result<Option<Listed>, Error> {
        let key = self.key(path)?;
        match self.runtime.block_on(object_store::ObjectStoreExt::head(&self.objects, &key)) {
            Ok(meta) => Ok(Some(listed(meta))),
            Err(error) => match Failure::of(&error) {
                Failure { kind: FailureKind::Missing, .. } => Ok(None),
                failure => Err(self.failed("find", path, failure)),
            },
        }
    }

    /// Lists all objects below a folder, sorted.
    ///
    /// # Errors
    /// If the store does not answer, or there is no such bucket or container.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<Listed>, Error> {
        let key = self.key(folder)?;
        let prefix = (!key.as_ref().is_empty()).then_some(&key);
        let listing = self.objects.list(prefix).map_ok(listed).try_collect::<Vec<_>>();
        let mut found = self
            .runtime
            .block_on(listing)
            .map_err(|error| self.failed("list", folder, Failure::of(&error)))?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn key(&self, path: &Path) -> Result<Key, Error> {
        Key::parse(key_text(path)).map_err(|error| {
            let problem = format!("{} is no key of an object: {error}", self.name(path));
            Error::usage(problem, "leave out empty parts, `.` and `..`")
        })
    }

    fn failed(&self, action: &'static str, path: &Path, failure: Failure) -> Error {
        Error::Store { action, place: self.name(path), source: failure }
    }
}

impl fmt::Debug for Store {
    /// The place only: stores print their credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.root.as_str())
    }
}

impl StoredObject {
    /// An object of a store.
    pub(super) fn new(store: Arc<Store>, listed: Listed) -> Self {
        Self { store, listed }
    }

    /// Its URL, for people.
    pub(super) fn name(&self) -> String {
        self.store.name(&self.listed.path)
    }

    /// Its length when it was listed.
    pub(super) fn bytes(&self) -> u64 {
        self.listed.bytes
    }

    /// Reads it from the start. Failures come out of the reader, as errors of the program.
    pub(super) fn read(&self) -> impl Read + Send + 'static {
        let (sender, reader) = pipe::pipe();
        let object = self.clone();
        self.store.runtime.spawn(async move {
            let end = object.send(&sender).await;
            // Nobody listens any more when the run has ended early.
            drop(sender.send(end.map(|()| None)).await);
        });
        reader
    }

    async fn send(&self, sender: &mpsc::Sender<Message>) -> io::Result<()> {
        let failed = |source| {
            let place = self.name();
            io::Error::other(Error::Store { action: "read", place, source })
        };
        let path = self.store.key(&self.listed.path).map_err(io::Error::other)?;
        let ranges = ranges(self.listed.bytes).map(|range| self.range(&path, range));
        let mut ranges = futures::stream::iter(ranges).buffered(RANGES_IN_FLIGHT);
        while let Some(range) = ranges.next().await {
            let mut bytes = range.map_err(failed)?;
            while !bytes.is_empty() {
                let piece = bytes.split_to(PIECE_BYTES.min(bytes.len()));
                if sender.send(Ok(Some(piece))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn range(&self, key: &Key, range: std::ops::Range<u64>) -> Result<Bytes, Failure> {
        let options = GetOptions {
            if_match: self.listed.e_tag.clone(),
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let expected = range.end - range.start;
        let result = self.store.objects.get_opts(key, options).await;
        let result = result.map_err(|error| Failure::while_reading(&error))?;
        if result.meta.size != self.listed.bytes {
            return Err(Failure::changed());
        }
        let bytes = result.bytes().await.map_err(|error| Failure::while_reading(&error))?;
        if bytes.len() as u64 != expected {
            return Err(Failure::cut(bytes.len() as u64, expected));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

fn ranges(length: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let starts = (0..length.div_ceil(RANGE_BYTES)).map(|at| at * RANGE_BYTES);
    starts.map(move |start| start..(start + RANGE_BYTES).min(length))
}

fn listed(meta: ObjectMeta) -> Listed {
    Listed { path: PathBuf::from(meta.location.as_ref()), bytes: meta.size, e_tag: meta.e_tag }
}

fn key_text(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(feature = "cloud")]
const CONNECT_HINT: &str = "set AZURE_STORAGE_ACCOUNT_NAME, AWS_REGION and the like: docs/inputs.md names the variables of each store";
#[cfg(not(feature = "cloud"))]
const CONNECT_HINT: &str = "build it with the default features, or copy the files to this machine";

#[cfg(feature = "cloud")]
fn connect(url: &StoreUrl) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    use super::location::StoreKind;
    use object_store::aws::AmazonS3Builder;
    use object_store::gcp::GoogleCloudStorageBuilder;
    let root = url.root.as_str();
    Ok(match url.kind {
        StoreKind::Azure => Arc::new(azure(url).with_url(root).with_retry(retries()).build()?),
        StoreKind::S3 => {
            Arc::new(AmazonS3Builder::from_env().with_url(root).with_retry(retries()).build()?)
        }
        StoreKind::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(root);
            Arc::new(builder.with_retry(retries()).build()?)
        }
    })
}

/// A signature in the URL goes before what variables say.
#[cfg(feature = "cloud")]
fn azure(url: &StoreUrl) -> object_store::azure::MicrosoftAzureBuilder {
    use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
    let builder = MicrosoftAzureBuilder::from_env();
    match &url.signature {
        None => builder,
        Some(signature) => {
            let credential = AzureCredential::SASToken(signature.reveal());
            let fixed = object_store::StaticCredentialProvider::new(credential);
            // The second is for the emulator, which takes no credentials.
            builder.with_credentials(Arc::new(fixed)).with_sas_authorization(signature.reveal())
        }
    }
}

/// How long to go on with a store that is busy or cannot be reached: about half a minute.
#[cfg(feature = "cloud")]
fn retries() -> object_store::RetryConfig {
    use std::time::Duration;
    object_store::RetryConfig {
        backoff: object_store::BackoffConfig {
            init_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(8),
            base: 3.,
        },
        max_retries: 15,
        retry_timeout: Duration::from_secs(30),
    }
}

#[cfg(not(feature = "cloud"))]
fn connect(_: &StoreUrl) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let source = "this costlake was built without the feature `cloud`".into();
    Err(object_store::Error::Generic { store: "", source })
}

#[cfg(test)]
mod tests {
    use super::super::location::Location;
    use super::*;

    /// A store in memory with one object, and that object as it was listed.
    fn one_object(runtime: &tokio::runtime::Runtime, bytes: Vec<u8>) -> (Arc<Store>, Listed) {
        let Ok(Location::Store(url)) = Location::parse(Path::new("s3://box")) else {
            panic!("a store");
        };
        let objects = Arc::new(object_store::memory::InMemory::new());
        let store = Arc::new(Store { objects, url, runtime: runtime.handle().clone() });
        put(&store, bytes);
        let listed = store.list(Path::new("a")).unwrap().remove(0);
        assert_eq!(store.find(Path::new("a/b.csv")).unwrap().as_ref(), Some(&listed));
        (store, listed)
    }

    fn put(store: &Store, bytes: Vec<u8>) {
        let (key, payload) = (Key::from("a/b.csv"), object_store::PutPayload::from(bytes));
        let put = object_store::ObjectStoreExt::put(&store.objects, &key, payload);
        store.runtime.block_on(put).unwrap();
    }

    #[test]
    fn an_object_is_read_in_ranges_as_it_was_listed() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let length = usize::try_from(2 * RANGE_BYTES + 7).unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        let (store, listed) = one_object(&runtime, bytes.clone());
        assert_eq!(store.find(Path::new("a")).unwrap(), None);
        let object = StoredObject::new(Arc::clone(&store), listed);
        assert_eq!(object.name(), "s3://box/a/b.csv");
        let mut read = Vec::new();
        object.read().read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{} bytes of {length}", read.len());

        put(&store, bytes);
        let error = object.read().read_to_end(&mut Vec::new()).unwrap_err();
        let error = error.downcast::<Error>().unwrap();
        assert_eq!(error.exit_code(), crate::exit::ExitCode::Conflict, "{error}");
    }

    #[test]
    fn an_empty_object_is_empty() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (store, listed) = one_object(&runtime, Vec::new());
        let read = StoredObject::new(store, listed).read().read(&mut [0; 8]).unwrap();
        assert_eq!(read, 0);
    }

    #[test]
    fn ranges_cover_an_object() {
        let of = |length| ranges(length).map(|range| (range.start, range.end)).collect::<Vec<_>>();
        assert_eq!(of(0), []);
        assert_eq!(of(5), [(0, 5)]);
        assert_eq!(of(RANGE_BYTES), [(0, RANGE_BYTES)]);
        assert_eq!(of(RANGE_BYTES + 1), [(0, RANGE_BYTES), (RANGE_BYTES, RANGE_BYTES + 1)]);
    }
}
