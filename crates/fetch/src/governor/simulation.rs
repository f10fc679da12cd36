//! The budgets against a model of Azure, on a clock that is a number: hours pass in no time.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::budgets::{Admission, Budgets, Hold};
use super::pressure::{Load, Pressure};
use crate::config::RetryLimits;
use crate::retry;

const LATENCY: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(10);
const PER_WINDOW: usize = 5;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn entity_wait(wait: Duration) -> Pressure {
    let entity = Load { asked_wait: Some(wait), remaining: None };
    Pressure { entity, ..Pressure::default() }
}

fn client_wait(wait: Duration) -> Pressure {
    let client = Load { asked_wait: Some(wait), remaining: None };
    Pressure { client, ..Pressure::default() }
}

fn remaining(remaining: u64) -> Pressure {
    let client = Load { asked_wait: None, remaining: Some(remaining) };
    Pressure { client, ..Pressure::default() }
}

/// Five requests per entity in ten seconds, then 429 until the window is over.
#[derive(Default)]
struct Azure {
    windows: BTreeMap<String, (Option<Instant>, usize)>,
}

impl Azure {
    fn asks(&mut self, entity: &str, now: Instant) -> Option<Duration> {
        let (begun, count) = self.windows.entry(entity.to_owned()).or_default();
        if begun.is_none_or(|begun| now >= begun + WINDOW) {
            (*begun, *count) = (Some(now), 0);
        }
        *count += 1;
        let left = begun.map(|begun| begun + WINDOW - now)?;
        (*count > PER_WINDOW).then(|| seconds(left.as_secs() + 1))
    }
}

enum Task {
    Asleep { until: Instant },
    InLine,
    InFlight { admission: Admission, answered_at: Instant, asked: Option<Duration> },
    Done,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    refusals: usize,
    most_attempts: u32,
    took: Duration,
}

/// Lets each request through to its end: `requests` tasks of one request for `entity`, `slots` in
/// flight at once.
fn simulate(requests: usize, slots: usize) -> Outcome {
    let (limits, start) = (RetryLimits::default(), Instant::now());
    let (mut budgets, mut azure, mut now) = (Budgets::new(limits), Azure::default(), start);
    let mut outcome = Outcome::default();
    let mut tasks: Vec<(u64, u32, Task)> =
        (0..requests).map(|_| (budgets.arrive(), 0, Task::Asleep { until: start })).collect();
    loop {
        let mut next: Option<Instant> = None;
        let mut soonest = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        for (arrival, _, task) in &mut tasks {
            match task {
                Task::Asleep { until } if *until <= now => {
                    budgets.wait_in_line(*arrival, "a");
                    *task = Task::InLine;
                }
                Task::InFlight { admission, answered_at, asked } if *answered_at <= now => {
                    let asked = asked.map(entity_wait);
                    let until = match &asked {
                        Some(pressure) => {
                            outcome.refusals += 1;
                            let refused = budgets.refused(admission, 429, pressure, 500, now);
                            refused.0.map(|wait| now + wait)
                        }
                        None => {
                            budgets.answered(admission, &Pressure::default());
                            None
                        }
                    };
                    budgets.leave(admission);
                    *task = until.map_or(Task::Done, |until| Task::Asleep { until });
                }
                _ => {}
            }
        }
        for (arrival, attempts, task) in &mut tasks {
            let in_flight = budgets.in_flight();
            if !matches!(task, Task::InLine) || in_flight >= slots {
                continue;
            }
            match budgets.try_admit(*arrival, now) {
                Ok(admission) => {
                    *attempts += 1;
                    outcome.most_attempts = outcome.most_attempts.max(*attempts);
                    let asked = azure.asks("a", now);
                    *task = Task::InFlight { admission, answered_at: now + LATENCY, asked };
                }
                Err(hold) => {
                    hold.until.filter(|until| *until > now).into_iter().for_each(&mut soonest)
                }
            }
        }
        for (_, _, task) in &tasks {
            match task {
                Task::Asleep { until } => soonest(*until),
                Task::InFlight { answered_at, .. } => soonest(*answered_at),
                Task::InLine | Task::Done => {}
            }
        }
        let Some(at) = next else { break };
        now = at;
    }
    assert!(tasks.iter().all(|(_, _, task)| matches!(task, Task::Done)), "nobody waits for ever");
    outcome.took = now - start;
    outcome
}

#[test]
fn eight_requests_that_start_together_burn_at_most_three_attempts() {
    for slots in [1, 4, 8] {
        let outcome = simulate(8, slots);
        assert!((1..=3).contains(&outcome.refusals), "{slots}: {outcome:?}");
        assert_eq!(outcome.most_attempts, 2, "{slots}");
        assert!(outcome.took >= WINDOW && outcome.took < seconds(20), "{slots}: {outcome:?}");
    }
}

#[test]
fn a_long_line_costs_few_attempts_and_no_request_all_of_its_own() {
    // Each window ends with the requests that are in flight together: one goes through, three do not.
    let outcome = simulate(60, 4);
    assert!(outcome.refusals <= 3 * (60 / PER_WINDOW), "{outcome:?}");
    assert!(outcome.most_attempts <= 3, "{outcome:?}");
    assert!(outcome.took < seconds(60 / 5 * 16), "{outcome:?}");
    assert_eq!(simulate(60, 1).most_attempts, 2);
}

/// Budgets under a clock that a test moves.
struct Desk {
    budgets: Budgets,
    start: Instant,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let now = Instant::now();
        Self { budgets: Budgets::new(RetryLimits::default()), start: now, now }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(millis);
        self
    }

    /// A new request that takes its chance at once and leaves the line if it has none.
    fn ask(&mut self, entity: &str) -> Result<Admission, Hold> {
        let arrival = self.budgets.arrive();
        self.budgets.wait_in_line(arrival, entity);
        let tried = self.budgets.try_admit(arrival, self.now);
        self.budgets.leave_line(arrival);
        tried
    }

    fn refuse(&mut self, admission: &Admission, pressure: &Pressure) {
        let _ = self.budgets.refused(admission, 429, pressure, 0, self.now);
        self.budgets.leave(admission);
    }

    fn succeed(&mut self, admission: &Admission) {
        self.succeed_with(admission, &Pressure::default());
    }

    fn succeed_with(&mut self, admission: &Admission, pressure: &Pressure) {
        self.budgets.answered(admission, pressure);
        self.budgets.leave(admission);
    }
}

#[test]
fn an_entity_header_stops_its_entity_alone() {
    let mut desk = Desk::new();
    let first = desk.ask("a").unwrap();
    desk.refuse(&first, &entity_wait(seconds(30)));
    let hold = desk.ask("a").unwrap_err();
    assert!(hold.by_entity);
    assert_eq!(hold.until, Some(desk.start + seconds(30)));
    assert!(desk.ask("b").is_ok());
    assert!(desk.at(29_999).ask("a").is_err());
    assert!(desk.at(30_000).ask("a").is_ok());
}

#[test]
fn a_client_header_stops_every_entity() {
    let mut desk = Desk::new();
    let first = desk.ask("a").unwrap();
    desk.refuse(&first, &client_wait(seconds(30)));
    for entity in ["a", "b"] {
        let hold = desk.ask(entity).unwrap_err();
        assert!(!hold.by_entity);
        assert_eq!(hold.until, Some(desk.start + seconds(30)));
    }
    assert!(desk.at(30_000).ask("b").is_ok());
    assert!(desk.at(60_000).ask("a").is_err(), "one at a time, and the first is not answered");
}

#[test]
fn spacing_halves_with_success_and_doubles_with_refusal() {
    let mut desk = Desk::new();
    let first = desk.ask("a").unwrap();
    desk.refuse(&first, &entity_wait(seconds(10)));
    let mut at = 10_000;
    for spacing in [500, 250, 125] {
        let admission = desk.at(at).ask("a").unwrap();
        desk.succeed(&admission);
        assert!(desk.at(at + spacing - 1).ask("a").is_err(), "{spacing}");
        at += spacing;
    }
    let fourth = desk.at(at).ask("a").unwrap();
    desk.succeed(&fourth);
    let together = [desk.ask("a"), desk.ask("a"), desk.ask("a")];
    assert!(together.iter().all(Result::is_ok), "free again");
    for refused in together.iter().flatten() {
        desk.refuse(refused, &entity_wait(seconds(1)));
    }
    for spacing in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        at += 1_000.max(spacing / 2) + 30_000;
        let admission = desk.at(at).ask("a").unwrap();
        assert!(desk.at(at + 60_000).ask("a").is_err(), "one at a time");
        desk.at(at).refuse(&admission, &entity_wait(seconds(1)));
        let doubled = (spacing * 2).min(30_000);
        assert_eq!(
            desk.ask("a").unwrap_err().until,
            Some(desk.now + Duration::from_millis(doubled))
        );
    }
}

#[test]
fn few_remaining_requests_are_spaced() {
    for (left, spacing) in [(0, 2_000), (5, 1_000), (9, 200), (10, 0), (1199, 0)] {
        let mut desk = Desk::new();
        let first = desk.ask("a").unwrap();
        desk.succeed_with(&first, &remaining(left));
        let second = desk.ask("b");
        assert_eq!(second.is_ok(), spacing == 0, "{left}");
        if let Err(hold) = second {
            assert_eq!(hold.until, Some(desk.start + Duration::from_millis(spacing)), "{left}");
            assert!(desk.at(spacing).ask("b").is_ok(), "{left}");
        }
    }
}

#[test]
fn the_first_to_come_is_the_first_to_go_and_none_waits_for_another_entity() {
    let mut desk = Desk::new();
    let blocked = desk.ask("a").unwrap();
    desk.refuse(&blocked, &entity_wait(seconds(30)));
    let arrivals: Vec<u64> = (0..4).map(|_| desk.budgets.arrive()).collect();
    for (arrival, entity) in arrivals.iter().zip(["a", "a", "b", "b"]) {
        desk.budgets.wait_in_line(*arrival, entity);
    }
    let (start, later) = (desk.start, desk.start + seconds(30));
    assert!(desk.budgets.try_admit(arrivals[3], start).is_err(), "the other of `b` came first");
    assert!(desk.budgets.try_admit(arrivals[2], start).is_ok());
    assert!(desk.budgets.try_admit(arrivals[3], start).is_ok());
    assert!(desk.budgets.try_admit(arrivals[1], later).is_err());
    assert!(desk.budgets.try_admit(arrivals[0], later).is_ok());
}

#[test]
fn a_refusal_without_a_header_holds_the_entity_and_a_503_nothing() {
    let mut desk = Desk::new();
    let first = desk.ask("a").unwrap();
    let silent = Pressure::default();
    let (wait, _) = desk.budgets.refused(&first, 503, &silent, 0, desk.now);
    assert_eq!(wait, None);
    assert!(desk.ask("a").is_ok());
    let (wait, _) = desk.budgets.refused(&first, 429, &silent, 0, desk.now);
    assert!(wait.is_some_and(|wait| wait <= seconds(1)));
    assert!(desk.ask("a").is_err());
    assert!(desk.ask("b").is_ok());
}

#[test]
fn a_request_that_was_let_through_before_a_block_knows_it() {
    let mut desk = Desk::new();
    let (first, second, other) =
        (desk.ask("a").unwrap(), desk.ask("a").unwrap(), desk.ask("b").unwrap());
    desk.refuse(&first, &entity_wait(seconds(30)));
    assert!(!desk.budgets.is_current(&second));
    assert!(desk.budgets.is_current(&other));
}

proptest! {
    #[test]
    fn jitter_never_undercuts_and_stays_small(millis in 0_u64..2_000_000, per_mille in 0_u32..=1000) {
        let limits = RetryLimits::default();
        let clamped = retry::clamped(&limits, Duration::from_millis(millis));
        let wait = retry::patient(&limits, Duration::from_millis(millis), per_mille);
        prop_assert!(wait >= clamped);
        prop_assert!(wait - clamped <= (clamped / 10).min(seconds(5)));
    }
}
