//! Months and days. All days are UTC calendar days, as in Azure's reports.

use chrono::{Datelike, Months, NaiveDate};
use std::fmt;
use std::str::FromStr;

/// A calendar month, which is also the billing period of an Enterprise Agreement. Prints and parses as `202507`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first: NaiveDate,
}

/// The text is not a month such as `202507`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a month such as 202507")]
pub struct MonthError(String);

impl Month {
    /// Returns the month of a year; `None` if there is no such month.
    pub fn new(year: i32, month: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, 1).map(|first| Self { first })
    }

    /// Returns the month a day lies in.
    pub fn of(day: NaiveDate) -> Self {
        Self { first: day.with_day(1).unwrap_or(day) }
    }

    /// Returns this month and the ones after it, `count` in all.
    pub fn run(self, count: u32) -> Vec<Self> {
        (0..count).map(|offset| self.plus(offset)).collect()
    }

    /// Returns the month `count` months later.
    pub fn plus(self, count: u32) -> Self {
        Self { first: self.first.checked_add_months(Months::new(count)).unwrap_or(NaiveDate::MAX) }
    }

    /// Returns the month `count` months earlier.
    pub fn minus(self, count: u32) -> Self {
        Self { first: self.first.checked_sub_months(Months::new(count)).unwrap_or(NaiveDate::MIN) }
    }

    /// Returns the first day.
    pub fn first_day(self) -> NaiveDate {
        self.first
    }

    /// Returns the last day.
    pub fn last_day(self) -> NaiveDate {
        self.plus(1).first.pred_opt().unwrap_or(self.first)
    }

    /// Returns the number of days, 28 to 31.
    pub fn days(self) -> u32 {
        self.last_day().day()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}{:02}", self.first.year(), self.first.month())
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let error = || MonthError(text.to_owned());
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        let year = text[..4].parse().map_err(|_| error())?;
        let month = text[4..].parse().map_err(|_| error())?;
        Self::new(year, month).ok_or_else(error)
    }
}

/// What a row says about its day, as it stands in the file.
pub(super) struct DayText {
    /// `MM/DD/YYYY`.
    pub(super) date: String,
    /// Start and end of the billing period, `MM/DD/YYYY,MM/DD/YYYY`; the end is inclusive.
    pub(super) period: String,
}

impl DayText {
    /// Returns the texts of a day.
    pub(super) fn of(day: NaiveDate) -> Self {
        let month = Month::of(day);
        Self {
            date: us_date(day),
            period: format!("{},{}", us_date(month.first_day()), us_date(month.last_day())),
        }
    }
}

fn us_date(day: NaiveDate) -> String {
    format!("{:02}/{:02}/{:04}", day.month(), day.day(), day.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_print_and_parse() {
        let month: Month = "202402".parse().unwrap();
        assert_eq!(month.to_string(), "202402");
        assert_eq!(month.days(), 29);
        assert_eq!(month.minus(2).to_string(), "202312");
        for wrong in ["2024-2", "202413", "20240", "2024aa", ""] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn period_ends_on_the_last_day() {
        let text = DayText::of(NaiveDate::from_ymd_opt(2025, 6, 9).unwrap());
        assert_eq!(text.date, "06/09/2025");
        assert_eq!(text.period, "06/01/2025,06/30/2025");
    }
}
