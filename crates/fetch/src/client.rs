//! The client: what all calls share, and authorized calls to the resource manager.

use std::fmt;
use std::sync::Arc;

use chrono::Utc;
use reqwest::Method;

use crate::auth::{Credentials, Token, TokenSource, Via};
use crate::config::{Config, RetryLimits};
use crate::error::{Error, Place};
use crate::governor::{BudgetState, Entity, Governor, Pressure, Turn, Visit};
use crate::monitor::Monitor;
use crate::policy::ApprovedUrl;
use crate::retry::{self, Failure, Job, Replay};
use crate::text;
use crate::transport::{self, Body, Call, Reply, Slot, Transport};
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

/// A client of one cloud under one identity. Clones share connections, tokens, limits and budgets.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) transport: Arc<Transport>,
    pub(crate) monitor: Arc<dyn Monitor>,
    governor: Governor,
    pub(crate) tokens: TokenSource,
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
        let tenant = credentials.tenant().unwrap_or(&config.tenant).to_owned();
        let config = Config { tenant, ..config };
        let transport = Arc::new(Transport::new(&config)?);
        let via = Via::new(&config, &transport, &monitor)?;
        let tokens = TokenSource::new(credentials, via)?;
        let governor = Governor::new(&config, transport.server_clock());
        let inner = Inner { config, transport, governor, monitor, tokens };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes up the blocks that an earlier run kept, for this client and its clones, and has
    /// `on_change` told of all that hold whenever one is set or extended.
    ///
    /// States that have expired are dropped; none blocks for longer than
    /// [`RetryLimits::max_asked_wait`]. Those of other tenants and client types block nothing and are
    /// told along, so that a file of states can be replaced by what was told last. `on_change` is
    /// called from any task, never twice at a time, and must not block.
    #[must_use]
    pub fn with_budgets(
        self,
        states: Vec<BudgetState>,
        on_change: Arc<dyn Fn(Vec<BudgetState>) + Send + Sync>,
    ) -> Self {
        self.inner.governor.restore(states, on_change);
        self
    }

    /// Returns the blocks that hold now.
    pub fn budgets(&self) -> Vec<BudgetState> {
        self.inner.governor.snapshot()
    }

    /// Calls the resource manager with a token, repeating within `limits`. The status of the answer
    /// is neither 401, a redirect nor a transient one. The address says which entity it is about.
    pub(crate) async fn call_arm(
        &self,
        url: &ApprovedUrl,
        body: Option<&str>,
        replay: Replay,
        limits: &RetryLimits,
    ) -> Result<Answer, Error> {
        self.call_arm_about(Entity::of_url(url.url()), url, body, replay, limits).await
    }

    /// As [`Client::call_arm`], for addresses that do not say which entity they are about.
    pub(crate) async fn call_arm_about(
        &self,
        entity: Entity,
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
        let visit = self.inner.governor.visit(entity, limits.total);
        let attempt = || self.attempt_arm(&visit, url, body, &job);
        let monitor = self.inner.monitor.as_ref();
        let (reply, mut place) = retry::run(limits, monitor, &job, attempt).await?;
        place.request_id = transport::request_id(&reply.headers);
        Ok(Answer { reply, place })
    }

    async fn attempt_arm(
        &self,
        visit: &Visit,
        url: &ApprovedUrl,
        body: Option<&str>,
        job: &Job<'_>,
    ) -> Result<Reply, Failure> {
        let token = self.inner.tokens.token().await.map_err(Failure::Final)?;
        let reply = self.send_arm(visit, url, body, job, &token).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        let newer = self.inner.tokens.replace(&token).await;
        let Some(newer) = newer.map_err(Failure::Final)? else {
            return Err(Failure::Final(refusal(&reply, place(job))));
        };
        let reply = self.send_arm(visit, url, body, job, &newer).await?;
        match reply.status {
            401 => Err(Failure::Final(refusal(&reply, place(job)))),
            _ => Ok(reply),
        }
    }

    async fn send_arm(
        &self,
        visit: &Visit,
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
        let mut reply = self.exchange_governed(visit, &call).await?;
        if !(200..300).contains(&reply.status) {
            // Error texts may echo what was sent.
            let text = token.secret.scrub(&String::from_utf8_lossy(&reply.body));
            reply.body = text.into_bytes().into();
        }
        Ok(reply)
    }

    async fn exchange_governed(&self, visit: &Visit, call: &Call<'_>) -> Result<Reply, Failure> {
        let (turn, slot) = self.turn(visit).await?;
        let result = self.inner.transport.exchange(slot, call).await;
        match result {
            Ok(reply) => {
                turn.answered(&Pressure::read(&reply.headers, Utc::now()));
                Ok(reply)
            }
            Err(Failure::Status { status: status @ (429 | 503), pressure, wait, request_id }) => {
                let wait = turn.refused(status, &pressure).or(wait);
                Err(Failure::Status { status, pressure, wait, request_id })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits until a request may be sent and there is a slot for it.
    async fn turn(&self, visit: &Visit) -> Result<(Turn<'_>, Slot), Failure> {
        loop {
            let turn = self.inner.governor.admit(visit, self.inner.monitor.as_ref()).await;
            let turn = turn.map_err(Failure::Held)?;
            let slot = self.inner.transport.slot().await?;
            // A block may have come while it waited for the slot.
            if turn.is_current() {
                return Ok((turn, slot));
            }
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
    match reply.status {
        status if status == 403 || is_about_rights(&code) => {
            Error::Authorization { status, code, message, place }
        }
        401 => Error::Authentication { code, message, place },
        status => Error::Rejected { status, code, message, place },
    }
}

/// Whether a code of Azure means a missing right.
pub(crate) fn is_about_rights(code: &str) -> bool {
    RIGHTS_CODES.iter().any(|known| code.eq_ignore_ascii_case(known))
}

fn place(job: &Job<'_>) -> Box<Place> {
    Box::new(job.place(1, std::time::Duration::ZERO))
}
