//! Other people's readers: `tests/oracles/check_lake.py` with DuckDB, pyarrow and Polars.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{finish, run, text};

#[test]
fn duckdb_pyarrow_and_polars_read_the_same_lake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        println!("skipped: no {}; `make .venv` makes it", python.display());
        return;
    }
    let directory = TempDir::new().unwrap();
    let (files, lake) = (directory.path().join("files"), directory.path().join("lake"));
    run(&["simulate", "generate", "--rows", "6000", "--out", text(&files)]).exits(0);
    run(&["convert", text(&files), "--lake", text(&lake)]).exits(0);
    let mut command = Command::new(python);
    command.arg(root.join("tests/oracles/check_lake.py")).arg(&files).arg(&lake);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = finish(command.spawn().unwrap()).exits(0);
    assert_eq!(outcome.stdout.lines().filter(|line| line.starts_with("ok: ")).count(), 15);
}
