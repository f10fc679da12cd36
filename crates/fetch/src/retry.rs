//! When a request is sent again, and how long to wait before.
//!
//! ```text
//! what happened                     Replay::Safe (GET, token)   Replay::Submit (creates a report)
//! 429, 503                          again                       again
//! 408, 500, 502, 504                again                       once more
//! no connection: nothing was sent   again                       again
//! the answer was lost               again                       once more
//! ```
//!
//! A submit whose answer was lost may have made a report that nobody waits for. One surplus report
//! is accepted; a second is not.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::Retryable;
use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use tokio::time::Instant;

use crate::config::RetryLimits;
use crate::error::{Error, Place};
use crate::governor::{Pressure, TooLong};
use crate::monitor::{Event, Monitor};

/// More than this is a mistake of the sender; keeps sums of waits far from overflow.
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const LONGEST_JITTER: Duration = Duration::from_secs(5);

/// What sending a request twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Nothing.
    Safe,
    /// Starts the work twice.
    Submit,
}

/// Why an attempt gave no answer to work with.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An answer that says: not now.
    Status {
        status: u16,
        pressure: Pressure,
        /// How long this request waits before it is sent again, where that is settled.
        wait: Option<Duration>,
        request_id: Option<String>,
    },
    /// The budget stays shut for longer than there is time: nothing was sent.
    Held(TooLong),
    /// No connection, so nothing was sent.
    NotSent(reqwest::Error),
    /// The connection broke or stalled after sending.
    Lost(reqwest::Error),
    /// A connection that must not be used.
    Insecure(reqwest::Error),
    /// Anything that another attempt would not mend.
    Final(Error),
}

impl Failure {
    fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn settled_wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Whether the work may have been done although the answer says or tells nothing.
    fn is_ambiguous(&self) -> bool {
        match self {
            Self::Status { status, .. } => !matches!(status, 429 | 503),
            Self::Lost(_) => true,
            Self::Held(_) | Self::NotSent(_) | Self::Insecure(_) | Self::Final(_) => false,
        }
    }

    fn may_pass(&self) -> bool {
        !matches!(self, Self::Held(_) | Self::Insecure(_) | Self::Final(_))
    }
}

/// What is retried, for errors and the monitor.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) method: &'static str,
    pub(crate) address: &'a str,
    pub(crate) blob: Option<u32>,
    pub(crate) replay: Replay,
}

impl Job<'_> {
    pub(crate) fn place(&self, attempts: u32, elapsed: Duration) -> Place {
        Place {
            request: None,
            blob: self.blob,
            method: self.method,
            address: self.address.to_owned(),
            attempts,
            elapsed,
            request_id: None,
        }
    }
}

/// Whether a status says that the same request may succeed later.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Repeats an attempt within the limits. The place beside the result, or in the error, says how
/// often and how long.
///
/// # Errors
/// [`Error::Throttled`] or [`Error::Unavailable`] when the limits are reached, or the final error
/// of an attempt.
pub(crate) async fn run<T, F>(
    limits: &RetryLimits,
    monitor: &dyn Monitor,
    job: &Job<'_>,
    mut attempt: impl FnMut() -> F + Send,
) -> Result<(T, Box<Place>), Error>
where
    F: Future<Output = Result<T, Failure>> + Send,
    T: Send,
{
    let started = Instant::now();
    let attempts = AtomicU32::new(0);
    let mut surplus_allowed = 1_u32;
    let counted = || {
        attempts.fetch_add(1, Ordering::Relaxed);
        attempt()
    };
    let backoff = Backoff { limits, failures: 0 };
    let result = counted
        .retry(backoff)
        .when(|failure: &Failure| {
            let uses_surplus = job.replay == Replay::Submit && failure.is_ambiguous();
            let allowed = !uses_surplus || surplus_allowed > 0;
            surplus_allowed = surplus_allowed.saturating_sub(u32::from(uses_surplus));
            failure.may_pass() && allowed
        })
        .adjust(|failure, backoff| {
            let wait = backoff.map(|backoff| failure.settled_wait().unwrap_or(backoff))?;
            (started.elapsed() + wait <= limits.total).then_some(wait)
        })
        .notify(|failure, wait| {
            monitor.on_event(&Event::Retrying {
                method: job.method,
                address: job.address,
                attempts: attempts.load(Ordering::Relaxed),
                status: failure.status(),
                wait,
            });
        })
        .await;
    let place = Box::new(job.place(attempts.load(Ordering::Relaxed), started.elapsed()));
    match result {
        Ok(value) => Ok((value, place)),
        Err(failure) => Err(give_up(failure, place)),
    }
}

fn give_up(failure: Failure, mut place: Box<Place>) -> Error {
    match failure {
        Failure::Status { status, pressure, request_id, .. } => {
            place.request_id = request_id;
            match status {
                429 | 503 => Error::Throttled { status, asked_wait: pressure.asked_wait(), place },
                _ => Error::Unavailable { status: Some(status), place, source: None },
            }
        }
        Failure::Held(TooLong { status, asked_wait }) => {
            place.attempts = place.attempts.saturating_sub(1);
            Error::Throttled { status, asked_wait, place }
        }
        Failure::NotSent(source) | Failure::Lost(source) => {
            Error::Unavailable { status: None, place, source: Some(source) }
        }
        Failure::Insecure(source) => Error::Insecure { place, source },
        Failure::Final(error) => error.after(&place),
    }
}

/// The waits where the service names none; ends with the allowed attempts.
struct Backoff<'a> {
    limits: &'a RetryLimits,
    failures: u32,
}

impl Iterator for Backoff<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = full_jitter(self.limits, self.failures);
        self.failures += 1;
        (self.failures < self.limits.attempts).then_some(wait)
    }
}

/// Returns a wait drawn evenly from zero to `base_wait` doubled `failures` times, capped: callers
/// that failed together do not come back together.
pub(crate) fn full_jitter(limits: &RetryLimits, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures);
    let longest = limits.base_wait.saturating_mul(factor).min(limits.max_backoff);
    let longest_micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(fastrand::u64(0..=longest_micros))
}

/// Returns an asked wait within the configured bounds.
pub(crate) fn clamped(limits: &RetryLimits, asked: Duration) -> Duration {
    asked.min(limits.max_asked_wait).max(limits.min_asked_wait)
}

/// Returns what is waited where `asked` was asked for: within the configured bounds, and longer by
/// `per_mille` of a tenth (5 s at most), so that those who were asked together do not come together.
pub(crate) fn patient(limits: &RetryLimits, asked: Duration, per_mille: u32) -> Duration {
    let wait = clamped(limits, asked);
    let jitter = (wait / 10).min(LONGEST_JITTER);
    wait.saturating_add(jitter * per_mille.min(1000) / 1000)
}

/// Returns the longest wait that any `…retry-after…` header asks for; `None` if none is readable.
///
/// Several can be present at once, for several budgets, and all must be kept (`azure-apis.md`, 0.1).
/// A date counts from the answer's own `Date`, since clocks differ.
pub(crate) fn asked_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    Pressure::read(headers, now).asked_wait()
}

/// The `Date` of an answer.
pub(crate) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    parse_http_date(headers.get(DATE)?.to_str().ok()?)
}

/// Reads seconds or a date.
pub(crate) fn parse_wait(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_ASKED_WAIT));
    }
    let wait = parse_http_date(text)?.signed_duration_since(now);
    Some(wait.to_std().unwrap_or_default().min(LONGEST_ASKED_WAIT))
}

fn parse_http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.with_timezone(&Utc))
}

#[cfg(test)]
pub(crate) fn headers_of(lines: &[(&str, &str)]) -> HeaderMap {
    use reqwest::header::{HeaderName, HeaderValue};

    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(lines: &[(&str, &str)]) -> Option<u64> {
        let now = "2025-01-01T00:00:00Z".parse().unwrap();
        asked_wait(&headers_of(lines), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn the_longest_of_all_retry_headers_counts() {
        let lines = [
            ("Retry-After", "5"),
            ("x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after", "17"),
            ("x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after", "60"),
            ("x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after", "9"),
            ("x-ms-ratelimit-remaining-tenant-reads", "11999"),
        ];
        assert_eq!(seconds(&lines), Some(60));
        assert_eq!(seconds(&lines[4..]), None);
        assert_eq!(seconds(&[("Retry-After", "3"), ("Retry-After", "8")]), Some(8));
    }

    #[test]
    fn dates_count_from_the_date_of_the_answer() {
        let retry = ("Retry-After", "Wed, 21 Oct 2015 07:28:30 GMT");
        assert_eq!(seconds(&[retry, ("Date", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(30));
        assert_eq!(seconds(&[retry, ("Date", "Wed, 21 Oct 2015 07:29:00 GMT")]), Some(0));
        assert_eq!(seconds(&[("Retry-After", "Wed, 01 Jan 2025 00:01:00 GMT")]), Some(60));
    }

    #[test]
    fn absurd_values_neither_overflow_nor_count() {
        let long = "9".repeat(10_000);
        for (value, expected) in [
            ("0", Some(0)),
            ("1000000000", Some(LONGEST_ASKED_WAIT.as_secs())),
            ("99999999999999999999", Some(LONGEST_ASKED_WAIT.as_secs())),
            (long.as_str(), Some(LONGEST_ASKED_WAIT.as_secs())),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(seconds(&[("Retry-After", value)]), expected, "{value}");
        }
    }

    #[test]
    fn asked_waits_are_kept_within_bounds() {
        let limits = RetryLimits::default();
        for (asked, expected) in
            [(0, 1), (1, 1), (60, 60), (3600, 3600), (3601, 3600), (u64::MAX, 3600)]
        {
            assert_eq!(clamped(&limits, Duration::from_secs(asked)).as_secs(), expected);
        }
    }

    #[test]
    fn backoff_stays_below_its_doubling_bound() {
        let limits = RetryLimits::default();
        for failures in [0, 1, 5, 6, 31, 32, 200] {
            let bound = Duration::from_secs(2_u64.saturating_pow(failures).min(60));
            assert!((0..200).all(|_| full_jitter(&limits, failures) <= bound));
        }
        assert_eq!(Backoff { limits: &limits, failures: 0 }.count(), 7);
    }
}
