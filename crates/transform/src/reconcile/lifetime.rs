//! When a commitment began and ends, as far as the lake can tell.
//!
//! No column says it. A running commitment has shares every day, used or unused, and that decides:
//!
//! | the lake has | so |
//! |---|---|
//! | no purchase, or a share before the first one | it was bought before: nothing more is known |
//! | a purchase paid at once | it begins that day |
//! | another purchase, and days or a month before it that show nothing | it begins that day |
//! | another purchase, and nothing before it | it may be a later instalment: bought before |
//! | a refund, no purchase and no share after it, but later days | all was given back: it ends that day |
//! | a purchase on the day of the end, or later | it was renewed for another term |

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Months, NaiveDate};
use costlake_model::{BillingPeriod, Metric};

/// Where in its life a commitment is at the end of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its purchase is in the lake, its end is not reached or not known.
    Active,
    /// Its purchase is in the lake, its last day has passed.
    Ended,
    /// Its purchase is not in the lake.
    BoughtBefore,
}

impl State {
    /// The name in the column `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::BoughtBefore => "bought_before",
        }
    }
}

/// Returns the months of a term as Azure spells it: `12`, `P1Y`, `1 Year`, `3 Years`, `1Year`. Case does not matter.
/// `None` for anything else.
pub fn term_months(text: &str) -> Option<u16> {
    let text = text.trim().to_ascii_lowercase();
    let number = |digits: &str| {
        let is_number =
            (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|number| is_number && *number > 0)
    };
    if let Some(months) = number(&text) {
        return Some(months);
    }
    let years = match text.strip_prefix('p') {
        Some(rest) => rest.strip_suffix('y'),
        None => text.strip_suffix("years").or_else(|| text.strip_suffix("year")).map(str::trim_end),
    };
    number(years?).map(|years| years * 12)
}

/// What is known of a commitment to date.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) first_purchase: Option<NaiveDate>,
    /// Whether a purchase of the first day, or of its month, was paid at once.
    pub(super) is_paid_at_once: bool,
    pub(super) last_purchase: Option<NaiveDate>,
    pub(super) last_refund: Option<NaiveDate>,
    pub(super) first_share: Option<NaiveDate>,
    pub(super) last_share: Option<NaiveDate>,
    pub(super) term_months: Option<u16>,
}

/// The months of the lake to date, and how far they reach.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    metrics: BTreeMap<BillingPeriod, BTreeSet<Metric>>,
    /// The last charge date of the latest month.
    last_day: NaiveDate,
    /// The last day of which shares would be known.
    shares_to: Option<NaiveDate>,
}

/// A commitment in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) state: State,
    pub(super) start_date: Option<NaiveDate>,
    /// The day after the last.
    pub(super) end_date: Option<NaiveDate>,
    pub(super) remaining_days: Option<i64>,
    /// Whether the lake has both metrics of every month from the start on, so that sums to date are whole.
    pub(super) is_whole: bool,
}

impl Coverage {
    /// The latest month.
    pub(super) fn period(&self) -> Option<BillingPeriod> {
        self.metrics.last_key_value().map(|(period, _)| *period)
    }

    /// Adds the month after all others.
    pub(super) fn add(
        &mut self,
        period: BillingPeriod,
        metrics: BTreeSet<Metric>,
        last_charge_date: NaiveDate,
    ) {
        // Late charges lie in other months.
        self.last_day = last_charge_date.max(period.first_day()).min(period.last_day());
        if metrics.contains(&Metric::Amortized) {
            self.shares_to = Some(self.last_day);
        }
        self.metrics.insert(period, metrics);
    }

    fn has(&self, period: BillingPeriod, metric: Metric) -> bool {
        self.metrics.get(&period).is_some_and(|metrics| metrics.contains(&metric))
    }

    /// Whether a commitment that ran before that day would have left a share or an instalment in the lake: in the
    /// month before, or on the days before in its own month.
    fn would_show_before(&self, day: NaiveDate) -> bool {
        let period = BillingPeriod::of(day);
        let in_month_before = Metric::ALL.iter().any(|metric| self.has(period.previous(), *metric));
        in_month_before || (day > period.first_day() && self.has(period, Metric::Amortized))
    }

    /// Whether every month from one day to another has both metrics.
    fn is_whole_between(&self, first: NaiveDate, last: NaiveDate) -> bool {
        let is_between = |period: &BillingPeriod| {
            BillingPeriod::of(first) <= *period && *period <= BillingPeriod::of(last)
        };
        let whole = self.metrics.iter().filter(|(period, metrics)| {
            is_between(period) && Metric::ALL.iter().all(|metric| metrics.contains(metric))
        });
        i64::try_from(whole.count()).is_ok_and(|count| count > months_between(first, last))
    }

    /// Tells the life of a commitment at the end of the latest month.
    pub(super) fn lifetime(&self, facts: &Facts) -> Lifetime {
        let start_date = self.start(facts);
        let term_end = start_date.and_then(|start| end_of_term(start, facts));
        let end_date = match (term_end, self.given_back(facts)) {
            (Some(term_end), Some(given_back)) => Some(term_end.min(given_back)),
            (one, other) => one.or(other),
        };
        let next_day = day_after(self.last_day);
        let state = match (start_date, end_date) {
            (None, _) => State::BoughtBefore,
            (Some(_), Some(end)) if end <= next_day => State::Ended,
            (Some(_), _) => State::Active,
        };
        let last_day = end_date.map_or(self.last_day, |end| self.last_day.min(day_before(end)));
        Lifetime {
            state,
            start_date,
            end_date,
            remaining_days: end_date.map(|end| (end - next_day).num_days().max(0)),
            is_whole: start_date.is_some_and(|start| self.is_whole_between(start, last_day)),
        }
    }

    fn start(&self, facts: &Facts) -> Option<NaiveDate> {
        let first = facts.first_purchase?;
        let has_share_before = facts.first_share.is_some_and(|share| share < first);
        let is_first = facts.is_paid_at_once || self.would_show_before(first);
        (is_first && !has_share_before).then_some(first)
    }

    /// The day after the last, where the rest of the term was given back.
    fn given_back(&self, facts: &Facts) -> Option<NaiveDate> {
        let refund = facts.last_refund?;
        let goes_on = facts.last_purchase.max(facts.last_share) > Some(refund);
        let is_seen = self.shares_to > Some(refund);
        let day_after_share = facts.last_share.map_or(refund, day_after);
        (is_seen && !goes_on).then(|| refund.max(day_after_share))
    }
}

/// The end of the term in which the last purchase lies.
fn end_of_term(start: NaiveDate, facts: &Facts) -> Option<NaiveDate> {
    let term = u32::from(facts.term_months?);
    let last_purchase = facts.last_purchase.unwrap_or(start);
    let months = u32::try_from(months_between(start, last_purchase)).ok()?;
    let mut terms = months.checked_div(term)?.max(1);
    loop {
        let end = start.checked_add_months(Months::new(terms.checked_mul(term)?))?;
        if end > last_purchase {
            return Some(end);
        }
        terms += 1;
    }
}

/// Months from the month of a day to that of another.
fn months_between(start: NaiveDate, end: NaiveDate) -> i64 {
    let index = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
    index(end) - index(start)
}

/// The next day; the last one of the calendar is followed by itself.
fn day_after(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(day)
}

fn day_before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// A lake with both metrics of these months, all of them to their end.
    fn lake(periods: &[&str]) -> Coverage {
        let mut coverage = Coverage::default();
        for period in periods {
            let period: BillingPeriod = period.parse().unwrap();
            coverage.add(period, Metric::ALL.into(), period.last_day());
        }
        coverage
    }

    /// A commitment of a year, paid monthly from its first purchase to its last.
    fn bought(first: &str, last: &str, shares: [&str; 2]) -> Facts {
        Facts {
            first_purchase: Some(day(first)),
            last_purchase: Some(day(last)),
            first_share: Some(day(shares[0])),
            last_share: Some(day(shares[1])),
            term_months: Some(12),
            ..Facts::default()
        }
    }

    #[track_caller]
    fn check(coverage: &Coverage, facts: Facts, expected: &str) {
        let lifetime = coverage.lifetime(&facts);
        let text = |day: Option<NaiveDate>| day.map_or("?".to_owned(), |day| day.to_string());
        let remaining = lifetime.remaining_days.map_or("?".to_owned(), |days| days.to_string());
        let found = format!(
            "{} {} {} {remaining} {}",
            lifetime.state.name(),
            text(lifetime.start_date),
            text(lifetime.end_date),
            if lifetime.is_whole { "whole" } else { "in part" }
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn terms_are_read_as_azure_spells_them() {
        for (text, expected) in [
            ("12", Some(12)),
            ("36", Some(36)),
            ("P1Y", Some(12)),
            ("p3y", Some(36)),
            ("1 Year", Some(12)),
            ("3 Years", Some(36)),
            ("1Year", Some(12)),
            (" 5 years ", Some(60)),
            ("999 years", Some(11_988)),
            ("0", None),
            ("", None),
            ("Year", None),
            ("P1M", None),
            ("PY", None),
            ("+1", None),
            ("1.5 Years", None),
            ("1000", None),
            ("1 Month", None),
            ("One Year", None),
            ("ä Year", None),
        ] {
            assert_eq!(term_months(text), expected, "{text}");
        }
    }

    #[test]
    fn a_purchase_with_days_before_it_is_the_first() {
        let facts = bought("2025-01-10", "2025-01-10", ["2025-01-10", "2025-01-31"]);
        check(&lake(&["2025-01"]), facts, "active 2025-01-10 2026-01-10 343 whole");
        check(&lake(&["2024-12", "2025-01"]), facts, "active 2025-01-10 2026-01-10 343 whole");
    }

    #[test]
    fn an_instalment_on_the_first_day_of_the_lake_may_be_a_later_one() {
        let facts = bought("2025-01-01", "2025-01-01", ["2025-01-01", "2025-01-31"]);
        check(&lake(&["2025-01"]), facts, "bought_before ? ? ? in part");
        let at_once = Facts { is_paid_at_once: true, ..facts };
        check(&lake(&["2025-01"]), at_once, "active 2025-01-01 2026-01-01 334 whole");
        check(&lake(&["2024-12", "2025-01"]), facts, "active 2025-01-01 2026-01-01 334 whole");
        check(&lake(&["2024-11", "2025-01"]), facts, "bought_before ? ? ? in part");
    }

    #[test]
    fn shares_before_the_first_purchase_were_bought_before() {
        let facts = bought("2025-01-10", "2025-01-10", ["2025-01-01", "2025-01-31"]);
        check(&lake(&["2024-12", "2025-01"]), facts, "bought_before ? ? ? in part");
        let at_once = Facts { is_paid_at_once: true, ..facts };
        check(&lake(&["2025-01"]), at_once, "bought_before ? ? ? in part");
        let never_paid = Facts { first_purchase: None, last_purchase: None, ..facts };
        check(&lake(&["2025-01"]), never_paid, "bought_before ? ? ? in part");
    }

    #[test]
    fn a_month_without_shares_tells_of_instalments() {
        let mut coverage = Coverage::default();
        for period in ["2025-01", "2025-02"] {
            let period: BillingPeriod = period.parse().unwrap();
            coverage.add(period, [Metric::Actual].into(), period.last_day());
        }
        let facts = bought("2025-02-01", "2025-02-01", ["2025-02-01", "2025-02-28"]);
        let facts = Facts { first_share: None, last_share: None, ..facts };
        check(&coverage, facts, "active 2025-02-01 2026-02-01 337 in part");
    }

    #[test]
    fn a_missing_month_leaves_sums_in_part_until_long_after_the_end() {
        let facts = bought("2025-01-10", "2025-03-10", ["2025-01-10", "2025-03-31"]);
        check(&lake(&["2025-01", "2025-03"]), facts, "active 2025-01-10 2026-01-10 284 in part");
        let short = Facts {
            term_months: Some(1),
            last_purchase: Some(day("2025-01-10")),
            last_share: Some(day("2025-02-09")),
            ..facts
        };
        check(
            &lake(&["2025-01", "2025-02", "2025-04"]),
            short,
            "ended 2025-01-10 2025-02-10 0 whole",
        );
    }

    #[test]
    fn a_refund_after_which_shares_stop_is_the_end() {
        let facts = Facts {
            last_refund: Some(day("2025-02-14")),
            ..bought("2025-01-10", "2025-01-10", ["2025-01-10", "2025-02-13"])
        };
        check(&lake(&["2025-01", "2025-02"]), facts, "ended 2025-01-10 2025-02-14 0 whole");
        let shared_that_day = Facts { last_share: Some(day("2025-02-14")), ..facts };
        check(
            &lake(&["2025-01", "2025-02"]),
            shared_that_day,
            "ended 2025-01-10 2025-02-15 0 whole",
        );
        let in_part = Facts { last_share: Some(day("2025-02-28")), ..facts };
        check(&lake(&["2025-01", "2025-02"]), in_part, "active 2025-01-10 2026-01-10 315 whole");
        let exchanged = Facts { last_purchase: Some(day("2025-02-20")), ..facts };
        check(&lake(&["2025-01", "2025-02"]), exchanged, "active 2025-01-10 2026-01-10 315 whole");
        let before = Facts { first_purchase: None, last_purchase: None, ..facts };
        check(&lake(&["2025-02"]), before, "bought_before ? 2025-02-14 0 in part");
    }

    #[test]
    fn a_refund_on_the_last_day_is_told_apart_a_month_later() {
        let facts = Facts {
            last_refund: Some(day("2025-01-31")),
            ..bought("2025-01-10", "2025-01-10", ["2025-01-10", "2025-01-31"])
        };
        check(&lake(&["2025-01"]), facts, "active 2025-01-10 2026-01-10 343 whole");
        check(&lake(&["2025-01", "2025-02"]), facts, "ended 2025-01-10 2025-02-01 0 whole");
    }

    #[test]
    fn a_purchase_at_the_end_renews_the_term() {
        let facts = Facts {
            is_paid_at_once: true,
            term_months: Some(1),
            ..bought("2025-01-31", "2025-01-31", ["2025-01-31", "2025-02-27"])
        };
        let coverage = lake(&["2025-01", "2025-02", "2025-03"]);
        check(&coverage, facts, "ended 2025-01-31 2025-02-28 0 whole");
        let renewed = Facts { last_purchase: Some(day("2025-02-28")), ..facts };
        check(&coverage, renewed, "ended 2025-01-31 2025-03-31 0 whole");
        let later = Facts { last_purchase: Some(day("2025-03-31")), ..facts };
        check(&coverage, later, "active 2025-01-31 2025-04-30 29 whole");
    }

    #[test]
    fn days_remain_from_the_last_charge_of_an_open_month_on() {
        let mut coverage = lake(&["2025-01"]);
        let facts = Facts {
            is_paid_at_once: true,
            term_months: Some(1),
            ..bought("2025-01-10", "2025-01-10", ["2025-01-10", "2025-02-07"])
        };
        coverage.add("2025-02".parse().unwrap(), Metric::ALL.into(), day("2025-02-07"));
        check(&coverage, facts, "active 2025-01-10 2025-02-10 2 whole");
        let mut coverage = lake(&["2025-01"]);
        coverage.add("2025-02".parse().unwrap(), Metric::ALL.into(), day("2025-02-09"));
        check(&coverage, facts, "ended 2025-01-10 2025-02-10 0 whole");
    }

    #[test]
    fn an_unknown_term_has_no_end() {
        let facts = bought("2025-01-10", "2025-01-10", ["2025-01-10", "2025-01-31"]);
        let facts = Facts { term_months: None, ..facts };
        check(&lake(&["2025-01"]), facts, "active 2025-01-10 ? ? whole");
    }
}
