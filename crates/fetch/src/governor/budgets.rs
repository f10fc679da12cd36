//! The state of the budgets and who may go next. Time is a parameter, so that tests need no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::pressure::{Load, Pressure};
use crate::config::RetryLimits;
use crate::retry;

/// Below this number of remaining requests they are spaced.
const SCARCE: u64 = 10;

/// Name of the client's own budget and of none else.
const CLIENT: Option<&str> = None;

/// All budgets of a client, and the requests that wait for them.
pub(super) struct Budgets {
    limits: RetryLimits,
    client: Budget,
    entities: BTreeMap<String, Budget>,
    /// The entities of the waiting requests, by their order of arrival.
    waiting: BTreeMap<u64, String>,
    arrivals: u64,
}

/// A request that was let through, and the blocks that it knew of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    entity: String,
    client_blocks: u64,
    entity_blocks: u64,
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// Until when at least, where that is known.
    pub(super) until: Option<Instant>,
    /// Whether the entity's budget holds longer than the client's.
    pub(super) by_entity: bool,
    /// What was asked for last, before any cap, by whichever budget holds longer.
    pub(super) asked: Option<Asked>,
    /// Grows with each block: tells one from the next.
    pub(super) blocks: u64,
}

/// A wait that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) wait: Duration,
    /// HTTP status, 429 or 503.
    pub(super) status: u16,
}

/// A block, for the journal.
pub(super) struct Blocked {
    pub(super) entity: Option<String>,
    pub(super) until: Instant,
    pub(super) asked: Duration,
}

/// What may be sent under one name.
#[derive(Default)]
struct Budget {
    blocked_until: Option<Instant>,
    asked: Option<Asked>,
    /// Blocks so far, extensions not counted.
    blocks: u64,
    /// Whether requests go one at a time, since there was a block.
    careful: bool,
    spacing: Duration,
    remaining: Option<u64>,
    in_flight: usize,
    last_sent: Option<Instant>,
    /// Refusals without a header since the last success.
    refusals: u32,
}

impl Budgets {
    pub(super) fn new(limits: RetryLimits) -> Self {
        Self {
            limits,
            client: Budget::default(),
            entities: BTreeMap::new(),
            waiting: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Returns the place of a new request in the order of arrival.
    pub(super) fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    pub(super) fn wait_in_line(&mut self, arrival: u64, entity: &str) {
        self.waiting.insert(arrival, entity.to_owned());
        self.entities.entry(entity.to_owned()).or_default();
    }

    pub(super) fn leave_line(&mut self, arrival: u64) {
        self.waiting.remove(&arrival);
    }

    /// Lets a waiting request through if it is the first that both its budgets are open for.
    ///
    /// Requests of an entity that is held are passed over: they do not keep others from going.
    pub(super) fn try_admit(&mut self, arrival: u64, now: Instant) -> Result<Admission, Hold> {
        let entity = self.waiting.get(&arrival).cloned().unwrap_or_default();
        let is_open = self.client.is_open(&self.limits, now) && self.is_open(&entity, now);
        if !is_open || self.is_behind_another(arrival, now) {
            return Err(self.hold(&entity));
        }
        self.waiting.remove(&arrival);
        let own = self.entities.entry(entity.clone()).or_default();
        own.send(now);
        self.client.send(now);
        Ok(Admission { client_blocks: self.client.blocks, entity_blocks: own.blocks, entity })
    }

    /// Whether no block came since a request was let through.
    pub(super) fn is_current(&self, admission: &Admission) -> bool {
        let blocks = self.entities.get(&admission.entity).map_or(0, |budget| budget.blocks);
        self.client.blocks == admission.client_blocks && blocks == admission.entity_blocks
    }

    /// Takes in what an answer says that is no refusal.
    pub(super) fn answered(&mut self, admission: &Admission, pressure: &Pressure) {
        let limits = self.limits;
        self.client.succeed(&limits, admission.client_blocks, &pressure.client);
        let entity_blocks = admission.entity_blocks;
        self.entity(admission).succeed(&limits, entity_blocks, &pressure.entity);
    }

    /// Takes in a 429 or 503 and returns the wait of its own request, if it is known, and whether a
    /// budget was blocked for longer than before. `per_mille` is the share of the possible jitter.
    pub(super) fn refused(
        &mut self,
        admission: &Admission,
        status: u16,
        pressure: &Pressure,
        per_mille: u32,
        now: Instant,
    ) -> (Option<Duration>, bool) {
        let limits = self.limits;
        self.client.learn(&pressure.client);
        self.entity(admission).learn(&pressure.entity);
        let Some(longest) = pressure.asked_wait() else {
            return self.refused_without_header(admission, status, now);
        };
        let mut extended = false;
        if let Some(wait) = pressure.client.asked_wait {
            let until = now + retry::patient(&limits, wait, per_mille);
            let asked = Asked { wait, status };
            extended |= self.client.block(&limits, admission.client_blocks, until, asked);
        }
        if let Some(wait) = pressure.entity.asked_wait {
            let until = now + retry::patient(&limits, wait, per_mille);
            let (blocks, asked) = (admission.entity_blocks, Asked { wait, status });
            extended |= self.entity(admission).block(&limits, blocks, until, asked);
        }
        (Some(retry::patient(&limits, longest, per_mille)), extended)
    }

    /// A 503 without a header is a failing service; a 429, a spent budget, most often the entity's.
    fn refused_without_header(
        &mut self,
        admission: &Admission,
        status: u16,
        now: Instant,
    ) -> (Option<Duration>, bool) {
        if status != 429 {
            return (None, false);
        }
        let limits = self.limits;
        let budget = self.entity(admission);
        let wait = retry::full_jitter(&limits, budget.refusals);
        budget.refusals = budget.refusals.saturating_add(1);
        let asked = Asked { wait, status };
        let extended = budget.block(&limits, admission.entity_blocks, now + wait, asked);
        (Some(wait), extended)
    }

    /// Ends a request, however it went.
    pub(super) fn leave(&mut self, admission: &Admission) {
        self.client.in_flight = self.client.in_flight.saturating_sub(1);
        let budget = self.entity(admission);
        budget.in_flight = budget.in_flight.saturating_sub(1);
    }

    /// Sets a block that was asked for in an earlier run.
    pub(super) fn restore(&mut self, entity: Option<&str>, until: Instant, asked: Duration) {
        let limits = self.limits;
        let budget = match entity {
            CLIENT => &mut self.client,
            Some(name) => self.entities.entry(name.to_owned()).or_default(),
        };
        let blocks = budget.blocks;
        budget.block(&limits, blocks, until, Asked { wait: asked, status: 429 });
    }

    /// The blocks that still hold: the client's first, entities by name.
    pub(super) fn blocked(&self, now: Instant) -> Vec<Blocked> {
        let client = (CLIENT, &self.client);
        let entities = self.entities.iter().map(|(name, budget)| (Some(name.as_str()), budget));
        let all = std::iter::once(client).chain(entities);
        all.filter_map(|(name, budget)| {
            let until = budget.blocked_until.filter(|until| *until > now)?;
            let asked = budget.asked.map(|asked| asked.wait).unwrap_or_default();
            Some(Blocked { entity: name.map(str::to_owned), until, asked })
        })
        .collect()
    }

    /// Requests on their way.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.client.in_flight
    }

    fn entity(&mut self, admission: &Admission) -> &mut Budget {
        self.entities.entry(admission.entity.clone()).or_default()
    }

    fn is_open(&self, entity: &str, now: Instant) -> bool {
        self.entities.get(entity).is_none_or(|budget| budget.is_open(&self.limits, now))
    }

    fn is_behind_another(&self, arrival: u64, now: Instant) -> bool {
        let mut judged = BTreeSet::new();
        let earlier = self.waiting.range(..arrival).map(|(_, entity)| entity.as_str());
        earlier.filter(|entity| judged.insert(*entity)).any(|entity| self.is_open(entity, now))
    }

    fn hold(&self, entity: &str) -> Hold {
        let own = self.entities.get(entity);
        let own_until = own.and_then(|budget| budget.opens_at(&self.limits));
        let client_until = self.client.opens_at(&self.limits);
        let by_entity = own_until > client_until;
        let holder = if by_entity { own } else { Some(&self.client) };
        Hold {
            until: own_until.max(client_until),
            by_entity,
            asked: holder.and_then(|budget| budget.asked),
            blocks: self.client.blocks + own.map_or(0, |budget| budget.blocks),
        }
    }
}

impl Budget {
    fn is_open(&self, limits: &RetryLimits, now: Instant) -> bool {
        let is_alone = !self.careful || self.in_flight == 0;
        is_alone && self.opens_at(limits).is_none_or(|opens_at| opens_at <= now)
    }

    /// When block and spacing are over, answers aside.
    fn opens_at(&self, limits: &RetryLimits) -> Option<Instant> {
        let spacing = self.spacing.max(quota_spacing(limits, self.remaining));
        let spaced = self.last_sent.filter(|_| !spacing.is_zero()).map(|sent| sent + spacing);
        self.blocked_until.max(spaced)
    }

    fn send(&mut self, now: Instant) {
        self.in_flight += 1;
        self.last_sent = Some(now);
    }

    fn learn(&mut self, load: &Load) {
        self.remaining = load.remaining.or(self.remaining);
    }

    /// `blocks` is what the request knew: an answer to one sent before the last block proves nothing.
    fn succeed(&mut self, limits: &RetryLimits, blocks: u64, load: &Load) {
        self.learn(load);
        if blocks != self.blocks {
            return;
        }
        self.refusals = 0;
        self.spacing /= 2;
        if self.spacing <= limits.base_wait / 16 {
            self.spacing = Duration::ZERO;
            self.careful = false;
        }
    }

    /// Blocks, and returns whether for longer than before. Requests that were in flight together are
    /// refused together: the first of them makes the block, the others only extend it.
    fn block(&mut self, limits: &RetryLimits, blocks: u64, until: Instant, asked: Asked) -> bool {
        if blocks == self.blocks {
            self.blocks += 1;
            self.careful = true;
            let doubled = self.spacing.saturating_mul(2).min(limits.max_spacing);
            self.spacing = doubled.max(limits.base_wait);
        }
        let extended = self.blocked_until < Some(until);
        if extended {
            self.blocked_until = Some(until);
            self.asked = Some(asked);
        }
        extended
    }
}

/// Returns `base_wait * (10 - remaining) / 5`: none from ten up, twice `base_wait` at nothing.
fn quota_spacing(limits: &RetryLimits, remaining: Option<u64>) -> Duration {
    let missing = remaining.map_or(0, |remaining| SCARCE.saturating_sub(remaining));
    let missing = u32::try_from(missing).unwrap_or_default();
    limits.base_wait.saturating_mul(missing) / 5
}
