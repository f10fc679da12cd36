//! Date columns: one format per column and file, decided by the first value (`cost-data.md`, 3).
//!
//! | format | examples | never read as |
//! |---|---|---|
//! | ISO | `2023-09-21`, `2019-07-29 00:00:00`, `2019-04-09T00:00:00.0000000Z` | |
//! | month first | `09/21/2023`, `9/2/2023`, `1/10/2025 0:00`, `3/1/21` | day first |
//! | compact | `20240601` | |
//!
//! A time of day other than midnight is refused: these columns hold UTC days.

use chrono::NaiveDate;
use costlake_model::columns::{ColumnType, SOURCE_COLUMNS};

use super::quarantine::{Fault, Rule};
use crate::csv::{self, FieldTable, RecordReader};
use crate::header::{Binding, BoundColumn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateFormat {
    Iso,
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
                    let format = DateFormat::of(field.trim_ascii());
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
    const ALL: [Self; 3] = [Self::Iso, Self::MonthFirst, Self::Compact];

    /// The format that a text is a date in.
    fn of(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.parse(text).is_some())
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Iso => "a day such as 2023-09-21, as in the other rows",
            Self::MonthFirst => "a day such as 09/21/2023 (month first), as in the other rows",
            Self::Compact => "a day such as 20230921, as in the other rows",
        }
    }

    fn parse(self, text: &[u8]) -> Option<NaiveDate> {
        match self {
            Self::Iso => parse_iso(text),
            Self::MonthFirst => parse_month_first(text),
            Self::Compact => {
                let ymd: &[u8; 8] = text.try_into().ok()?;
                day(number(&ymd[..4])?, number(&ymd[4..6])?, number(&ymd[6..])?)
            }
        }
    }
}

fn parse_iso(text: &[u8]) -> Option<NaiveDate> {
    let (date, time) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' || !is_midnight(time) {
        return None;
    }
    day(number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?)
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
    let clock = match time {
        [] | [b'Z'] => return true,
        [b' ' | b'T', clock @ ..] => clock,
        _ => return false,
    };
    let clock = clock.strip_suffix(b"Z").or_else(|| clock.strip_suffix(b"+00:00")).unwrap_or(clock);
    let (clock, fraction) = match clock.iter().position(|b| *b == b'.') {
        Some(at) => (&clock[..at], &clock[at + 1..]),
        None => (clock, &b"0"[..]),
    };
    let is_clock = matches!(clock, b"0:00" | b"00:00" | b"0:00:00" | b"00:00:00");
    is_clock && !fraction.is_empty() && fraction.iter().all(|b| *b == b'0')
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

pub(super) struct DateColumn {
    name: &'static str,
    field: usize,
    is_required: bool,
    format: Option<DateFormat>,
    strip: Vec<Option<i32>>,
    values: Vec<Option<i32>>,
}

impl DateColumn {
    pub(super) fn new(bound: &BoundColumn, is_required: bool, format: Option<DateFormat>) -> Self {
        Self {
            name: SOURCE_COLUMNS[bound.column].name,
            field: bound.field,
            is_required,
            format,
            strip: Vec::new(),
            values: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn is_charge_date(&self) -> bool {
        self.name == "charge_date"
    }

    pub(super) fn parse(&mut self, text: &[u8], table: &FieldTable, faults: &mut [Option<Fault>]) {
        self.strip.clear();
        let mut scratch = Vec::new();
        let mut above: (&[u8], Option<i32>) = (&[], None);
        for (row, fault) in faults.iter_mut().enumerate() {
            let field = table.field(text, row, self.field);
            if field != above.0 || (field.is_empty() && self.is_required) {
                let content = csv::content(field, &mut scratch).trim_ascii();
                match self.days_of(content) {
                    Ok(days) => above = (field, days),
                    Err(new_fault) => {
                        fault.get_or_insert(new_fault);
                        self.strip.push(None);
                        continue;
                    }
                }
            }
            self.strip.push(above.1);
        }
    }

    /// The days since 1970-01-01.
    fn days_of(&self, content: &[u8]) -> Result<Option<i32>, Fault> {
        if content.is_empty() {
            return if self.is_required {
                Err(Fault::new(Rule::Missing, self.name, "a day", content))
            } else {
                Ok(None)
            };
        }
        let format = self.format;
        let date = format.and_then(|format| format.parse(content)).ok_or_else(|| {
            let expected =
                format.map_or("a day such as 09/21/2023 or 2023-09-21", DateFormat::expected);
            Fault::new(Rule::Date, self.name, expected, content)
        })?;
        Ok(Some(date.to_epoch_days()))
    }

    pub(super) fn append(&mut self, kept: &[usize]) {
        if kept.len() == self.strip.len() {
            self.values.extend_from_slice(&self.strip);
        } else {
            self.values.extend(kept.iter().map(|row| self.strip[*row]));
        }
    }

    /// The first and the last day of the appended rows.
    pub(super) fn range(&self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let days = || self.values.iter().flatten().copied();
        let date = NaiveDate::from_epoch_days;
        (days().min().and_then(date), days().max().and_then(date))
    }

    pub(super) fn finish(&mut self) -> Vec<Option<i32>> {
        std::mem::take(&mut self.values)
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
            assert_eq!(DateFormat::of(text.as_bytes()), Some(format), "{text}");
            assert_eq!(format.parse(text.as_bytes()).unwrap().to_string(), expected);
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
            assert_eq!(DateFormat::of(text.as_bytes()), None, "{text}");
        }
    }
}
