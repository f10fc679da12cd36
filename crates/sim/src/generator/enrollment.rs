//! The enrollment: its organization, its resources, and the rows of each day.

use super::calendar::{DayText, Month};
use super::commitments::{Commitment, invent_commitments};
use super::config::{EnrollmentConfig, Settling};
use super::decimal::Decimal;
use super::extras::extras;
use super::organization::{Organization, UNASSIGNED};
use super::random::{Random, to_index};
use super::report::{Filter, Metric};
use super::resources::{Line, invent_lines};
use super::row::{Charge, Spelling, Template};
use chrono::{Datelike, NaiveDate};

/// One enrollment with everything that is constant about it; the rows are made on demand.
pub struct Enrollment {
    config: EnrollmentConfig,
    organization: Organization,
    lines: Vec<Line>,
    commitments: Vec<Commitment>,
}

impl Enrollment {
    /// Invents an enrollment. Takes memory in proportion to the rows of a day, at most about 60 MB.
    pub fn new(config: EnrollmentConfig) -> Self {
        let organization = Organization::invent(&config);
        let lines = invent_lines(&config, &organization);
        let commitments = invent_commitments(&config, &organization);
        Self { config, organization, lines, commitments }
    }

    /// Returns what it was made from.
    pub fn config(&self) -> &EnrollmentConfig {
        &self.config
    }

    /// Returns its departments, accounts and subscriptions.
    pub fn organization(&self) -> &Organization {
        &self.organization
    }
}

/// Everything the rows of one day need to know.
pub(super) struct DayPage<'a> {
    enrollment: &'a Enrollment,
    metric: Metric,
    filter: Filter,
    day: NaiveDate,
    settling: Settling,
    text: DayText,
    departments: Vec<Vec<u8>>,
}

/// Every row with this remainder is changed by a restatement, and the other two vanish and appear with it.
const RESTATED: (u64, u64) = (64, 5);
const VANISHES: (u64, u64) = (256, 6);
const APPEARS: (u64, u64) = (256, 7);
const VANISHES_LATE: (u64, u64) = (256, 4);
const APPEARS_LATE: (u64, u64) = (256, 3);
/// Every row with this remainder looks exactly like the one before it.
const TWIN: (u64, u64) = (89, 88);

impl<'a> DayPage<'a> {
    pub(super) fn new(
        enrollment: &'a Enrollment,
        metric: Metric,
        filter: Filter,
        day: NaiveDate,
        revision: u32,
    ) -> Self {
        Self {
            enrollment,
            metric,
            filter,
            day,
            settling: Settling::of(&enrollment.config, Month::of(day), day.day(), revision),
            text: DayText::of(day),
            departments: enrollment.organization.names_on(day),
        }
    }

    /// Appends purchases, commitment usage and other rows of which there are few, and where each of them ends.
    pub(super) fn write_specials(&self, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        self.visit_specials(|template, department, charge| {
            template.write(department, &self.text, Spelling::Created, charge, out);
            ends.push(out.len());
        });
    }

    /// Calls `visit` with the constant text, the department's name and the charge of each of these rows.
    fn visit_specials(&self, mut visit: impl FnMut(&Template, &[u8], &Charge)) {
        for commitment in &self.enrollment.commitments {
            self.visit_booking(commitment, &mut visit);
            if commitment.is_active(self.day) {
                self.visit_covered(commitment, &mut visit);
                self.visit_unused(commitment, &mut visit);
            }
        }
        self.visit_extras(visit);
    }

    /// Appends a usage row of the day; returns whether there is one in this report.
    pub(super) fn write_usage(&self, number: u64, out: &mut Vec<u8>) -> bool {
        if !self.is_present(number) {
            return false;
        }
        let original = if is(TWIN, number) { number - 1 } else { number };
        let mut random = self.random(original);
        let lines = &self.enrollment.lines;
        let line = &lines[to_index((original + self.rotation()) % lines.len() as u64)];
        let department = self.enrollment.organization.department_of(line.subscription);
        if !self.filter.admits(&self.enrollment.organization, line.subscription) {
            return false;
        }
        let charge = line_charge(line, &mut random);
        let spelling = if random.below(9) == 0 { Spelling::Capitals } else { Spelling::Created };
        line.template.write(&self.departments[department], &self.text, spelling, &charge, out);
        true
    }

    fn visit_booking(
        &self,
        commitment: &Commitment,
        mut visit: impl FnMut(&Template, &[u8], &Charge),
    ) {
        if self.metric == Metric::AmortizedCost || !self.filter.admits_enrollment_rows() {
            return;
        }
        if let Some(booking) = commitment.booking(self.day) {
            visit(&booking.template, &self.departments[booking.department], &booking.charge);
        }
    }

    fn visit_covered(
        &self,
        commitment: &Commitment,
        mut visit: impl FnMut(&Template, &[u8], &Charge),
    ) {
        let organization = &self.enrollment.organization;
        commitment.covered_usage(self.enrollment.config.seed, self.day, |covered, charge| {
            if self.filter.admits(organization, covered.subscription) {
                let department =
                    &self.departments[organization.department_of(covered.subscription)];
                let charge = if self.metric == Metric::ActualCost { charge.free() } else { charge };
                visit(&covered.template, department, &charge);
            }
        });
    }

    fn visit_unused(
        &self,
        commitment: &Commitment,
        mut visit: impl FnMut(&Template, &[u8], &Charge),
    ) {
        if self.metric == Metric::ActualCost || !self.filter.admits_enrollment_rows() {
            return;
        }
        if let Some((template, charge)) = commitment.unused(self.enrollment.config.seed, self.day) {
            visit(template, UNASSIGNED.as_bytes(), &charge);
        }
    }

    fn visit_extras(&self, mut visit: impl FnMut(&Template, &[u8], &Charge)) {
        if !self.filter.admits_enrollment_rows() {
            return;
        }
        for extra in extras(&self.enrollment.config, &self.enrollment.organization, self.day) {
            let department = extra.department.map_or(&[][..], |number| &self.departments[number]);
            visit(&extra.template, department, &extra.charge);
        }
    }

    fn is_present(&self, number: u64) -> bool {
        match self.settling {
            Settling::Fresh => !is(APPEARS, number) && !is(APPEARS_LATE, number),
            Settling::Adjusted | Settling::Settled => {
                !is(VANISHES, number) && !is(APPEARS_LATE, number)
            }
            Settling::Restated => !is(VANISHES, number) && !is(VANISHES_LATE, number),
        }
    }

    fn random(&self, number: u64) -> Random {
        let version = if is(RESTATED, number) { self.settling as u64 } else { 0 };
        Random::at(self.enrollment.config.seed, &[11, self.day_number(), number, version])
    }

    /// Where the day starts in the list of lines, so that small data sets reach all of them.
    fn rotation(&self) -> u64 {
        let rows = self.enrollment.config.rows_of_day(Month::of(self.day), self.day.day());
        self.day_number() * rows
    }

    fn day_number(&self) -> u64 {
        u64::from(self.day.num_days_from_ce().unsigned_abs())
    }
}

fn is((modulus, remainder): (u64, u64), number: u64) -> bool {
    number % modulus == remainder
}

/// Returns quantity and cost of a usage row: mostly measured to the last digit, sometimes a round number.
fn line_charge(line: &Line, random: &mut Random) -> Charge {
    let style = random.below(8);
    let exact = Decimal::new(i128::from(random.below(line.most) + 1), line.quantity_scale);
    let quantity = match style {
        0 => Decimal::new(i128::from(line.most), line.quantity_scale),
        1 => exact.rounded(4),
        _ => exact,
    };
    Charge { padded: style == 2, ..Charge::of(quantity, line.price) }
}
