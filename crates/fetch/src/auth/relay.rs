//! The way of a credential's requests: to one destination, by our transport, within our limits.
//!
//! `azure_identity` asks for https authorities, and always asks for the metadata service at its one
//! address. A simulator listens on http on this machine. So the credential is told an https address with
//! the host and port of what is configured, and here the configured origin is put back: only for that
//! very host and port, and what comes out is approved like any other address.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::{Url, form_urlencoded};

use crate::auth::Via;
use crate::endpoints::METADATA_SERVICE;
use crate::error::{Error, Place};
use crate::governor::Pressure;
use crate::policy::{self, ApprovedUrl, Purpose, Refusal};
use crate::retry::{self, Failure, Job, Replay};
use crate::secret::Secret;
use crate::text;
use crate::transport::{Reply, Transport};

/// What is sent on of a credential's headers. The transport has its own ids and agent.
const HEADERS: [&str; 3] = ["content-type", "metadata", "x-identity-header"];

/// The header and the form fields that hold secrets.
const SECRET_HEADER: &str = "x-identity-header";
const SECRET_FIELDS: [&str; 2] = ["client_secret", "client_assertion"];

/// The metadata service is being updated (`azure-apis.md`, 9).
const GONE: u16 = 410;

/// An answer, and what it took to get it.
pub(crate) type Exchanged = Result<(Reply, Box<Place>), Error>;

/// Sends what a credential asks, and keeps what came of it: the credential makes an error of its own of
/// it, with texts that are not ours.
pub(crate) struct Relay {
    via: Arc<Via>,
    purpose: Purpose,
    exchanged: Mutex<Option<Exchanged>>,
}

impl Relay {
    pub(crate) fn new(via: &Arc<Via>, purpose: Purpose) -> Arc<Self> {
        Arc::new(Self { via: Arc::clone(via), purpose, exchanged: Mutex::default() })
    }

    /// What came of the last request; `None` if none was sent.
    pub(crate) fn take(&self) -> Option<Exchanged> {
        self.exchanged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(&self, request: &Request) -> Exchanged {
        let url = self.approved(request.url()).map_err(|refusal| Error::Configuration {
            problem: format!("{} gets no request: {refusal}", text::redacted(request.url())),
        })?;
        let address = text::redacted(url.url());
        let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default();
        let name = if method == Method::POST { "POST" } else { "GET" };
        let job = Job { method: name, address: &address, blob: None, replay: Replay::Safe };
        let (headers, body) = (headers(request), body(request));
        let attempt = || self.attempt(&method, &url, &headers, &body, &job);
        let run = retry::run(&self.via.limits, self.via.monitor.as_ref(), &job, attempt);
        let (mut reply, place) = run.await?;
        if reply.status != 200 {
            reply.body = scrubbed(&reply.body, &secrets(request, &body));
        }
        Ok((reply, place))
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &ApprovedUrl,
        headers: &HeaderMap,
        body: &Bytes,
        job: &Job<'_>,
    ) -> Result<Reply, Failure> {
        let relayed =
            self.transport().relay(method.clone(), url, headers.clone(), body.clone(), job);
        match (self.purpose, relayed.await) {
            (Purpose::Identity, Ok(reply)) if reply.status == GONE => {
                let pressure = Pressure::default();
                Err(Failure::Status { status: GONE, pressure, wait: None, request_id: None })
            }
            // The service is on this machine or nowhere: asking again would only keep a chain waiting.
            (Purpose::Identity, Err(Failure::NotSent(source))) => {
                let place = Box::new(job.place(1, Duration::ZERO));
                let source = Some(source);
                Err(Failure::Final(Error::Unavailable { status: None, place, source }))
            }
            (_, relayed) => relayed,
        }
    }

    fn transport(&self) -> &Transport {
        match self.purpose {
            Purpose::Identity => &self.via.identity_transport,
            _ => &self.via.transport,
        }
    }

    fn approved(&self, asked: &Url) -> Result<ApprovedUrl, Refusal> {
        let endpoints = &self.via.endpoints;
        let (told, configured) = match self.purpose {
            Purpose::Authority => (endpoints.secure_authority(), endpoints.authority()),
            _ => (METADATA_SERVICE.to_owned(), endpoints.identity()),
        };
        let mut url = asked.clone();
        if Url::parse(&told).is_ok_and(|told| told.origin() == asked.origin()) {
            url = configured.clone();
            url.set_path(asked.path());
            url.set_query(asked.query());
        }
        policy::approve_url(endpoints, self.purpose, url)
    }
}

#[async_trait::async_trait]
impl HttpClient for Relay {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let exchanged = self.exchange(request).await;
        let answer = match &exchanged {
            Ok((reply, _)) if reply.status == 200 => {
                Ok(AsyncRawResponse::from_bytes(200.into(), Headers::new(), reply.body.clone()))
            }
            // Of this kind, so that no retry policy sends it again: the one for the metadata service
            // cannot be switched off. The text goes to logs, so it says nothing.
            _ => Err(azure_core::Error::with_message(ErrorKind::Other, "no token")),
        };
        *self.exchanged.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchanged);
        answer
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({:?})", self.purpose)
    }
}

fn headers(request: &Request) -> HeaderMap {
    let known = request.headers().iter().filter(|(name, _)| HEADERS.contains(&name.as_str()));
    let parsed = known.filter_map(|(name, value)| {
        let mut parsed = HeaderValue::from_str(value.as_str()).ok()?;
        parsed.set_sensitive(name.as_str() == SECRET_HEADER);
        Some((HeaderName::from_bytes(name.as_str().as_bytes()).ok()?, parsed))
    });
    parsed.collect()
}

fn body(request: &Request) -> Bytes {
    match request.body() {
        Body::Bytes(bytes) => bytes.clone(),
        Body::SeekableStream(_) => Bytes::new(),
    }
}

/// What of a request must not come back in an error, as it is and as it was sent.
fn secrets(request: &Request, body: &[u8]) -> Vec<Secret> {
    let header = request.headers().iter().filter(|(name, _)| name.as_str() == SECRET_HEADER);
    let header = header.map(|(_, value)| value.as_str().to_owned());
    let fields = form_urlencoded::parse(body).filter(|(name, _)| SECRET_FIELDS.contains(&&**name));
    let both = fields.flat_map(|(_, value)| {
        let sent = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        [value.into_owned(), sent]
    });
    header.chain(both).map(Secret::new).collect()
}

fn scrubbed(body: &[u8], secrets: &[Secret]) -> Bytes {
    let text = String::from_utf8_lossy(body).into_owned();
    secrets.iter().fold(text, |text, secret| secret.scrub(&text)).into_bytes().into()
}
