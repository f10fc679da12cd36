//! Header spellings to canonical columns (`header-aliases.csv`, `cost-data.md` section 4).
//!
//! A header is compared without case, blanks, dashes and underscores. Most headers then equal their
//! canonical name (`MeterCategory`, `Meter Category`, `meter_category`); the table holds the others.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::columns::SOURCE_COLUMNS;

/// Spellings that differ from the canonical name by more than case and separators.
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

/// The pairs that real layouts have; any other two headers for one column refuse the file.
pub const KNOWN_PAIRS: [KnownPair; 4] = [
    // EA usage v3: `SubscriptionId` is an old number there.
    KnownPair {
        canonical: "subscription_id",
        preferred: "subscriptionguid",
        other: "subscriptionid",
        other_goes_to: None,
    },
    // EA usage v3 names the meter twice.
    KnownPair {
        canonical: "meter_id",
        preferred: "meterid",
        other: "resourceguid",
        other_goes_to: None,
    },
    // MCA and EA usage v3: `location` is the normalised one.
    KnownPair {
        canonical: "resource_location",
        preferred: "resourcelocation",
        other: "location",
        other_goes_to: Some("resource_location_normalized"),
    },
    // MCA 2019: `InstanceName` holds the resource id, unless there is one beside it.
    KnownPair {
        canonical: "resource_id",
        preferred: "resourceid",
        other: "instancename",
        other_goes_to: None,
    },
];

/// Returns the form in which headers are compared: lower case, without blanks, dashes, underscores.
pub fn header_key(header: &str) -> String {
    header
        .chars()
        .filter(|c| !matches!(c, ' ' | '\u{a0}' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns the canonical column that a header names, if any.
pub fn canonical_of(header: &str) -> Option<&'static str> {
    static BY_KEY: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
        let own = SOURCE_COLUMNS.iter().map(|column| (header_key(column.name), column.name));
        let aliases = ALIASES.iter().map(|(alias, name)| ((*alias).to_owned(), *name));
        own.chain(aliases).collect()
    });
    BY_KEY.get(&header_key(header)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::source_position;

    #[test]
    fn aliases_name_columns_that_exist() {
        for (alias, canonical) in ALIASES {
            assert!(source_position(canonical).is_some(), "{alias}");
            assert_eq!(header_key(alias), alias);
        }
        for pair in KNOWN_PAIRS {
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
            ("StoreServiceIdentifier", None),
            ("", None),
        ] {
            assert_eq!(canonical_of(header), canonical, "{header}");
        }
    }
}
