//! What an enrollment is made from.

use super::calendar::Month;
use chrono::NaiveDate;

/// Everything that decides the bytes of every report. Two equal configurations give equal bytes, on all machines.
#[derive(Clone, Debug)]
pub struct EnrollmentConfig {
    /// Chooses names, ids, prices and quantities.
    pub seed: u64,
    /// Enrollment number, which is the billing account id.
    pub enrollment_number: String,
    /// Name of the enrollment.
    pub enrollment_name: String,
    /// ISO 4217 code of the one billing currency.
    pub currency: String,
    /// First month with data.
    pub first_month: Month,
    /// Number of months with data, one after the other.
    pub month_count: u32,
    /// Usage rows of a whole month; commitments and purchases add about 3 %.
    pub rows_per_month: u64,
    /// The month whose numbers still move; `None` if all months are closed.
    pub open_month: Option<Month>,
    /// A closed month that is restated from revision 1 on; `None` in an orderly world.
    pub restate_closed: Option<Month>,
    /// How the rows of a blob follow each other.
    pub row_order: RowOrder,
}

/// How the rows of a blob follow each other. The rows are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowOrder {
    /// Day by day; within a day, resource by resource.
    #[default]
    Source,
    /// Shuffled, by the seed.
    Random,
}

/// Days of the open month that revision 0 shows.
const FIRST_OPEN_DAYS: u32 = 12;
/// Days that each further revision adds.
const DAYS_PER_REVISION: u32 = 3;

impl Default for EnrollmentConfig {
    fn default() -> Self {
        let first_month = Month::of(NaiveDate::from_ymd_opt(2025, 5, 1).unwrap_or(NaiveDate::MIN));
        Self {
            seed: 1,
            enrollment_number: "8608480".to_owned(),
            enrollment_name: "Contoso Handels AG".to_owned(),
            currency: "EUR".to_owned(),
            first_month,
            month_count: 3,
            rows_per_month: 6_000,
            open_month: Some(first_month.plus(2)),
            restate_closed: None,
            row_order: RowOrder::default(),
        }
    }
}

impl EnrollmentConfig {
    /// Sets `rows_per_month` so that all months together have at least about `rows` rows per metric.
    #[must_use]
    pub fn with_total_rows(self, rows: u64) -> Self {
        let rows_per_month = rows.div_ceil(u64::from(self.month_count.max(1)));
        Self { rows_per_month, ..self }
    }

    /// Returns the months with data, in order.
    pub fn months(&self) -> Vec<Month> {
        self.first_month.run(self.month_count)
    }

    /// Returns the month a report covers when the request names none: the open one, else the last.
    pub fn current_month(&self) -> Month {
        self.open_month.unwrap_or(self.first_month.plus(self.month_count.saturating_sub(1)))
    }

    /// Returns how many days of a month a revision shows.
    pub fn visible_days(&self, month: Month, revision: u32) -> u32 {
        if self.open_month == Some(month) {
            revision
                .saturating_mul(DAYS_PER_REVISION)
                .saturating_add(FIRST_OPEN_DAYS)
                .min(month.days())
        } else {
            month.days()
        }
    }

    /// Returns the usage rows planned for a day; those of a month add up to `rows_per_month`.
    pub(super) fn rows_of_day(&self, month: Month, day_of_month: u32) -> u64 {
        let until = |day: u32| self.rows_per_month * u64::from(day) / u64::from(month.days());
        until(day_of_month) - until(day_of_month - 1)
    }

    /// Returns the day in the middle of a month on which one department gets its new name.
    pub(super) fn renaming_day(&self) -> NaiveDate {
        let month = self.first_month.plus(self.month_count.saturating_sub(1).min(1));
        month.first_day() + chrono::Days::new(10)
    }
}

/// How settled the rows of a day are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Settling {
    /// Seen for the first time.
    Fresh,
    /// One refresh later.
    Adjusted,
    /// As they stay.
    Settled,
    /// Changed although the month was closed.
    Restated,
}

impl Settling {
    /// Returns the state of a visible day in a revision.
    pub(super) fn of(
        config: &EnrollmentConfig,
        month: Month,
        day_of_month: u32,
        revision: u32,
    ) -> Self {
        if config.open_month != Some(month) {
            let restated = config.restate_closed == Some(month) && revision > 0;
            return if restated { Self::Restated } else { Self::Settled };
        }
        let first_shown = day_of_month.saturating_sub(FIRST_OPEN_DAYS).div_ceil(DAYS_PER_REVISION);
        match revision.saturating_sub(first_shown) {
            0 => Self::Fresh,
            1 => Self::Adjusted,
            _ => Self::Settled,
        }
    }
}
