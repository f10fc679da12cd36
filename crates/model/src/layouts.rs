//! The layouts of cost files: which columns each generation has (`cost-data.md`, section 1).
//!
//! A header is compared with all of them by its set of names. One that equals a layout is of it; one
//! that comes near is of it with columns that were added or left out, which are named.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use crate::aliases::{Naming, header_key};

/// A generation of cost files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// Enterprise Agreement: exports, Cost Details API and portal downloads.
    Ea,
    /// The retired usage API of Enterprise Agreements.
    EaUsage,
    /// Microsoft Customer Agreement.
    Mca,
    /// Partners: as of a customer agreement, with partner and customer.
    Csp,
    /// Pay-as-you-go.
    Payg,
    /// FOCUS: billed and effective costs in one file.
    Focus,
    /// Any other file that has what a cost file must have.
    Other,
}

impl SourceKind {
    /// The name in the column `source_kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ea => "ea",
            Self::EaUsage => "ea-usage",
            Self::Mca => "mca",
            Self::Csp => "csp",
            Self::Payg => "payg",
            Self::Focus => "focus",
            Self::Other => "other",
        }
    }
}

/// A known layout.
#[derive(Debug)]
pub struct Layout {
    /// The generation.
    pub kind: SourceKind,
    /// The version of the data set.
    pub version: &'static str,
    /// What tells it from the layout before it that has the same columns.
    mark: Option<Mark>,
    /// Its columns: lists of names between blanks.
    columns: &'static [&'static str],
}

/// What tells two layouts with the same columns apart.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// The column that comes first.
    First(&'static str),
    /// A column whose name is spelled just so.
    Spelling(&'static str),
}

/// A header held against the layouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The generation.
    pub kind: SourceKind,
    /// The version of the data set, where a layout is near enough.
    pub version: Option<&'static str>,
    /// Columns of the file that the layout does not have, in the order of the file.
    pub added: Vec<String>,
    /// Columns of the layout that the file does not have, in the order of the layout.
    pub missing: Vec<String>,
}

const fn layout(
    kind: SourceKind,
    version: &'static str,
    columns: &'static [&'static str],
) -> Layout {
    Layout { kind, version, mark: None, columns }
}

const fn marked(
    kind: SourceKind,
    version: &'static str,
    mark: Mark,
    columns: &'static [&'static str],
) -> Layout {
    Layout { kind, version, mark: Some(mark), columns }
}

/// Every layout that is known. Of two with the same columns the marked one comes first.
static LAYOUTS: [Layout; 22] = [
    layout(SourceKind::Ea, "2019-10-01", &[EA_2019]),
    layout(SourceKind::Ea, "2020-01-01", &[EA_2020]),
    layout(SourceKind::Ea, "2021-01-01", &[EA_2020, ALLOCATION]),
    marked(
        SourceKind::Ea,
        "2021-10-01",
        Mark::First("CostInBillingCurrency"),
        &[EA_2020, ALLOCATION, BENEFIT],
    ),
    layout(SourceKind::Ea, "2023-12-01-preview", &[EA_2020, ALLOCATION, BENEFIT]),
    layout(SourceKind::Ea, "2024-08-01", &[EA_2020, ALLOCATION, BENEFIT, EA_2024]),
    layout(SourceKind::Ea, "portal", &[EA_PORTAL]),
    layout(SourceKind::EaUsage, "v3", &[EA_USAGE_V3]),
    layout(SourceKind::Payg, "2019-11-01", &[PAYG]),
    layout(SourceKind::Mca, "2019-10-01", &[MCA, MCA_2019_10]),
    layout(SourceKind::Mca, "2019-11-01", &[MCA, MCA_2019_11]),
    marked(SourceKind::Mca, "2021-10-01", Mark::Spelling("PricingModel"), &[MCA, MCA_2021]),
    layout(SourceKind::Mca, "2023-12-01-preview", &[MCA, MCA_2021]),
    layout(SourceKind::Csp, "2019-11-01", &[MCA, MCA_2019_11, PARTNER]),
    layout(SourceKind::Csp, "2023-12-01-preview", &[MCA, MCA_2021, PARTNER]),
    layout(SourceKind::Focus, "1.0-preview", &[FOCUS_MICROSOFT, FOCUS_MICROSOFT_PREVIEW]),
    layout(SourceKind::Focus, "1.0", &[FOCUS_MICROSOFT, FOCUS_MICROSOFT_1_0]),
    layout(
        SourceKind::Focus,
        "1.2-preview",
        &[FOCUS_MICROSOFT, FOCUS_MICROSOFT_1_2, "x_SkuDetails"],
    ),
    layout(SourceKind::Focus, "1.2", &[FOCUS_MICROSOFT, FOCUS_MICROSOFT_1_2]),
    layout(SourceKind::Focus, "1.0", &[FOCUS_1_0]),
    layout(SourceKind::Focus, "1.1", &[FOCUS_1_0, FOCUS_1_1]),
    layout(SourceKind::Focus, "1.2", &[FOCUS_1_0, FOCUS_1_1, FOCUS_1_2]),
];

impl Layout {
    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.columns.iter().flat_map(|names| names.split_ascii_whitespace())
    }

    fn has_mark(&self, headers: &[String]) -> bool {
        match self.mark {
            None => true,
            Some(Mark::First(name)) => headers.first().is_some_and(|first| first == name),
            Some(Mark::Spelling(name)) => headers.iter().any(|header| header == name),
        }
    }
}

/// Every layout that is known.
pub fn layouts() -> &'static [Layout] {
    &LAYOUTS
}

/// The share, in tenths, of all names of a header and a layout that both must have for the header to
/// be of that layout.
const NEAR_ENOUGH: usize = 6;

impl Fingerprint {
    /// Holds the names of a header, cleaned of blanks and marks, against the layouts. The nearest is the
    /// one that shares most of the names of both; columns without a name do not count.
    pub fn of(headers: &[String]) -> Self {
        let is_focus = Naming::of(headers) == Naming::Focus;
        let named = headers.iter().filter(|header| !header.is_empty());
        let keys: BTreeSet<String> = named.map(|header| header_key(header)).collect();
        let mut nearest: Option<(&Layout, usize, usize)> = None;
        for (layout, of_layout) in LAYOUTS.iter().zip(layout_keys()) {
            let shared = keys.intersection(of_layout).count();
            let all = keys.len() + of_layout.len() - shared;
            let is_nearer = nearest.is_none_or(|(_, s, a)| shared * a > s * all);
            let is_of_naming = (layout.kind == SourceKind::Focus) == is_focus;
            if is_of_naming
                && is_nearer
                && shared * 10 >= all * NEAR_ENOUGH
                && layout.has_mark(headers)
            {
                nearest = Some((layout, shared, all));
            }
        }
        match nearest {
            Some((layout, ..)) => Self::near(layout, headers, &keys),
            None => Self {
                kind: if is_focus { SourceKind::Focus } else { SourceKind::Other },
                version: None,
                added: Vec::new(),
                missing: Vec::new(),
            },
        }
    }

    /// How the header differs from its layout, in words; `None` if it is that of a known layout, to the
    /// last column.
    pub fn departure(&self) -> Option<String> {
        if self.version.is_none() {
            return Some("its layout is not known".to_owned());
        }
        let list = |what: &str, names: &[String]| match names {
            [] => None,
            names => Some(format!("{what} {}", names.join(", "))),
        };
        let parts = [list("with", &self.added), list("without", &self.missing)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { None } else { Some(format!("layout {self} {}", parts.join(" and "))) }
    }

    fn near(layout: &Layout, headers: &[String], keys: &BTreeSet<String>) -> Self {
        let of_layout: BTreeSet<String> = layout.columns().map(header_key).collect();
        let is_added =
            |header: &&String| !header.is_empty() && !of_layout.contains(&header_key(header));
        let is_missing = |name: &&str| !keys.contains(&header_key(name));
        Self {
            kind: layout.kind,
            version: Some(layout.version),
            added: headers.iter().filter(is_added).cloned().collect(),
            missing: layout.columns().filter(is_missing).map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for Fingerprint {
    /// Kind and version, such as `ea 2024-08-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        self.version.map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

/// The names of each layout, in the form in which headers are compared.
fn layout_keys() -> &'static [BTreeSet<String>] {
    static KEYS: LazyLock<Vec<BTreeSet<String>>> = LazyLock::new(|| {
        LAYOUTS.iter().map(|layout| layout.columns().map(header_key).collect()).collect()
    });
    &KEYS
}

const ALLOCATION: &str = "CostAllocationRuleName";

const BENEFIT: &str = "benefitId benefitName";

const EA_2024: &str = "AccountId ResourceLocationNormalized";

const PARTNER: &str = "
    partnerTenantId partnerName customerTenantId customerName partnerEarnedCreditApplied \
    partnerEarnedCreditRate";

const EA_2019: &str = "
    DepartmentName AccountName AccountOwnerId SubscriptionGuid SubscriptionName ResourceGroup \
    ResourceLocation UsageDateTime ProductName MeterCategory MeterSubcategory MeterId MeterName \
    MeterRegion UnitOfMeasure UsageQuantity ResourceRate PreTaxCost CostCenter ConsumedService \
    ResourceType InstanceId Tags OfferId AdditionalInfo ServiceInfo1 ServiceInfo2";

const EA_2020: &str = "
    InvoiceSectionName AccountName AccountOwnerId SubscriptionId SubscriptionName ResourceGroup \
    ResourceLocation Date ProductName MeterCategory MeterSubCategory MeterId MeterName \
    MeterRegion UnitOfMeasure Quantity EffectivePrice CostInBillingCurrency CostCenter \
    ConsumedService ResourceId Tags OfferId AdditionalInfo ServiceInfo1 ServiceInfo2 \
    ResourceName ReservationId ReservationName UnitPrice ProductOrderId ProductOrderName Term \
    PublisherType PublisherName ChargeType Frequency PricingModel AvailabilityZone \
    BillingAccountId BillingAccountName BillingCurrencyCode BillingPeriodStartDate \
    BillingPeriodEndDate BillingProfileId BillingProfileName InvoiceSectionId \
    IsAzureCreditEligible PartNumber PayGPrice PlanName ServiceFamily";

const EA_PORTAL: &str = "
    BillingAccountId BillingAccountName BillingPeriodStartDate BillingPeriodEndDate \
    BillingProfileId BillingProfileName AccountOwnerId AccountName SubscriptionId \
    SubscriptionName Date Product PartNumber MeterId ServiceFamily MeterCategory \
    MeterSubCategory MeterRegion MeterName Quantity EffectivePrice Cost UnitPrice \
    BillingCurrency ResourceLocation AvailabilityZone ConsumedService ResourceId ResourceName \
    ServiceInfo1 ServiceInfo2 AdditionalInfo Tags InvoiceSectionId InvoiceSection CostCenter \
    UnitOfMeasure ResourceGroup ReservationId ReservationName ProductOrderId ProductOrderName \
    OfferId IsAzureCreditEligible Term PublisherName PlanName ChargeType Frequency PublisherType \
    PayGPrice PricingModel CostAllocationRuleName benefitId benefitName";

const EA_USAGE_V3: &str = "
    AccountId AccountName AccountOwnerEmail AdditionalInfo ConsumedQuantity ConsumedService \
    ConsumedServiceId Cost CostCenter Date DepartmentId DepartmentName InstanceId MeterCategory \
    MeterId MeterName MeterRegion MeterSubCategory Product ProductId ResourceGroup \
    ResourceLocation ResourceLocationId ResourceRate ServiceAdministratorId ServiceInfo1 \
    ServiceInfo2 StoreServiceIdentifier SubscriptionGuid SubscriptionId SubscriptionName Tags \
    UnitOfMeasure PartNumber ResourceGuid OfferId ChargesBilledSeparately Location ServiceName \
    ServiceTier";

const PAYG: &str = "
    SubscriptionGuid ResourceGroup ResourceLocation UsageDateTime MeterCategory MeterSubcategory \
    MeterId MeterName MeterRegion UsageQuantity ResourceRate PreTaxCost ConsumedService \
    ResourceType InstanceId Tags OfferId AdditionalInfo ServiceInfo1 ServiceInfo2 ServiceName \
    ServiceTier Currency UnitOfMeasure";

const MCA: &str = "
    invoiceId previousInvoiceId billingAccountId billingAccountName billingProfileId \
    billingProfileName invoiceSectionId invoiceSectionName resellerName resellerMpnId costCenter \
    billingPeriodEndDate billingPeriodStartDate servicePeriodEndDate servicePeriodStartDate date \
    serviceFamily productOrderId productOrderName consumedService meterId meterName \
    meterCategory meterSubCategory meterRegion ProductId subscriptionName publisherType \
    publisherId publisherName resourceLocation location effectivePrice quantity unitOfMeasure \
    chargeType costInBillingCurrency costInPricingCurrency costInUsd paygCostInBillingCurrency \
    paygCostInUsd exchangeRateDate isAzureCreditEligible serviceInfo1 serviceInfo2 \
    additionalInfo tags frequency term reservationId reservationName unitPrice";

const MCA_2019_10: &str = "
    Product SubscriptionGuid ResourceGroup InstanceName BillingCurrencyCode PricingCurrencyCode \
    ExchangeRate MarketPrice";

const MCA_2019_11: &str = "
    product subscriptionId resourceGroupName InstanceName billingCurrency pricingCurrency \
    exchangeRatePricingToBilling payGPrice";

const MCA_2021: &str = "
    ProductName SubscriptionId resourceGroupName ResourceId billingCurrency pricingCurrency \
    exchangeRatePricingToBilling PayGPrice pricingModel costAllocationRuleName benefitId \
    benefitName provider";

const FOCUS_MICROSOFT: &str = "
    BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency \
    BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeDescription ChargeFrequency \
    ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId \
    CommitmentDiscountName CommitmentDiscountType EffectiveCost InvoiceIssuerName ListCost \
    ListUnitPrice PricingCategory PricingQuantity PricingUnit ProviderName PublisherName \
    ResourceId ResourceName ResourceType ServiceCategory ServiceName SkuId SkuPriceId \
    SubAccountId SubAccountName SubAccountType Tags x_AccountName x_AccountOwnerId \
    x_BilledCostInUsd x_BilledUnitPrice x_BillingAccountId x_BillingAccountName \
    x_BillingExchangeRate x_BillingExchangeRateDate x_BillingProfileId x_BillingProfileName \
    x_CostAllocationRuleName x_CostCenter x_CustomerId x_CustomerName x_EffectiveCostInUsd \
    x_EffectiveUnitPrice x_InvoiceIssuerId x_InvoiceSectionId x_InvoiceSectionName \
    x_PartnerCreditApplied x_PartnerCreditRate x_PricingBlockSize x_PricingSubcategory \
    x_PricingUnitDescription x_PublisherCategory x_PublisherId x_ResellerId x_ResellerName \
    x_ResourceGroupName x_ResourceType x_ServicePeriodEnd x_ServicePeriodStart x_SkuDescription \
    x_SkuIsCreditEligible x_SkuMeterCategory x_SkuMeterId x_SkuMeterSubcategory x_SkuOfferId \
    x_SkuOrderId x_SkuOrderName x_SkuPartNumber x_SkuRegion x_SkuServiceFamily x_SkuTerm \
    x_SkuTier";

const FOCUS_MICROSOFT_PREVIEW: &str = "
    AvailabilityZone ChargeSubcategory Region UsageQuantity UsageUnit x_ChargeId x_InvoiceId \
    x_OnDemandCost x_OnDemandCostInUsd x_OnDemandUnitPrice x_PricingCurrency x_SkuDetails \
    x_SkuMeterName";

const FOCUS_MICROSOFT_1_0: &str = "
    ChargeClass CommitmentDiscountStatus ConsumedQuantity ConsumedUnit ContractedCost \
    ContractedUnitPrice RegionId RegionName x_AccountId x_ContractedCostInUsd x_InvoiceId \
    x_ListCostInUsd x_PricingCurrency x_SkuDetails x_SkuMeterName";

const FOCUS_MICROSOFT_1_2: &str = "
    CapacityReservationId CapacityReservationStatus ChargeClass CommitmentDiscountQuantity \
    CommitmentDiscountStatus CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost \
    ContractedUnitPrice InvoiceId PricingCurrency RegionId RegionName ServiceSubcategory \
    SkuMeter SkuPriceDetails x_AccountId x_AmortizationClass x_ContractedCostInUsd \
    x_ListCostInUsd x_ServiceModel x_SkuPlanName";

const FOCUS_1_0: &str = "
    AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingCurrency \
    BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeClass ChargeDescription \
    ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory \
    CommitmentDiscountId CommitmentDiscountName CommitmentDiscountStatus CommitmentDiscountType \
    ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost \
    InvoiceIssuerName ListCost ListUnitPrice PricingCategory PricingQuantity PricingUnit \
    ProviderName PublisherName RegionId RegionName ResourceId ResourceName ResourceType \
    ServiceCategory ServiceName SkuId SkuPriceId SubAccountId SubAccountName Tags";

const FOCUS_1_1: &str = "
    CapacityReservationId CapacityReservationStatus CommitmentDiscountQuantity \
    CommitmentDiscountUnit ServiceSubcategory SkuMeter SkuPriceDetails";

const FOCUS_1_2: &str = "
    BillingAccountType InvoiceId PricingCurrency PricingCurrencyContractedUnitPrice \
    PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice SubAccountType";

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(columns: impl Iterator<Item = &'static str>) -> Vec<String> {
        columns.map(str::to_owned).collect()
    }

    #[test]
    fn every_layout_is_its_own_nearest() {
        for layout in layouts() {
            let mut names = headers(layout.columns());
            match layout.mark {
                Some(Mark::First(first)) => names.sort_by_key(|name| name != first),
                Some(Mark::Spelling(spelling)) => {
                    for name in
                        names.iter_mut().filter(|name| header_key(name) == header_key(spelling))
                    {
                        spelling.clone_into(name);
                    }
                }
                None => {}
            }
            let fingerprint = Fingerprint::of(&names);
            let expected = Fingerprint {
                kind: layout.kind,
                version: Some(layout.version),
                added: Vec::new(),
                missing: Vec::new(),
            };
            assert_eq!(fingerprint, expected);
        }
    }

    #[test]
    fn what_differs_from_the_nearest_layout_is_named() {
        let mut names = headers(layouts()[4].columns());
        names.retain(|name| name != "PlanName");
        names.push("My column".to_owned());
        let fingerprint = Fingerprint::of(&names);
        assert_eq!(
            (fingerprint.kind, fingerprint.version),
            (SourceKind::Ea, Some("2023-12-01-preview"))
        );
        assert_eq!(fingerprint.added, ["My column"]);
        assert_eq!(fingerprint.missing, ["PlanName"]);

        names.truncate(20);
        assert_eq!(Fingerprint::of(&names).version, None);
    }
}
