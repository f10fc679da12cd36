//! Date columns: one format per column and file, decided by the first value (`cost-data.md`, 3).
//!
//! | format | examples | never read as |
//! |---|---|---|
//! | ISO | `2023-09-21`, `2019-07-29 00:00:00`, `2019-04-09T00:00:00.0000000Z` | |
//! | month first | `09/21/2023`, `9/2/2023`, `1/10/2025 0:00`, `3/1/21` | day first |
//! | compact | `20240601` | |
//!
//! A time of day other than midnight is refused: these columns hold UTC days. FOCUS alone has charge
//! periods of hours: there the day of the time counts, and the whole text is kept as extra. Its periods
//! end where the next begins; the columns hold the last day, as in all other files.

use arrow::array::Date32Array;
use chrono::NaiveDate;
use costlake_model::aliases::Naming;
use costlake_model::columns::{ColumnType, SOURCE_COLUMNS};

use super::dictionary::NULL;
use super::quarantine::{Fault, Rule};
use super::text;
use crate::csv::{self, FieldTable, RecordReader};
use crate::header::{Binding, BoundColumn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateFormat {
    Iso,
    /// ISO with any time of day, UTC.
    IsoTime,
    MonthFirst,
    Compact,
}

/// The formats of the date columns of a file, by position in [`SOURCE_COLUMNS`].
#[derive(Clone, Debug, Default)]
pub(crate) struct DateFormats(Vec<(usize, DateFormat)>);

impl DateFormats {
    /// Decides each column that is still open by its first value in the text. Returns whether any was.
    pub(crate) fn decide(&mut self, binding: &Binding, text: &[u8]) -> bool {
        let is_open = |bound: &&BoundColumn| {
            SOURCE_COLUMNS[bound.column].column_type == ColumnType::Date
                && self.of(bound.column).is_none()
        };
        let mut open: Vec<&BoundColumn> = binding.columns.iter().filter(is_open).collect();
        let decided_before = self.0.len();
        let (mut table, mut malformed) = (FieldTable::default(), Vec::new());
        let mut scratch = Vec::new();
        let mut reader = RecordReader::new(text, binding.field_count);
        let mut has_more = true;
        while has_more && !open.is_empty() {
            has_more = reader.read(64, &mut table, &mut malformed);
            for row in 0..table.len() {
                open.retain(|bound| {
                    let field = csv::content(table.field(text, row, bound.field), &mut scratch);
                    let format = DateFormat::of(csv::without_spaces(field), binding.naming);
                    self.0.extend(format.map(|format| (bound.column, format)));
                    format.is_none()
                });
            }
            malformed.clear();
        }
        self.0.len() > decided_before
    }

    /// The format of a column, if any value decided it.
    pub(crate) fn of(&self, column: usize) -> Option<DateFormat> {
        self.0.iter().find(|(decided, _)| *decided == column).map(|(_, format)| *format)
    }
}

impl DateFormat {
    const NATIVE: [Self; 3] = [Self::Iso, Self::MonthFirst, Self::Compact];
    const FOCUS: [Self; 3] = [Self::IsoTime, Self::MonthFirst, Self::Compact];

    /// The format that a text is a date in.
    fn of(text: &[u8], naming: Naming) -> Option<Self> {
        let formats = match naming {
            Naming::Native => Self::NATIVE,
            Naming::Focus => Self::FOCUS,
        };
        formats.into_iter().find(|format| format.parse(text).is_some())
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Iso => "a day such as 2023-09-21, as in the other rows",
            Self::IsoTime => "a time such as 2023-09-21T00:00:00Z, as in the other rows",
            Self::MonthFirst => "a day such as 09/21/2023 (month first), as in the other rows",
            Self::Compact => "a day such as 20230921, as in the other rows",
        }
    }

    fn parse(self, text: &[u8]) -> Option<Moment> {
        match self {
            Self::Iso => parse_iso(text).filter(|moment| moment.is_midnight),
            Self::IsoTime => parse_iso(text),
            Self::MonthFirst => parse_month_first(text).map(Moment::midnight),
            Self::Compact => {
                let ymd: &[u8; 8] = text.try_into().ok()?;
                day(number(&ymd[..4])?, number(&ymd[4..6])?, number(&ymd[6..])?)
                    .map(Moment::midnight)
            }
        }
    }
}

/// A day, and whether it is meant from its beginning.
#[derive(Clone, Copy)]
struct Moment {
    date: NaiveDate,
    is_midnight: bool,
}

impl Moment {
    fn midnight(date: NaiveDate) -> Self {
        Self { date, is_midnight: true }
    }

    /// The last day of a period that ends here.
    fn last_day_before(self) -> Option<NaiveDate> {
        if self.is_midnight { self.date.pred_opt() } else { Some(self.date) }
    }
}

fn parse_iso(text: &[u8]) -> Option<Moment> {
    let (date, time) = text.split_at_checked(10)?;
    let is_midnight = is_midnight(time);
    if date[4] != b'-' || date[7] != b'-' || !(is_midnight || is_time_of_day(time)) {
        return None;
    }
    let date = day(number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?)?;
    Some(Moment { date, is_midnight })
}

fn parse_month_first(text: &[u8]) -> Option<NaiveDate> {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    let (date, time) = text.split_at(end);
    let mut parts = date.split(|b| *b == b'/');
    let (month, day_of_month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = parts.next().is_none()
        && matches!(month.len(), 1 | 2)
        && matches!(day_of_month.len(), 1 | 2)
        && is_midnight(time);
    if !sound {
        return None;
    }
    let year = match year.len() {
        4 => number(year)?,
        2 => 2000 + number(year)?,
        _ => return None,
    };
    day(year, number(month)?, number(day_of_month)?)
}

/// Whether a time of day is absent or midnight: `0:00`, `00:00:00`, `T00:00:00.0000000Z`.
fn is_midnight(time: &[u8]) -> bool {
    matches!(time, [] | [b'Z']) || {
        let is_zero = |(clock, fraction): (&[u8], &[u8])| {
            matches!(clock, b"0:00" | b"00:00" | b"0:00:00" | b"00:00:00")
                && fraction.iter().all(|b| *b == b'0')
        };
        clock_and_fraction(time).is_some_and(is_zero)
    }
}

/// Whether a time of day is one: `T22:00`, `T22:00:00Z`, `22:59:59.9999999+00:00`.
fn is_time_of_day(time: &[u8]) -> bool {
    let Some((clock, _)) = clock_and_fraction(time) else { return false };
    let mut parts = clock.split(|b| *b == b':');
    let below = |part: Option<&[u8]>, limit| {
        part.is_some_and(|digits| digits.len() == 2 && number(digits).is_some_and(|n| n < limit))
    };
    let has_clock = below(parts.next(), 24) && below(parts.next(), 60);
    match parts.next() {
        None => has_clock,
        seconds => has_clock && below(seconds, 60) && parts.next().is_none(),
    }
}

/// Splits a time of day in UTC into its clock and the digits of its fraction, `0` if it has none.
fn clock_and_fraction(time: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b' ' | b'T', clock @ ..] = time else { return None };
    let clock = clock.strip_suffix(b"Z").or_else(|| clock.strip_suffix(b"+00:00")).unwrap_or(clock);
    let (clock, fraction) = match clock.iter().position(|b| *b == b'.') {
        Some(at) => (&clock[..at], &clock[at + 1..]),
        None => (clock, &b"0"[..]),
    };
    let is_fraction = !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit);
    is_fraction.then_some((clock, fraction))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0')))
}

fn day(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    let year = i32::try_from(year).ok().filter(|year| (1900..=9999).contains(year))?;
    NaiveDate::from_ymd_opt(year, month, day)
}

/// The values of a date column.
pub(super) struct Dates {
    name: &'static str,
    is_required: bool,
    naming: Naming,
    /// Whether the text is where a period ends, not its last day.
    is_exclusive_end: bool,
    format: Option<DateFormat>,
    /// The days since 1970-01-01 of each distinct text.
    days: Vec<i32>,
}

impl Dates {
    pub(super) fn new(
        name: &'static str,
        is_required: bool,
        naming: Naming,
        format: Option<DateFormat>,
    ) -> Self {
        let is_end = matches!(name, "billing_period_end" | "service_period_end");
        let is_exclusive_end = is_end && naming == Naming::Focus;
        Self { name, is_required, naming, is_exclusive_end, format, days: Vec::new() }
    }

    pub(super) fn code_of(&mut self, content: &[u8]) -> Result<i32, Fault> {
        let Some(days) = self.days_of(csv::without_spaces(content))? else { return Ok(NULL) };
        self.days.push(days);
        Ok(i32::try_from(self.days.len() - 1).unwrap_or(NULL))
    }

    fn value(&self, code: i32) -> Option<i32> {
        usize::try_from(code).ok().and_then(|code| self.days.get(code)).copied()
    }

    /// The days since 1970-01-01.
    fn days_of(&self, content: &[u8]) -> Result<Option<i32>, Fault> {
        if text::is_null(self.naming, content) {
            return if self.is_required {
                Err(Fault::new(Rule::Missing, self.name, "a day", content))
            } else {
                Ok(None)
            };
        }
        let format = self.format;
        let day_of = |moment: Moment| {
            if self.is_exclusive_end { moment.last_day_before() } else { Some(moment.date) }
        };
        let moment = format.and_then(|format| format.parse(content));
        let date = moment.and_then(day_of).ok_or_else(|| {
            let expected =
                format.map_or("a day such as 09/21/2023 or 2023-09-21", DateFormat::expected);
            Fault::new(Rule::Date, self.name, expected, content)
        })?;
        Ok(Some(date.to_epoch_days()))
    }

    /// The first and the last day of rows with these codes.
    pub(super) fn range(&self, codes: &[i32]) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let days = || codes.iter().filter_map(|code| self.value(*code));
        let date = NaiveDate::from_epoch_days;
        (days().min().and_then(date), days().max().and_then(date))
    }

    /// The days of rows with these codes.
    pub(super) fn finish(&self, codes: &[i32]) -> Date32Array {
        codes.iter().map(|code| self.value(*code)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_forms_are_read() {
        for (text, format, expected) in [
            ("2023-09-21", DateFormat::Iso, "2023-09-21"),
            ("2019-07-29 00:00:00", DateFormat::Iso, "2019-07-29"),
            ("2019-04-09T00:00:00.0000000Z", DateFormat::Iso, "2019-04-09"),
            ("2024-01-01T00:00Z", DateFormat::Iso, "2024-01-01"),
            ("09/21/2023", DateFormat::MonthFirst, "2023-09-21"),
            ("9/2/2023", DateFormat::MonthFirst, "2023-09-02"),
            ("1/10/2025 0:00", DateFormat::MonthFirst, "2025-01-10"),
            ("3/1/21", DateFormat::MonthFirst, "2021-03-01"),
            ("20240601", DateFormat::Compact, "2024-06-01"),
        ] {
            assert_eq!(DateFormat::of(text.as_bytes(), Naming::Native), Some(format), "{text}");
            assert_eq!(format.parse(text.as_bytes()).unwrap().date.to_string(), expected);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "21/09/2023",
            "2023-02-30",
            "2023-13-01",
            "09/21/023",
            "2023/09/21",
            "2019-07-29 12:00:00",
            "2023-09-21x",
            "1/2/3/4",
            "/1/2023",
            "0000-01-01",
            "2023-9-1",
        ] {
            assert_eq!(DateFormat::of(text.as_bytes(), Naming::Native), None, "{text}");
        }
    }

    #[test]
    fn times_of_focus_are_days_and_its_ends_are_the_day_before() {
        for (text, day, last_day) in [
            ("2024-09-18 22:00:00", "2024-09-18", "2024-09-18"),
            ("2024-09-18T23:59:59.9Z", "2024-09-18", "2024-09-18"),
            ("2024-10-01T00:00Z", "2024-10-01", "2024-09-30"),
            ("2024-10-01", "2024-10-01", "2024-09-30"),
        ] {
            let format = DateFormat::of(text.as_bytes(), Naming::Focus);
            assert_eq!(format, Some(DateFormat::IsoTime), "{text}");
            let moment = DateFormat::IsoTime.parse(text.as_bytes()).unwrap();
            assert_eq!(moment.date.to_string(), day, "{text}");
            assert_eq!(moment.last_day_before().unwrap().to_string(), last_day, "{text}");
        }
        for text in
            ["2024-09-18T24:00:00Z", "2024-09-18T1:00", "2024-09-18T10:00:00+02:00", "10:00"]
        {
            assert_eq!(DateFormat::of(text.as_bytes(), Naming::Focus), None, "{text}");
        }
    }
}
