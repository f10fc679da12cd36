//! What earlier pulls of a month brought: the ground for deciding whether it has settled, and for what to
//! expect of the next one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use costlake_model::{BillingPeriod, Metric};
use serde::{Deserialize, Serialize};

use super::wire::{self, FORMAT_VERSION};

/// How many pulls are remembered.
const MOST_PULLS: usize = 12;
/// Azure refreshes its data about every four hours: a pull sooner than that proves nothing.
const REFRESH: TimeDelta = TimeDelta::hours(4);
/// Until the fifth day of the next month Azure still adds late usage to a month (`cost-data.md`).
const LATE_USAGE: TimeDelta = TimeDelta::days(5);

/// The last pulls of a month, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthHistory {
    /// The pulls.
    pub pulls: Vec<Pull>,
}

/// One pull of a month that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its name: runs that go on after each other are one pull.
    pub pull: String,
    /// When its last run began, UTC.
    pub at: DateTime<Utc>,
    /// Its reports.
    pub reports: Vec<PulledReport>,
}

/// A report of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledReport {
    /// Its view.
    pub metric: Metric,
    /// What was published: the SHA-256 of its line items.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes, decompressed.
    pub bytes: u64,
    /// How long Azure worked on it.
    pub waited: Duration,
    /// Into how many parts it was split; 1 if it was not.
    pub parts: u32,
    /// Whether some of its charges are of days outside the month, which no part would have.
    pub has_other_days: bool,
}

/// For how long a report has been what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stability {
    /// Pulls in a row that brought nothing new. Only those count that prove something: after late usage
    /// has come in, and apart by as long as Azure takes to refresh.
    pub pulls: u32,
    /// From the pull that brought it, or from when late usage had come in, to the newest pull.
    pub time: TimeDelta,
}

impl MonthHistory {
    /// Adds a pull, in place of what is known of it, and forgets the oldest if there are many.
    pub(super) fn add(&mut self, pull: Pull) {
        self.pulls.retain(|known| known.pull != pull.pull);
        self.pulls.push(pull);
        let surplus = self.pulls.len().saturating_sub(MOST_PULLS);
        self.pulls.drain(..surplus);
    }

    /// The reports of a metric, newest first, with the start of their pulls.
    fn reports(&self, metric: Metric) -> impl Iterator<Item = (DateTime<Utc>, &PulledReport)> {
        let pulls = self.pulls.iter().rev();
        let reports = pulls.flat_map(|pull| pull.reports.iter().map(|report| (pull.at, report)));
        reports.filter(move |(_, report)| report.metric == metric)
    }

    /// The newest report of a metric.
    pub fn last_report(&self, metric: Metric) -> Option<&PulledReport> {
        self.reports(metric).map(|(_, report)| report).next()
    }

    /// Whether any pull of a metric had charges of days outside the month.
    pub fn has_other_days(&self, metric: Metric) -> bool {
        self.reports(metric).any(|(_, report)| report.has_other_days)
    }

    /// For how long the report of a metric has been what it is. What is dated after `now` proves nothing.
    pub fn stability(&self, month: BillingPeriod, metric: Metric, now: DateTime<Utc>) -> Stability {
        let mut reports = self.reports(metric).filter(|(at, _)| *at <= now);
        let Some((newest, report)) = reports.next() else { return Stability::default() };
        let same = reports.take_while(|(_, earlier)| earlier.sha256 == report.sha256);
        let same: Vec<DateTime<Utc>> = std::iter::once(newest).chain(same.map(|s| s.0)).collect();
        // The first of them brought it.
        let Some((brought, since)) = same.split_last() else { return Stability::default() };
        let mut counted: Option<DateTime<Utc>> = None;
        let mut pulls = 0;
        for at in since.iter().copied().filter(|at| *at >= final_from(month)) {
            if counted.is_none_or(|later| later - at >= REFRESH) {
                counted = Some(at);
                pulls += 1;
            }
        }
        let time = newest - final_from(month).max(*brought);
        Stability { pulls, time: time.max(TimeDelta::zero()) }
    }
}

/// When all usage of a month is in, as a rule.
fn final_from(month: BillingPeriod) -> DateTime<Utc> {
    let end = month.next().first_day().and_time(chrono::NaiveTime::MIN).and_utc();
    end + LATE_USAGE
}

#[derive(Serialize, Deserialize)]
struct HistoryFile {
    format_version: u32,
    pulls: Vec<PullFile>,
}

#[derive(Serialize, Deserialize)]
struct PullFile {
    pull: String,
    at: String,
    reports: Vec<ReportFile>,
}

#[derive(Serialize, Deserialize)]
struct ReportFile {
    metric: String,
    sha256: String,
    rows: u64,
    bytes: u64,
    waited_seconds: u64,
    parts: u32,
    has_other_days: bool,
}

pub(super) fn write(history: &MonthHistory) -> Vec<u8> {
    let report = |report: &PulledReport| ReportFile {
        metric: report.metric.name().to_owned(),
        sha256: report.sha256.clone(),
        rows: report.rows,
        bytes: report.bytes,
        waited_seconds: report.waited.as_secs(),
        parts: report.parts,
        has_other_days: report.has_other_days,
    };
    let pull = |pull: &Pull| PullFile {
        pull: pull.pull.clone(),
        at: wire::time(pull.at),
        reports: pull.reports.iter().map(report).collect(),
    };
    let pulls = history.pulls.iter().map(pull).collect();
    wire::pretty(&HistoryFile { format_version: FORMAT_VERSION, pulls })
}

pub(super) fn parse(bytes: &[u8]) -> Result<MonthHistory, String> {
    let file: HistoryFile = wire::parse(bytes)?;
    let pulls = file.pulls.into_iter().map(PullFile::into_pull).collect::<Result<_, _>>()?;
    Ok(MonthHistory { pulls })
}

impl PullFile {
    fn into_pull(self) -> Result<Pull, String> {
        let report = |file: ReportFile| {
            Ok(PulledReport {
                metric: file.metric.parse().map_err(|_| "a metric is none")?,
                sha256: file.sha256,
                rows: file.rows,
                bytes: file.bytes,
                waited: Duration::from_secs(file.waited_seconds),
                parts: file.parts,
                has_other_days: file.has_other_days,
            })
        };
        Ok(Pull {
            pull: self.pull,
            at: wire::parse_time(&self.at)?,
            reports: self.reports.into_iter().map(report).collect::<Result<_, String>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(metric: Metric, sha256: &str) -> PulledReport {
        PulledReport {
            metric,
            sha256: sha256.to_owned(),
            rows: 7,
            bytes: 9,
            waited: Duration::from_secs(61),
            parts: 2,
            has_other_days: true,
        }
    }

    fn history(pulls: &[(&str, &str)]) -> MonthHistory {
        let pull = |(at, sha256): &(&str, &str)| Pull {
            pull: (*at).to_owned(),
            at: at.parse().unwrap(),
            reports: vec![report(Metric::Actual, sha256)],
        };
        MonthHistory { pulls: pulls.iter().map(pull).collect() }
    }

    fn stable(pulls: &[(&str, &str)]) -> (u32, i64) {
        let (month, now) = ("2025-06".parse().unwrap(), "2025-08-01T00:00:00Z".parse().unwrap());
        let stability = history(pulls).stability(month, Metric::Actual, now);
        (stability.pulls, stability.time.num_days())
    }

    #[test]
    fn pulls_count_when_they_prove_something() {
        assert_eq!(stable(&[]), (0, 0));
        assert_eq!(stable(&[("2025-07-20T03:00:00Z", "a")]), (0, 0));
        // Before late usage is in, nothing is proven.
        assert_eq!(stable(&[("2025-07-02T03:00:00Z", "a"), ("2025-07-05T03:00:00Z", "a")]), (0, 0));
        assert_eq!(
            stable(&[
                ("2025-07-02T03:00:00Z", "a"),
                ("2025-07-06T03:00:00Z", "a"),
                ("2025-07-07T03:00:00Z", "a"),
            ]),
            (2, 1)
        );
        // Three pulls of one hour are one.
        assert_eq!(
            stable(&[
                ("2025-07-10T03:00:00Z", "a"),
                ("2025-07-21T03:00:00Z", "a"),
                ("2025-07-21T03:30:00Z", "a"),
                ("2025-07-21T04:00:00Z", "a"),
            ]),
            (1, 11)
        );
        assert_eq!(stable(&[("2025-07-10T03:00:00Z", "a"), ("2025-07-21T03:00:00Z", "b")]), (0, 0));
        // The clock of that run was ahead.
        assert_eq!(stable(&[("2025-07-10T03:00:00Z", "a"), ("2026-07-21T03:00:00Z", "a")]), (0, 0));
    }

    #[test]
    fn each_metric_has_a_history_of_its_own() {
        let (month, now) = ("2025-06".parse().unwrap(), "2025-08-01T00:00:00Z".parse().unwrap());
        let mut history = history(&[("2025-07-10T03:00:00Z", "a"), ("2025-07-21T03:00:00Z", "a")]);
        history.pulls[0].reports.push(report(Metric::Amortized, "b"));
        assert_eq!(history.stability(month, Metric::Actual, now).pulls, 1);
        assert_eq!(history.stability(month, Metric::Amortized, now).pulls, 0);
    }

    #[test]
    fn files_are_read_as_they_were_written() {
        let mut written = history(&[("2025-07-10T03:00:00Z", "a")]);
        for number in 0..20 {
            written.add(Pull { pull: number.to_string(), ..written.pulls[0].clone() });
            written.add(Pull { pull: number.to_string(), ..written.pulls[0].clone() });
        }
        assert_eq!(written.pulls.len(), MOST_PULLS);
        assert_eq!(parse(&write(&written)).unwrap(), written);
        assert_eq!(written.last_report(Metric::Actual), Some(&report(Metric::Actual, "a")));
        assert_eq!(written.last_report(Metric::Amortized), None);
        for wrong in ["", "{}", "[]", r#"{"format_version":1}"#] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
