//! One HTTP exchange: sends to approved addresses only and sorts what comes back.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::config::{Config, RetryLimits};
use crate::error::Error;
use crate::governor::Pressure;
use crate::policy::{ApprovedUrl, Refusal};
use crate::retry::{self, Failure, Job};
use crate::secret::Secret;
use crate::text;

/// Largest JSON answer that is read. A manifest of ten thousand blobs is about 4 MB.
const MAX_JSON_BYTES: usize = 8 * 1024 * 1024;

/// How long a managed identity may take to accept a connection.
const IDENTITY_CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

const CLIENT_REQUEST_ID: &str = "x-ms-client-request-id";
const REQUEST_ID: &str = "x-ms-request-id";

/// The body of a request.
pub(crate) enum Body<'a> {
    None,
    Json(&'a str),
}

/// A request with a short answer.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a ApprovedUrl,
    pub(crate) body: Body<'a>,
    pub(crate) bearer: Option<&'a Secret>,
    pub(crate) job: &'a Job<'a>,
}

/// A short answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A place among the requests in flight.
pub(crate) struct Slot(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

/// The shared HTTP client, its limits and its idea of Azure's clock.
pub(crate) struct Transport {
    http: reqwest::Client,
    client_type: HeaderValue,
    requests: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    request_timeout: Duration,
    retry: RetryLimits,
    server_clock: Arc<ServerClock>,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Self::build(config, config.endpoints.is_local())
    }

    /// Returns the way to managed identities, which are on this machine or beside it: no proxy stands
    /// between, and who does not answer at once is not there.
    pub(crate) fn for_identity(config: &Config) -> Result<Self, Error> {
        let mut config = config.clone();
        config.timeouts.connect = IDENTITY_CONNECT_TIMEOUT;
        Self::build(&config, true)
    }

    fn build(config: &Config, is_local: bool) -> Result<Self, Error> {
        let problem = |problem: &str| Error::Configuration { problem: problem.to_owned() };
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let client_type = HeaderValue::from_str(&config.client_type)
            .ok()
            .filter(|_| is_name(&config.client_type))
            .ok_or_else(|| problem("the client type must be visible ASCII characters"))?;
        // A redirect would carry the signed link on in `Referer`; transparent decompression hides
        // the length and drops all but the first gzip member (`reliability.md`, 0).
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .user_agent(concat!("costlake/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.timeouts.connect)
            .read_timeout(config.timeouts.read);
        if is_local {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|_| problem("the HTTP client cannot be set up: no usable TLS roots"))?;
        Ok(Self {
            http,
            client_type,
            requests: Arc::new(Semaphore::new(config.concurrent_requests.get())),
            downloads: Arc::new(Semaphore::new(config.concurrent_downloads.get())),
            request_timeout: config.timeouts.request,
            retry: config.retry,
            server_clock: Arc::default(),
        })
    }

    /// Azure's time, judged by the last answer.
    pub(crate) fn server_now(&self) -> DateTime<Utc> {
        self.server_clock.now()
    }

    /// Azure's clock, as far as it is known.
    pub(crate) fn server_clock(&self) -> Arc<ServerClock> {
        Arc::clone(&self.server_clock)
    }

    /// Waits until a request may be in flight; it is until the slot is dropped.
    pub(crate) async fn slot(&self) -> Result<Slot, Failure> {
        permit(&self.requests).await.map(Slot).map_err(Failure::Final)
    }

    /// Sends once, in a slot, and reads the whole answer, whatever its status unless that is transient.
    pub(crate) async fn exchange(&self, _slot: Slot, call: &Call<'_>) -> Result<Reply, Failure> {
        let mut request = self
            .request(call.method.clone(), call.url)
            .timeout(self.request_timeout)
            .header("ClientType", self.client_type.clone());
        if let Some(token) = call.bearer.filter(|_| call.url.accepts_bearer()) {
            request = request.header(AUTHORIZATION, bearer(token, call.job)?);
        }
        request = match call.body {
            Body::None => request,
            Body::Json(text) => request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(text.to_owned()),
        };
        let response = self.send(request, call.job).await?;
        read_reply(response, call.job).await
    }

    /// Sends once what a credential has put together, and reads the whole answer, whatever its status
    /// unless that is transient.
    pub(crate) async fn relay(
        &self,
        method: Method,
        url: &ApprovedUrl,
        headers: HeaderMap,
        body: Bytes,
        job: &Job<'_>,
    ) -> Result<Reply, Failure> {
        let _slot = self.slot().await?;
        let request = self.request(method, url).timeout(self.request_timeout).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        let response = self.send(request, job).await?;
        read_reply(response, job).await
    }

    /// Waits until a download may begin; it may go on until the permit is dropped.
    pub(crate) async fn download_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        permit(&self.downloads).await
    }

    /// Sends a GET once and returns the answer with its body unread.
    pub(crate) async fn open(
        &self,
        url: &ApprovedUrl,
        headers: HeaderMap,
        job: &Job<'_>,
    ) -> Result<Response, Failure> {
        let request = self.request(Method::GET, url).headers(headers);
        self.send(request, job).await
    }

    fn patient(&self, asked: Duration) -> Duration {
        retry::patient(&self.retry, asked, fastrand::u32(0..=1000))
    }

    fn request(&self, method: Method, url: &ApprovedUrl) -> RequestBuilder {
        self.http.request(method, url.url().clone()).header(CLIENT_REQUEST_ID, random_guid())
    }

    async fn send(&self, request: RequestBuilder, job: &Job<'_>) -> Result<Response, Failure> {
        let response = request.send().await.map_err(connection_failure)?;
        let (status, headers) = (response.status(), response.headers());
        self.server_clock.hear(headers);
        let request_id = request_id(headers);
        tracing::debug!(
            method = job.method,
            address = job.address,
            status = status.as_u16(),
            request_id,
            "answered"
        );
        if status.is_redirection() {
            return Err(Failure::Final(refused_redirect(&response, job)));
        }
        if retry::is_transient(status.as_u16()) {
            let pressure = Pressure::read(headers, Utc::now());
            return Err(Failure::Status {
                status: status.as_u16(),
                wait: pressure.asked_wait().map(|asked| self.patient(asked)),
                pressure,
                request_id,
            });
        }
        Ok(response)
    }
}

impl Reply {
    /// Whether the body is a web page rather than JSON.
    pub(crate) fn is_page(&self) -> bool {
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        is_html(&self.headers) || first == Some(&b'<')
    }
}

/// Whether an answer calls itself a web page.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

/// Azure's id of an answer.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    Some(text::escaped(id))
}

/// Returns an error without its address: reqwest prints it whole, signature included.
pub(crate) fn connection_failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if has_bad_tls(&error) {
        Failure::Insecure(error)
    } else if error.is_connect() || error.is_builder() {
        Failure::NotSent(error)
    } else {
        Failure::Lost(error)
    }
}

/// Whether TLS refused the peer: rustls reports certificates and non-TLS answers as invalid data.
fn has_bad_tls(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let io_cause = cause.downcast_ref::<io::Error>();
        if io_cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData) {
            return error.is_connect();
        }
        // `source` of an I/O error skips the error that it wraps.
        next = match io_cause.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    false
}

async fn read_reply(mut response: Response, job: &Job<'_>) -> Result<Reply, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(body_failure)? {
        if body.len() + chunk.len() > MAX_JSON_BYTES {
            let violation = format!("the body is larger than {MAX_JSON_BYTES} bytes");
            let place = Box::new(job.place(1, Duration::ZERO));
            return Err(Failure::Final(Error::Protocol { violation, place }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
    })
}

fn body_failure(error: reqwest::Error) -> Failure {
    Failure::Lost(error.without_url())
}

fn refused_redirect(response: &Response, job: &Job<'_>) -> Error {
    let location = response.headers().get(reqwest::header::LOCATION);
    let destination = location
        .and_then(|value| Url::parse(value.to_str().ok()?).ok())
        .map_or_else(|| "an unreadable address".to_owned(), |url| text::origin(&url));
    let mut place = job.place(1, Duration::ZERO);
    place.request_id = request_id(response.headers());
    Error::RefusedDestination {
        what: redirect_name(response.status()),
        destination,
        refusal: Refusal::Redirect,
        place: Box::new(place),
    }
}

fn redirect_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        301 => "a redirect (301)",
        302 => "a redirect (302)",
        303 => "a redirect (303)",
        307 => "a redirect (307)",
        308 => "a redirect (308)",
        _ => "a redirect",
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.map_err(|_| Error::Configuration { problem: "the client was shut down".to_owned() })
}

fn bearer(token: &Secret, job: &Job<'_>) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
        Failure::Final(Error::Authentication {
            code: String::new(),
            message: "the token holds characters that no header can".to_owned(),
            place: Box::new(job.place(1, std::time::Duration::ZERO)),
        })
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn random_guid() -> HeaderValue {
    let hex = format!("{:032x}", fastrand::u128(..));
    let guid =
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
    HeaderValue::from_str(&guid).unwrap_or(HeaderValue::from_static("costlake"))
}

/// How far Azure's clock is ahead of ours, from the `Date` of the last answer.
#[derive(Default)]
pub(crate) struct ServerClock {
    ahead_seconds: AtomicI64,
}

impl ServerClock {
    pub(crate) fn hear(&self, headers: &HeaderMap) {
        if let Some(date) = retry::date(headers) {
            let ahead = date.signed_duration_since(Utc::now());
            self.ahead_seconds.store(ahead.num_seconds(), Ordering::Relaxed);
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::try_seconds(self.ahead_seconds.load(Ordering::Relaxed));
        let now = Utc::now();
        now.checked_add_signed(ahead.unwrap_or_default()).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_guids() {
        for _ in 0..100 {
            let guid = random_guid();
            let lengths: Vec<_> = guid.to_str().unwrap().split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
        }
        assert_ne!(random_guid(), random_guid());
    }
}
