//! The bytes of a blob, exactly as many as the manifest says, over as many connections as it takes.
//!
//! ```text
//! first request   200, Content-Length = byteCount if given         read
//! broken at n     Range: bytes=n-, If-Match: first ETag
//!                 206, Content-Range n-(byteCount-1)/byteCount     read on
//!                 200, 412, other range or ETag, no ETag at first  BlobChanged: restart
//! end             received = byteCount, else resumed or refused
//! ```
//!
//! An end without an error proves nothing: a body without a length, or a chunked one ended early,
//! looks complete (`reliability.md`, 0). Only the count of the manifest decides, and where the storage
//! service gives an MD5 of the whole, that too.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::Stream;
use md5::{Digest as _, Md5};
use reqwest::Response;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RANGE,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::config::RetryLimits;
use crate::cost_details::BlobInfo;
use crate::error::{Error, Place};
use crate::policy::{self, ApprovedUrl, Purpose};
use crate::retry::{self, Job, Replay};
use crate::text;
use crate::transport;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const STORAGE_ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// A connection that broke off after fewer bytes brought next to nothing.
const LEAST_PROGRESS: u64 = 64 << 10;

impl Client {
    /// Starts the download of a blob; nothing is sent before the first chunk is asked for.
    pub fn download(&self, blob: &BlobInfo) -> Download {
        Download {
            client: self.clone(),
            address: text::redacted(blob.link.reveal()),
            blob: blob.clone(),
            etag: None,
            digest: None,
            body: None,
            permit: None,
            received_bytes: 0,
            opened_at_byte: 0,
            fruitless: 0,
            connections: 0,
            waited: Duration::ZERO,
            state: State::Reading,
        }
    }
}

/// A download under way: raw bytes, as stored, still compressed if they were.
pub struct Download {
    client: Client,
    address: String,
    blob: BlobInfo,
    /// The strong ETag of the first answer.
    etag: Option<HeaderValue>,
    digest: Option<AnnouncedDigest>,
    body: Option<Response>,
    /// Held from the first request to the end, waits included.
    permit: Option<OwnedSemaphorePermit>,
    received_bytes: u64,
    /// Where the current connection began.
    opened_at_byte: u64,
    /// Connections in a row that brought next to nothing.
    fruitless: u32,
    connections: u32,
    /// Time spent on waiting for bytes.
    waited: Duration,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The link died; another one may follow.
    Expired,
    Finished,
    Failed,
}

impl Download {
    /// Returns the next bytes; `None` once the whole blob was returned and its length is right.
    ///
    /// Bytes returned before an error are of no use without the rest. The future may be dropped and
    /// made again. An error never turns into an end: after one, every call fails.
    ///
    /// # Errors
    /// [`Error::LinkExpired`]: renew the manifest, then [`Self::replace_link`].
    /// [`Error::BlobChanged`]: download anew. [`Error::LengthMismatch`]: the blob is not what the manifest says.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match self.state {
            State::Reading => {}
            State::Finished => return Ok(None),
            State::Expired | State::Failed => {
                return Err(self.changed("it failed before".to_owned(), self.place()));
            }
        }
        let chunk = self.read().await;
        match &chunk {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Finished,
            Err(Error::LinkExpired { .. }) => self.state = State::Expired,
            Err(_) => self.state = State::Failed,
        }
        if self.state != State::Reading {
            self.body = None;
            self.permit = None;
        }
        chunk
    }

    /// Goes on after [`Error::LinkExpired`] with the link of a renewed manifest, from the byte
    /// reached: the ETag proves that it is the same blob.
    ///
    /// # Errors
    /// [`Error::BlobChanged`] if the size is another, or the download failed in any other way.
    pub fn replace_link(&mut self, renewed: &BlobInfo) -> Result<(), Error> {
        if renewed.byte_count != self.blob.byte_count {
            let problem = format!("its size is now {} bytes", renewed.byte_count);
            return Err(self.changed(problem, self.place()));
        }
        if self.state == State::Failed {
            return Err(self.changed("it failed before".to_owned(), self.place()));
        }
        self.address = text::redacted(renewed.link.reveal());
        self.blob = renewed.clone();
        self.body = None;
        self.fruitless = 0;
        if self.state == State::Expired {
            self.state = State::Reading;
        }
        Ok(())
    }

    /// Bytes returned so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Returns the chunks as a stream that ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        futures::stream::try_unfold(self, |mut download| async move {
            let chunk = download.next_chunk().await?;
            Ok(chunk.map(|chunk| (chunk, download)))
        })
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        if self.permit.is_none() {
            self.permit = Some(self.client.inner.transport.download_permit().await?);
        }
        loop {
            let started = Instant::now();
            let Some(body) = &mut self.body else {
                self.open().await?;
                self.waited += started.elapsed();
                continue;
            };
            let chunk = body.chunk().await;
            self.waited += started.elapsed();
            match chunk {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return self.count(chunk).map(Some),
                Ok(None) | Err(_) if self.received_bytes == self.blob.byte_count => {
                    return self.check_digest().map(|()| None);
                }
                Ok(None) => self.interrupted(None).await?,
                Err(source) => self.interrupted(Some(source.without_url())).await?,
            }
        }
    }

    fn count(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        let received = self.received_bytes + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if received > self.blob.byte_count {
            return Err(self.length_mismatch("the body", received));
        }
        if self.waited > self.client.inner.config.timeouts.blob && received < self.blob.byte_count {
            return Err(self.unavailable(None));
        }
        self.received_bytes = received;
        if let Some(digest) = &mut self.digest {
            digest.so_far.update(&chunk);
        }
        Ok(chunk)
    }

    /// Deals with a connection that ended too early: waits a little, unless it is time to give up.
    async fn interrupted(&mut self, source: Option<reqwest::Error>) -> Result<(), Error> {
        self.body = None;
        if self.received_bytes - self.opened_at_byte >= LEAST_PROGRESS {
            self.fruitless = 0;
        } else {
            self.fruitless += 1;
        }
        let limits = self.limits();
        let wait = retry::full_jitter(&limits, self.fruitless);
        tracing::debug!(
            blob = self.blob.ordinal,
            received_bytes = self.received_bytes,
            fruitless = self.fruitless,
            "download interrupted"
        );
        if self.fruitless >= limits.attempts || wait > limits.total {
            return Err(self.unavailable(source));
        }
        sleep(wait).await;
        self.waited += wait;
        Ok(())
    }

    /// Opens a connection to the rest of the blob.
    async fn open(&mut self) -> Result<(), Error> {
        self.check_link_age()?;
        let url = self.approved_link()?;
        let headers = self.range_headers()?;
        let job = Job {
            method: "GET",
            address: &self.address,
            blob: Some(self.blob.ordinal),
            replay: Replay::Safe,
        };
        let inner = &self.client.inner;
        let attempt = || inner.transport.open(&url, headers.clone(), &job);
        let opened = retry::run(&self.limits(), inner.monitor.as_ref(), &job, attempt).await;
        let (body, mut place) = opened?;
        place.request_id = transport::request_id(body.headers());
        self.check_opened(&body, place)?;
        if self.received_bytes == 0 {
            self.etag = strong_etag(body.headers());
            self.digest = AnnouncedDigest::of(body.headers());
        }
        self.connections += 1;
        self.opened_at_byte = self.received_bytes;
        self.body = Some(body);
        Ok(())
    }

    /// The retry limits, cut to what is left of the time for the blob.
    fn limits(&self) -> RetryLimits {
        let config = &self.client.inner.config;
        RetryLimits {
            total: config.retry.total.min(config.timeouts.blob.saturating_sub(self.waited)),
            ..config.retry
        }
    }

    fn check_link_age(&self) -> Result<(), Error> {
        if self.client.inner.transport.server_now() < self.blob.valid_till {
            return Ok(());
        }
        Err(self.link_expired(None, String::new(), self.place()))
    }

    fn approved_link(&self) -> Result<ApprovedUrl, Error> {
        let url = self.blob.link.reveal().clone();
        let endpoints = &self.client.inner.config.endpoints;
        policy::approve_url(endpoints, Purpose::Blob, url).map_err(|refusal| {
            Error::RefusedDestination {
                what: "a blob link",
                destination: text::origin(self.blob.link.reveal()),
                refusal,
                place: self.place(),
            }
        })
    }

    fn range_headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        if self.received_bytes == 0 {
            return Ok(headers);
        }
        let Some(etag) = self.etag.clone() else {
            let problem = "the blob had no strong ETag".to_owned();
            return Err(self.changed(problem, self.place()));
        };
        let range = HeaderValue::from_str(&format!("bytes={}-", self.received_bytes));
        let range = range.map_err(|_| self.changed("no range".to_owned(), self.place()))?;
        headers.insert(RANGE, range);
        headers.insert(IF_MATCH, etag);
        Ok(headers)
    }

    fn check_opened(&self, body: &Response, place: Box<Place>) -> Result<(), Error> {
        let status = body.status().as_u16();
        let headers = body.headers();
        match status {
            200 if self.received_bytes == 0 => self.check_whole(headers, place),
            206 if self.received_bytes > 0 => self.check_rest(headers, place),
            401 | 403 | 404 | 410 => {
                let code = header_text(headers, &STORAGE_ERROR_CODE);
                Err(self.link_expired(Some(status), code, place))
            }
            200 => Err(self.changed("the whole blob was sent".to_owned(), place)),
            412 => Err(self.changed("its ETag is another".to_owned(), place)),
            416 => Err(self.changed("it is no longer that long".to_owned(), place)),
            400..500 => Err(Error::Rejected {
                status,
                code: header_text(headers, &STORAGE_ERROR_CODE),
                message: String::new(),
                place,
            }),
            _ => Err(Error::Protocol { violation: format!("status {status} for a blob"), place }),
        }
    }

    fn check_whole(&self, headers: &HeaderMap, place: Box<Place>) -> Result<(), Error> {
        if transport::is_html(headers) {
            return Err(Error::UnexpectedPage { expected: "a blob", title: String::new(), place });
        }
        match content_length(headers) {
            Some(length) if length != self.blob.byte_count => Err(Error::LengthMismatch {
                what: "the announced length",
                expected_bytes: self.blob.byte_count,
                found_bytes: length,
                place,
            }),
            _ => Ok(()),
        }
    }

    fn check_rest(&self, headers: &HeaderMap, place: Box<Place>) -> Result<(), Error> {
        let total = self.blob.byte_count;
        let expected = format!("bytes {}-{}/{total}", self.received_bytes, total.saturating_sub(1));
        let range = header_text(headers, &CONTENT_RANGE);
        if range != expected {
            return Err(self.changed(format!("`{range}` was sent, expected `{expected}`"), place));
        }
        let rest = total.saturating_sub(self.received_bytes);
        if let Some(length) = content_length(headers).filter(|length| *length != rest) {
            let problem = format!("{length} bytes were announced for the {rest} that are missing");
            return Err(self.changed(problem, place));
        }
        match (headers.get(ETAG), &self.etag) {
            (Some(now), Some(first)) if now != first => {
                Err(self.changed("its ETag is another".to_owned(), place))
            }
            _ => Ok(()),
        }
    }

    fn check_digest(&mut self) -> Result<(), Error> {
        if self.digest.take().is_none_or(AnnouncedDigest::equals_announced) {
            return Ok(());
        }
        Err(Error::DigestMismatch { place: self.place() })
    }

    fn link_expired(&self, status: Option<u16>, code: String, place: Box<Place>) -> Error {
        Error::LinkExpired { status, code, valid_till: self.blob.valid_till, place }
    }

    fn changed(&self, problem: String, place: Box<Place>) -> Error {
        Error::BlobChanged { received_bytes: self.received_bytes, problem, place }
    }

    fn length_mismatch(&self, what: &'static str, found_bytes: u64) -> Error {
        Error::LengthMismatch {
            what,
            expected_bytes: self.blob.byte_count,
            found_bytes,
            place: self.place(),
        }
    }

    fn unavailable(&self, source: Option<reqwest::Error>) -> Error {
        Error::Unavailable { status: None, place: self.place(), source }
    }

    fn place(&self) -> Box<Place> {
        Box::new(Place {
            request: None,
            blob: Some(self.blob.ordinal),
            method: "GET",
            address: self.address.clone(),
            attempts: self.connections,
            elapsed: self.waited,
            request_id: None,
        })
    }
}

/// The MD5 that the storage service keeps for a whole blob, and that of the bytes so far.
struct AnnouncedDigest {
    announced: Vec<u8>,
    so_far: Md5,
}

impl AnnouncedDigest {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let announced = BASE64.decode(headers.get(CONTENT_MD5)?.as_bytes()).ok()?;
        Some(Self { announced, so_far: Md5::new() })
    }

    fn equals_announced(self) -> bool {
        self.so_far.finalize().as_slice() == self.announced
    }
}

/// A weak ETag does not promise equal bytes, so it is no use for ranges.
fn strong_etag(headers: &HeaderMap) -> Option<HeaderValue> {
    let etag = headers.get(ETAG)?;
    etag.as_bytes().starts_with(b"\"").then(|| etag.clone())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn header_text(headers: &HeaderMap, name: &HeaderName) -> String {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    text::escaped(text.unwrap_or_default())
}
