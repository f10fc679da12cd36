//! What can go wrong does, and each time: the exit code, a text that says what and where, no secret,
//! and a lake that is as it was.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::{Outcome, run, small_file, text};

mod azure;
mod configuration;
mod endings;
mod files;
mod rollups;

/// One report of one month: one submit, so that retries can be counted.
const ONE: [&str; 4] = ["--period", "2025-05", "--metric", "actual"];

/// A folder for files, and a lake beside them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn lake(&self) -> PathBuf {
        self.0.path().join("lake")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn csv(&self, name: &str, rows: &[String]) -> PathBuf {
        self.write(name, small_file(rows).as_bytes())
    }

    fn convert(&self, file: &Path, args: &[&str]) -> Outcome {
        let lake = self.lake();
        let common = ["convert", text(file), "--lake", text(&lake), "--metric", "actual"];
        run(&[&common[..], args].concat())
    }
}
