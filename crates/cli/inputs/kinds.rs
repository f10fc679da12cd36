//! What names of files and folders say.

use std::path::Path;

use chrono::{NaiveDate, NaiveDateTime};
use costlake_model::BillingPeriod;

/// The folder that makes a folder a lake of costlake.
pub(super) const LAKE_FOLDER: &str = "_costlake";

/// The newer name first, should a folder have both.
pub(super) const MANIFEST_NAMES: [&str; 2] = ["manifest.json", "_manifest.json"];

const COST_ENDINGS: [&str; 3] = [".csv", ".csv.gz", PARQUET_ENDING];
const ARCHIVE_ENDING: &str = ".zip";
const PARQUET_ENDING: &str = ".parquet";

/// Whether a file is a manifest of an export, by its name.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| MANIFEST_NAMES.iter().any(|manifest| name == *manifest))
}

/// Whether a file in a folder is read as a cost file.
pub(super) fn is_cost_file(path: &Path) -> bool {
    is_plain_cost_file(path) || is_archive(path)
}

/// Whether a file in an archive is read as a cost file.
pub(super) fn is_plain_cost_file(path: &Path) -> bool {
    COST_ENDINGS.iter().any(|ending| has_ending(path, ending))
}

/// Whether a file is a zip archive, by its name.
pub(super) fn is_archive(path: &Path) -> bool {
    has_ending(path, ARCHIVE_ENDING)
}

/// Whether a file is a Parquet file, by its name.
pub(super) fn is_parquet(path: &Path) -> bool {
    has_ending(path, PARQUET_ENDING)
}

/// Whether a name has an ending, in any case. Names that begin with a dot are no cost files: archives
/// made on some systems hold such twins of each file.
fn has_ending(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|name| !name.starts_with('.') && name.ends_with(ending))
}

/// The days of an export folder named `YYYYMMDD-YYYYMMDD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DayRange {
    first: NaiveDate,
    last: NaiveDate,
}

impl DayRange {
    /// Reads the name of a folder.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let (first, last) = folder.file_name()?.to_str()?.split_once('-')?;
        let day = |text: &str| {
            let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
            is_day.then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok())?
        };
        Some(Self { first: day(first)?, last: day(last)? })
    }

    /// The month, if it is one from its first day on.
    pub(super) fn month(self) -> Option<BillingPeriod> {
        let month = BillingPeriod::of(self.first);
        let is_in_month = month.first_day() == self.first && month == BillingPeriod::of(self.last);
        is_in_month.then_some(month)
    }
}

/// The time of a folder named `yyyyMMddHHmm`, in which exports keep their runs apart.
pub(super) fn time_of_run(folder: &Path) -> Option<NaiveDateTime> {
    let name = folder.file_name()?.to_str()?;
    let is_time = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| NaiveDateTime::parse_from_str(name, "%Y%m%d%H%M").ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_files_are_told_by_their_endings() {
        for (name, expected) in [
            ("a/part_0_0001.csv", true),
            ("a/PART.CSV.GZ", true),
            ("a/part.snappy.parquet", true),
            ("a/b.zip", true),
            ("a/.b.csv", false),
            ("a/b.csv.tmp", false),
            ("a/csv", false),
        ] {
            assert_eq!(is_cost_file(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn folders_name_days_and_times() {
        let month = |name: &str| DayRange::of(Path::new(name)).map(|range| range.month());
        assert_eq!(month("x/20250501-20250531"), Some("2025-05".parse().ok()));
        assert_eq!(month("20250501-20250512"), Some("2025-05".parse().ok()));
        assert_eq!(month("20250515-20250614"), Some(None));
        assert_eq!(month("20250501"), None);
        assert_eq!(month("20250501-2025053x"), None);
        assert_eq!(month("20251301-20251331"), None);
        assert!(time_of_run(Path::new("x/202505311230")).is_some());
        assert!(time_of_run(Path::new("x/20250531123")).is_none());
    }
}
