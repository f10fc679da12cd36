//! Sums over the CSV text, computed here, against the lake.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::exact::Exact;
use crate::harness::{gzipped, manifest, run, text};
use crate::reading::{CsvRows, ParquetRows};

const METRICS: [&str; 2] = ["actual", "amortized"];
const MONTHS: [&str; 3] = ["2025-05", "2025-06", "2025-07"];

/// What a department has in a report: rows, and cost as stored.
type Departments = BTreeMap<String, (i64, Exact)>;

#[test]
fn every_row_and_every_digit_arrives() {
    let directory = TempDir::new().unwrap();
    let (files, lake) = (directory.path().join("files"), directory.path().join("lake"));
    run(&["simulate", "generate", "--rows", "20000", "--out", text(&files)]).exits(0);
    let result = run(&["convert", text(&files), "--lake", text(&lake), "-o", "json"]);
    let result = result.exits(0).json();

    let mut rows_in = 0;
    for month in MONTHS {
        let mut expected = BTreeMap::new();
        for metric in METRICS {
            let report = read_report(&files, metric, month);
            rows_in += report.rows;
            check_line_items(&lake, metric, month, &report);
            expected.insert(metric, report.departments);
        }
        check_departments(&lake, month, &expected);
    }
    let reports = result["months"].as_array().unwrap().iter();
    let reports = reports.flat_map(|month| month["reports"].as_array().unwrap());
    let rows_out: u64 = reports.map(|report| report["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows_in, usize::try_from(rows_out).unwrap());
    assert!(rows_in > 40_000, "{rows_in} rows of two metrics");
}

/// What the CSV files of a report hold.
struct SourceReport {
    rows: usize,
    exact: BTreeMap<&'static str, Exact>,
    stored: BTreeMap<&'static str, Exact>,
    departments: Departments,
}

const AMOUNTS: [(&str, &str); 5] = [
    ("CostInBillingCurrency", "cost"),
    ("Quantity", "quantity"),
    ("EffectivePrice", "effective_price"),
    ("UnitPrice", "unit_price"),
    ("PayGPrice", "retail_price"),
];

fn read_report(files: &Path, metric: &str, month: &str) -> SourceReport {
    let mut report = SourceReport {
        rows: 0,
        exact: BTreeMap::new(),
        stored: BTreeMap::new(),
        departments: Departments::new(),
    };
    for path in csv_files(&files.join(metric).join(month.replace('-', ""))) {
        let rows = CsvRows::read(&path);
        report.rows += rows.len();
        for (header, column) in AMOUNTS {
            let amounts = rows.column(header).filter(|text| !text.is_empty()).map(Exact::parse);
            for amount in amounts {
                *report.exact.entry(column).or_default() += amount;
                *report.stored.entry(column).or_default() += amount.stored();
            }
        }
        let keys = rows.column("InvoiceSectionId").zip(rows.column("InvoiceSectionName"));
        for ((id, name), cost) in keys.zip(rows.column("CostInBillingCurrency")) {
            let entry = report.departments.entry(department(id, name).to_owned()).or_default();
            entry.0 += 1;
            entry.1 += Exact::parse(cost).stored();
        }
    }
    report
}

/// The key of a department (`cost-data.md`, 6); `Unassigned` is how Azure spells an empty name.
fn department<'a>(id: &'a str, name: &'a str) -> &'a str {
    match (id, name) {
        ("" | "-2", "" | "Unassigned") => "unassigned",
        ("" | "-2", name) => name,
        (id, _) => id,
    }
}

fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "csv")).collect();
    paths.sort();
    assert_eq!(paths.len(), 3, "{}", folder.display());
    paths
}

fn check_line_items(lake: &Path, metric: &str, month: &str, expected: &SourceReport) {
    let path = format!(
        "cost_line_items/metric={metric}/billing_period={month}/scope=billing-account-8608480/data.parquet"
    );
    let rows = ParquetRows::read(&lake.join(&path));
    let manifest = manifest(lake, &path);
    assert_eq!(rows.len(), expected.rows, "{path}");
    assert_eq!(manifest["conservation"]["records"], expected.rows);
    assert_eq!(manifest["conservation"]["quarantined"]["rows"], 0);
    for (_, column) in AMOUNTS {
        let sum: Exact = rows.amounts(column).into_iter().flatten().sum();
        assert_eq!(sum, expected.stored[column], "{path} {column}");
        let totals = &manifest["decimals"][column];
        assert_eq!(totals["exact"], expected.exact[column].to_string(), "{path} {column}");
        assert_eq!(totals["stored"], sum.to_string(), "{path} {column}");
        let difference = expected.exact[column] - sum;
        assert_eq!(totals["difference"], difference.to_string(), "{path} {column}");
    }
    let mut departments = Departments::new();
    let keys = rows.texts("department_id").into_iter().zip(rows.texts("department_name"));
    for ((id, name), cost) in keys.zip(rows.amounts("cost")) {
        let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
        let entry = departments.entry(department(&id, &name).to_owned()).or_default();
        entry.0 += 1;
        entry.1 += cost.unwrap();
    }
    assert_eq!(departments, expected.departments, "{path}");
}

fn check_departments(lake: &Path, month: &str, expected: &BTreeMap<&str, Departments>) {
    let path = format!(
        "department_month/billing_period={month}/scope=billing-account-8608480/data.parquet"
    );
    let rows = ParquetRows::read(&lake.join(path));
    let keys: Vec<String> = rows.texts("department_id").into_iter().map(Option::unwrap).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert!(keys.contains(&"unassigned".to_owned()), "unassigned is visible: {keys:?}");
    for metric in METRICS {
        let counts = rows.integers(&format!("{metric}_rows"));
        let costs = rows.amounts(&format!("{metric}_cost"));
        let found = keys.iter().zip(counts.into_iter().zip(costs));
        let found: Departments = found
            .map(|(key, (rows, cost))| (key.clone(), (rows.unwrap(), cost.unwrap())))
            .collect();
        let mut expected = expected[metric].clone();
        for key in &keys {
            expected.entry(key.clone()).or_default();
        }
        assert_eq!(found, expected, "{month} {metric}");
    }
}

#[test]
fn gzip_and_plain_files_give_the_same_rows() {
    let directory = TempDir::new().unwrap();
    let files = directory.path().join("files");
    let months = ["--months", "1", "--rows", "500"];
    run(&[&["simulate", "generate", "--out", text(&files)][..], &months].concat()).exits(0);
    let plain = csv_files(&files.join("actual/202505"));
    let zipped: Vec<PathBuf> = plain.iter().map(|path| gzip(path, directory.path())).collect();
    let sums = |name: &str, files: &[PathBuf]| {
        let lake = directory.path().join(name);
        let files = files.iter().map(|path| text(path));
        let args = ["convert", "--metric", "actual", "-o", "json", "--lake", text(&lake)];
        let result = run(&args.into_iter().chain(files).collect::<Vec<_>>()).exits(0).json();
        result["months"][0]["reports"][0]["decimals"].clone()
    };
    assert_eq!(sums("plain", &plain), sums("zipped", &zipped));
}

fn gzip(path: &Path, into: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    let zipped = into.join(format!("{name}.gz"));
    fs::write(&zipped, gzipped(&fs::read(path).unwrap())).unwrap();
    zipped
}
