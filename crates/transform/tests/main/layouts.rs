//! Headers held against the reference: the table of aliases, and the columns of every schema.

use std::collections::BTreeMap;
use std::path::Path;

use costlake_model::aliases::Naming;
use costlake_model::layouts::layouts;
use costlake_model::{Fingerprint, SourceKind};

use crate::reference;

/// Rows of the table that are of other data sets, or say what another rule decides.
const NOT_BY_NAME: [(&str, &str); 5] = [
    // It has a column of its own: in base units it is another number.
    ("quantity", "ConsumedQuantity"),
    // In FOCUS 1.0-preview it is the consumed quantity; in native files it is the quantity.
    ("quantity", "UsageQuantity"),
    // The end of a period is no day of a charge.
    ("charge_date", "UsageEnd"),
    // The number of a subscription, where its GUID stands beside it.
    ("subscription_id", "SubscriptionId"),
    // In MCA files the normalised one.
    ("resource_location", "ResourceLocationNormalized"),
];

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn every_alias_of_the_reference_leads_to_its_column() {
    let Some(table) = reference("header-aliases.csv") else { return };
    let mut checked = 0;
    for row in rows(&table) {
        let (canonical, header) = (row["canonical"].as_str(), row["header"].as_str());
        let is_focus_name = row["seen_in"].starts_with("FOCUS");
        if NOT_BY_NAME.contains(&(canonical, header)) {
            continue;
        }
        let naming = if is_focus_name { Naming::Focus } else { Naming::Native };
        assert_eq!(naming.canonical_of(header), Some(canonical), "{header}, {naming:?}");
        checked += 1;
    }
    assert!(checked > 90, "{checked} aliases");
}

/// The kind that the data set of a schema is of.
fn kind_of(file: &str) -> Option<SourceKind> {
    [
        ("ea_cost", SourceKind::Ea),
        ("ea_usage", SourceKind::EaUsage),
        ("mca_cost", SourceKind::Mca),
        ("payg_cost", SourceKind::Payg),
        ("focus", SourceKind::Focus),
    ]
    .into_iter()
    .find(|(start, _)| file.starts_with(start))
    .map(|(_, kind)| kind)
}

#[test]
fn every_schema_of_the_reference_is_a_layout_to_the_last_column() {
    let Some(schemas) = reference("schemas") else { return };
    let mut checked = 0;
    for entry in std::fs::read_dir(schemas).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(kind) = kind_of(&file) else { continue };
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows(&path) {
            versions.entry(row["version"].clone()).or_default().push(row["column"].clone());
        }
        for (version, columns) in versions {
            let found = Fingerprint::of(&columns);
            let name = format!("{file} {version}");
            assert_eq!(found.kind, kind, "{name}");
            // The portal has no version of its own, and 1.0r2 has the columns of 1.0.
            let expected = version.replace("1.0-preview(v1)", "1.0-preview");
            let is_version = expected.starts_with(found.version.unwrap());
            assert!(is_version, "{name}: found {:?}", found.version);
            assert_eq!((found.added, found.missing), (vec![], vec![]), "{name}");
            checked += 1;
        }
    }
    assert!(checked >= 17, "{checked} schemas");
}

#[test]
fn layouts_name_no_column_twice() {
    for layout in layouts() {
        let mut names: Vec<String> =
            layout.columns().map(costlake_model::aliases::header_key).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{:?} {}", layout.kind, layout.version);
    }
}
