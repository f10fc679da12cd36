//! One class per charge, from the columns that say what a charge is (`cost-data.md`, 5 and 6).
//!
//! | ChargeType | commitment | class |
//! |---|---|---|
//! | Usage | none, Spot, reservation, savings plan | the four usage classes |
//! | Purchase, Refund | reservation, savings plan, none | purchases and refunds |
//! | UnusedReservation, UnusedSavingsPlan, UnusedBenefit | | the two unused classes |
//! | RoundingAdjustment | | rounding |
//! | Tax, Credit | | tax or credit |
//!
//! A publisher type of Marketplace decides before all others. What no rule knows is
//! [`ChargeClass::Other`]: counted and shown, never dropped.
//!
//! FOCUS says the same in other words (`cost-data.md`, 9), which are put into Azure's first:
//!
//! | FOCUS | Azure |
//! |---|---|
//! | ChargeCategory Usage with CommitmentDiscountStatus Unused | UnusedBenefit |
//! | ChargeCategory Purchase with ChargeClass Correction | Refund |
//! | ChargeCategory Adjustment | RoundingAdjustment |
//! | PricingCategory Standard, Dynamic, Committed | OnDemand, Spot, by CommitmentDiscountType or -Id |
//! | a Purchase, or a row with CommitmentDiscountStatus | by CommitmentDiscountType or -Id, whatever its price |
//! | CommitmentDiscountId that says nothing of its kind | a reservation |
//! | ChargeSubcategory of 1.0-preview | as CommitmentDiscountStatus; Refund makes a purchase or adjustment one |
//! | x_PublisherCategory Vendor | Marketplace |

use std::fmt;

/// What a charge is, for rollups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChargeClass {
    /// Usage at the negotiated price.
    OnDemandUsage,
    /// Usage of spare capacity.
    SpotUsage,
    /// Usage covered by a reservation: free in actual, its share in amortized.
    ReservationUsage,
    /// Usage covered by a savings plan: free in actual, its share in amortized.
    SavingsPlanUsage,
    /// A reservation paid, at once or month by month. In amortized it has no row, or costs nothing (FOCUS).
    ReservationPurchase,
    /// A savings plan paid, at once or month by month; in amortized as a reservation.
    SavingsPlanPurchase,
    /// A reservation given back (negative); in amortized as its purchase.
    ReservationRefund,
    /// A savings plan given back (negative); in amortized as its purchase.
    SavingsPlanRefund,
    /// Reserved hours that nothing used. In actual they have no row, or cost nothing (FOCUS).
    UnusedReservation,
    /// Savings plan commitment that nothing used; in actual as reserved hours.
    UnusedSavingsPlan,
    /// Usage sold by a third party.
    MarketplaceUsage,
    /// A third party's product bought; never spread.
    MarketplacePurchase,
    /// Any other purchase.
    OtherPurchase,
    /// Any other refund.
    Refund,
    /// The difference between rows and the invoice's digits.
    Rounding,
    /// Tax or credit.
    TaxOrCredit,
    /// A combination that no rule knows.
    Other,
}

/// The columns that decide the class, as the file has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChargeFacts<'a> {
    /// `ChargeType`; `None` if the file has no such column (2019 and pay-as-you-go: usage only).
    pub charge_type: Option<&'a str>,
    /// `PricingModel`, empty in old files.
    pub pricing_model: &'a str,
    /// `PublisherType`.
    pub publisher_type: &'a str,
    /// `benefitId`, the resource id of the reservation or savings plan.
    pub benefit_id: &'a str,
    /// Whether `ReservationId` is filled.
    pub has_reservation_id: bool,
    /// `ChargeClass` of FOCUS: Correction or nothing.
    pub correction: &'a str,
    /// `CommitmentDiscountType` of FOCUS.
    pub commitment_type: &'a str,
    /// `CommitmentDiscountStatus` of FOCUS: Used, Unused or nothing; `ChargeSubcategory` of 1.0-preview.
    pub commitment_status: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Commitment {
    None,
    Spot,
    Reservation,
    SavingsPlan,
    Unknown,
}

/// What FOCUS says of a row's commitment; 1.0-preview says it in `ChargeSubcategory`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    None,
    Used,
    Unused,
    Refund,
}

impl ChargeClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::OnDemandUsage,
        Self::SpotUsage,
        Self::ReservationUsage,
        Self::SavingsPlanUsage,
        Self::ReservationPurchase,
        Self::SavingsPlanPurchase,
        Self::ReservationRefund,
        Self::SavingsPlanRefund,
        Self::UnusedReservation,
        Self::UnusedSavingsPlan,
        Self::MarketplaceUsage,
        Self::MarketplacePurchase,
        Self::OtherPurchase,
        Self::Refund,
        Self::Rounding,
        Self::TaxOrCredit,
        Self::Other,
    ];

    /// The name in the column `charge_class` and in rollup definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemandUsage => "on_demand_usage",
            Self::SpotUsage => "spot_usage",
            Self::ReservationUsage => "reservation_usage",
            Self::SavingsPlanUsage => "savings_plan_usage",
            Self::ReservationPurchase => "reservation_purchase",
            Self::SavingsPlanPurchase => "savings_plan_purchase",
            Self::ReservationRefund => "reservation_refund",
            Self::SavingsPlanRefund => "savings_plan_refund",
            Self::UnusedReservation => "unused_reservation",
            Self::UnusedSavingsPlan => "unused_savings_plan",
            Self::MarketplaceUsage => "marketplace_usage",
            Self::MarketplacePurchase => "marketplace_purchase",
            Self::OtherPurchase => "other_purchase",
            Self::Refund => "refund",
            Self::Rounding => "rounding",
            Self::TaxOrCredit => "tax_or_credit",
            Self::Other => "other",
        }
    }

    /// The position in [`Self::ALL`], as which columns of codes hold the class.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Returns the class with that code.
    pub fn from_code(code: i32) -> Option<Self> {
        usize::try_from(code).ok().and_then(|at| Self::ALL.get(at)).copied()
    }

    /// Returns the class with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether a reservation or a savings plan is behind the charge.
    pub fn is_of_commitment(self) -> bool {
        matches!(
            self,
            Self::ReservationUsage
                | Self::SavingsPlanUsage
                | Self::ReservationPurchase
                | Self::SavingsPlanPurchase
                | Self::ReservationRefund
                | Self::SavingsPlanRefund
                | Self::UnusedReservation
                | Self::UnusedSavingsPlan
        )
    }

    /// Returns the class of a charge. Case and blanks of the values do not matter.
    pub fn of(facts: &ChargeFacts<'_>) -> Self {
        let charge_type = facts.charge_type();
        if matches!(plain(facts.publisher_type).as_str(), "marketplace" | "vendor") {
            return Self::of_marketplace(&charge_type);
        }
        let commitment = facts.commitment(&charge_type);
        match (charge_type.as_str(), commitment) {
            ("usage", Commitment::None) => Self::OnDemandUsage,
            ("usage", Commitment::Spot) => Self::SpotUsage,
            ("usage", Commitment::Reservation) => Self::ReservationUsage,
            ("usage", Commitment::SavingsPlan) => Self::SavingsPlanUsage,
            ("purchase", Commitment::Reservation) => Self::ReservationPurchase,
            ("purchase", Commitment::SavingsPlan) => Self::SavingsPlanPurchase,
            ("purchase", _) => Self::OtherPurchase,
            ("refund", Commitment::Reservation) => Self::ReservationRefund,
            ("refund", Commitment::SavingsPlan) => Self::SavingsPlanRefund,
            ("refund", _) => Self::Refund,
            ("unusedreservation", _) | ("unusedbenefit", Commitment::Reservation) => {
                Self::UnusedReservation
            }
            ("unusedsavingsplan", _) | ("unusedbenefit", Commitment::SavingsPlan) => {
                Self::UnusedSavingsPlan
            }
            ("roundingadjustment", _) => Self::Rounding,
            ("tax" | "credit", _) => Self::TaxOrCredit,
            _ => Self::Other,
        }
    }

    fn of_marketplace(charge_type: &str) -> Self {
        match charge_type {
            "usage" => Self::MarketplaceUsage,
            "purchase" => Self::MarketplacePurchase,
            "refund" => Self::Refund,
            "roundingadjustment" => Self::Rounding,
            "tax" | "credit" => Self::TaxOrCredit,
            _ => Self::Other,
        }
    }
}

impl ChargeFacts<'_> {
    /// The charge type in Azure's words.
    fn charge_type(&self) -> String {
        let charge_type = self.charge_type.map_or_else(|| "usage".to_owned(), plain);
        match (charge_type.as_str(), self.status()) {
            ("usage", Status::Unused) => "unusedbenefit".to_owned(),
            ("purchase", _) if plain(self.correction) == "correction" => "refund".to_owned(),
            ("purchase" | "adjustment", Status::Refund) => "refund".to_owned(),
            ("adjustment", _) => "roundingadjustment".to_owned(),
            _ => charge_type,
        }
    }

    fn status(&self) -> Status {
        match plain(self.commitment_status).as_str() {
            "used" | "usedcommitment" => Status::Used,
            "unused" | "unusedcommitment" => Status::Unused,
            "refund" => Status::Refund,
            _ => Status::None,
        }
    }

    /// What says most of the commitment: a status that FOCUS gives only to commitments, then the pricing
    /// model, and the benefit where that is empty, as in old files, or says too little.
    fn commitment(&self, charge_type: &str) -> Commitment {
        let of_benefit = self.commitment_of_benefit();
        let is_covered = matches!(self.status(), Status::Used | Status::Unused);
        if (is_covered || charge_type == "unusedbenefit") && of_benefit != Commitment::None {
            return of_benefit;
        }
        let is_paid = matches!(charge_type, "purchase" | "refund");
        match plain(self.pricing_model).as_str() {
            "ondemand" => Commitment::None,
            "reservation" => Commitment::Reservation,
            "savingsplan" => Commitment::SavingsPlan,
            // What is bought may be a commitment, at whatever price.
            _ if is_paid => of_benefit,
            "spot" | "dynamic" => Commitment::Spot,
            "standard" => Commitment::None,
            "" => of_benefit,
            "committed" | "commitmentbased" if of_benefit != Commitment::None => of_benefit,
            _ => Commitment::Unknown,
        }
    }

    fn commitment_of_benefit(&self) -> Commitment {
        match plain(self.commitment_type).as_str() {
            "reservation" => return Commitment::Reservation,
            "savingsplan" => return Commitment::SavingsPlan,
            _ => {}
        }
        let benefit_id = self.benefit_id.trim().to_ascii_lowercase();
        if benefit_id.contains("/microsoft.billingbenefits/") {
            Commitment::SavingsPlan
        } else if !benefit_id.is_empty() || self.has_reservation_id {
            // One that says nothing of its kind is a commitment all the same.
            Commitment::Reservation
        } else {
            Commitment::None
        }
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

impl fmt::Display for ChargeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_table() {
        for (charge_type, pricing_model, publisher_type, benefit_id, expected) in [
            ("Usage", "OnDemand", "Azure", "", ChargeClass::OnDemandUsage),
            ("Usage", "On Demand", "Microsoft", "", ChargeClass::OnDemandUsage),
            ("Usage", "", "", "", ChargeClass::OnDemandUsage),
            ("Usage", "Spot", "Azure", "", ChargeClass::SpotUsage),
            ("Usage", "Reservation", "Azure", "", ChargeClass::ReservationUsage),
            (
                "Usage",
                "",
                "Azure",
                "/providers/Microsoft.BillingBenefits/savingsPlanOrders/1",
                ChargeClass::SavingsPlanUsage,
            ),
            ("Purchase", "Reservation", "Azure", "", ChargeClass::ReservationPurchase),
            (
                "Purchase",
                "",
                "Azure",
                "/PROVIDERS/microsoft.capacity/reservationOrders/1",
                ChargeClass::ReservationPurchase,
            ),
            ("Purchase", "SavingsPlan", "Azure", "", ChargeClass::SavingsPlanPurchase),
            ("Purchase", "OnDemand", "Azure", "", ChargeClass::OtherPurchase),
            ("Purchase", "", "Marketplace", "", ChargeClass::MarketplacePurchase),
            ("usage", "Reservation", "Marketplace", "", ChargeClass::MarketplaceUsage),
            ("Refund", "Reservation", "Azure", "", ChargeClass::ReservationRefund),
            ("Refund", "OnDemand", "Azure", "", ChargeClass::Refund),
            ("UnusedReservation", "Reservation", "Azure", "", ChargeClass::UnusedReservation),
            ("UnusedBenefit", "SavingsPlan", "Azure", "", ChargeClass::UnusedSavingsPlan),
            (
                "UnusedBenefit",
                "OnDemand",
                "Azure",
                "/providers/Microsoft.Capacity/reservationOrders/1",
                ChargeClass::UnusedReservation,
            ),
            ("RoundingAdjustment", "", "Azure", "", ChargeClass::Rounding),
            ("Tax", "", "", "", ChargeClass::TaxOrCredit),
            ("Usage", "Blended", "Azure", "", ChargeClass::Other),
            ("", "OnDemand", "Azure", "", ChargeClass::Other),
        ] {
            let facts = ChargeFacts {
                charge_type: Some(charge_type),
                pricing_model,
                publisher_type,
                benefit_id,
                ..ChargeFacts::default()
            };
            assert_eq!(ChargeClass::of(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_words_of_focus_give_the_same_classes() {
        let savings_plan = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/1";
        let reservation = "/providers/microsoft.capacity/reservationOrders/1";
        let row = |charge_type, pricing_model, benefit_id| ChargeFacts {
            charge_type: Some(charge_type),
            pricing_model,
            publisher_type: "Cloud Provider",
            benefit_id,
            ..ChargeFacts::default()
        };
        let usage = |pricing_model, benefit_id| row("Usage", pricing_model, benefit_id);
        let purchase = |pricing_model, benefit_id| row("Purchase", pricing_model, benefit_id);
        let status = |commitment_status, facts| ChargeFacts { commitment_status, ..facts };
        let used = |facts| status("Used", facts);
        let unused = |facts| status("Unused", facts);
        let corrected = |facts| ChargeFacts { correction: "Correction", ..facts };
        let by_type = ChargeFacts { commitment_type: "Savings Plan", ..usage("Committed", "id") };
        let vendor = |facts| ChargeFacts { publisher_type: "Vendor", ..facts };
        for (facts, expected) in [
            (usage("Standard", ""), ChargeClass::OnDemandUsage),
            (usage("Dynamic", ""), ChargeClass::SpotUsage),
            (usage("Committed", reservation), ChargeClass::ReservationUsage),
            (usage("Committed", savings_plan), ChargeClass::SavingsPlanUsage),
            (by_type, ChargeClass::SavingsPlanUsage),
            (usage("Committed", "somebody's id"), ChargeClass::ReservationUsage),
            (unused(usage("Committed", reservation)), ChargeClass::UnusedReservation),
            (unused(by_type), ChargeClass::UnusedSavingsPlan),
            (purchase("Standard", reservation), ChargeClass::ReservationPurchase),
            (purchase("Committed", savings_plan), ChargeClass::SavingsPlanPurchase),
            (purchase("Standard", ""), ChargeClass::OtherPurchase),
            (corrected(purchase("Standard", reservation)), ChargeClass::ReservationRefund),
            (corrected(purchase("", "")), ChargeClass::Refund),
            (corrected(usage("Standard", "")), ChargeClass::OnDemandUsage),
            (vendor(usage("Standard", "")), ChargeClass::MarketplaceUsage),
            (vendor(purchase("Standard", "")), ChargeClass::MarketplacePurchase),
            (row("Adjustment", "", ""), ChargeClass::Rounding),
            (row("Credit", "", ""), ChargeClass::TaxOrCredit),
            (usage("Other", ""), ChargeClass::Other),
            // A status is given to commitments alone, whatever the pricing category says.
            (used(usage("Standard", reservation)), ChargeClass::ReservationUsage),
            (unused(usage("Standard", reservation)), ChargeClass::UnusedReservation),
            (used(usage("Dynamic", savings_plan)), ChargeClass::SavingsPlanUsage),
            (purchase("Other", savings_plan), ChargeClass::SavingsPlanPurchase),
            // FOCUS 1.0-preview.
            (usage("On-Demand", ""), ChargeClass::OnDemandUsage),
            (usage("Commitment-Based", reservation), ChargeClass::ReservationUsage),
            (
                status("Unused Commitment", usage("Commitment-Based", reservation)),
                ChargeClass::UnusedReservation,
            ),
            (status("Refund", row("Adjustment", "", "")), ChargeClass::Refund),
        ] {
            assert_eq!(ChargeClass::of(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn files_without_charge_type_hold_usage() {
        assert_eq!(ChargeClass::of(&ChargeFacts::default()), ChargeClass::OnDemandUsage);
    }

    #[test]
    fn names_are_read_back() {
        for class in ChargeClass::ALL {
            assert_eq!(ChargeClass::from_name(class.name()), Some(class));
            assert_eq!(ChargeClass::from_code(class.code()), Some(class));
        }
    }
}
