//! What the simulator remembers between requests.

use super::ServerConfig;
use super::blobs::BlobStore;
use super::connection::Closure;
use super::dispatch::{Errand, RouteKind};
use super::faults::FaultQueue;
use super::reports::Operation;
use super::throttle::Throttle;
use crate::generator::Enrollment;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// The state behind all routes.
pub(super) struct Simulator {
    pub(super) config: ServerConfig,
    pub(super) enrollment: Arc<Enrollment>,
    /// Scheme, host and port.
    pub(super) origin: String,
    /// State of the open month.
    pub(super) revision: AtomicU32,
    pub(super) tokens: Mutex<HashMap<String, DateTime<Utc>>>,
    pub(super) operations: Mutex<BTreeMap<String, Operation>>,
    pub(super) faults: Mutex<FaultQueue>,
    pub(super) blobs: Mutex<BlobStore>,
    pub(super) log: Mutex<RequestLog>,
    pub(super) throttle: Mutex<Throttle>,
    /// Makes tokens and links of an earlier server invalid.
    key: [u8; 32],
    next_id: AtomicU64,
    closures: mpsc::UnboundedSender<Closure>,
    stop: watch::Sender<bool>,
}

impl Simulator {
    pub(super) fn new(
        config: ServerConfig,
        origin: String,
        closures: mpsc::UnboundedSender<Closure>,
    ) -> Self {
        let started = Utc::now().timestamp_nanos_opt().unwrap_or_default();
        let mut faults = FaultQueue::default();
        faults.extend(config.faults.clone());
        let key = sign(format!("{origin} {started}").as_bytes(), b"simulator key");
        Self {
            enrollment: Arc::new(Enrollment::new(config.enrollment.clone())),
            revision: AtomicU32::new(config.revision),
            config,
            origin,
            tokens: Mutex::default(),
            operations: Mutex::default(),
            faults: Mutex::new(faults),
            blobs: Mutex::default(),
            log: Mutex::default(),
            throttle: Mutex::default(),
            key,
            next_id: AtomicU64::new(0),
            closures,
            stop: watch::Sender::new(false),
        }
    }

    /// Returns a GUID that was not handed out before.
    pub(super) fn new_id(&self) -> String {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        let hex: String = sign(&self.key, &number.to_be_bytes())[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..32]
        )
    }

    /// Returns the signature of a text, in base64.
    pub(super) fn signature(&self, text: &str) -> String {
        STANDARD.encode(sign(&self.key, text.as_bytes()))
    }

    /// Returns the time by the clock of the server, which may be wrong.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let skew = TimeDelta::try_seconds(self.config.clock_skew_seconds).unwrap_or_default();
        let now = Utc::now();
        now.checked_add_signed(skew).unwrap_or(now)
    }

    /// Waits; not longer than until the server is asked to end.
    pub(super) async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopped() => {}
        }
    }

    /// Has connections refused for a while; returns as soon as they are.
    pub(super) async fn close_listener(&self, pause: Duration) {
        let (closed, is_closed) = oneshot::channel();
        // Both ends are there until the server ends, and then connections are refused anyway.
        if self.closures.send(Closure { pause, closed }).is_ok() {
            drop(is_closed.await);
        }
    }

    /// Asks the server to end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the server is asked to end.
    pub(super) async fn stopped(&self) {
        let mut receiver = self.stop.subscribe();
        while !*receiver.borrow_and_update() {
            if receiver.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Locks, also after another thread panicked while it held the lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a time as Azure does, with seven fraction digits.
pub(super) fn azure_time(time: DateTime<Utc>) -> String {
    format!("{}.{:07}Z", time.format("%Y-%m-%dT%H:%M:%S"), time.timestamp_subsec_nanos() / 100)
}

fn sign(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length, so there is always a value.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Requests so far: counts of all, details of the first ones.
#[derive(Default)]
pub(super) struct RequestLog {
    counts: BTreeMap<RouteKind, u64>,
    requests: Vec<Value>,
}

const MOST_LOGGED: usize = 200_000;

impl RequestLog {
    /// Adds a request before its answer goes out; the status is null if there is none.
    pub(super) fn add(&mut self, errand: &Errand, status: Option<u16>) {
        *self.counts.entry(errand.kind).or_default() += 1;
        if self.requests.len() < MOST_LOGGED {
            let call = &errand.call;
            self.requests.push(json!({
                "kind": errand.kind.name(), "method": call.method, "path": call.path,
                "clientType": call.header("clienttype"), "status": status, "fault": errand.fault.is_some(),
            }));
        }
    }

    /// Returns `{"counts": {"token": 1, ...}, "requests": [...]}`.
    pub(super) fn to_json(&self) -> Value {
        let counts: BTreeMap<&str, u64> =
            self.counts.iter().map(|(kind, count)| (kind.name(), *count)).collect();
        json!({ "counts": counts, "requests": self.requests })
    }
}
