//! Patience, shared: one budget for all requests of a client, and below it one per entity.
//!
//! ```text
//! request ── admit ──► client's budget ──► entity's budget ──► sent ──► answer
//!                        ▲ Retry-After, tenant, client,   ▲ …entity…      │
//!                        │ clienttype, qpu, consumption   │               │
//!                        └────────────────────────────────┴───────────────┘
//! ```
//!
//! - A 429 or 503 with retry headers blocks the budgets that they name, for the longest wait that is
//!   asked of each, within bounds, plus up to a tenth of it (5 s at most). A 429 without any blocks
//!   the entity for a drawn backoff.
//! - After a block requests of the budget go one at a time. Their spacing starts at `base_wait`,
//!   halves with each success and doubles with each further refusal up to `max_spacing`. Below a
//!   sixteenth of `base_wait` the budget is as free as before.
//! - If fewer than ten requests remain, by the least of the quota headers of the last answer that had
//!   any, they are spaced by `base_wait * (10 - remaining) / 5`. The slope is a choice: Azure names no rate. It
//!   is gentle, as some buckets are always nearly empty (`QueriesPer10Sec` holds 12 at most).
//! - First come, first served. A request keeps its place over its attempts. Requests of an entity
//!   that is held do not keep those of others from going.

mod budgets;
mod pressure;
#[cfg(test)]
mod simulation;
mod state;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use costlake_model::Scope;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::config::Config;
use crate::monitor::{Event, Monitor};
use crate::transport::ServerClock;

use budgets::{Admission, Budgets, Hold};
pub(crate) use pressure::Pressure;
pub use state::BudgetState;

/// Shorter waits are not told.
const TOLD_FROM: Duration = Duration::from_secs(1);

const FAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Hears of blocks.
pub(crate) type OnChange = Arc<dyn Fn(Vec<BudgetState>) + Send + Sync>;

/// What a request is about: a scope path in lower case, since Azure mixes cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entity(String);

impl Entity {
    pub(crate) fn of_scope(scope: &Scope) -> Self {
        Self(scope.path().to_ascii_lowercase())
    }

    /// Returns what stands before `/providers/Microsoft.CostManagement`, or the whole path.
    pub(crate) fn of_url(url: &Url) -> Self {
        let path = url.path().to_ascii_lowercase();
        let scope = path.split("/providers/microsoft.costmanagement").next();
        Self(scope.unwrap_or_default().to_owned())
    }
}

/// Admits requests, by what earlier answers asked for.
pub(crate) struct Governor {
    budgets: Mutex<Budgets>,
    changed: Notify,
    clock: Arc<ServerClock>,
    tenant: String,
    client_type: String,
    max_asked_wait: Duration,
    /// What was restored for other tenants and client types, to be given back.
    foreign: Mutex<Vec<BudgetState>>,
    on_change: Mutex<Option<OnChange>>,
    untold: AtomicU64,
}

/// A request on its way, over all its attempts.
pub(crate) struct Visit {
    arrival: u64,
    entity: Entity,
    deadline: Instant,
    /// The last block that the monitor was told of, plus one.
    told: AtomicU64,
}

/// The right to send once. It ends when this is dropped.
pub(crate) struct Turn<'a> {
    governor: &'a Governor,
    admission: Admission,
}

/// The budget stays shut for longer than the request may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// HTTP status that shut it, 429 or 503.
    pub(crate) status: u16,
    /// What was asked for, before any cap.
    pub(crate) asked_wait: Option<Duration>,
}

impl Governor {
    pub(crate) fn new(config: &Config, clock: Arc<ServerClock>) -> Self {
        Self {
            budgets: Mutex::new(Budgets::new(config.retry)),
            changed: Notify::new(),
            clock,
            tenant: config.tenant.clone(),
            client_type: config.client_type.clone(),
            max_asked_wait: config.retry.max_asked_wait,
            foreign: Mutex::default(),
            on_change: Mutex::default(),
            untold: AtomicU64::new(0),
        }
    }

    /// Returns the place of a request that may take `total`.
    pub(crate) fn visit(&self, entity: Entity, total: Duration) -> Visit {
        let now = Instant::now();
        Visit {
            arrival: lock(&self.budgets).arrive(),
            entity,
            deadline: now + total.min(FAR),
            told: AtomicU64::new(0),
        }
    }

    /// Waits until a request may be sent.
    ///
    /// # Errors
    /// [`TooLong`], at once if the end of the block is known, else at the deadline.
    pub(crate) async fn admit(
        &self,
        visit: &Visit,
        monitor: &dyn Monitor,
    ) -> Result<Turn<'_>, TooLong> {
        let _line = Line::join(self, visit);
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before looking, so that no change is missed between looking and waiting.
            changed.as_mut().enable();
            let now = Instant::now();
            let tried = lock(&self.budgets).try_admit(visit.arrival, now);
            let hold = match tried {
                Ok(admission) => return Ok(Turn { governor: self, admission }),
                Err(hold) => hold,
            };
            if hold.until > Some(visit.deadline) || now >= visit.deadline {
                return Err(too_long(&hold));
            }
            tell_pause(monitor, visit, &hold, now);
            let known = hold.until.filter(|until| *until > now);
            tokio::select! {
                () = changed => {}
                () = sleep_until(known.unwrap_or(visit.deadline)) => {}
            }
        }
    }

    /// Returns the blocks that hold, those of other clients as they were restored.
    pub(crate) fn snapshot(&self) -> Vec<BudgetState> {
        let (now, server_now) = (Instant::now(), self.clock.now());
        let blocked = lock(&self.budgets).blocked(now);
        let own = blocked.into_iter().map(|blocked| {
            let left = blocked.until.saturating_duration_since(now);
            let left = TimeDelta::from_std(left).unwrap_or_default();
            BudgetState {
                tenant: self.tenant.clone(),
                client_type: self.client_type.clone(),
                entity: blocked.entity,
                blocked_until: server_now.checked_add_signed(left).unwrap_or(server_now),
                asked_seconds: blocked.asked.as_secs(),
            }
        });
        let foreign = lock(&self.foreign).clone();
        own.chain(foreign.into_iter().filter(|state| state.blocked_until > server_now)).collect()
    }

    /// Takes up the blocks of an earlier run, and from now on tells of new ones.
    pub(crate) fn restore(&self, states: Vec<BudgetState>, on_change: OnChange) {
        let (now, server_now) = (Instant::now(), self.clock.now());
        for state in states {
            let left = state.blocked_until.signed_duration_since(server_now).to_std();
            let Some(left) = left.ok().filter(|left| !left.is_zero()) else {
                continue;
            };
            if state.tenant != self.tenant || state.client_type != self.client_type {
                lock(&self.foreign).push(state);
                continue;
            }
            let until = now + left.min(self.max_asked_wait);
            let asked = Duration::from_secs(state.asked_seconds);
            lock(&self.budgets).restore(state.entity.as_deref(), until, asked);
        }
        *lock(&self.on_change) = Some(on_change);
        self.changed.notify_waiters();
    }

    /// Tells of the state as it is now. Calls do not overlap, so that the last one told is the newest.
    fn tell_change(&self) {
        let Some(on_change) = lock(&self.on_change).clone() else {
            return;
        };
        if self.untold.fetch_add(1, Ordering::SeqCst) > 0 {
            return; // Whoever is telling goes around once more.
        }
        let mut seen = 1;
        loop {
            on_change(self.snapshot());
            match self.untold.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(more) => seen = more,
            }
        }
    }
}

impl Turn<'_> {
    /// Whether no block came since the request was let through; if one did, do not send it.
    pub(crate) fn is_current(&self) -> bool {
        lock(&self.governor.budgets).is_current(&self.admission)
    }

    /// Takes in an answer that is no refusal.
    pub(crate) fn answered(self, pressure: &Pressure) {
        lock(&self.governor.budgets).answered(&self.admission, pressure);
    }

    /// Takes in a 429 or 503 and returns how long its own request waits, if that is known.
    pub(crate) fn refused(self, status: u16, pressure: &Pressure) -> Option<Duration> {
        let per_mille = fastrand::u32(0..=1000);
        let (wait, extended) = lock(&self.governor.budgets).refused(
            &self.admission,
            status,
            pressure,
            per_mille,
            Instant::now(),
        );
        if extended {
            self.governor.tell_change();
        }
        wait
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.governor.budgets).leave(&self.admission);
        self.governor.changed.notify_waiters();
    }
}

/// A place in the line, given up when dropped, for whatever reason.
struct Line<'a> {
    governor: &'a Governor,
    arrival: u64,
}

impl<'a> Line<'a> {
    fn join(governor: &'a Governor, visit: &Visit) -> Self {
        lock(&governor.budgets).wait_in_line(visit.arrival, &visit.entity.0);
        Self { governor, arrival: visit.arrival }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        lock(&self.governor.budgets).leave_line(self.arrival);
        self.governor.changed.notify_waiters();
    }
}

fn tell_pause(monitor: &dyn Monitor, visit: &Visit, hold: &Hold, now: Instant) {
    let wait = hold.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
    let block = hold.blocks + 1;
    if wait >= TOLD_FROM && visit.told.swap(block, Ordering::Relaxed) != block {
        let entity = hold.by_entity.then_some(visit.entity.0.as_str());
        monitor.on_event(&Event::Paused { entity, wait });
    }
}

fn too_long(hold: &Hold) -> TooLong {
    TooLong {
        status: hold.asked.map_or(429, |asked| asked.status),
        asked_wait: hold.asked.map(|asked| asked.wait),
    }
}

/// A panic elsewhere leaves the numbers whole: each is set in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::pressure::Load;
    use super::*;
    use crate::endpoints::Endpoints;
    use crate::monitor::NoMonitor;

    const LONG: Duration = Duration::from_secs(100);

    fn governor() -> Governor {
        let mut config = Config::new(Endpoints::public_azure().unwrap());
        config.tenant = "contoso".to_owned();
        config.retry.min_asked_wait = Duration::ZERO;
        config.retry.base_wait = Duration::from_millis(1);
        Governor::new(&config, Arc::default())
    }

    fn visit(governor: &Governor, entity: &str, total: Duration) -> Visit {
        governor.visit(Entity(entity.to_owned()), total)
    }

    fn client_wait(wait: Duration) -> Pressure {
        let client = Load { asked_wait: Some(wait), remaining: None };
        Pressure { client, ..Pressure::default() }
    }

    async fn refuse(governor: &Governor, wait: Duration) {
        let visit = visit(governor, "a", LONG);
        let turn = governor.admit(&visit, &NoMonitor).await.unwrap();
        turn.refused(429, &client_wait(wait));
    }

    fn state(entity: Option<&str>, seconds: i64) -> BudgetState {
        BudgetState {
            tenant: "contoso".to_owned(),
            client_type: "costlake".to_owned(),
            entity: entity.map(str::to_owned),
            blocked_until: Utc::now() + TimeDelta::seconds(seconds),
            asked_seconds: 7200,
        }
    }

    #[test]
    fn entities_are_scopes_whatever_their_case() {
        for (path, expected) in [
            ("/subscriptions/AB/providers/Microsoft.CostManagement/x", "/subscriptions/ab"),
            ("/Subscriptions/ab/PROVIDERS/microsoft.costmanagement/y/z", "/subscriptions/ab"),
            ("/providers/Microsoft.CostManagement/x", ""),
            (
                "/providers/Microsoft.Billing/Departments/1",
                "/providers/microsoft.billing/departments/1",
            ),
        ] {
            let url = Url::parse("https://management.azure.com").unwrap().join(path).unwrap();
            assert_eq!(Entity::of_url(&url).0, expected);
        }
    }

    #[tokio::test]
    async fn a_block_longer_than_the_time_left_ends_the_request_at_once() {
        let governor = governor();
        refuse(&governor, Duration::from_secs(60)).await;
        let started = Instant::now();
        let short = visit(&governor, "b", Duration::from_secs(30));
        let error = governor.admit(&short, &NoMonitor).await.err().unwrap();
        assert_eq!(error, TooLong { status: 429, asked_wait: Some(Duration::from_secs(60)) });
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_pause_is_told_once_per_request_and_block() {
        struct Pauses(Mutex<Vec<(Option<String>, u64)>>);
        impl Monitor for Pauses {
            fn on_event(&self, event: &Event<'_>) {
                if let Event::Paused { entity, wait } = event {
                    let entity = entity.map(str::to_owned);
                    lock(&self.0).push((entity, wait.as_secs() + 1));
                }
            }
        }
        let (governor, pauses) = (governor(), Pauses(Mutex::default()));
        refuse(&governor, Duration::from_secs(20)).await;
        let held = visit(&governor, "b", LONG);
        for _ in 0..3 {
            let waiting = std::pin::pin!(governor.admit(&held, &pauses));
            assert!(futures::poll!(waiting).is_pending());
        }
        let told = lock(&pauses.0).clone();
        assert_eq!(told.len(), 1);
        assert!(told[0].0.is_none() && (20..=23).contains(&told[0].1), "{told:?}");
    }

    #[tokio::test]
    async fn a_request_behind_one_that_never_ends_gives_up_at_its_deadline() {
        let governor = governor();
        refuse(&governor, Duration::from_millis(1)).await;
        let first = visit(&governor, "a", LONG);
        let _turn = governor.admit(&first, &NoMonitor).await.unwrap();
        let second = visit(&governor, "b", Duration::from_millis(30));
        assert!(governor.admit(&second, &NoMonitor).await.is_err());
    }

    #[tokio::test]
    async fn dropped_requests_leave_the_gate_open() {
        let governor = governor();
        refuse(&governor, Duration::from_millis(1)).await;
        let (first, second, third) =
            (visit(&governor, "a", LONG), visit(&governor, "a", LONG), visit(&governor, "a", LONG));
        let in_flight = governor.admit(&first, &NoMonitor).await.unwrap();
        let mut waiting = Box::pin(governor.admit(&second, &NoMonitor));
        assert!(futures::poll!(&mut waiting).is_pending());
        let last = governor.admit(&third, &NoMonitor);
        let drops = async {
            tokio::task::yield_now().await;
            drop(waiting);
            drop(in_flight);
        };
        let both = async { tokio::join!(last, drops).0.is_ok() };
        assert!(tokio::time::timeout(Duration::from_secs(10), both).await.unwrap());
    }

    #[tokio::test]
    async fn blocks_outlive_a_run() {
        let told: Arc<Mutex<Vec<Vec<BudgetState>>>> = Arc::default();
        let first = governor();
        let hears = Arc::clone(&told);
        first.restore(Vec::new(), Arc::new(move |states| lock(&hears).push(states)));
        refuse(&first, Duration::from_secs(300)).await;
        let states = lock(&told).last().unwrap().clone();
        assert_eq!((states.len(), states[0].asked_seconds), (1, 300));

        let text = serde_json::to_string(&states).unwrap();
        let states: Vec<BudgetState> = serde_json::from_str(&text).unwrap();
        let second = governor();
        second.restore(states, Arc::new(|_| ()));
        let hold = visit(&second, "b", Duration::from_secs(200));
        assert!(second.admit(&hold, &NoMonitor).await.is_err());
    }

    #[test]
    fn restored_states_are_bounded_and_foreign_ones_only_kept() {
        let governor = governor();
        let foreign = BudgetState { tenant: "other".to_owned(), ..state(None, 60) };
        let states = vec![state(Some("a"), 999_999), state(Some("b"), -1), foreign.clone()];
        governor.restore(states, Arc::new(|_| ()));
        let kept = governor.snapshot();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].entity.as_deref(), Some("a"));
        assert!(kept[0].blocked_until <= Utc::now() + TimeDelta::seconds(3600));
        assert_eq!(kept[1], foreign);
    }

    #[test]
    fn states_with_unknown_fields_are_read() {
        let text = r#"{"tenant":"t","client_type":"c","blocked_until":"2026-01-01T00:00:00Z","asked_seconds":5,"new":1}"#;
        let state: BudgetState = serde_json::from_str(text).unwrap();
        assert_eq!((state.entity, state.asked_seconds), (None, 5));
    }
}
