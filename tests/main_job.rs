//! The main job, as the README promises it: pull, convert, publish, roll up, show.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::exact::Exact;
use crate::harness::{World, commits, finish, lake_files, manifest, published, text};
use crate::reading::ParquetRows;

/// Three months, both metrics, one department that has no name and one that has a comma.
const SIZE: [&str; 4] = ["--polls", "1", "--rows-per-month", "600"];

/// Of each month: two reports, nine rollups, two tables of reconciliation.
const TABLES: usize = 13;

#[test]
fn three_months_become_a_table_a_result_and_a_lake() {
    let world = World::new(&SIZE);
    let result_file = world.directory.path().join("result.json");
    let outcome = world.run(&["--result-file", text(&result_file)]).exits(0).shows(&[
        "Finance, Controlling & Audit",
        "Forschung & Entwicklung Zürich",
        "unassigned",
        "2025-05",
        "2025-06",
        "2025-07",
        "TOTAL",
        "EUR",
        "Check: ",
        " + 0 quarantined",
    ]);
    assert!(!outcome.stdout.contains('\u{1b}'), "no colour when piped");

    let result: Value = serde_json::from_slice(&fs::read(&result_file).unwrap()).unwrap();
    assert_eq!(result["changed"], true);
    assert_eq!(result["errors"], json!([]));
    let months = result["months"].as_array().unwrap();
    let periods: Vec<&Value> = months.iter().map(|month| &month["billing_period"]).collect();
    assert_eq!(periods, ["2025-05", "2025-06", "2025-07"]);
    for month in months {
        check_month(&world, month);
    }

    let paths: BTreeSet<String> = published(&world.lake()).into_keys().collect();
    let scope = "scope=billing-account-8608480/data.parquet";
    let expected = ["2025-05", "2025-06", "2025-07"].into_iter().flat_map(|month| {
        [
            format!("cost_line_items/metric=actual/billing_period={month}/{scope}"),
            format!("cost_line_items/metric=amortized/billing_period={month}/{scope}"),
            format!("department_month/billing_period={month}/{scope}"),
            format!("reconciliation/billing_period={month}/{scope}"),
        ]
    });
    let missing: Vec<String> = expected.filter(|path| !paths.contains(path)).collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(paths.len(), 3 * TABLES);
    let commits = commits(&world.lake());
    assert_eq!(commits.len(), 1, "one record per run");
    assert_eq!(commits[0]["partitions"].as_array().unwrap().len(), 3 * TABLES);
}

/// The departments of a month add up to its reports, to the last stored digit.
fn check_month(world: &World, month: &Value) {
    let departments = month["rollups"][0]["rows"].as_array().unwrap();
    for (metric, rows) in [("actual", "actual_rows"), ("amortized", "amortized_rows")] {
        let reports = month["reports"].as_array().unwrap();
        let report = reports.iter().find(|report| report["metric"] == metric).unwrap();
        let total = |key: &str| Exact::parse(report["decimals"]["cost"][key].as_str().unwrap());
        let amount = |row: &Value| Exact::parse(row[&format!("{metric}_cost")].as_str().unwrap());
        assert_eq!(departments.iter().map(amount).sum::<Exact>(), total("stored_total"));
        assert_eq!(total("exact_total") - total("stored_total"), total("difference"));
        assert_eq!(report["cost"]["EUR"].as_str().unwrap(), total("exact_total").to_string());
        let counted: u64 = departments.iter().map(|row| row[rows].as_u64().unwrap()).sum();
        assert_eq!(report["rows"], counted);
        assert_eq!(report["records"], counted);
        let manifest = manifest(&world.lake(), report["path"].as_str().unwrap());
        assert_eq!(manifest["object"]["rows"], counted);
        assert_eq!(manifest["object"]["sha256"], report["sha256"]);
        assert_eq!(manifest["conservation"]["records"], counted);
        assert_eq!(manifest["source"]["kind"], "cost-details");
    }
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    let world = World::new(&["--polls", "0", "--rows-per-month", "600"]);
    world.run(&[]).exits(0);
    let before = lake_files(&world.lake());
    let second = world.run(&[]).exits(0).shows(&["Nothing new"]);
    assert!(second.stdout.contains("Finance, Controlling & Audit"), "the table is shown again");
    assert_eq!(before, lake_files(&world.lake()), "bytes, times and commit records stay");

    let as_json = world.run(&["-o", "json"]).exits(0).json();
    assert_eq!(as_json["changed"], false);
    assert_eq!(as_json["run_id"], Value::Null, "a run that changed nothing has no record");
    assert_eq!(before, lake_files(&world.lake()));
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_on_what_was_there() {
    let world = World::new(&["--polls", "0", "--rows-per-month", "600"]);
    world.run(&[]).exits(0);
    let other = world.directory.path().join("other");
    world.run(&["--jobs", "1", "--lake", text(&other)]).exits(0);
    assert_eq!(published(&world.lake()), published(&other), "one thread");

    let apart = world.directory.path().join("apart");
    for metric in ["ActualCost", "amortized"] {
        world.run(&["--metric", metric, "--lake", text(&apart)]).exits(0);
    }
    assert_eq!(published(&world.lake()), published(&apart), "one metric after the other");
}

#[test]
fn when_the_open_month_moves_only_it_is_published() {
    let world = World::new(&["--polls", "0", "--rows-per-month", "600"]);
    world.run(&[]).exits(0);
    let before = published(&world.lake());
    world.simulator.advance();
    let result = world.run(&["-o", "json"]).exits(0).json();
    let after = published(&world.lake());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        let is_open = path.contains("billing_period=2025-07");
        assert_eq!(bytes != &after[path], is_open, "{path}");
    }
    assert_eq!(result["changed"], true);
    for month in result["months"].as_array().unwrap() {
        for report in month["reports"].as_array().unwrap() {
            assert_eq!(report["changed"], month["billing_period"] == "2025-07", "{report}");
        }
    }

    let commits = commits(&world.lake());
    assert_eq!(commits.len(), 2);
    for entry in commits[1]["partitions"].as_array().unwrap() {
        let is_open = entry["partition"]["billing_period"] == "2025-07";
        assert_eq!(entry["outcome"], if is_open { "published" } else { "unchanged" });
        assert_eq!(entry["published_by"] == commits[1]["run_id"], is_open);
        assert_eq!(entry["previous_sha256"].is_string(), is_open);
    }
}

#[test]
fn a_run_that_publishes_one_month_says_which() {
    let world = World::small();
    world.run(&[]).exits(0);
    world.simulator.advance();
    let outcome = world.run(&[]).exits(0);
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    let says = |line: &&str| line.contains("ublished") && line.contains("2025-07");
    let line = told.lines().find(says);
    let line = line.unwrap_or_else(|| panic!("no line says that 2025-07 was published:\n{told}"));
    assert!(!line.contains("2025-05") && !line.contains("2025-06"), "{line}");
}

#[test]
fn results_come_in_every_form() {
    let world = World::small();
    world.run(&[]).exits(0);
    let lines = world.run(&["-o", "ndjson"]).exits(0).stdout;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let as_csv = world.run(&["-o", "csv"]).exits(0).stdout;
    let mut reader = csv::Reader::from_reader(as_csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), records.len());
    assert!(records.iter().any(|record| record.iter().any(|cell| cell.contains(", Controlling"))));
    for (row, record) in rows.iter().zip(&records) {
        for column in ["billing_period", "department_id", "actual_cost", "amortized_cost"] {
            let at = header.iter().position(|name| name == column).unwrap();
            assert_eq!(row[column], record[at], "{column}");
        }
    }
}

#[test]
fn a_department_scope_is_a_part_of_the_enrollment() {
    let world = World::small();
    let whole = world.run(&["-o", "json", "--period", "2025-05"]).exits(0).json();
    let departments = world.simulator.organization()["departments"].clone();
    let id = departments[0]["id"].as_str().unwrap().to_owned();
    let lake = world.directory.path().join("department");
    let args = ["-o", "json", "--period", "2025-05", "--department", &id, "--lake", text(&lake)];
    let part = world.run(&args).exits(0).json();
    assert_eq!(part["months"][0]["scope"], format!("department-{id}"));
    let of_department = |result: &Value| {
        let rows = result["months"][0]["rollups"][0]["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["department_id"] == id.as_str()).unwrap()
    };
    let (of_whole, of_part) = (of_department(&whole), of_department(&part));
    // Marketplace purchases are seen at the enrollment only.
    for measure in ["on_demand", "spot", "used_shares", "commitment_purchases", "rounding"] {
        assert_eq!(of_whole[measure], of_part[measure], "{measure}");
    }
}

#[test]
fn variables_and_flags_go_before_the_pipeline_file() {
    let world = World::small();
    let mut command = world.run_command(&["-o", "json", "--metric", "actual"]);
    command.env("COSTLAKE_PERIOD", "2025-06").env("COSTLAKE_METRIC", "amortized");
    let result = finish(command.spawn().unwrap()).exits(0).json();
    let months = result["months"].as_array().unwrap();
    assert_eq!(months.len(), 1);
    assert_eq!(months[0]["billing_period"], "2025-06");
    assert_eq!(months[0]["reports"].as_array().unwrap().len(), 1);
    assert_eq!(months[0]["reports"][0]["metric"], "actual");
}

#[test]
fn a_definition_of_ones_own_becomes_a_table() {
    let world = World::small();
    let definition = world.directory.path().join("cost_center_month.toml");
    let text_of_definition = r#"
        name = "cost_center_month"
        description = "What each cost centre was billed"
        group_by = ["cost_center", "billing_currency"]
        [[measure]]
        name = "billed"
        sum = "cost"
        metric = "actual"
        [[measure]]
        name = "lines"
        count = true
        metric = "actual"
    "#;
    fs::write(&definition, text_of_definition).unwrap();
    let args = ["-o", "json", "--period", "2025-05", "--definition", text(&definition)];
    let result = world.run(&args).exits(0).json();
    let rollups = result["months"][0]["rollups"].as_array().unwrap();
    let names: Vec<&str> = rollups.iter().map(|rollup| rollup["name"].as_str().unwrap()).collect();
    let needed = [
        "department_month",
        "department_class_month",
        "commitment_month",
        "commitment_department_month",
    ];
    assert_eq!(names[0], "cost_center_month");
    assert_eq!(names[1..], needed, "what a run reconciles with");
    let path = rollups[0]["path"].as_str().unwrap();
    assert_eq!(
        path,
        "cost_center_month/billing_period=2025-05/scope=billing-account-8608480/data.parquet"
    );
    let rows = ParquetRows::read(&world.lake().join(path));
    let billed: Exact = rows.amounts("billed").into_iter().flatten().sum();
    let lines: i64 = rows.integers("lines").into_iter().flatten().sum();
    let reports = result["months"][0]["reports"].as_array().unwrap();
    let actual = reports.iter().find(|report| report["metric"] == "actual").unwrap();
    assert_eq!(actual["decimals"]["cost"]["stored_total"], billed.to_string());
    assert_eq!(actual["rows"], lines);
}

#[test]
fn stderr_is_talk_that_can_be_turned_off_or_into_json() {
    let world = World::small();
    let quiet = world.run(&["--quiet", "--period", "2025-05"]).exits(0);
    assert_eq!(quiet.stderr, "");
    let verbose = world.run(&["--log-format", "json", "-v", "--progress", "none"]).exits(0);
    for line in verbose.stderr.lines() {
        let parsed = serde_json::from_str::<Value>(line);
        assert!(parsed.is_ok(), "{line:?} is no JSON");
    }
    let secret = world.simulator.variable("AZURE_CLIENT_SECRET");
    let loud = world.run(&["-vv"]).exits(0);
    let told = format!("{}{}{}", loud.stdout, loud.stderr, verbose.stderr);
    for hidden in [secret, "sig=", "Bearer "] {
        assert!(!told.contains(hidden), "{hidden} is in the log");
    }
}
