//! Calendar months and day ranges of a bill. All days are UTC calendar days (`cost-data.md`, 3).

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Days, NaiveDate};

/// A calendar month of charges, such as 2025-07. Days and zones do not occur.
///
/// Reads `2025-07` and Azure's `202507`; prints `2025-07`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BillingPeriod {
    first_day: NaiveDate,
}

/// A text that is no billing period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no billing period: expected a month such as 2025-07 or 202507")]
pub struct ParseBillingPeriodError {
    found: String,
}

impl BillingPeriod {
    /// Returns the period of a year and a month (1 to 12), if there is one.
    pub fn new(year: i32, month: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, 1)
            .filter(|_| (1000..=9999).contains(&year))
            .map(|first_day| Self { first_day })
    }

    /// Returns the period that a day lies in.
    pub fn of(day: NaiveDate) -> Self {
        Self { first_day: day.with_day(1).unwrap_or(day) }
    }

    /// The first day of the month.
    pub fn first_day(self) -> NaiveDate {
        self.first_day
    }

    /// The last day of the month, inclusive.
    pub fn last_day(self) -> NaiveDate {
        self.next().first_day.pred_opt().unwrap_or(self.first_day)
    }

    /// The month after this one.
    pub fn next(self) -> Self {
        self.plus_months(1)
    }

    /// The month before this one.
    pub fn previous(self) -> Self {
        self.plus_months(-1)
    }

    /// The month `months` later (earlier, if negative).
    pub fn plus_months(self, months: i32) -> Self {
        let index = self.first_day.year() * 12 + self.first_day.month0().cast_signed() + months;
        let month = index.rem_euclid(12).cast_unsigned() + 1;
        Self::new(index.div_euclid(12), month).unwrap_or(self)
    }

    /// Azure's spelling without a dash, `202507`.
    pub fn compact(self) -> String {
        self.first_day.format("%Y%m").to_string()
    }
}

impl fmt::Display for BillingPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first_day.format("%Y-%m").fmt(f)
    }
}

impl FromStr for BillingPeriod {
    type Err = ParseBillingPeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBillingPeriodError { found: text.to_owned() };
        let (year, month) = match (text.len(), text.as_bytes().get(4)) {
            (7, Some(b'-')) => (&text[..4], &text[5..]),
            (6, Some(_)) if text.is_ascii() => text.split_at(4),
            _ => return Err(error()),
        };
        if !(year.bytes().chain(month.bytes())).all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let (year, month) = (year.parse(), month.parse());
        match (year, month) {
            (Ok(year), Ok(month)) => Self::new(year, month).ok_or_else(error),
            _ => Err(error()),
        }
    }
}

/// A range of UTC days, both ends inclusive, as `timePeriod` of the Cost Details API has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimePeriod {
    start: NaiveDate,
    end: NaiveDate,
}

impl TimePeriod {
    /// Returns the range from `start` to `end`, if it is not empty.
    pub fn new(start: NaiveDate, end: NaiveDate) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first day.
    pub fn start(self) -> NaiveDate {
        self.start
    }

    /// The last day, inclusive.
    pub fn end(self) -> NaiveDate {
        self.end
    }

    /// How many days it has, at least one.
    pub fn days(self) -> u32 {
        let between = self.end.signed_duration_since(self.start).num_days();
        u32::try_from(between).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether a day is one of its days.
    pub fn contains(self, day: NaiveDate) -> bool {
        (self.start..=self.end).contains(&day)
    }

    /// The next smaller parts: a month gives halves, a half gives weeks, a week gives days. A single day
    /// has none.
    pub fn split(self) -> Vec<Self> {
        match self.days() {
            0 | 1 => Vec::new(),
            2..=8 => self.in_parts_of(1),
            days => self.in_parts_of(days.div_ceil(2)),
        }
    }

    fn in_parts_of(self, days: u32) -> Vec<Self> {
        let starts = self.start.iter_days().step_by(days as usize);
        let part = |start: NaiveDate| {
            let end = start.checked_add_days(Days::new(u64::from(days) - 1)).unwrap_or(self.end);
            Self { start, end: end.min(self.end) }
        };
        starts.take_while(|start| *start <= self.end).map(part).collect()
    }

    /// Whether parts, in order, cover every one of its days exactly once.
    pub fn is_tiled_by(self, parts: &[Self]) -> bool {
        let mut next = Some(self.start);
        for part in parts {
            if next != Some(part.start) {
                return false;
            }
            next = part.end.succ_opt();
        }
        next == self.end.succ_opt()
    }
}

impl fmt::Display for TimePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl From<BillingPeriod> for TimePeriod {
    fn from(period: BillingPeriod) -> Self {
        Self { start: period.first_day(), end: period.last_day() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_tile_the_whole_down_to_single_days() {
        for month in ["2024-02", "2025-02", "2025-04", "2025-12"] {
            let whole = TimePeriod::from(month.parse::<BillingPeriod>().unwrap());
            let halves = whole.split();
            let weeks: Vec<_> = halves.iter().flat_map(|half| half.split()).collect();
            let days: Vec<_> = weeks.iter().flat_map(|week| week.split()).collect();
            assert_eq!((halves.len(), weeks.len()), (2, 4), "{month}");
            assert_eq!(days.len(), whole.days() as usize, "{month}");
            for parts in [&halves, &weeks, &days] {
                assert!(whole.is_tiled_by(parts), "{month}");
                assert!(!whole.is_tiled_by(&parts[1..]), "{month}");
                assert!(!whole.is_tiled_by(&parts[..parts.len() - 1]), "{month}");
            }
            assert!(days.iter().all(|day| day.split().is_empty()));
        }
        let day = |day| NaiveDate::from_ymd_opt(2025, 7, day).unwrap();
        let part = |start, end| TimePeriod::new(day(start), day(end)).unwrap();
        assert!(!part(1, 31).is_tiled_by(&[]));
        assert!(!part(1, 31).is_tiled_by(&[part(1, 15), part(15, 31)]));
        assert!(!part(1, 30).is_tiled_by(&[part(1, 15), part(16, 31)]));
        assert_eq!(part(1, 31).split(), [part(1, 16), part(17, 31)]);
        assert!(part(1, 2).contains(day(2)) && !part(1, 2).contains(day(3)));
    }

    #[test]
    fn both_spellings_are_read_and_one_is_printed() {
        for text in ["2025-07", "202507"] {
            let period: BillingPeriod = text.parse().unwrap();
            assert_eq!(period.to_string(), "2025-07");
            assert_eq!(period.compact(), "202507");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "2025", "2025-13", "2025-00", "25-07", "2025/07", "２025-7", "2025-7", "+02507",
            "20250a",
        ] {
            assert!(text.parse::<BillingPeriod>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_step_over_years() {
        let december: BillingPeriod = "2024-12".parse().unwrap();
        assert_eq!(december.next().to_string(), "2025-01");
        assert_eq!(december.next().previous(), december);
        assert_eq!(december.plus_months(-12).to_string(), "2023-12");
        assert_eq!(december.last_day().to_string(), "2024-12-31");
    }
}
