//! The public sample files of the reference folder, against the sums in its README.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::exact::Exact;
use crate::harness::{Outcome, reference, run, text};

/// File, metric, rows, currency, exact sum.
const READABLE: [(&str, &str, u64, &str, &str); 11] = [
    ("ea_actual_portal_2023-09.csv", "actual", 11, "USD", "8.5450077867419368"),
    (
        "ea_amortized_portal_2023-09_first14rows.csv",
        "AmortizedCost",
        14,
        "USD",
        "9.6750008221527708914854190000",
    ),
    ("ea_export_2023-12_excel_dates_cad.csv", "actual", 27, "CAD", "1.26136926505726"),
    ("ea_export_2020_iso_marketplace.csv", "actual", 5, "MC", "19.998413754"),
    ("ea_export_2021_one_row_no_final_newline.csv", "actual", 1, "CAD", "0"),
    ("mca_actual_2023_camelcase.csv", "actual", 4, "USD", "0.000026241200000000000000"),
    ("payg_usage_2019_datetime.csv", "actual", 3, "USD", "0.00011016"),
    ("payg_usage_2019_rows001-391.csv", "actual", 391, "USD", "15.9101750436"),
    ("payg_usage_2021.csv", "actual", 1, "USD", "0.075"),
    ("focus_1.0r2_mpa_eur_40rows.csv", "actual", 40, "EUR", "3.5376309533447189258686174472"),
    ("focus_1.0r2_mpa_eur_40rows.csv", "amortized", 40, "EUR", "3.5376309533447189258686174472"),
];

/// File, and what it lacks.
const REFUSED: [(&str, &[&str]); 4] = [
    ("ea_reservation_recommendations_2024.csv", &["charge_date", "cost", "billing_currency"]),
    ("ea_usage_v3_2021.csv", &["billing_currency", "--currency"]),
    ("subset_columns_tags_with_braces.csv", &["billing_currency"]),
    ("focus_spec_commitment_discount_usage_scenario_1.csv", &["billing_currency"]),
];

fn convert(file: &Path, args: &[&str]) -> Outcome {
    let directory = TempDir::new().unwrap();
    let lake = directory.path().join("lake");
    let common = ["convert", text(file), "--lake", text(&lake), "-o", "json"];
    run(&[&common[..], args].concat())
}

fn check_report(result: &Value, rows: u64, currency: &str, sum: &str) {
    let report = &result["months"][0]["reports"][0];
    assert_eq!(report["rows"], rows);
    assert_eq!(report["quarantined_rows"], 0);
    let cost = Exact::parse(sum).to_string();
    assert_eq!(report["cost"].as_object().unwrap().len(), 1);
    assert_eq!(report["cost"][currency], cost);
    assert_eq!(report["decimals"]["cost"]["exact_total"], cost);
}

#[test]
fn sample_files_of_all_generations_give_their_control_sums() {
    let Some(samples) = reference("samples") else { return };
    for (name, metric, rows, currency, sum) in READABLE {
        println!("{name}");
        let outcome = convert(&samples.join(name), &["--metric", metric]);
        check_report(&outcome.exits(0).json(), rows, currency, sum);
    }
}

#[test]
fn a_file_without_currency_needs_to_be_told_it() {
    let Some(samples) = reference("samples/ea_usage_v3_2021.csv") else { return };
    let outcome = convert(&samples, &["--metric", "actual", "--currency", "USD"]);
    check_report(&outcome.exits(0).json(), 6, "USD", "3.504510206102199");
}

#[test]
fn other_files_are_refused_and_the_text_names_what_is_missing() {
    let Some(samples) = reference("samples") else { return };
    for (name, missing) in REFUSED {
        println!("{name}");
        convert(&samples.join(name), &["--metric", "actual"]).exits(5).says(&[name]).says(missing);
    }
}

#[test]
fn a_hint_is_only_given_where_it_helps() {
    let Some(file) = reference("samples/ea_reservation_recommendations_2024.csv") else { return };
    let outcome = convert(&file, &["--metric", "actual"]).exits(5);
    let told = &outcome.stderr;
    assert!(!told.contains("--currency"), "a currency would not make this a cost file:\n{told}");
}

#[test]
fn a_file_with_a_header_and_nothing_else_is_a_month_without_rows() {
    let Some(file) = reference("samples/ea_portal_header_only.csv") else { return };
    convert(&file, &["--metric", "actual"]).exits(2).says(&["--scope-name"]);
    let args = ["--metric", "actual", "--period", "2023-09", "--scope-name", "Nobody"];
    let result = convert(&file, &args).exits(0).json();
    assert_eq!(result["months"][0]["reports"][0]["rows"], 0);
    assert_eq!(result["months"][0]["scope"], "nobody");
    assert_eq!(result["months"][0]["billing_period"], "2023-09");
}

#[test]
fn the_sample_data_of_our_own_give_their_figures_and_all_are_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data-samples");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        let row = readme.lines().find(|line| line.contains(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the README"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let outcome = convert(&entry.path(), &[]).exits(0);
        for (report, cell) in [(0, cells[5]), (1, cells[6])] {
            let (rows, cost) = cell.split_once(", ").unwrap();
            let (cost, currency) = cost.split_once(' ').unwrap();
            let report = &outcome.json()["months"][0]["reports"][report];
            assert_eq!(report["rows"], rows.parse::<u64>().unwrap(), "{name}");
            assert_eq!(report["cost"][currency], cost, "{name}");
        }
    }
}
