//! Rows that are neither usage nor commitments: Marketplace purchases and rounding adjustments. Both metrics show them
//! alike, and only at enrollment scope.

use super::calendar::Month;
use super::config::EnrollmentConfig;
use super::decimal::Decimal;
use super::organization::Organization;
use super::random::{Random, to_index};
use super::resources::enrollment_row;
use super::row::{Charge, Column, Template};
use chrono::{Datelike, NaiveDate};

/// A row of its own, with the department whose name it carries, if any.
pub(super) struct Extra {
    /// An index into the departments.
    pub(super) department: Option<usize>,
    /// The constant text.
    pub(super) template: Template,
    /// What it costs.
    pub(super) charge: Charge,
}

/// Day of the month on which Marketplace subscriptions are billed.
const MARKETPLACE_DAY: u32 = 9;
/// Rounding rows of a closed month.
const ROUNDING_ROWS: u64 = 3;

/// Returns the extra rows of a day.
pub(super) fn extras(
    config: &EnrollmentConfig,
    organization: &Organization,
    day: NaiveDate,
) -> Vec<Extra> {
    let month = Month::of(day);
    let is_invoiced = config.open_month != Some(month);
    let mut extras = Vec::new();
    if day.day() == MARKETPLACE_DAY {
        extras.push(marketplace_purchase(config, organization));
    }
    if day == month.last_day() && is_invoiced {
        extras.extend((0..ROUNDING_ROWS).map(|number| rounding_adjustment(config, month, number)));
    }
    extras
}

fn marketplace_purchase(config: &EnrollmentConfig, organization: &Organization) -> Extra {
    let mut random = Random::at(config.seed, &[9]);
    let subscription = to_index(random.below(organization.subscriptions.len() as u64));
    let mut row = enrollment_row(config);
    organization.describe(subscription, &mut row);
    row.set(Column::ProductName, "Fabrikam Firewall - 10 seats, monthly")
        .set(Column::ProductOrderId, random.guid())
        .set(Column::ProductOrderName, "Fabrikam Firewall")
        .set(Column::Term, "1 month")
        .set(Column::UnitOfMeasure, "Unassigned")
        .set(Column::PublisherType, "Marketplace")
        .set(Column::PublisherName, "Fabrikam, Inc.")
        .set(Column::PlanName, "seats-10")
        .set(Column::ChargeType, "Purchase")
        .set(Column::Frequency, "Recurring")
        .set(Column::PricingModel, "OnDemand")
        .set(Column::IsAzureCreditEligible, "False");
    Extra {
        department: Some(organization.department_of(subscription)),
        template: Template::new(&row),
        charge: Charge::of(Decimal::new(10, 0), Decimal::new(2_549, 2)),
    }
}

/// What an invoice line lost when it was cut to whole cents: a small amount without resource or department.
fn rounding_adjustment(config: &EnrollmentConfig, month: Month, number: u64) -> Extra {
    let day = u64::from(month.first_day().num_days_from_ce().unsigned_abs());
    let mut random = Random::at(config.seed, &[10, day, number]);
    let lost = Decimal::new(i128::from(random.below(10u64.pow(16))), 18).negated();
    let mut row = enrollment_row(config);
    row.set(Column::ProductName, "Rounding adjustment")
        .set(Column::ChargeType, "RoundingAdjustment")
        .set(Column::Frequency, "OneTime");
    Extra {
        department: None,
        template: Template::new(&row),
        charge: Charge::of(Decimal::new(1, 0), lost),
    }
}
