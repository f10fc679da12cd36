//! From the header line of a file to canonical columns (`cost-data.md`, section 4).

use std::collections::{BTreeMap, BTreeSet};

use costlake_model::aliases::{self, Naming};
use costlake_model::columns::{Presence, SOURCE_COLUMNS, added, source_position};
use costlake_model::{Fingerprint, Metric};

use crate::csv;
use crate::error::{Error, FOCUS_COSTS, printable};

/// What each field of a file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// How many fields each record has.
    pub field_count: usize,
    /// The names of the header, cleaned of blanks and marks, in the order of the file.
    pub headers: Vec<String>,
    /// Whose names the header has.
    pub naming: Naming,
    /// The fields with a canonical column.
    pub columns: Vec<BoundColumn>,
    /// The fields that are kept as extra, in the order of the file.
    pub extra: Vec<ExtraColumn>,
    /// The costs of a FOCUS file that show the other metric: they are the costs of its rows.
    pub other_metric: Vec<ExtraColumn>,
    /// The layout that the header is of.
    pub fingerprint: Fingerprint,
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

/// A field without a canonical column of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraColumn {
    /// The position in the file.
    pub field: usize,
    /// The header, or `column_<n>` where it has none.
    pub header: String,
}

/// What is known of a file besides its header.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// The view that is asked for: which of the costs of a FOCUS file is the cost.
    pub metric: Metric,
    /// Whether the currency is known, so that the file may lack it.
    pub has_currency: bool,
}

impl Binding {
    /// Binds the names of a header line to canonical columns.
    ///
    /// # Errors
    /// [`Error::NoHeader`], [`Error::AmbiguousHeader`], [`Error::RepeatedName`],
    /// [`Error::MissingColumns`].
    pub fn of_header(names: &[String], given: Given) -> Result<Self, Error> {
        let headers: Vec<String> = names.iter().map(|name| cleaned(name)).collect();
        let naming = Naming::of(&headers);
        let mut bound: BTreeMap<&'static str, usize> = BTreeMap::new();
        let (mut extra, mut other_metric) = (Vec::new(), Vec::new());
        let mut ambiguous = None;
        for (field, header) in headers.iter().enumerate() {
            let column = match meaning(naming, given.metric, header, &headers) {
                HeaderMeaning::Column(column) => column,
                HeaderMeaning::OtherMetric => {
                    other_metric.push(field);
                    continue;
                }
                HeaderMeaning::None => {
                    extra.push(field);
                    continue;
                }
            };
            if let Some(first) = bound.insert(column, field) {
                ambiguous.get_or_insert((column, first, field));
            }
        }
        if bound.len() + other_metric.len() < 3 {
            let start = headers.iter().take(4).cloned().collect::<Vec<_>>().join(",");
            return Err(Error::NoHeader { start: printable(start.as_bytes(), 60) });
        }
        if let Some((column, first, second)) = ambiguous {
            let [first, second] = [first, second].map(|field| headers[field].clone());
            return Err(Error::AmbiguousHeader { column, first, second });
        }
        check_extra_names(&extra, &headers)?;
        check_extra_names(&other_metric, &headers)?;
        check_required(&bound, naming, given)?;
        if naming == Naming::Focus {
            // A charge period may begin at any hour: the column holds the day, this the whole text.
            extra.extend(bound.get("charge_date"));
            extra.sort_unstable();
        }
        let taken: BTreeSet<&str> = headers.iter().map(String::as_str).collect();
        Ok(Self {
            field_count: headers.len(),
            naming,
            columns: bound_columns(&bound, &headers),
            extra: extra.into_iter().map(|field| extra_column(field, &headers, &taken)).collect(),
            other_metric: other_metric
                .into_iter()
                .map(|field| extra_column(field, &headers, &taken))
                .collect(),
            fingerprint: Fingerprint::of(&headers),
            headers,
        })
    }

    /// The columns that neither the table nor the layout of the file knows, in the order of the file.
    pub fn unknown_columns(&self) -> impl Iterator<Item = &str> {
        let Fingerprint { version, added, .. } = &self.fingerprint;
        let is_unknown = |column: &&ExtraColumn| {
            let header = &self.headers[column.field];
            self.column_of(column.field) == added::EXTRA
                && (version.is_none() || header.is_empty() || added.contains(header))
        };
        self.extra.iter().filter(is_unknown).map(|column| column.header.as_str())
    }

    /// The column of the table that a field goes to.
    pub(crate) fn column_of(&self, field: usize) -> &'static str {
        let bound = self.columns.iter().find(|bound| bound.field == field);
        bound.map_or(added::EXTRA, |bound| SOURCE_COLUMNS[bound.column].name)
    }

    /// Whether the file shows both metrics, each in a column of its own.
    pub fn has_both_metrics(&self) -> bool {
        let is_cost = |column: &ExtraColumn| {
            let key = aliases::header_key(&column.header);
            let mut costs = Metric::ALL.into_iter().flat_map(aliases::focus_costs);
            costs.any(|(header, column)| header == key && column == "cost")
        };
        self.naming == Naming::Focus && self.other_metric.iter().any(is_cost)
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

fn extra_column(field: usize, headers: &[String], taken: &BTreeSet<&str>) -> ExtraColumn {
    let mut header = headers[field].clone();
    if header.is_empty() {
        header = format!("column_{}", field + 1);
        while taken.contains(header.as_str()) {
            header.push('_');
        }
    }
    ExtraColumn { field, header }
}

/// Two columns of one name could not be told apart in `extra`.
fn check_extra_names(extra: &[usize], headers: &[String]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    let twice = extra
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
            let bound = self.columns.iter().map(|column| &column.header);
            let others = self.extra.iter().chain(&self.other_metric);
            bound.chain(others.map(|column| &column.header)).any(|own| own == name)
        };
        let is_known = |name: &str| {
            let key = aliases::header_key(name);
            let mut costs = Metric::ALL.into_iter().flat_map(aliases::focus_costs);
            costs.any(|(cost, _)| cost == key)
                || [Naming::Native, Naming::Focus].iter().any(|n| n.canonical_of(name).is_some())
        };
        let is_name = |name: &&String| is_own(name) || is_known(name);
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

/// What a header says.
enum HeaderMeaning {
    Column(&'static str),
    /// A cost of the metric that is not asked for.
    OtherMetric,
    None,
}

fn meaning(naming: Naming, metric: Metric, header: &str, headers: &[String]) -> HeaderMeaning {
    let key = aliases::header_key(header);
    if naming == Naming::Focus {
        for of in Metric::ALL {
            let cost = aliases::focus_costs(of).into_iter().find(|(header, _)| *header == key);
            match cost {
                Some((_, column)) if of == metric => return HeaderMeaning::Column(column),
                Some(_) => return HeaderMeaning::OtherMetric,
                None => {}
            }
        }
    }
    let has = |sought: &str| headers.iter().any(|other| aliases::header_key(other) == sought);
    let Some(column) = naming.canonical_of(header) else { return HeaderMeaning::None };
    let is_other = |pair: &&aliases::KnownPair| {
        pair.canonical == column && pair.other == key && has(pair.preferred)
    };
    match naming.known_pairs().iter().find(is_other) {
        None => HeaderMeaning::Column(column),
        Some(pair) => pair.other_goes_to.map_or(HeaderMeaning::None, HeaderMeaning::Column),
    }
}

fn check_required(
    bound: &BTreeMap<&'static str, usize>,
    naming: Naming,
    given: Given,
) -> Result<(), Error> {
    let lacks = |presence: Presence| match presence {
        Presence::Required => true,
        Presence::RequiredOrGiven => !given.has_currency,
        Presence::Optional => false,
    };
    let missing: Vec<String> = SOURCE_COLUMNS
        .iter()
        .filter(|column| lacks(column.presence) && !bound.contains_key(column.name))
        .map(|column| {
            let headers = usual_headers(column.name, naming, given.metric);
            format!("{} (header {headers})", column.name)
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingColumns { missing }) }
}

fn usual_headers(column: &str, naming: Naming, metric: Metric) -> &'static str {
    match (naming, column) {
        (Naming::Focus, "cost") => match metric {
            Metric::Actual => FOCUS_COSTS[0],
            Metric::Amortized => FOCUS_COSTS[1],
        },
        (Naming::Focus, "charge_date") => "ChargePeriodStart",
        (Naming::Focus, _) => "BillingCurrency",
        (Naming::Native, "charge_date") => "Date, UsageDateTime or UsageDate",
        (Naming::Native, "cost") => "CostInBillingCurrency, Cost, PreTaxCost or ExtendedCost",
        (Naming::Native, _) => "BillingCurrencyCode, BillingCurrency or Currency",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(header: &str) -> Result<Binding, Error> {
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        Binding::of_header(&names, Given { metric: Metric::Actual, has_currency: false })
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
        let extra: Vec<_> = binding.extra.iter().map(|column| column.header.as_str()).collect();
        assert_eq!(extra, ["Meins", "column_5", "column_6"]);
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
        assert_eq!(binding.extra[0].header, "SubscriptionId");
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
