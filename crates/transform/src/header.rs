//! From the header line of a file to canonical columns (`cost-data.md`, section 4).

use std::collections::{BTreeMap, BTreeSet};

use costlake_model::aliases::{self, KNOWN_PAIRS};
use costlake_model::columns::{Presence, SOURCE_COLUMNS, source_position};

use crate::csv;
use crate::error::{Error, printable};

/// What each field of a file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// How many fields each record has.
    pub field_count: usize,
    /// The fields with a canonical column.
    pub columns: Vec<BoundColumn>,
    /// The fields without one, in the order of the file: kept as extra.
    pub unknown: Vec<UnknownColumn>,
    /// The layout that the header is of.
    pub generation: Generation,
}

/// A field with a canonical column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundColumn {
    /// The position in [`SOURCE_COLUMNS`].
    pub column: usize,
    /// The position in the file.
    pub field: usize,
    /// The header as the file has it, cleaned of blanks and marks.
    pub header: String,
}

/// A field without a canonical column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownColumn {
    /// The position in the file.
    pub field: usize,
    /// The header, or `column_<n>` where it has none.
    pub header: String,
}

/// The layout of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// `ea`, `ea-usage`, `mca`, `payg` or `other`.
    pub kind: &'static str,
    /// The data set version, where a known one fits.
    pub version: Option<&'static str>,
}

impl Binding {
    /// Binds the names of a header line to canonical columns.
    ///
    /// `has_currency` says that the currency is given from outside, so that the file may lack it.
    ///
    /// # Errors
    /// [`Error::NoHeader`], [`Error::AmbiguousHeader`], [`Error::MissingColumns`].
    pub fn of_header(names: &[String], has_currency: bool) -> Result<Self, Error> {
        let headers: Vec<String> = names.iter().map(|name| cleaned(name)).collect();
        let mut bound: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (field, header) in headers.iter().enumerate() {
            match canonical(header, &headers) {
                None => unknown.push(field),
                Some(column) => match bound.insert(column, field) {
                    None => {}
                    Some(first) => {
                        return Err(Error::AmbiguousHeader {
                            column,
                            first: headers[first].clone(),
                            second: header.clone(),
                        });
                    }
                },
            }
        }
        if bound.len() < 3 {
            let start = headers.iter().take(4).cloned().collect::<Vec<_>>().join(",");
            return Err(Error::NoHeader { start: printable(start.as_bytes(), 60) });
        }
        check_unknown_names(&unknown, &headers)?;
        check_required(&bound, has_currency)?;
        Ok(Self {
            field_count: headers.len(),
            columns: bound_columns(&bound, &headers),
            unknown: unknown.into_iter().map(|field| unknown_column(field, &headers)).collect(),
            generation: Generation::of(&headers),
        })
    }
}

fn bound_columns(bound: &BTreeMap<&'static str, usize>, headers: &[String]) -> Vec<BoundColumn> {
    let mut columns: Vec<BoundColumn> = bound
        .iter()
        .filter_map(|(name, field)| {
            source_position(name).map(|column| BoundColumn {
                column,
                field: *field,
                header: headers[*field].clone(),
            })
        })
        .collect();
    columns.sort_by_key(|column| column.column);
    columns
}

fn unknown_column(field: usize, headers: &[String]) -> UnknownColumn {
    let mut header = headers[field].clone();
    if header.is_empty() {
        header = format!("column_{}", field + 1);
        while headers.contains(&header) {
            header.push('_');
        }
    }
    UnknownColumn { field, header }
}

/// Two columns of one name could not be told apart in `extra`.
fn check_unknown_names(unknown: &[usize], headers: &[String]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    let twice = unknown
        .iter()
        .map(|field| &headers[*field])
        .find(|header| !header.is_empty() && !names.insert(header.as_str()));
    match twice {
        None => Ok(()),
        Some(header) => Err(Error::RepeatedName { header: printable(header.as_bytes(), 60) }),
    }
}

impl Binding {
    /// Whether a record is a header line, of this file or of another layout: for the most part names of
    /// columns.
    pub(crate) fn is_header(&self, record: &[u8]) -> bool {
        // Every header of a cost file has a column of costs; most rows need no closer look.
        let lower = record.to_ascii_lowercase();
        if memchr::memmem::find(&lower, b"cost").is_none() {
            return false;
        }
        let (fields, _) = csv::fields(record);
        let names = fields.into_iter().filter_map(|field| std::str::from_utf8(field).ok());
        let names: Vec<String> = names
            .map(|name| cleaned(name.trim_start_matches('\u{feff}').trim_matches('"')))
            .filter(|name| !name.is_empty())
            .collect();
        let is_own = |name: &str| {
            let own = self.columns.iter().map(|column| &column.header);
            own.chain(self.unknown.iter().map(|column| &column.header)).any(|own| own == name)
        };
        let is_name = |name: &&String| is_own(name) || aliases::canonical_of(name).is_some();
        let named = names.iter().filter(is_name).count();
        named >= 3 && named * 2 >= names.len()
    }
}

/// Takes off byte-order mark, blanks and no-break spaces; of a localised name such as
/// `Abonnement-GUID (SubscriptionGuid)`, keeps the name in parentheses.
fn cleaned(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{a0}'));
    match name.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((_, inner)) if !inner.trim().is_empty() => inner.trim().to_owned(),
        _ => name.to_owned(),
    }
}

fn canonical(header: &str, headers: &[String]) -> Option<&'static str> {
    let key = aliases::header_key(header);
    let has = |sought: &str| headers.iter().any(|other| aliases::header_key(other) == sought);
    let column = aliases::canonical_of(header)?;
    KNOWN_PAIRS
        .iter()
        .find(|pair| pair.canonical == column && pair.other == key && has(pair.preferred))
        .map_or(Some(column), |pair| pair.other_goes_to)
}

fn check_required(bound: &BTreeMap<&'static str, usize>, has_currency: bool) -> Result<(), Error> {
    let lacks = |presence: Presence| match presence {
        Presence::Required => true,
        Presence::RequiredOrGiven => !has_currency,
        Presence::Optional => false,
    };
    let missing: Vec<String> = SOURCE_COLUMNS
        .iter()
        .filter(|column| lacks(column.presence) && !bound.contains_key(column.name))
        .map(|column| format!("{} ({})", column.name, usual_headers(column.name)))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingColumns { missing }) }
}

fn usual_headers(column: &str) -> &'static str {
    match column {
        "charge_date" => "header Date, UsageDateTime or UsageDate",
        "cost" => "header CostInBillingCurrency, Cost, PreTaxCost or ExtendedCost",
        "billing_currency" => "header BillingCurrencyCode, BillingCurrency or Currency",
        _ => "no header",
    }
}

impl Generation {
    /// Returns the layout that a header is of, by the columns that only it has.
    fn of(headers: &[String]) -> Self {
        let keys: Vec<String> = headers.iter().map(|header| aliases::header_key(header)).collect();
        let has = |key: &str| keys.iter().any(|other| other == key);
        let all = |sought: &[&str]| sought.iter().all(|key| has(key));
        let is = |kind, version| Self { kind, version: Some(version) };
        if has("storeserviceidentifier") {
            is("ea-usage", "v3")
        } else if all(&["exchangeratepricingtobilling", "costinbillingcurrency"]) {
            is("mca", if has("instancename") { "2019-11-01" } else { "2021-10-01" })
        } else if all(&["exchangerate", "marketprice"]) {
            is("mca", "2019-10-01")
        } else if all(&["pretaxcost", "departmentname", "usagedatetime"]) {
            is("ea", "2019-10-01")
        } else if all(&["pretaxcost", "subscriptionguid"]) && !has("accountname") {
            is("payg", "2019-11-01")
        } else if all(&["cost", "invoicesection", "product", "paygprice"]) {
            is("ea", "portal")
        } else if all(&["costinbillingcurrency", "invoicesectionname", "paygprice"]) {
            is("ea", Self::ea_version(&keys, &has))
        } else {
            Self { kind: "other", version: None }
        }
    }

    fn ea_version(keys: &[String], has: &dyn Fn(&str) -> bool) -> &'static str {
        if has("resourcelocationnormalized") {
            "2024-08-01"
        } else if !has("costallocationrulename") {
            "2020-01-01"
        } else if !has("benefitid") {
            "2021-01-01"
        } else if keys.first().is_some_and(|first| first == "costinbillingcurrency") {
            "2021-10-01"
        } else {
            "2023-12-01-preview"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(header: &str) -> Result<Binding, Error> {
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        Binding::of_header(&names, false)
    }

    #[test]
    fn localised_and_marked_names_are_bound() {
        let binding = bind("\u{feff}Datum (Date), Cost ,\u{a0}Währung (Currency),Meins,,").unwrap();
        let bound: Vec<_> = binding
            .columns
            .iter()
            .map(|bound| (SOURCE_COLUMNS[bound.column].name, bound.field))
            .collect();
        assert_eq!(bound, [("charge_date", 0), ("cost", 1), ("billing_currency", 2)]);
        let unknown: Vec<_> = binding.unknown.iter().map(|u| u.header.as_str()).collect();
        assert_eq!(unknown, ["Meins", "column_5", "column_6"]);
    }

    #[test]
    fn known_pairs_are_told_apart_and_others_refused() {
        let binding =
            bind("Date,Cost,Currency,SubscriptionId,SubscriptionGuid,ResourceLocation,Location")
                .unwrap();
        let field = |name| {
            let column = source_position(name).unwrap();
            binding.columns.iter().find(|bound| bound.column == column).map(|bound| bound.field)
        };
        assert_eq!(field("subscription_id"), Some(4));
        assert_eq!(field("resource_location"), Some(5));
        assert_eq!(field("resource_location_normalized"), Some(6));
        assert_eq!(binding.unknown[0].header, "SubscriptionId");
        assert!(matches!(
            bind("Date,Cost,Currency,PreTaxCost"),
            Err(Error::AmbiguousHeader { column: "cost", .. })
        ));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = bind("SubscriptionId,Cost,MeterId").unwrap_err();
        assert_eq!(
            error.to_string(),
            "required columns are missing: charge_date (header Date, UsageDateTime or UsageDate), \
             billing_currency (header BillingCurrencyCode, BillingCurrency or Currency)"
        );
        assert!(matches!(bind("1,2,3,4"), Err(Error::NoHeader { .. })));
    }
}
