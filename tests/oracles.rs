//! Other people's readers: `tests/oracles/check_lake.py` with DuckDB, pyarrow and Polars.

use tempfile::TempDir;

use crate::harness::{finish, python, run, text};

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
