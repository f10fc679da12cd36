//! Reservations and savings plans: what is bought, what is used, what is lost.
//!
//! Each commitment has a number of units and a share, its cost per unit and hour. Everything follows from the share, so
//! the sums are equal to the last digit:
//!
//! | event | actual | amortized |
//! |---|---|---|
//! | bought upfront | share x units x hours of the term, once | |
//! | paid monthly | share x units x hours of that month | |
//! | cancelled | minus share x units x hours not yet passed | |
//! | used hours of a day | quantity, cost 0 | share x hours |
//! | unused hours of a day | | share x hours |

use super::calendar::Month;
use super::config::EnrollmentConfig;
use super::decimal::Decimal;
use super::meters::REGIONS;
use super::organization::Organization;
use super::random::{Random, to_index};
use super::resources::enrollment_row;
use super::row::{Charge, Column, Row, Template};
use chrono::{Datelike, Days, Months, NaiveDate};

/// A commitment with the texts of its rows.
pub(super) struct Commitment {
    number: u64,
    terms: &'static Terms,
    units: u64,
    share: Decimal,
    start: NaiveDate,
    /// The day after the last one it covers, also after a cancellation.
    end: NaiveDate,
    /// The day after the last one of the term agreed; `None` if it renews itself.
    term_end: Option<NaiveDate>,
    purchase_row: Row,
    purchase_department: usize,
    covered: Vec<Covered>,
    unused: Template,
}

/// A resource that a commitment covers.
pub(super) struct Covered {
    /// The subscription that uses it, an index into the organization.
    pub(super) subscription: usize,
    /// The constant text.
    pub(super) template: Template,
}

/// A purchase or refund.
pub(super) struct Booking {
    /// Department of the purchasing subscription.
    pub(super) department: usize,
    /// The constant text.
    pub(super) template: Template,
    /// Positive for purchases, negative for refunds.
    pub(super) charge: Charge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reservation,
    SavingsPlan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Payment {
    Upfront,
    Monthly,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Utilisation {
    Full,
    Partial,
}

struct Terms {
    kind: Kind,
    payment: Payment,
    utilisation: Utilisation,
    name: &'static str,
    /// Cost per unit and hour in millionths of a millionth of the billing currency.
    share_trillionths: u64,
    /// Day of the first month on which it starts.
    start_day: u32,
    /// Cancelled on this day of the second month.
    cancelled_day: Option<u32>,
}

const TERMS: &[Terms] = &[
    terms(
        Kind::Reservation,
        Payment::Upfront,
        Utilisation::Partial,
        "VM_RI_upfront",
        61_643_835_617,
        1,
        None,
    ),
    terms(
        Kind::Reservation,
        Payment::Monthly,
        Utilisation::Partial,
        "VM_RI_monthly",
        71_917_808_219,
        1,
        None,
    ),
    terms(
        Kind::Reservation,
        Payment::Monthly,
        Utilisation::Full,
        "VM_RI_full",
        58_219_178_083,
        1,
        None,
    ),
    terms(
        Kind::Reservation,
        Payment::Upfront,
        Utilisation::Partial,
        "VM_RI_cancelled",
        43_150_684_932,
        5,
        Some(11),
    ),
    terms(
        Kind::SavingsPlan,
        Payment::Monthly,
        Utilisation::Partial,
        "Plan, compute monthly",
        118_700_000_000,
        1,
        None,
    ),
    terms(
        Kind::SavingsPlan,
        Payment::Upfront,
        Utilisation::Full,
        "Plan compute upfront",
        98_630_136_987,
        1,
        None,
    ),
];

const fn terms(
    kind: Kind,
    payment: Payment,
    utilisation: Utilisation,
    name: &'static str,
    share_trillionths: u64,
    start_day: u32,
    cancelled_day: Option<u32>,
) -> Terms {
    Terms { kind, payment, utilisation, name, share_trillionths, start_day, cancelled_day }
}

const TERM_MONTHS: u32 = 12;
const LIST_PRICE: &str = "0.146";
/// Hours are given in millionths, so that parts of an hour add up exactly.
const HOUR_SCALE: u32 = 6;
const MICROHOURS_PER_DAY: u64 = 24_000_000;

/// Invents the commitments; the units grow with the rows of a day.
pub(super) fn invent_commitments(
    config: &EnrollmentConfig,
    organization: &Organization,
) -> Vec<Commitment> {
    let numbered = (0..).zip(TERMS);
    numbered
        .map(|(number, terms)| Commitment::invent(config, organization, number, terms))
        .collect()
}

impl Commitment {
    fn invent(
        config: &EnrollmentConfig,
        organization: &Organization,
        number: u64,
        terms: &'static Terms,
    ) -> Self {
        let mut random = Random::at(config.seed, &[6, number]);
        let texts = Texts::invent(terms, &mut random);
        let units = (config.rows_per_month / 31 / 200).clamp(2, 500);
        let start = config.first_month.first_day() + Days::new(u64::from(terms.start_day - 1));
        let term_end =
            (terms.payment == Payment::Upfront).then(|| start + Months::new(TERM_MONTHS));
        let purchaser = to_index(random.below(organization.subscriptions.len() as u64));
        Self {
            number,
            terms,
            units,
            share: Decimal::new(i128::from(terms.share_trillionths), 12),
            start,
            end: terms.cancellation(config.first_month).or(term_end).unwrap_or(NaiveDate::MAX),
            term_end,
            purchase_row: texts.purchase(config, organization, purchaser),
            purchase_department: organization.department_of(purchaser),
            covered: (0..units).map(|unit| texts.covered(config, organization, unit)).collect(),
            unused: texts.unused(config),
        }
    }

    /// Returns whether it covers a day.
    pub(super) fn is_active(&self, day: NaiveDate) -> bool {
        self.start <= day && day < self.end
    }

    /// Returns the purchase or refund of a day, which only actual cost shows.
    pub(super) fn booking(&self, day: NaiveDate) -> Option<Booking> {
        if let Some(term_end) = self.term_end {
            if day == self.start {
                return Some(self.purchase("OneTime", self.hours(self.start, term_end)));
            }
            let is_cancelled = day == self.end && self.end < term_end;
            return is_cancelled.then(|| self.refund(self.hours(self.end, term_end)));
        }
        let is_due = day.day() == 1 && self.is_active(day);
        is_due.then(|| self.purchase("Recurring", 24 * i128::from(Month::of(day).days())))
    }

    /// Calls `visit` with the usage of a day, priced as amortized cost shows it.
    pub(super) fn covered_usage(
        &self,
        seed: u64,
        day: NaiveDate,
        mut visit: impl FnMut(&Covered, Charge),
    ) {
        for (unit, covered) in (0..).zip(&self.covered) {
            let microhours = self.used_microhours(seed, day, unit);
            if microhours > 0 {
                visit(covered, Charge::of(hours(microhours), self.share));
            }
        }
    }

    /// Returns the row of a day's unused hours, which only amortized cost shows. Fully used, it shows 0 or is missing.
    pub(super) fn unused(&self, seed: u64, day: NaiveDate) -> Option<(&Template, Charge)> {
        let used: u64 = (0..self.units).map(|unit| self.used_microhours(seed, day, unit)).sum();
        let unused = self.units * MICROHOURS_PER_DAY - used;
        let is_shown = unused > 0 || self.terms.kind == Kind::Reservation;
        is_shown.then(|| (&self.unused, Charge::of(hours(unused), self.share)))
    }

    fn used_microhours(&self, seed: u64, day: NaiveDate, unit: u64) -> u64 {
        if self.terms.utilisation == Utilisation::Full {
            return MICROHOURS_PER_DAY;
        }
        let day = u64::from(day.num_days_from_ce().unsigned_abs());
        let mut random = Random::at(seed, &[7, self.number, day, unit]);
        match random.below(4) {
            0 => 0,
            1 => random.below(MICROHOURS_PER_DAY),
            _ => MICROHOURS_PER_DAY,
        }
    }

    fn hours(&self, from: NaiveDate, to: NaiveDate) -> i128 {
        24 * i128::from((to - from).num_days())
    }

    fn purchase(&self, frequency: &str, hours: i128) -> Booking {
        let price = self.share.times(Decimal::new(hours, 0));
        self.book("Purchase", frequency, price, Decimal::new(i128::from(self.units), 0))
    }

    fn refund(&self, hours: i128) -> Booking {
        let price = self.share.times(Decimal::new(hours, 0));
        self.book("Refund", "OneTime", price, Decimal::new(i128::from(self.units), 0).negated())
    }

    fn book(
        &self,
        charge_type: &str,
        frequency: &str,
        price: Decimal,
        quantity: Decimal,
    ) -> Booking {
        let mut row = self.purchase_row.clone();
        row.set(Column::ChargeType, charge_type)
            .set(Column::Frequency, frequency)
            .set(Column::UnitPrice, price.to_text());
        Booking {
            department: self.purchase_department,
            template: Template::new(&row),
            charge: Charge::of(quantity, price),
        }
    }
}

impl Terms {
    fn cancellation(&self, first_month: Month) -> Option<NaiveDate> {
        self.cancelled_day
            .map(|day| first_month.plus(1).first_day() + Days::new(u64::from(day - 1)))
    }

    fn pricing_model(&self) -> &'static str {
        match self.kind {
            Kind::Reservation => "Reservation",
            Kind::SavingsPlan => "SavingsPlan",
        }
    }
}

/// Ids and names of one commitment.
struct Texts {
    terms: &'static Terms,
    order: String,
    order_name: String,
    /// Reservation or savings plan id.
    id: String,
    meter_id: String,
}

/// The shared text of a VM size and region that commitments cover.
const COVERED_PRODUCT: &str = "Virtual Machines Dsv5 Series - D2s v5 - EU West";

impl Texts {
    fn invent(terms: &'static Terms, random: &mut Random) -> Self {
        let order_name = match terms.kind {
            Kind::Reservation => "Reserved VM Instance, Standard_D2s_v5, EU West, 1 Year",
            Kind::SavingsPlan => "Compute Savings Plan, 1 Year",
        };
        Self {
            terms,
            order: random.guid(),
            order_name: order_name.to_owned(),
            id: random.guid(),
            meter_id: random.guid(),
        }
    }

    fn benefit_id(&self) -> String {
        match self.terms.kind {
            Kind::Reservation => format!("{}{}", self.reservation_order_path(), self.id),
            Kind::SavingsPlan => format!(
                "/providers/Microsoft.BillingBenefits/savingsPlanOrders/{}/savingsPlans/{}",
                self.order, self.id
            ),
        }
    }

    fn reservation_order_path(&self) -> String {
        format!("/providers/Microsoft.Capacity/reservationOrders/{}/reservations/", self.order)
    }

    /// The columns that say which commitment a row belongs to.
    fn row(&self, config: &EnrollmentConfig) -> Row {
        let mut row = enrollment_row(config);
        row.set(Column::PricingModel, self.terms.pricing_model())
            .set(Column::ProductOrderId, self.order.as_str())
            .set(Column::ProductOrderName, self.order_name.as_str())
            .set(Column::Term, TERM_MONTHS.to_string())
            .set(Column::BenefitId, self.benefit_id())
            .set(Column::BenefitName, self.terms.name)
            .set(Column::UnitOfMeasure, "1 Hour");
        if self.terms.kind == Kind::Reservation {
            row.set(Column::ReservationId, self.id.as_str())
                .set(Column::ReservationName, self.terms.name)
                .set(Column::PayGPrice, "0");
        }
        row
    }

    /// A purchase row names the order where usage rows name the reservation.
    fn purchase(
        &self,
        config: &EnrollmentConfig,
        organization: &Organization,
        purchaser: usize,
    ) -> Row {
        let mut row = self.row(config);
        organization.describe(purchaser, &mut row);
        row.set(Column::ProductName, self.order_name.as_str()).set(Column::PartNumber, "AAD-31817");
        match self.terms.kind {
            Kind::Reservation => row
                .set(Column::ReservationId, self.order.as_str())
                .set(Column::BenefitId, self.reservation_order_path())
                .set(Column::ResourceId, self.reservation_order_path())
                .set(Column::ConsumedService, "Microsoft.Capacity"),
            Kind::SavingsPlan => row
                .set(Column::ResourceId, self.benefit_id())
                .set(Column::ConsumedService, "Microsoft.BillingBenefits"),
        };
        row
    }

    fn covered(
        &self,
        config: &EnrollmentConfig,
        organization: &Organization,
        unit: u64,
    ) -> Covered {
        let mut random = Random::at(config.seed, &[8, self.terms.share_trillionths, unit]);
        let subscription = to_index(random.below(organization.subscriptions.len() as u64));
        let group = format!("rg-vmss-{:02}", random.below(30));
        let name = format!("vm-{}-{unit:04}", self.terms.pricing_model().to_lowercase());
        let resource_id = format!(
            "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}",
            organization.subscriptions[subscription].id
        );
        let mut row = self.row(config);
        organization.describe(subscription, &mut row);
        self.describe_meter(&mut row);
        row.set(Column::ChargeType, "Usage")
            .set(Column::Frequency, "UsageBased")
            .set(Column::OfferId, "MS-AZR-0017P")
            .set(Column::ConsumedService, "Microsoft.Compute")
            .set(Column::ResourceGroup, group)
            .set(Column::ResourceId, resource_id)
            .set(Column::ResourceName, name)
            .set(Column::Tags, r#""env": "prod","pool": "committed""#)
            .set(Column::AdditionalInfo, self.additional_info())
            .set(Column::UnitPrice, LIST_PRICE);
        if self.terms.kind == Kind::SavingsPlan {
            row.set(Column::PayGPrice, LIST_PRICE);
        }
        Covered { subscription, template: Template::new(&row) }
    }

    fn additional_info(&self) -> String {
        match self.terms.kind {
            Kind::Reservation => format!(
                r#"{{"UsageType":"ComputeHR","ServiceType":"Standard_D2s_v5","VCPUs":2,"ReservationOrderId":"{}","ReservationId":"{}","RINormalizationRatio":1.0}}"#,
                self.order, self.id
            ),
            Kind::SavingsPlan => {
                r#"{"UsageType":"ComputeHR","ServiceType":"Standard_D2s_v5","VCPUs":2}"#.to_owned()
            }
        }
    }

    /// Unused hours belong to no subscription, account or department; the resource is the commitment.
    fn unused(&self, config: &EnrollmentConfig) -> Template {
        let mut row = self.row(config);
        self.describe_meter(&mut row);
        let charge_type = match self.terms.kind {
            Kind::Reservation => "UnusedReservation",
            Kind::SavingsPlan => "UnusedSavingsPlan",
        };
        row.set(Column::ChargeType, charge_type)
            .set(Column::Frequency, "UsageBased")
            .set(Column::ResourceId, self.benefit_id())
            .set(Column::ResourceName, self.terms.name);
        Template::new(&row)
    }

    fn describe_meter(&self, row: &mut Row) {
        row.set(Column::ProductName, COVERED_PRODUCT)
            .set(Column::MeterCategory, "Virtual Machines")
            .set(Column::MeterSubCategory, "Dsv5 Series")
            .set(Column::MeterName, "D2s v5")
            .set(Column::MeterId, self.meter_id.as_str())
            .set(Column::MeterRegion, REGIONS[0].billed)
            .set(Column::ResourceLocation, REGIONS[0].spelled)
            .set(Column::ResourceLocationNormalized, REGIONS[0].normalized)
            .set(Column::PartNumber, "AAD-31900");
    }
}

fn hours(microhours: u64) -> Decimal {
    Decimal::new(i128::from(microhours), HOUR_SCALE)
}
