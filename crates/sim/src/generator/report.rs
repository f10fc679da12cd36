//! Reports: which rows a request selects, how they are cut into blobs, and the writing of a blob.

use super::calendar::Month;
use super::enrollment::{DayPage, Enrollment};
use super::organization::Organization;
use super::random::to_index;
use super::row::file_head;
use chrono::{Datelike, NaiveDate};
use std::ops::Range;

/// Which of the two views of cost a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Commitments on the day they are bought.
    ActualCost,
    /// Commitments spread over the hours they cover.
    AmortizedCost,
}

impl Metric {
    /// Returns Azure's spelling, `ActualCost` or `AmortizedCost`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActualCost => "ActualCost",
            Self::AmortizedCost => "AmortizedCost",
        }
    }

    /// Returns the folder name, `actual` or `amortized`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::ActualCost => "actual",
            Self::AmortizedCost => "amortized",
        }
    }
}

/// Whose rows a report shows. Ids are compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole enrollment.
    Enrollment,
    /// A department, by id.
    Department(String),
    /// An enrollment account, by id.
    EnrollmentAccount(String),
    /// A subscription, by id.
    Subscription(String),
}

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Whose rows.
    pub scope: Scope,
    /// Which view.
    pub metric: Metric,
    /// First day, UTC.
    pub from: NaiveDate,
    /// Last day, UTC, inclusive.
    pub to: NaiveDate,
    /// State of the open month: 0 at first, later numbers show more days and restated rows.
    pub revision: u32,
}

impl Selection {
    /// Returns the selection of a whole month at enrollment scope, in its first state.
    pub fn month(metric: Metric, month: Month) -> Self {
        Self {
            scope: Scope::Enrollment,
            metric,
            from: month.first_day(),
            to: month.last_day(),
            revision: 0,
        }
    }
}

/// One blob of a report: which rows it holds.
#[derive(Clone, Debug)]
pub struct BlobPlan {
    metric: Metric,
    filter: Filter,
    revision: u32,
    slices: Vec<Slice>,
}

/// Size of a written blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobSize {
    /// Rows without the header.
    pub rows: u64,
    /// Bytes with byte order mark and header.
    pub bytes: u64,
}

/// A stretch of the usage rows of a day; the first one of a day also holds its other rows.
#[derive(Clone, Debug)]
struct Slice {
    day: NaiveDate,
    numbers: Range<u64>,
}

/// Rows rendered before they are handed on, about 1.5 MB.
const ROWS_PER_SLICE: u64 = 2_048;

impl Enrollment {
    /// Cuts a report into at most `blobs` blobs, in the order of days. Returns none if there is no data in these days,
    /// or no such department, account or subscription.
    pub fn plan(&self, selection: &Selection, blobs: usize) -> Vec<BlobPlan> {
        let Some(filter) = Filter::resolve(&selection.scope, self.organization()) else {
            return Vec::new();
        };
        let slices = self.slices(selection);
        let count = blobs.clamp(1, slices.len().max(1));
        let share = |number: usize| number * slices.len() / count;
        (0..count)
            .map(|number| slices[share(number)..share(number + 1)].to_vec())
            .filter(|slices| !slices.is_empty())
            .map(|slices| BlobPlan {
                metric: selection.metric,
                filter,
                revision: selection.revision,
                slices,
            })
            .collect()
    }

    /// Writes a blob piece by piece and returns its size.
    ///
    /// # Errors
    /// Whatever `sink` returns.
    pub fn write_blob<E>(
        &self,
        plan: &BlobPlan,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<BlobSize, E> {
        let mut size = BlobSize::default();
        let mut buffer = file_head();
        for slice in &plan.slices {
            size.rows += self.write_slice(plan, slice, &mut buffer);
            size.bytes += buffer.len() as u64;
            sink(&buffer)?;
            buffer.clear();
        }
        Ok(size)
    }

    /// Returns a blob as a whole; for the sizes of tests and demonstrations.
    pub fn render_blob(&self, plan: &BlobPlan) -> Vec<u8> {
        let mut blob = Vec::new();
        let written = self.write_blob(plan, |bytes| {
            blob.extend_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        match written {
            Ok(_) => blob,
        }
    }

    fn write_slice(&self, plan: &BlobPlan, slice: &Slice, out: &mut Vec<u8>) -> u64 {
        let page = DayPage::new(self, plan.metric, plan.filter, slice.day, plan.revision);
        let mut rows = 0;
        if slice.numbers.start == 0 {
            rows += page.write_specials(out);
        }
        for number in slice.numbers.clone() {
            rows += u64::from(page.write_usage(number, out));
        }
        rows
    }

    fn slices(&self, selection: &Selection) -> Vec<Slice> {
        let days = selection.from.iter_days().take_while(|day| *day <= selection.to);
        days.filter(|day| self.is_visible(*day, selection.revision))
            .flat_map(|day| self.slices_of(day))
            .collect()
    }

    fn is_visible(&self, day: NaiveDate, revision: u32) -> bool {
        let month = Month::of(day);
        let config = self.config();
        let is_known =
            month >= config.first_month && month < config.first_month.plus(config.month_count);
        is_known && day.day() <= config.visible_days(month, revision)
    }

    fn slices_of(&self, day: NaiveDate) -> Vec<Slice> {
        let rows = self.config().rows_of_day(Month::of(day), day.day());
        let starts = (0..rows.max(1)).step_by(to_index(ROWS_PER_SLICE));
        starts
            .map(|start| Slice { day, numbers: start..(start + ROWS_PER_SLICE).min(rows) })
            .collect()
    }
}

/// A scope with its ids looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filter {
    Enrollment,
    Department(usize),
    Account(usize),
    Subscription(usize),
}

impl Filter {
    fn resolve(scope: &Scope, organization: &Organization) -> Option<Self> {
        match scope {
            Scope::Enrollment => Some(Self::Enrollment),
            Scope::Department(id) => {
                find(id, organization.departments.iter().map(|known| &known.id))
                    .map(Self::Department)
            }
            Scope::EnrollmentAccount(id) => {
                find(id, organization.accounts.iter().map(|known| &known.id)).map(Self::Account)
            }
            Scope::Subscription(id) => {
                find(id, organization.subscriptions.iter().map(|known| &known.id))
                    .map(Self::Subscription)
            }
        }
    }

    /// Returns whether a report shows usage paid by this subscription.
    pub(super) fn admits(self, organization: &Organization, subscription: usize) -> bool {
        match self {
            Self::Enrollment => true,
            Self::Department(department) => organization.department_of(subscription) == department,
            Self::Account(account) => organization.subscriptions[subscription].account == account,
            Self::Subscription(wanted) => wanted == subscription,
        }
    }

    /// Returns whether a report shows rows that exist at enrollment scope only.
    pub(super) fn admits_enrollment_rows(self) -> bool {
        matches!(self, Self::Enrollment)
    }
}

fn find<'a>(wanted: &str, mut ids: impl Iterator<Item = &'a String>) -> Option<usize> {
    ids.position(|id| !id.is_empty() && id.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::EnrollmentConfig;
    use sha2::{Digest, Sha256};

    /// The same bytes on every machine; a change of this digest changes every data set made from a seed.
    #[test]
    fn a_small_report_has_the_same_bytes_everywhere() {
        let config = EnrollmentConfig { rows_per_month: 500, ..EnrollmentConfig::default() };
        let enrollment = Enrollment::new(config);
        let selection = Selection::month(Metric::AmortizedCost, enrollment.config().first_month);
        let blob = enrollment.render_blob(&enrollment.plan(&selection, 1)[0]);
        assert_eq!(
            format!("{:x}", Sha256::digest(&blob)),
            "ab0ec6fc5294632fd8e087423d8613184d6719ffc10754a09be539dd80864abd"
        );
    }
}
