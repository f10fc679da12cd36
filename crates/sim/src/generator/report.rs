//! Reports: which rows a request selects, how they are cut into blobs, and the writing of a blob.

use super::calendar::Month;
use super::config::RowOrder;
use super::enrollment::{DayPage, Enrollment};
use super::organization::Organization;
use super::permutation::Permutation;
use super::random::to_index;
use super::row::file_head;
use chrono::{Datelike, NaiveDate};
use std::ops::Range;
use std::rc::Rc;

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

/// One blob of a report: which rows it holds. Equal plans of one enrollment give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        self.write_pieces(plan, |rows, bytes| {
            size.rows += rows;
            size.bytes += bytes.len() as u64;
            sink(bytes)
        })?;
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

    /// Returns how many rows a blob has.
    pub fn count_rows(&self, plan: &BlobPlan) -> u64 {
        let counted = self.write_blob(plan, |_| Ok::<(), std::convert::Infallible>(()));
        match counted {
            Ok(size) => size.rows,
        }
    }

    /// Calls `sink` with pieces of whole rows, and how many rows each has; the first one begins with the header.
    fn write_pieces<E>(
        &self,
        plan: &BlobPlan,
        sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.config().row_order {
            RowOrder::Source => self.write_in_source_order(plan, sink),
            RowOrder::Random => self.write_in_random_order(plan, sink),
        }
    }

    fn write_in_source_order<E>(
        &self,
        plan: &BlobPlan,
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = file_head();
        for slice in &plan.slices {
            let page = self.page(plan, slice.day);
            let mut ends = Vec::new();
            if slice.numbers.start == 0 {
                page.write_specials(&mut buffer, &mut ends);
            }
            let usage = slice.numbers.clone();
            let written = usage.filter(|number| page.write_usage(*number, &mut buffer)).count();
            sink((ends.len() + written) as u64, &buffer)?;
            buffer.clear();
        }
        Ok(())
    }

    /// The usage rows are rendered where they come to stand, each alone. The others, some 3 % of the bytes, are rendered
    /// before and held.
    fn write_in_random_order<E>(
        &self,
        plan: &BlobPlan,
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = ShuffledRows::new(self, plan);
        let (mut buffer, mut in_buffer) = (file_head(), 0);
        for number in rows.order.iter() {
            in_buffer += u64::from(rows.write(number, &mut buffer));
            if in_buffer == ROWS_PER_SLICE {
                sink(in_buffer, &buffer)?;
                buffer.clear();
                in_buffer = 0;
            }
        }
        sink(in_buffer, &buffer)
    }

    fn page(&self, plan: &BlobPlan, day: NaiveDate) -> DayPage<'_> {
        DayPage::new(self, plan.metric, plan.filter, day, plan.revision)
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

/// The rows of a blob by number, in whatever order: first the special ones, then usage.
struct ShuffledRows<'a> {
    /// The special rows, and where each of them ends.
    specials: Vec<u8>,
    ends: Vec<usize>,
    /// The usage rows, slice by slice, with the number that the first row of each has here.
    stretches: Vec<(u64, Range<u64>, Rc<DayPage<'a>>)>,
    order: Permutation,
}

impl<'a> ShuffledRows<'a> {
    fn new(enrollment: &'a Enrollment, plan: &BlobPlan) -> Self {
        let (mut specials, mut ends) = (Vec::new(), Vec::new());
        let mut stretches: Vec<(u64, Range<u64>, Rc<DayPage<'a>>)> = Vec::new();
        let (mut usage_rows, mut last_day) = (0, None);
        for slice in &plan.slices {
            let page = match stretches.last().filter(|_| last_day == Some(slice.day)) {
                Some((_, _, page)) => Rc::clone(page),
                None => Rc::new(enrollment.page(plan, slice.day)),
            };
            last_day = Some(slice.day);
            if slice.numbers.start == 0 {
                page.write_specials(&mut specials, &mut ends);
            }
            stretches.push((usage_rows, slice.numbers.clone(), page));
            usage_rows += slice.numbers.end - slice.numbers.start;
        }
        let seed = enrollment.config().seed;
        let order = Permutation::new(ends.len() as u64 + usage_rows, seed, &plan.place());
        Self { specials, ends, stretches, order }
    }

    /// Appends a row; returns whether there is one of this number in this report.
    fn write(&self, number: u64, out: &mut Vec<u8>) -> bool {
        let Some(usage) = number.checked_sub(self.ends.len() as u64) else {
            let at = to_index(number);
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            out.extend_from_slice(&self.specials[start..self.ends[at]]);
            return true;
        };
        let stretch = self.stretches.partition_point(|(first, ..)| *first <= usage) - 1;
        let (first, numbers, page) = &self.stretches[stretch];
        page.write_usage(numbers.start + (usage - first), out)
    }
}

impl BlobPlan {
    /// Where its random order comes from: two blobs have different ones.
    fn place(&self) -> [u64; 4] {
        let first = self.slices.first();
        let day = first.map_or(0, |slice| u64::from(slice.day.num_days_from_ce().unsigned_abs()));
        [13, self.metric as u64, day, first.map_or(0, |slice| slice.numbers.start)]
    }
}

/// A scope with its ids looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
