//! Header spellings to canonical columns (`header-aliases.csv`, `cost-data.md` section 4).
//!
//! A header is compared without case, blanks, dashes and underscores. Most headers then equal their
//! canonical name (`MeterCategory`, `Meter Category`, `meter_category`); the tables hold the others, one
//! for Azure's own files and one for FOCUS, where some names mean something else.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::columns::SOURCE_COLUMNS;
use crate::metric::Metric;

/// Whose names the header of a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Azure's own.
    Native,
    /// Those of the FOCUS specification and of Microsoft's additions to it.
    Focus,
}

/// Spellings of Azure's own files that differ from the canonical name by more than case and separators.
const ALIASES: [(&str, &str); 36] = [
    ("invoicesectionname", "department_name"),
    ("invoicesection", "department_name"),
    ("invoicesectionid", "department_id"),
    ("accountownerid", "account_owner"),
    ("accountowneremail", "account_owner"),
    ("subscriptionguid", "subscription_id"),
    ("resourcegroupname", "resource_group"),
    ("instanceid", "resource_id"),
    ("instancename", "resource_id"),
    ("location", "resource_location"),
    ("date", "charge_date"),
    ("usagedatetime", "charge_date"),
    ("usagedate", "charge_date"),
    ("usagestart", "charge_date"),
    ("product", "product_name"),
    ("usagequantity", "quantity"),
    ("resourcerate", "effective_price"),
    ("rate", "effective_price"),
    ("costinbillingcurrency", "cost"),
    ("pretaxcost", "cost"),
    ("extendedcost", "cost"),
    ("billingcurrencycode", "billing_currency"),
    ("currency", "billing_currency"),
    ("currencycode", "billing_currency"),
    ("pricingcurrencycode", "pricing_currency"),
    ("exchangeratepricingtobilling", "exchange_rate"),
    ("paygprice", "retail_price"),
    ("marketprice", "retail_price"),
    ("resourceguid", "meter_id"),
    ("enrollmentnumber", "billing_account_id"),
    ("currentenrollmentid", "billing_account_id"),
    ("billingperiodstartdate", "billing_period_start"),
    ("billingperiodenddate", "billing_period_end"),
    ("serviceperiodstartdate", "service_period_start"),
    ("serviceperiodenddate", "service_period_end"),
    ("purchasingsubscriptionguid", "subscription_id"),
];

/// Names of FOCUS files that differ from the canonical name by more than case and separators
/// (`cost-data.md`, 9). The costs are not among them: see [`focus_costs`].
const FOCUS_ALIASES: [(&str, &str); 63] = [
    ("chargecategory", "charge_type"),
    ("chargeclass", "focus_charge_class"),
    ("chargedescription", "product_name"),
    ("chargefrequency", "frequency"),
    ("chargeperiodstart", "charge_date"),
    ("chargesubcategory", "commitment_discount_status"),
    ("commitmentdiscountid", "benefit_id"),
    ("commitmentdiscountname", "benefit_name"),
    ("contractedunitprice", "unit_price"),
    ("listunitprice", "retail_price"),
    ("pricingcategory", "pricing_model"),
    ("pricingquantity", "quantity"),
    ("pricingunit", "unit_of_measure"),
    ("providername", "provider"),
    ("region", "resource_location"),
    ("regionid", "resource_location_normalized"),
    ("regionname", "resource_location"),
    ("skuid", "product_id"),
    ("skumeter", "meter_name"),
    ("skupricedetails", "additional_info"),
    ("subaccountid", "subscription_id"),
    ("subaccountname", "subscription_name"),
    ("usagequantity", "consumed_quantity"),
    ("usageunit", "consumed_unit"),
    ("xaccountid", "account_id"),
    ("xaccountname", "account_name"),
    ("xaccountownerid", "account_owner"),
    ("xbillingaccountid", "billing_account_id"),
    ("xbillingaccountname", "billing_account_name"),
    ("xbillingexchangerate", "exchange_rate"),
    ("xbillingexchangeratedate", "exchange_rate_date"),
    ("xbillingprofileid", "billing_profile_id"),
    ("xbillingprofilename", "billing_profile_name"),
    ("xcostallocationrulename", "cost_allocation_rule_name"),
    ("xcostcenter", "cost_center"),
    ("xeffectiveunitprice", "effective_price"),
    ("xinvoiceid", "invoice_id"),
    ("xinvoicesectionid", "department_id"),
    ("xinvoicesectionname", "department_name"),
    ("xondemandcost", "contracted_cost"),
    ("xondemandunitprice", "unit_price"),
    ("xpricingcurrency", "pricing_currency"),
    ("xpricingunitdescription", "unit_of_measure"),
    ("xpublishercategory", "publisher_type"),
    ("xpublisherid", "publisher_id"),
    ("xresourcegroupname", "resource_group"),
    ("xresourcetype", "resource_type"),
    ("xserviceperiodend", "service_period_end"),
    ("xserviceperiodstart", "service_period_start"),
    ("xskudetails", "additional_info"),
    ("xskuiscrediteligible", "is_azure_credit_eligible"),
    ("xskumetercategory", "meter_category"),
    ("xskumeterid", "meter_id"),
    ("xskumetername", "meter_name"),
    ("xskumetersubcategory", "meter_subcategory"),
    ("xskuofferid", "offer_id"),
    ("xskuorderid", "product_order_id"),
    ("xskuordername", "product_order_name"),
    ("xskupartnumber", "part_number"),
    ("xskuplanname", "plan_name"),
    ("xskuregion", "meter_region"),
    ("xskuservicefamily", "service_family"),
    ("xskuterm", "term"),
];

/// The headers of FOCUS files that show a metric: its cost, and its cost in US dollars.
pub fn focus_costs(metric: Metric) -> [(&'static str, &'static str); 2] {
    match metric {
        Metric::Actual => [("billedcost", "cost"), ("xbilledcostinusd", "cost_in_usd")],
        Metric::Amortized => [("effectivecost", "cost"), ("xeffectivecostinusd", "cost_in_usd")],
    }
}

/// Two headers of one file that mean the same column, and which of them is it.
#[derive(Clone, Copy, Debug)]
pub struct KnownPair {
    /// The canonical column that both headers name.
    pub canonical: &'static str,
    /// The header, as a key of [`header_key`], that fills it.
    pub preferred: &'static str,
    /// The header that does not.
    pub other: &'static str,
    /// Where the other header's values go; `None` keeps them as extra.
    pub other_goes_to: Option<&'static str>,
}

const fn pair(
    canonical: &'static str,
    preferred: &'static str,
    other: &'static str,
    other_goes_to: Option<&'static str>,
) -> KnownPair {
    KnownPair { canonical, preferred, other, other_goes_to }
}

/// The pairs that real layouts have; any other two headers for one column refuse the file.
const NATIVE_PAIRS: [KnownPair; 4] = [
    // EA usage v3: `SubscriptionId` is an old number there.
    pair("subscription_id", "subscriptionguid", "subscriptionid", None),
    // EA usage v3 names the meter twice.
    pair("meter_id", "meterid", "resourceguid", None),
    // MCA and EA usage v3: `location` is the normalised one.
    pair("resource_location", "resourcelocation", "location", Some("resource_location_normalized")),
    // MCA 2019: `InstanceName` holds the resource id, unless there is one beside it.
    pair("resource_id", "resourceid", "instancename", None),
];

/// Of the first five, Microsoft's addition holds what Azure's own files have; the FOCUS name a path, a
/// display name or another unit. The others are names of two versions, of which tools keep both.
const FOCUS_PAIRS: [KnownPair; 10] = [
    pair("billing_account_id", "xbillingaccountid", "billingaccountid", None),
    pair("billing_account_name", "xbillingaccountname", "billingaccountname", None),
    pair("resource_type", "xresourcetype", "resourcetype", None),
    pair("unit_of_measure", "xpricingunitdescription", "pricingunit", None),
    pair("additional_info", "xskudetails", "skupricedetails", None),
    pair("meter_name", "skumeter", "xskumetername", None),
    pair("resource_location", "regionname", "region", None),
    pair("invoice_id", "invoiceid", "xinvoiceid", None),
    pair("pricing_currency", "pricingcurrency", "xpricingcurrency", None),
    pair("commitment_discount_status", "commitmentdiscountstatus", "chargesubcategory", None),
];

/// Returns the form in which headers are compared: lower case, without blanks, dashes, underscores.
pub fn header_key(header: &str) -> String {
    header
        .chars()
        .filter(|c| !matches!(c, ' ' | '\u{a0}' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns headers by the form in which they are compared; those without a name are none.
pub fn by_key(headers: &[String]) -> BTreeMap<String, String> {
    let named = headers.iter().filter(|header| !header.is_empty());
    named.map(|header| (header_key(header), header.clone())).collect()
}

type Table = BTreeMap<String, &'static str>;

fn table(aliases: &[(&str, &'static str)]) -> Table {
    let own = SOURCE_COLUMNS.iter().map(|column| (header_key(column.name), column.name));
    let aliases = aliases.iter().map(|(alias, name)| ((*alias).to_owned(), *name));
    own.chain(aliases).collect()
}

impl Naming {
    /// Returns whose names a header has. Costs beside the start of a charge period are FOCUS.
    pub fn of(headers: &[String]) -> Self {
        let has = |key: &str| headers.iter().any(|header| header_key(header) == key);
        let is_focus = has("chargeperiodstart") && (has("billedcost") || has("effectivecost"));
        if is_focus { Self::Focus } else { Self::Native }
    }

    /// Returns the canonical column that a header names, if any; the costs of FOCUS files do not, for
    /// they depend on the metric.
    pub fn canonical_of(self, header: &str) -> Option<&'static str> {
        static NATIVE: LazyLock<Table> = LazyLock::new(|| table(&ALIASES));
        static FOCUS: LazyLock<Table> = LazyLock::new(|| table(&FOCUS_ALIASES));
        let table = match self {
            Self::Native => &NATIVE,
            Self::Focus => &FOCUS,
        };
        table.get(&header_key(header)).copied()
    }

    /// The pairs of headers that may stand in one file although they mean the same column.
    pub fn known_pairs(self) -> &'static [KnownPair] {
        match self {
            Self::Native => &NATIVE_PAIRS,
            Self::Focus => &FOCUS_PAIRS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::source_position;

    #[test]
    fn aliases_name_columns_that_exist() {
        let costs = Metric::ALL.into_iter().flat_map(focus_costs);
        for (alias, canonical) in ALIASES.into_iter().chain(FOCUS_ALIASES).chain(costs) {
            assert!(source_position(canonical).is_some(), "{alias}");
            assert_eq!(header_key(alias), alias);
        }
        for pair in NATIVE_PAIRS.iter().chain(&FOCUS_PAIRS) {
            assert!(source_position(pair.canonical).is_some());
        }
    }

    #[test]
    fn headers_of_all_generations_are_found() {
        for (header, canonical) in [
            ("InvoiceSectionName", Some("department_name")),
            ("Meter Sub-Category", Some("meter_subcategory")),
            ("CostInBillingCurrency", Some("cost")),
            ("preTaxCost", Some("cost")),
            ("benefitId", Some("benefit_id")),
            ("ConsumedQuantity", Some("consumed_quantity")),
            ("PayGPrice", Some("retail_price")),
            ("IsAzureCreditEligible", Some("is_azure_credit_eligible")),
            ("UsageQuantity", Some("quantity")),
            ("StoreServiceIdentifier", None),
            ("", None),
        ] {
            assert_eq!(Naming::Native.canonical_of(header), canonical, "{header}");
        }
        for (header, canonical) in [
            ("x_InvoiceSectionName", Some("department_name")),
            ("UsageQuantity", Some("consumed_quantity")),
            ("ServiceCategory", Some("service_category")),
            ("BilledCost", None),
            ("CostInBillingCurrency", None),
        ] {
            assert_eq!(Naming::Focus.canonical_of(header), canonical, "{header}");
        }
    }
}
