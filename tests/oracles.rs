//! Other people's readers and other people's arithmetic: `tests/oracles/check_lake.py` with DuckDB, pyarrow and Polars,
//! `reconcile_csv.py` with Python's decimals over the cost files, `reconcile_lake.py` with DuckDB over the line items.

use std::path::Path;

use tempfile::TempDir;

use crate::harness::{finish, python, run, text};

/// How many things a script, given some arguments, found to be as they should.
#[track_caller]
fn found_ok(script: &str, args: &[&str]) -> usize {
    let mut script = python(script).unwrap();
    let outcome = finish(script.args(args).spawn().unwrap()).exits(0);
    outcome.stdout.lines().filter(|line| line.starts_with("ok: ")).count()
}

/// The files of an invented enrollment over 13 months, so that terms of a year begin and end in them.
fn thirteen_months(files: &Path) {
    run(&["simulate", "generate", "--rows", "8000", "--months", "13", "--out", text(files)])
        .exits(0);
}

#[test]
fn duckdb_pyarrow_and_polars_read_the_same_lake() {
    let Some(mut script) = python("oracles/check_lake.py") else { return };
    let directory = TempDir::new().unwrap();
    let (files, lake) = (directory.path().join("files"), directory.path().join("lake"));
    run(&["simulate", "generate", "--rows", "6000", "--out", text(&files)]).exits(0);
    run(&["convert", text(&files), "--lake", text(&lake)]).exits(0);
    let outcome = finish(script.arg(&files).arg(&lake).spawn().unwrap()).exits(0);
    assert_eq!(outcome.stdout.lines().filter(|line| line.starts_with("ok: ")).count(), 15);
}

#[test]
fn python_and_duckdb_reconcile_tidy_months_to_the_same_digits() {
    if python("oracles/reconcile_csv.py").is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (files, lake) = (directory.path().join("files"), directory.path().join("lake"));
    thirteen_months(&files);
    run(&["convert", text(&files), "--lake", text(&lake)]).exits(0);
    run(&["reconcile", "--lake", text(&lake), "--unused", "by-usage"]).exits(0);
    let asked = [text(&files), text(&lake), "--all", "--unused", "by-usage"];
    // The two reports against each other, the line items, nine rollups, two tables.
    assert_eq!(found_ok("oracles/reconcile_csv.py", &asked), 6 + 1 + 9 + 2);
    assert_eq!(found_ok("oracles/reconcile_lake.py", &[text(&lake), "--all"]), 9 + 3 + 3);
}

#[test]
fn python_and_duckdb_name_the_same_causes_where_the_two_reports_differ() {
    if python("oracles/reconcile_csv.py").is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (tidy, files) = (directory.path().join("tidy"), directory.path().join("files"));
    let lake = directory.path().join("lake");
    thirteen_months(&tidy);
    assert_eq!(found_ok("oracles/disturb_csv.py", &[text(&tidy), text(&files), "--differ"]), 1);
    run(&["convert", text(&files), "--lake", text(&lake)]).exits(0);
    let reconcile = ["reconcile", "--lake", text(&lake), "--unused", "owner"];
    run(&reconcile).exits(5).says(&["differ in more than commitments", "--allow-other"]);
    run(&[&reconcile[..], &["--allow-other"]].concat()).exits(0);
    let asked = [text(&files), text(&lake), "--all", "--unused", "owner", "--differ"];
    assert_eq!(found_ok("oracles/reconcile_csv.py", &asked), 1 + 9 + 2);
    assert_eq!(found_ok("oracles/reconcile_lake.py", &[text(&lake), "--all"]), 9 + 3 + 3);
}
