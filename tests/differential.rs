//! Five readers over generated cost files: costlake, the `csv` crate, Python's csv, DuckDB, pyarrow.
//!
//! The first two read here; `differential/check_files.py` reads with the other three, types every file
//! by the rules of `docs/reading-cost-files.md` with decimals of its own, and compares. Where a reader
//! differs by its nature is a closed table in that script, which the document repeats.

mod generator;
mod layouts;
mod readers;
mod values;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{finish, python};
use generator::Random;

const FILES: u64 = 2000;

#[test]
fn five_readers_agree_on_generated_files_but_where_the_table_says() {
    let Some(mut script) = python("differential/check_files.py") else { return };
    let directory = TempDir::new().unwrap();
    let folder = std::env::var_os("COSTLAKE_DIFFERENTIAL_FILES")
        .map_or_else(|| directory.path().to_owned(), Into::into);
    write_files(&folder);
    let outcome = finish(script.arg(&folder).spawn().unwrap());
    println!("{}{}", outcome.stdout, outcome.stderr);
    outcome.exits(0).shows(&["2000 files"]);
}

/// Writes the files, and beside them what the two readers here make of each.
fn write_files(folder: &Path) {
    let mut readings = BufWriter::new(File::create(folder.join("readings.ndjson")).unwrap());
    for number in 0..FILES {
        let file = generator::file(number);
        let name = format!("{number:04}.csv");
        fs::write(folder.join(&name), &file.bytes).unwrap();
        let reading = json!({
            "name": name,
            "currency": file.currency,
            "costlake": readers::costlake(&mut Random::new(number), &file),
            "csv": readers::csv_crate(&file),
        });
        writeln!(readings, "{reading}").unwrap();
    }
    readings.flush().unwrap();
}
