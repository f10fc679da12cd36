//! The client: what all calls share, and authorized calls to the resource manager.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;

use crate::auth::{Credentials, Token, TokenSource, Via};
use crate::config::{Config, RetryLimits};
use crate::error::{Error, Place};
use crate::monitor::Monitor;
use crate::policy::ApprovedUrl;
use crate::retry::{self, Failure, Job, Replay};
use crate::text;
use crate::transport::{self, Body, Call, Reply, Transport};
use crate::wire;

/// Codes that mean a missing right, whatever the status they come with (`azure-apis.md`, 0.1).
const RIGHTS_CODES: [&str; 7] = [
    "AuthorizationFailed",
    "BillingAccessDenied",
    "RBACAccessDenied",
    "AccountCostDisabled",
    "DepartmentCostDisabled",
    "IndirectCostDisabled",
    "DisallowedOperation",
];

/// A client of one cloud under one identity. Clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) transport: Transport,
    pub(crate) monitor: Arc<dyn Monitor>,
    tokens: TokenSource,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.inner.config.endpoints.arm())
    }
}

/// An answer of the resource manager and what it took to get it.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) place: Box<Place>,
}

impl Client {
    /// Returns a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] if a header value or the tenant cannot be sent, or no TLS roots are
    /// found.
    pub fn new(
        config: Config,
        credentials: Credentials,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self, Error> {
        let transport = Transport::new(&config)?;
        let tokens = TokenSource::new(credentials, &config.endpoints)?;
        let inner = Inner { config, transport, monitor, tokens };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Calls the resource manager with a token, repeating within `limits`. The status of the answer
    /// is neither 401, a redirect nor a transient one.
    pub(crate) async fn call_arm(
        &self,
        url: &ApprovedUrl,
        body: Option<&str>,
        replay: Replay,
        limits: &RetryLimits,
    ) -> Result<Answer, Error> {
        let address = text::redacted(url.url());
        let job = Job {
            method: if body.is_some() { "POST" } else { "GET" },
            address: &address,
            blob: None,
            replay,
        };
        let attempt = || self.attempt_arm(url, body, &job);
        let monitor = self.inner.monitor.as_ref();
        let (reply, mut place) = retry::run(limits, monitor, &job, attempt).await?;
        place.request_id = transport::request_id(&reply.headers);
        Ok(Answer { reply, place })
    }

    async fn attempt_arm(
        &self,
        url: &ApprovedUrl,
        body: Option<&str>,
        job: &Job<'_>,
    ) -> Result<Reply, Failure> {
        let via = self.via();
        let token = self.inner.tokens.token(&via).await.map_err(Failure::Final)?;
        let reply = self.send_arm(url, body, job, &token).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        let newer = self.inner.tokens.replace(&token, &via).await;
        let Some(newer) = newer.map_err(Failure::Final)? else {
            return Err(Failure::Final(refusal(&reply, place(job))));
        };
        let reply = self.send_arm(url, body, job, &newer).await?;
        match reply.status {
            401 => Err(Failure::Final(refusal(&reply, place(job)))),
            _ => Ok(reply),
        }
    }

    async fn send_arm(
        &self,
        url: &ApprovedUrl,
        body: Option<&str>,
        job: &Job<'_>,
        token: &Token,
    ) -> Result<Reply, Failure> {
        let call = Call {
            method: if body.is_some() { Method::POST } else { Method::GET },
            url,
            body: body.map_or(Body::None, Body::Json),
            bearer: Some(&token.secret),
            job,
        };
        let mut reply = self.inner.transport.exchange(&call).await?;
        if !(200..300).contains(&reply.status) {
            // Error texts may echo what was sent.
            let text = token.secret.scrub(&String::from_utf8_lossy(&reply.body));
            reply.body = text.into_bytes().into();
        }
        Ok(reply)
    }

    fn via(&self) -> Via<'_> {
        Via {
            transport: &self.inner.transport,
            limits: &self.inner.config.retry,
            monitor: self.inner.monitor.as_ref(),
        }
    }
}

impl Answer {
    /// Returns the error that a status other than the expected ones means.
    pub(crate) fn into_refusal(self) -> Error {
        refusal(&self.reply, self.place)
    }
}

fn refusal(reply: &Reply, place: Box<Place>) -> Error {
    let (code, message) = match wire::azure_error(&reply.body) {
        (code, message) if code.is_empty() && message.is_empty() && reply.is_page() => {
            (code, text::html_title(&reply.body))
        }
        parts => parts,
    };
    let lacks_right = RIGHTS_CODES.iter().any(|known| code.eq_ignore_ascii_case(known));
    match reply.status {
        status if status == 403 || lacks_right => {
            Error::Authorization { status, code, message, place }
        }
        401 => Error::Authentication { code, message, place },
        status => Error::Rejected { status, code, message, place },
    }
}

fn place(job: &Job<'_>) -> Box<Place> {
    Box::new(job.place(1, std::time::Duration::ZERO))
}
