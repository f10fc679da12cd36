//! The body of `generateCostDetailsReport` and the documented reasons to refuse it.
//!
//! | body | period |
//! |---|---|
//! | `{}` | the open month |
//! | `{"billingPeriod": "202505"}` | that month |
//! | `{"timePeriod": {"start": "2025-05-01", "end": "2025-05-15"}}` | these days, the last one included |

use super::replies::{Refused, arm_error};
use crate::generator::{EnrollmentConfig, Metric, Month};
use chrono::{Months, NaiveDate};
use serde::Deserialize;

const INVALID: &str = "Invalid Request Payload";
const TOO_MANY_PERIODS: &str =
    "Invalid request payload: can only have either timePeriod or invoiceId or billingPeriod";
const TOO_LONG: &str = "The maximum allowed date range is 1 months";

/// What a report covers.
pub(super) struct ReportRequest {
    pub(super) metric: Metric,
    /// First and last day, both included, UTC.
    pub(super) days: (NaiveDate, NaiveDate),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    metric: Option<String>,
    time_period: Option<TimePeriod>,
    billing_period: Option<String>,
    invoice_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimePeriod {
    start: String,
    end: String,
}

/// Reads and checks a body; a report may start so many months before the open one.
pub(super) fn parse(
    body: &[u8],
    enrollment: &EnrollmentConfig,
    months_back: u32,
) -> Result<ReportRequest, Refused> {
    let body: Body = serde_json::from_slice(body).map_err(|_| bad_request(INVALID))?;
    let metric = parse_metric(body.metric.as_deref()).ok_or_else(|| bad_request(INVALID))?;
    let periods =
        [body.time_period.is_some(), body.billing_period.is_some(), body.invoice_id.is_some()];
    if periods.into_iter().filter(|given| *given).count() > 1 {
        return Err(bad_request(TOO_MANY_PERIODS));
    }
    // Invoice ids select Customer Agreement reports; an enrollment has none.
    if body.invoice_id.is_some() {
        return Err(bad_request(INVALID));
    }
    let days = match (body.time_period, body.billing_period) {
        (Some(period), _) => time_period(&period)?,
        (None, Some(month)) => whole_month(month.parse().map_err(|_| bad_request(INVALID))?),
        (None, None) => whole_month(enrollment.current_month()),
    };
    check_age(days.0, enrollment, months_back)?;
    Ok(ReportRequest { metric, days })
}

fn parse_metric(metric: Option<&str>) -> Option<Metric> {
    match metric {
        None => Some(Metric::ActualCost),
        Some(name) if name.eq_ignore_ascii_case(Metric::ActualCost.name()) => {
            Some(Metric::ActualCost)
        }
        Some(name) if name.eq_ignore_ascii_case(Metric::AmortizedCost.name()) => {
            Some(Metric::AmortizedCost)
        }
        Some(_) => None,
    }
}

fn time_period(period: &TimePeriod) -> Result<(NaiveDate, NaiveDate), Refused> {
    let day =
        |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| bad_request(INVALID));
    let (start, end) = (day(&period.start)?, day(&period.end)?);
    if end < start {
        return Err(bad_request(INVALID));
    }
    if end >= start + Months::new(1) {
        return Err(bad_request(TOO_LONG));
    }
    Ok((start, end))
}

fn whole_month(month: Month) -> (NaiveDate, NaiveDate) {
    (month.first_day(), month.last_day())
}

fn check_age(
    start: NaiveDate,
    enrollment: &EnrollmentConfig,
    months_back: u32,
) -> Result<(), Refused> {
    let oldest = enrollment.current_month().minus(months_back).first_day();
    if start >= oldest {
        return Ok(());
    }
    let before_oldest = oldest.pred_opt().unwrap_or(oldest);
    Err(bad_request(&format!("Start date must be after {before_oldest}")))
}

fn bad_request(message: &str) -> Refused {
    Box::new(arm_error(400, "BadRequest", message))
}
