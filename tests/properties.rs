//! Any small cost file, through the program.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::exact::Exact;
use crate::harness::{run, small_file, small_row, text};
use crate::reading::ParquetRows;

/// A row: its text, and its cost unless it cannot be typed.
#[derive(Clone, Debug)]
struct Row {
    text: String,
    cost: Option<Exact>,
}

/// At most 28 significant digits, at most 28 of them behind the point.
fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?0\\.[0-9]{1,28}",
        "-?[1-9][0-9]{0,5}(\\.[0-9]{1,22})?",
        "-?[1-9]\\.[0-9]{1,10}E-0?[1-9]",
        Just("0".to_owned()),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let department = prop_oneof![Just(""), Just("7"), Just("-2")];
    let name = "[a-zß,;: \n]{0,12}";
    let cost = prop_oneof![
        9 => amount().prop_map(Ok),
        1 => prop_oneof![Just("a lot"), Just("1.2.3"), Just("Infinity"), Just("")].prop_map(Err),
    ];
    (department, name, 1..=31_u32, cost).prop_map(|(department, name, day, cost)| {
        let text_of_cost = cost.clone().unwrap_or_else(str::to_owned);
        Row {
            text: small_row(department, &name, day, &text_of_cost),
            cost: cost.ok().map(|cost| Exact::parse(&cost)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_money_in_are_rows_and_money_out(
        rows in prop::collection::vec(row(), 1..30),
        blank_lines in 0..3_usize,
        line_end in prop_oneof![Just("\r\n"), Just("\n")],
        jobs in 1..4_u8,
    ) {
        let directory = TempDir::new().unwrap();
        let (file, lake) = (directory.path().join("costs.csv"), directory.path().join("lake"));
        let texts: Vec<String> = rows.iter().map(|row| row.text.clone()).collect();
        let bytes = small_file(&texts).replace("\r\n", line_end) + &line_end.repeat(blank_lines);
        fs::write(&file, bytes).unwrap();
        let outcome = run(&[
            "convert", text(&file), "--metric", "actual", "--period", "2025-05", "--scope-name", "x",
            "--lake", text(&lake), "-o", "json", "--progress", "none", "--jobs", &jobs.to_string(),
        ]);
        let sound: Vec<Exact> = rows.iter().filter_map(|row| row.cost).collect();
        let bad = rows.len() - sound.len();
        if sound.is_empty() {
            prop_assert_eq!(outcome.code, Some(5), "{}", outcome.stderr);
            prop_assert!(outcome.stderr.contains("rows could be typed"), "{}", outcome.stderr);
            return Ok(());
        }
        prop_assert_eq!(outcome.code, Some(if bad > 0 { 8 } else { 0 }), "{}", outcome.stderr);

        let result = outcome.json();
        let report = &result["months"][0]["reports"][0];
        prop_assert_eq!(&report["records"], rows.len());
        prop_assert_eq!(&report["rows"], sound.len());
        prop_assert_eq!(&report["quarantined_rows"], bad);
        let exact: Exact = sound.iter().copied().sum();
        let stored: Exact = sound.iter().map(|cost| cost.stored()).sum();
        let totals = &report["decimals"]["cost"];
        prop_assert_eq!(&totals["exact_total"], &exact.to_string());
        prop_assert_eq!(&totals["stored_total"], &stored.to_string());

        let partition = "billing_period=2025-05/scope=x/data.parquet";
        let line_items = ParquetRows::read(&lake.join("cost_line_items/metric=actual").join(partition));
        let costs: Vec<Exact> = line_items.amounts("cost").into_iter().map(Option::unwrap).collect();
        prop_assert_eq!(costs, sound.iter().map(|cost| cost.stored()).collect::<Vec<_>>());
        let departments = ParquetRows::read(&lake.join("department_month").join(partition));
        let rolled_up: Exact = departments.amounts("actual_cost").into_iter().flatten().sum();
        prop_assert_eq!(rolled_up, stored);
    }
}
