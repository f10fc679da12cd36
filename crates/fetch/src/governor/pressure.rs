//! What the headers of an answer say about the budgets that its request was counted in.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

use crate::retry;

/// What an answer says about its budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) client: Load,
    pub(crate) entity: Load,
}

/// What an answer says about one budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// The longest wait that is asked for, before any cap.
    pub(crate) asked_wait: Option<Duration>,
    /// The least number of requests that are left.
    pub(crate) remaining: Option<u64>,
}

impl Pressure {
    /// Reads retry and quota headers; `now` counts where the answer has no `Date`.
    ///
    /// A name with `entity` is about the entity, every other one about the client.
    pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let now = retry::date(headers).unwrap_or(now);
        let mut pressure = Self::default();
        for (name, value) in headers {
            let Ok(text) = value.to_str() else { continue };
            let load = match name.as_str().contains("entity") {
                true => &mut pressure.entity,
                false => &mut pressure.client,
            };
            if name.as_str().contains("retry-after") {
                load.asked_wait = load.asked_wait.max(retry::parse_wait(text.trim(), now));
            } else if is_quota(name.as_str()) {
                let known = load.remaining.into_iter();
                load.remaining = known.chain(least_remaining(text)).min();
            }
        }
        pressure
    }

    /// The longest wait that is asked for, before any cap.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        self.client.asked_wait.max(self.entity.asked_wait)
    }
}

fn is_quota(name: &str) -> bool {
    name.starts_with("x-ms-ratelimit-") && name.contains("remaining")
}

/// Returns the least of `7`, `DefaultQuota:7` or `QueriesPerHour:597,QueriesPer10Sec:9`; `None` if
/// none of the numbers is readable.
fn least_remaining(text: &str) -> Option<u64> {
    let number = |part: &str| part.rsplit(':').next()?.trim().parse().ok();
    text.split(',').filter_map(number).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::headers_of;

    const CM: &str = "x-ms-ratelimit-remaining-microsoft.costmanagement";

    fn read(lines: &[(&str, &str)]) -> Pressure {
        Pressure::read(&headers_of(lines), "2025-01-01T00:00:00Z".parse().unwrap())
    }

    fn asked(lines: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let pressure = read(lines);
        let seconds = |load: Load| load.asked_wait.map(|wait| wait.as_secs());
        (seconds(pressure.client), seconds(pressure.entity))
    }

    #[test]
    fn entity_headers_are_about_the_entity_and_others_about_the_client() {
        let entity = ("x-ms-ratelimit-microsoft.costmanagement-entity-retry-after", "7");
        for name in [
            "Retry-After",
            "x-ms-ratelimit-microsoft.consumption-retry-after",
            "x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after",
            "x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after",
            "x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after",
            "x-ms-ratelimit-microsoft.costmanagement-client-retry-after",
        ] {
            assert_eq!(asked(&[(name, "9"), entity]), (Some(9), Some(7)), "{name}");
            assert_eq!(asked(&[(name, "soon"), entity]), (None, Some(7)), "{name}");
        }
        assert_eq!(asked(&[("Retry-After", "3"), ("Retry-After", "8")]), (Some(8), None));
        assert_eq!(
            read(&[("Retry-After", "3"), entity]).asked_wait(),
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn the_least_quota_of_a_budget_counts() {
        let (entity, tenant) = (format!("{CM}-entity-requests"), format!("{CM}-tenant-requests"));
        let lines = [
            (entity.as_str(), "DefaultQuota:7, Other:3"),
            (tenant.as_str(), "DefaultQuota:49"),
            (
                "x-ms-ratelimit-microsoft.costmanagement-qpu-remaining",
                "QueriesPerHour:597,QueriesPerMin:57,QueriesPer10Sec:9",
            ),
            ("x-ms-ratelimit-remaining-tenant-writes", "1199"),
        ];
        let pressure = read(&lines);
        assert_eq!((pressure.client.remaining, pressure.entity.remaining), (Some(9), Some(3)));
        assert_eq!(read(&lines[3..]).client.remaining, Some(1199));
    }

    #[test]
    fn unreadable_quotas_say_nothing() {
        let name = format!("{CM}-tenant-requests");
        let digits = "9".repeat(10_000);
        for value in ["", "DefaultQuota:", "many", "-1", "1.5", digits.as_str()] {
            assert_eq!(read(&[(name.as_str(), value)]), Pressure::default(), "{value}");
        }
        assert_eq!(read(&[(name.as_str(), "many,4")]).client.remaining, Some(4));
    }
}
