//! Limits and names of a client. Every wait, retry and loop has a bound here.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::endpoints::Endpoints;

/// The default name of the quota bucket that a client asks to be counted in.
pub const DEFAULT_CLIENT_TYPE: &str = "costlake";

/// The default number of requests in flight, and of downloads in flight.
pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// How a client behaves. The endpoints are a decision, the rest has defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hosts to talk to.
    pub endpoints: Endpoints,
    /// The value of the `ClientType` header: a caller's own name takes it out of the quota bucket
    /// that all others of the tenant share (`azure-apis.md`, 0.1).
    pub client_type: String,
    /// The tenant's id or domain: with the client type, the name of the budget that requests are
    /// counted in. Sent nowhere. Default empty.
    pub tenant: String,
    /// Requests in flight at once, over all tasks of the client. A request that waits to be retried
    /// is not in flight.
    pub concurrent_requests: NonZeroUsize,
    /// Downloads begun and not ended at once, waits between connections included. Counted apart from requests, so that slow readers
    /// of blobs cannot keep polls and token refreshes from being sent.
    pub concurrent_downloads: NonZeroUsize,
    /// Limits of a single request.
    pub timeouts: Timeouts,
    /// Limits of repeating a request.
    pub retry: RetryLimits,
    /// Limits of waiting for a report.
    pub poll: PollLimits,
}

impl Config {
    /// Returns the defaults for a set of endpoints.
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            client_type: DEFAULT_CLIENT_TYPE.to_owned(),
            tenant: String::new(),
            concurrent_requests: DEFAULT_CONCURRENCY,
            concurrent_downloads: DEFAULT_CONCURRENCY,
            timeouts: Timeouts::default(),
            retry: RetryLimits::default(),
            poll: PollLimits::default(),
        }
    }
}

/// Limits of a single request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included. Default 20 s.
    pub connect: Duration,
    /// Between two arrivals of bytes, the first included. Default 90 s: Cost Management itself gives
    /// up after 60 s.
    pub read: Duration,
    /// For a whole request with a JSON answer. Default 180 s.
    pub request: Duration,
    /// For one blob, resumptions included: the time spent waiting for bytes, not that of the
    /// consumer. Default 1 h, the reported lifetime of a link.
    pub blob: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            read: Duration::from_secs(90),
            request: Duration::from_secs(180),
            blob: Duration::from_secs(60 * 60),
        }
    }
}

/// Limits of repeating a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// Times that a request is sent, the first included. Default 8.
    pub attempts: u32,
    /// From the start to the last sending, waits included. Default 30 min.
    pub total: Duration,
    /// The largest first wait where the service asks for none; it doubles with each attempt and is
    /// drawn evenly from zero up. Also the first spacing of requests after a block, and what their
    /// spacing is measured by while few remain. Default 1 s.
    pub base_wait: Duration,
    /// Where that doubling ends. Default 60 s.
    pub max_backoff: Duration,
    /// The largest spacing of requests after repeated refusals. Default 30 s.
    pub max_spacing: Duration,
    /// The least that is waited when the service asks for a wait. Default 1 s.
    pub min_asked_wait: Duration,
    /// The most that is waited when the service asks for a wait, jitter of up to 5 s aside. Default
    /// 1 h, the longest window of Azure's quotas.
    pub max_asked_wait: Duration,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self {
            attempts: 8,
            total: Duration::from_secs(30 * 60),
            base_wait: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            max_spacing: Duration::from_secs(30),
            min_asked_wait: Duration::from_secs(1),
            max_asked_wait: Duration::from_secs(60 * 60),
        }
    }
}

/// Limits of waiting for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollLimits {
    /// From the first poll to the last. Default 2 h.
    pub deadline: Duration,
    /// Between polls where the service names no wait. Default 30 s.
    pub default_wait: Duration,
}

impl Default for PollLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(2 * 60 * 60), default_wait: Duration::from_secs(30) }
    }
}
