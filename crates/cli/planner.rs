//! Which months a run pulls, which it leaves alone, and what to expect (`docs/fetching.md`, "Which months").

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use costlake_fetch::Splitting;
use costlake_fetch::journal::{Journal, MonthHistory, PulledReport, ReportKey, Stability, State};
use costlake_model::{BillingPeriod, Partition, Scope, TimePeriod};
use costlake_sink::Lake;

use crate::config::Plan;
use crate::error::Error;
use crate::rollups::line_items;

/// When a closed month is left alone, and when a report is asked for in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// A closed month has settled after so many pulls in a row that brought nothing new.
    pub settle_pulls: u32,
    /// Or after so long without anything new.
    pub settle_for: TimeDelta,
    /// More rows than this are not asked for in one report.
    pub split_above_rows: u64,
    /// More bytes than this are not asked for in one report.
    pub split_above_bytes: u64,
    /// Every month is pulled.
    pub force: bool,
}

impl Default for Policy {
    /// The sizes are Azure's advice (`azure-apis.md`, 1): about 2 million rows, 2 GB.
    fn default() -> Self {
        Self {
            settle_pulls: 3,
            settle_for: TimeDelta::days(10),
            split_above_rows: 2_000_000,
            split_above_bytes: 2 << 30,
            force: false,
        }
    }
}

/// A month of a scope, and what is to become of it.
pub(crate) struct PlannedMonth {
    /// The scope.
    pub scope: Scope,
    /// The month.
    pub period: BillingPeriod,
    /// What is to become of it.
    pub decision: Decision,
    /// Its reports.
    pub reports: Vec<PlannedReport>,
}

/// What is to become of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Pulled: it is not over yet.
    Open,
    /// Pulled: the lake does not have all that was asked for.
    Missing,
    /// Pulled: it may still move.
    Settling,
    /// Pulled: that is wanted.
    Forced,
    /// Left alone: it has not moved for so many pulls.
    Settled {
        /// Pulls in a row that brought nothing new.
        pulls: u32,
        /// Days over which they did.
        days: i64,
    },
    /// Left alone: the pull that goes on has put it in place.
    Done,
    /// Left alone: the pull that goes on has found that there is no data.
    Empty,
}

/// A report that would be asked for.
pub(crate) struct PlannedReport {
    /// Which report.
    pub key: ReportKey,
    /// The parts that it may be asked for in.
    pub splitting: Splitting,
    /// What the last pull brought.
    pub last: Option<PulledReport>,
    /// For how long it has been that.
    pub stability: Stability,
    /// When it was asked for, if an earlier run did and it is gone on with. UTC.
    pub asked_at: Option<DateTime<Utc>>,
    /// Rows and bytes of the partition that is replaced.
    pub replaces: Option<(u64, u64)>,
}

impl Decision {
    /// Whether the month is pulled.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Self::Open | Self::Missing | Self::Settling | Self::Forced)
    }

    /// Its name for machines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Missing => "missing",
            Self::Settling => "settling",
            Self::Forced => "forced",
            Self::Settled { .. } => "settled",
            Self::Done => "done",
            Self::Empty => "no_data",
        }
    }

    /// Why, for people.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Open => "the month is open".to_owned(),
            Self::Missing => "the lake does not have it".to_owned(),
            Self::Settling => "the month may still move".to_owned(),
            Self::Forced => "--force".to_owned(),
            Self::Settled { pulls, days } => {
                format!("settled: nothing new in {pulls} pulls over {days} days")
            }
            Self::Done => "done by the pull that goes on".to_owned(),
            Self::Empty => "the pull that goes on has found no data".to_owned(),
        }
    }
}

impl PlannedMonth {
    /// How long Azure may take for it, going by the last pull.
    pub(crate) fn expected_wait(&self) -> Option<Duration> {
        self.reports.iter().filter_map(|report| Some(report.last.as_ref()?.waited)).max()
    }
}

impl PlannedReport {
    /// Where its line items go.
    pub(crate) fn partition(&self) -> Partition {
        line_items(self.key.metric, self.key.month, &self.key.scope.slug())
    }
}

/// Decides about every month of a plan, by scope and month.
///
/// # Errors
/// A lake or a journal that cannot be read.
pub(crate) async fn months(
    plan: &Plan,
    lake: Option<&Lake>,
    journal: Option<&Journal>,
    now: DateTime<Utc>,
) -> Result<Vec<PlannedMonth>, Error> {
    let mut months = Vec::new();
    for scope in &plan.scopes {
        for period in &plan.periods {
            let history = match journal {
                Some(journal) => journal.history(&scope.slug(), *period).await?,
                None => MonthHistory::default(),
            };
            let mut reports = Vec::new();
            for metric in &plan.metrics {
                let key =
                    ReportKey { scope: scope.clone(), month: *period, metric: *metric, days: None };
                let asked_at = match journal {
                    Some(journal) => asked_at(plan, journal, &key, now).await?,
                    None => None,
                };
                let report = report(plan, lake, &history, key, now).await?;
                reports.push(PlannedReport { asked_at, ..report });
            }
            let decision = match done(journal, &reports).await? {
                Some(decision) => decision,
                None => decide(&plan.policy, *period, &reports, now),
            };
            months.push(PlannedMonth { scope: scope.clone(), period: *period, decision, reports });
        }
    }
    Ok(months)
}

async fn report(
    plan: &Plan,
    lake: Option<&Lake>,
    history: &MonthHistory,
    key: ReportKey,
    now: DateTime<Utc>,
) -> Result<PlannedReport, Error> {
    let (month, metric) = (key.month, key.metric);
    let manifest = match lake {
        Some(lake) => lake.manifest(&line_items(metric, month, &key.scope.slug())).await?,
        None => None,
    };
    let last = history.last_report(metric).cloned();
    // No part would have charges of days outside the month.
    let is_allowed = !history.has_other_days(metric);
    let parts = match &last {
        Some(last) if is_allowed => parts(&plan.policy, month, last),
        _ => Vec::new(),
    };
    Ok(PlannedReport {
        splitting: Splitting { parts, is_allowed },
        stability: history.stability(month, metric, now),
        asked_at: None,
        key,
        last,
        replaces: manifest.map(|manifest| (manifest.object.rows, manifest.object.bytes)),
    })
}

/// When a report was asked for that is still on its way.
async fn asked_at(
    plan: &Plan,
    journal: &Journal,
    key: &ReportKey,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let entry = journal.entry(key, now).await?;
    let is_on_its_way = matches!(
        entry.state,
        State::Polling | State::Completed | State::Downloading | State::Converted | State::Failed
    );
    let is_known = entry.operation.is_some() && !plan.policy.force;
    let is_young = |at: &DateTime<Utc>| now.signed_duration_since(*at) < plan.reuse;
    Ok(entry.submitted_at.filter(is_young).filter(|_| is_on_its_way && is_known))
}

/// What the pull that goes on has made of a month already.
async fn done(
    journal: Option<&Journal>,
    reports: &[PlannedReport],
) -> Result<Option<Decision>, Error> {
    let Some(journal) = journal else { return Ok(None) };
    let mut decision = Decision::Empty;
    for report in reports {
        let entry = journal.entry(&report.key, Utc::now()).await?;
        match entry.state {
            _ if entry.pull != journal.pull() => return Ok(None),
            State::Published => decision = Decision::Done,
            State::NoData => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(decision))
}

fn decide(
    policy: &Policy,
    month: BillingPeriod,
    reports: &[PlannedReport],
    now: DateTime<Utc>,
) -> Decision {
    if policy.force {
        return Decision::Forced;
    }
    if month >= BillingPeriod::of(now.date_naive()) {
        return Decision::Open;
    }
    if reports.iter().any(|report| report.replaces.is_none()) {
        return Decision::Missing;
    }
    let has_settled = |report: &PlannedReport| {
        let Stability { pulls, time } = report.stability;
        pulls >= policy.settle_pulls || (pulls > 0 && time >= policy.settle_for)
    };
    let least = reports.iter().map(|report| report.stability).min_by_key(|s| (s.pulls, s.time));
    match least {
        Some(Stability { pulls, time }) if reports.iter().all(has_settled) => {
            Decision::Settled { pulls, days: time.num_days() }
        }
        _ => Decision::Settling,
    }
}

/// The parts that a report is asked for in, if its last pull was larger than what Azure advises: the coarsest
/// that are small enough, going by the average of a day.
fn parts(policy: &Policy, month: BillingPeriod, last: &PulledReport) -> Vec<TimePeriod> {
    let whole = TimePeriod::from(month);
    let is_small = |part: &TimePeriod| {
        let share = |all: u64| all / u64::from(whole.days()) * u64::from(part.days());
        share(last.rows) <= policy.split_above_rows && share(last.bytes) <= policy.split_above_bytes
    };
    let mut parts = vec![whole];
    while parts.iter().any(|part| !is_small(part)) {
        let finer: Vec<TimePeriod> = parts.iter().flat_map(|part| part.split()).collect();
        if finer.is_empty() {
            break;
        }
        parts = finer;
    }
    if parts.len() > 1 { parts } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use costlake_model::Metric;

    use super::*;

    fn last(rows: u64, bytes: u64) -> PulledReport {
        PulledReport {
            metric: Metric::Actual,
            sha256: String::new(),
            rows,
            bytes,
            waited: Duration::from_secs(60),
            parts: 1,
            has_other_days: false,
        }
    }

    #[test]
    fn reports_larger_than_advised_are_asked_for_in_parts() {
        let month: BillingPeriod = "2025-07".parse().unwrap();
        let count = |last: &PulledReport| parts(&Policy::default(), month, last).len();
        assert_eq!(count(&last(2_000_000, 1 << 30)), 0);
        assert_eq!(count(&last(3_000_000, 1 << 30)), 2);
        assert_eq!(count(&last(1_000, 3 << 30)), 2);
        assert_eq!(count(&last(7_000_000, 1 << 30)), 4);
        assert_eq!(count(&last(60_000_000, 1 << 30)), 31);
        assert_eq!(count(&last(900_000_000, 1 << 30)), 31);
        for last in [last(3_000_000, 1), last(7_000_000, 1), last(60_000_000, 1)] {
            let parts = parts(&Policy::default(), month, &last);
            assert!(TimePeriod::from(month).is_tiled_by(&parts));
        }
    }

    #[test]
    fn months_are_pulled_until_all_their_metrics_have_settled() {
        let now: DateTime<Utc> = "2025-08-20T03:00:00Z".parse().unwrap();
        let report = |pulls, days, is_there: bool| PlannedReport {
            key: ReportKey {
                scope: "/subscriptions/a".parse().unwrap(),
                month: "2025-07".parse().unwrap(),
                metric: Metric::Actual,
                days: None,
            },
            splitting: Splitting { parts: Vec::new(), is_allowed: true },
            last: None,
            stability: Stability { pulls, time: TimeDelta::days(days) },
            asked_at: None,
            replaces: is_there.then_some((1, 1)),
        };
        let decide = |month: &str, reports: &[PlannedReport], force| {
            let policy = Policy { force, ..Policy::default() };
            decide(&policy, month.parse().unwrap(), reports, now)
        };
        let settled = || report(3, 2, true);
        assert_eq!(decide("2025-08", &[settled()], false), Decision::Open);
        assert_eq!(decide("2025-07", &[settled()], true), Decision::Forced);
        assert_eq!(
            decide("2025-07", &[settled(), report(1, 11, true)], false),
            Decision::Settled { pulls: 1, days: 11 }
        );
        assert_eq!(decide("2025-07", &[settled(), report(9, 9, false)], false), Decision::Missing);
        for moving in [report(0, 0, true), report(2, 9, true), report(0, 20, true)] {
            assert_eq!(decide("2025-07", &[settled(), moving], false), Decision::Settling);
        }
    }
}
