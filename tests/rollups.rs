//! Rollups through the program, against sums taken here from the CSV files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::exact::Exact;
use crate::harness::{Outcome, commits, lake_files, published, run, text};
use crate::reading::{CsvRows, ParquetRows};

const MONTH: &str = "billing_period=2025-05/scope=billing-account-8608480/data.parquet";

const METRICS: [&str; 2] = ["actual", "amortized"];

/// Two tags and a filter; one name in another case than in the files, and one with blanks around it.
const POOLS: &str = r#"
name = "pool_month"
group_by = [{ tag = "ENV" }, { tag = " pool ", as = "machine_pool" }, "billing_currency"]
where = { meter_category = ["Virtual Machines", "Storage"] }

[[measure]]
name = "billed"
sum = "cost"
metric = "actual"

[[measure]]
name = "consumed"
sum = "cost"
metric = "amortized"

[[measure]]
name = "covered"
sum = "cost"
metric = "amortized"
charge_class = ["reservation_usage", "savings_plan_usage"]

[[measure]]
name = "not_covered"
add = ["consumed"]
subtract = ["covered"]

[[measure]]
name = "rows"
count = true
metric = "amortized"
"#;

const DEPARTMENTS: &str = r#"
[[departments.rule]]
department = "Platform"
name = "Platform & Logistics"
section = ["36914", "LOGISTICS"]
[[departments.rule]]
department = "shop"
subscription = "SUB-PROD-010"
tag = { ENV = ["prod", "test"] }
[[departments.rule]]
department = "data"
account = "OWNER01@Contoso.Example"
[[departments.rule]]
department = "Data"
cost_center = "CC-0815"
[[departments.rule]]
department = "alpha"
tag = { Project = "alpha 166" }
"#;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples/ea-2024-08-01")
}

/// A row of the sample: its cells by header, and its tags in the order of the file.
struct SampleRow {
    cells: BTreeMap<String, String>,
    tags: Vec<(String, String)>,
}

impl SampleRow {
    fn cell(&self, header: &str) -> &str {
        &self.cells[header]
    }

    /// The value of the first spelling of a tag; empty text is none.
    fn tag(&self, name: &str) -> Option<&str> {
        let found = self.tags.iter().find(|(tag, _)| tag.trim().to_lowercase() == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn cost(&self) -> Exact {
        Exact::parse(self.cell("CostInBillingCurrency")).stored()
    }

    fn is(&self, header: &str, value: &str) -> bool {
        self.cell(header).to_lowercase() == value.to_lowercase()
    }
}

fn sample_rows(metric: &str) -> Vec<SampleRow> {
    const HEADERS: [&str; 12] = [
        "InvoiceSectionId",
        "InvoiceSectionName",
        "AccountId",
        "AccountName",
        "AccountOwnerId",
        "SubscriptionId",
        "SubscriptionName",
        "CostCenter",
        "MeterCategory",
        "ChargeType",
        "PricingModel",
        "CostInBillingCurrency",
    ];
    let mut rows = Vec::new();
    for part in ["part_0.csv", "part_1.csv"] {
        let file = CsvRows::read(&sample().join(metric).join("202505").join(part));
        let columns = HEADERS.map(|header| file.column(header).collect::<Vec<_>>());
        for (at, tags) in file.column("Tags").enumerate() {
            let cells = HEADERS.iter().zip(&columns);
            let cells = cells.map(|(header, column)| ((*header).to_owned(), column[at].to_owned()));
            rows.push(SampleRow { cells: cells.collect(), tags: members(tags) });
        }
    }
    rows
}

/// The members of tags, which are all texts, with or without braces around them.
fn members(tags: &str) -> Vec<(String, String)> {
    let mut texts: Vec<String> = Vec::new();
    let mut rest = tags;
    while let Some(start) = rest.find('"') {
        let mut escaped = false;
        let closes = |(_, c): &(usize, char)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        };
        let end = start + 1 + rest[start + 1..].char_indices().find(closes).unwrap().0;
        texts.push(serde_json::from_str(&rest[start..=end]).unwrap());
        rest = &rest[end + 1..];
    }
    texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// A folder for lakes and files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Converts the sample into a lake of that name.
    fn convert(&self, lake: &str, args: &[&str]) -> PathBuf {
        let (sample, lake) = (sample(), self.path(lake));
        let common = ["convert", text(&sample), "--lake", text(&lake), "-q"];
        run(&[&common[..], args].concat()).exits(0);
        lake
    }
}

fn rollup(lake: &Path, args: &[&str]) -> Outcome {
    run(&[&["rollup", "--lake", text(lake), "-q"], args].concat()).exits(0)
}

/// What readers find in a lake but line items.
fn rollups_of(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = published(lake);
    files.retain(|path, _| !path.starts_with("cost_line_items/"));
    files
}

/// The rows of all shipped rollups of a lake, as JSON, by name.
fn rows_of(lake: &Path) -> BTreeMap<String, Value> {
    let result = rollup(lake, &["-o", "json"]).json();
    let rollups = result["months"][0]["rollups"].as_array().unwrap();
    let rows =
        |rollup: &Value| (rollup["name"].as_str().unwrap().to_owned(), rollup["rows"].clone());
    rollups.iter().map(rows).collect()
}

#[test]
fn a_definition_of_ones_own_gives_the_sums_of_the_csv_files() {
    let place = Place::new();
    let definition = place.write("pools.toml", POOLS);
    let lake = place.convert("lake", &["--definition", text(&definition)]);

    type Group = (Option<String>, Option<String>);
    let mut expected: BTreeMap<Group, ([Exact; 3], i64)> = BTreeMap::new();
    for metric in METRICS {
        for row in sample_rows(metric) {
            if !["Virtual Machines", "Storage"].contains(&row.cell("MeterCategory")) {
                continue;
            }
            let tag = |name: &str| row.tag(name).map(str::to_owned);
            let (sums, rows) = expected.entry((tag("env"), tag("pool"))).or_default();
            if metric == "actual" {
                sums[0] += row.cost();
                continue;
            }
            sums[1] += row.cost();
            *rows += 1;
            let is_commitment = ["Reservation", "SavingsPlan"].contains(&row.cell("PricingModel"));
            if is_commitment && row.cell("ChargeType") == "Usage" {
                sums[2] += row.cost();
            }
        }
    }
    assert!(expected.len() > 3, "the sample has several groups: {expected:?}");

    let table = ParquetRows::read(&lake.join("pool_month").join(MONTH));
    let groups: Vec<Group> =
        table.texts("tag_env").into_iter().zip(table.texts("machine_pool")).collect();
    assert_eq!(groups, expected.keys().cloned().collect::<Vec<_>>());
    let amounts = |column| -> Vec<Exact> { table.amounts(column).into_iter().flatten().collect() };
    for (at, column) in ["billed", "consumed", "covered"].into_iter().enumerate() {
        let sums: Vec<Exact> = expected.values().map(|(sums, _)| sums[at]).collect();
        assert_eq!(amounts(column), sums, "{column}");
    }
    let rest: Vec<Exact> = expected.values().map(|(sums, _)| sums[1] - sums[2]).collect();
    assert_eq!(amounts("not_covered"), rest);
    let rows: Vec<Option<i64>> = expected.values().map(|(_, rows)| Some(*rows)).collect();
    assert_eq!(table.integers("rows"), rows);
    assert!(table.texts("billing_currency").iter().all(|code| code.as_deref() == Some("EUR")));
}

#[test]
fn rollups_of_a_lake_are_those_that_were_published_with_the_month() {
    let place = Place::new();
    let definition = place.write("pools.toml", POOLS);
    let own = ["--definition", text(&definition)];
    let whole = place.convert("whole", &[]);
    place.convert("whole", &own);
    let before = lake_files(&whole);

    rollup(&whole, &[]).shows(&["department_month", "unchanged", "Nothing new"]);
    rollup(&whole, &own).shows(&["pool_month", "unchanged"]);
    assert!(lake_files(&whole) == before, "no byte, no time and no commit record has changed");

    let later = place.convert("later", &["--definition", "department_month"]);
    assert_eq!(rollups_of(&later).len(), 1);
    rollup(&later, &[]).shows(&["published"]);
    rollup(&later, &own).shows(&["pool_month", "published"]);
    assert!(rollups_of(&later) == rollups_of(&whole), "other bytes");
    assert_eq!(
        rollups_of(&later).len(),
        12,
        "nine rollups, one of one's own, two of reconciliation"
    );
    assert_eq!(commits(&later).len(), 3);
}

/// What [`DEPARTMENTS`] says of a row.
fn department_of(row: &SampleRow) -> Option<&'static str> {
    let is_one = |headers: &[&str], value: &str| headers.iter().any(|header| row.is(header, value));
    let section = ["InvoiceSectionId", "InvoiceSectionName"];
    if is_one(&section, "36914") || is_one(&section, "Logistics") {
        return Some("platform");
    }
    let is_shop = is_one(&["SubscriptionId", "SubscriptionName"], "sub-prod-010");
    if is_shop && ["prod", "test"].map(Some).contains(&row.tag("env")) {
        return Some("shop");
    }
    if is_one(&["AccountId", "AccountName", "AccountOwnerId"], "owner01@contoso.example")
        || row.is("CostCenter", "cc-0815")
    {
        return Some("data");
    }
    (row.tag("project") == Some("alpha 166")).then_some("alpha")
}

/// The department that a row names itself; every id of the sample is in one case.
fn own_department(row: &SampleRow) -> String {
    match (row.cell("InvoiceSectionId"), row.cell("InvoiceSectionName")) {
        ("" | "-2", "" | "Unassigned") => "unassigned".to_owned(),
        ("" | "-2", name) => name.to_owned(),
        (id, _) => id.to_owned(),
    }
}

#[test]
fn departments_of_a_pipeline_file_move_rows_and_keep_the_total() {
    let totals: Vec<Exact> = METRICS
        .map(|metric| sample_rows(metric).iter().map(SampleRow::cost).sum::<Exact>())
        .to_vec();
    for unmatched in ["unassigned", "keep"] {
        let place = Place::new();
        let pipeline = format!("[departments]\nunmatched = \"{unmatched}\"\n{DEPARTMENTS}");
        let pipeline = place.write("pipeline.toml", &pipeline);
        let mut expected: BTreeMap<String, [Exact; 2]> = BTreeMap::new();
        for (at, metric) in METRICS.into_iter().enumerate() {
            for row in sample_rows(metric) {
                let department = match department_of(&row) {
                    Some(department) => department.to_owned(),
                    None if unmatched == "keep" => own_department(&row),
                    None => "unassigned".to_owned(),
                };
                expected.entry(department).or_default()[at] += row.cost();
            }
        }
        for department in ["platform", "shop", "data", "alpha", "unassigned"] {
            assert!(expected.contains_key(department), "{department} has no row: {expected:?}");
        }

        let lake = place.convert("lake", &["--config", text(&pipeline)]);
        let table = ParquetRows::read(&lake.join("department_month").join(MONTH));
        let ids: Vec<String> = table.texts("department_id").into_iter().flatten().collect();
        let names: BTreeMap<_, _> =
            ids.iter().cloned().zip(table.texts("department_name")).collect();
        assert_eq!(names["platform"].as_deref(), Some("Platform & Logistics"));
        assert_eq!(names["shop"].as_deref(), Some("shop"));
        for (at, column) in ["actual_cost", "amortized_cost"].into_iter().enumerate() {
            let amounts: Vec<Exact> = table.amounts(column).into_iter().flatten().collect();
            let found: BTreeMap<String, Exact> = ids.iter().cloned().zip(amounts).collect();
            let sums = expected.iter().map(|(id, sums)| (id.clone(), sums[at])).collect();
            assert_eq!(found, sums, "{column}, {unmatched}");
            assert_eq!(found.into_values().sum::<Exact>(), totals[at]);
        }

        let without = place.convert("without", &[]);
        let other = ParquetRows::read(&without.join("department_month").join(MONTH));
        assert_ne!(other.texts("department_id"), table.texts("department_id"));
        rollup(&without, &["--config", text(&pipeline)]);
        assert_eq!(rollups_of(&without), rollups_of(&lake), "the same by `costlake rollup`");
    }
}

#[test]
fn neither_threads_nor_the_order_of_blobs_change_a_rollup() {
    let place = Place::new();
    let one = place.convert("one", &["--jobs", "1"]);
    let eight = place.convert("eight", &["--jobs", "8"]);
    assert!(published(&one) == published(&eight), "other bytes with other threads");

    let swapped = place.path("swapped");
    for metric in ["amortized", "actual"] {
        let folder = place.path(metric);
        fs::create_dir(&folder).unwrap();
        for (part, name) in [("part_0.csv", "b.csv"), ("part_1.csv", "a.csv")] {
            fs::copy(sample().join(metric).join("202505").join(part), folder.join(name)).unwrap();
        }
        let args = ["convert", text(&folder), "--metric", metric, "--lake", text(&swapped), "-q"];
        run(&args).exits(0);
    }
    let items = |lake: &Path| {
        published(lake)
            .into_iter()
            .filter(|(path, _)| path.starts_with("cost_line_items/"))
            .collect()
    };
    let line_items: [BTreeSet<(String, Vec<u8>)>; 2] = [items(&one), items(&swapped)];
    assert_ne!(line_items[0], line_items[1], "the rows lie in another order");
    assert_eq!(rows_of(&one).len(), 9);
    assert_eq!(rows_of(&one), rows_of(&swapped));
}

#[test]
fn the_definition_of_the_documentation_works_as_it_stands() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rollups.md");
    let document = fs::read_to_string(document).unwrap();
    let definition = document.split_once("\n## A definition\n").unwrap().1;
    let definition = definition.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let place = Place::new();
    let file = place.write("documented.toml", definition);
    let lake = place.convert("lake", &[]);
    let outcome = rollup(&lake, &["--definition", text(&file), "-o", "json"]).json();
    let rows = outcome["months"][0]["rollups"][0]["rows"].as_array().unwrap();
    let has_value = |column: &str| rows.iter().any(|row| row[column].is_string());
    assert!(has_value("tag_pool") && has_value("environment") && has_value("coverage"), "{rows:?}");
}

#[test]
fn departments_of_a_pipeline_file_are_not_undone_without_it() {
    let place = Place::new();
    let rules = format!("[departments]\n{DEPARTMENTS}");
    let pipeline = place.write("pipeline.toml", &rules);
    let lake = place.convert("lake", &["--config", text(&pipeline)]);
    let before = lake_files(&lake);
    let sample = sample();
    for command in [
        &["rollup", "--lake", text(&lake)][..],
        &["reconcile", "--lake", text(&lake)],
        &["convert", text(&sample), "--lake", text(&lake)],
    ] {
        run(command).exits(2).says(&["the rules of a pipeline file", "--config"]);
    }
    assert!(lake_files(&lake) == before, "nothing was published");
    run(&["reconcile", "--lake", text(&lake), "--config", text(&pipeline)])
        .exits(0)
        .shows(&["Platform & Logistics", "Nothing new"]);
}

#[test]
fn a_damaged_rollup_is_computed_again_before_it_is_believed() {
    let place = Place::new();
    let lake = place.convert("lake", &[]);
    let reconcile = || run(&["reconcile", "--lake", text(&lake), "-o", "csv", "--dry-run"]);
    let sound = reconcile().exits(0).stdout;
    let rollups = ["department_month", "department_class_month", "commitment_department_month"];
    for (at, name) in rollups.into_iter().enumerate() {
        let path = lake.join(name).join(MONTH);
        let mut bytes = fs::read(&path).unwrap();
        // One byte of a page, then all bytes, then the object itself.
        match at {
            0 => bytes[200] ^= 1,
            1 => bytes.truncate(100),
            _ => {
                fs::remove_file(&path).unwrap();
                assert_eq!(reconcile().exits(0).stdout, sound, "without {name}");
                continue;
            }
        }
        fs::write(&path, bytes).unwrap();
        assert_eq!(reconcile().exits(0).stdout, sound, "with a damaged {name}");
    }
}

#[test]
fn over_a_whole_term_all_that_was_paid_is_consumed() {
    for seed in ["2", "3", "4"] {
        let place = Place::new();
        let (files, lake) = (place.path("files"), place.path("lake"));
        let size = ["--rows", "1300", "--months", "13", "--seed", seed];
        run(&[&["simulate", "generate", "--out", text(&files)][..], &size].concat()).exits(0);
        run(&["convert", text(&files), "--lake", text(&lake), "-q"]).exits(0);
        let result = run(&["reconcile", "--lake", text(&lake), "-o", "json"]).exits(0).json();
        let months = result["months"].as_array().unwrap();
        assert_eq!(months.len(), 13);
        assert!(months.iter().all(|month| month["state"] == "explained"), "seed {seed}");
        let commitments = months[12]["commitments"].as_array().unwrap();
        let ended: Vec<&Value> =
            commitments.iter().filter(|commitment| commitment["state"] == "ended").collect();
        assert_eq!(ended.len(), 3, "two terms of a year, and one that was given back");
        for commitment in ended {
            let amount = |name: &str| Exact::parse(commitment[name].as_str().unwrap());
            let paid = amount("purchases_to_date") + amount("refunds_to_date");
            assert_eq!(paid, amount("used_to_date") + amount("unused_to_date"), "seed {seed}");
            assert_eq!(commitment["balance"], "0");
        }
    }
}
