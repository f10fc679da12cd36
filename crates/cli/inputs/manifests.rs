//! Manifests of exports, of both generations (`azure-apis.md`, 8.3).
//!
//! | | `manifest.json`, since 2023 | `_manifest.json`, version 2021-01-01 |
//! |---|---|---|
//! | data set, scope, export | `exportConfig` | flags, folders |
//! | month | `runInfo` | the folder `YYYYMMDD-YYYYMMDD`, flags, rows |
//! | newest run | `runInfo.submittedTime` | the folder `yyyyMMddHHmm` |
//!
//! Only `blobs[].blobName` must be there: hand-made manifests lack most fields. All that is there is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug};
use serde::Deserialize;

use super::kinds::{DayRange, time_of_run};
use super::runs::{Rank, ReportKey};
use super::tree::{Listed, Tree};
use super::{FileReport, InputFile, ReportKind, Skipped, Totals};
use crate::error::Error;

/// A manifest that was found.
#[derive(Debug)]
pub(super) struct FoundManifest {
    /// Where.
    pub tree: Tree,
    /// The file.
    pub listed: Listed,
    /// The uppermost folder that it may name files in.
    pub root: PathBuf,
    /// Its folder with all folders above it.
    pub whole_folder: PathBuf,
    /// Other files that were listed with it, by path.
    pub known: Arc<BTreeMap<PathBuf, Listed>>,
    /// Cost files in its folder and below it.
    pub beside: Vec<Listed>,
}

/// A manifest of costs, as it was read.
#[derive(Debug)]
pub(super) struct Manifest {
    found: FoundManifest,
    blobs: Vec<ManifestBlob>,
    totals: Totals,
    /// What report it is of.
    pub key: ReportKey,
    /// Which of several runs it is.
    pub rank: Rank,
    scope: Option<ScopeSlug>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFile {
    blobs: Option<Vec<ManifestBlob>>,
    blob_count: Option<u64>,
    byte_count: Option<u64>,
    data_row_count: Option<u64>,
    #[serde(default)]
    has_no_rows: Option<bool>,
    export_config: Option<ExportConfig>,
    run_info: Option<RunInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestBlob {
    blob_name: String,
    byte_count: Option<u64>,
    data_row_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportConfig {
    export_name: Option<String>,
    #[serde(rename = "type")]
    data_set: Option<String>,
    resource_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunInfo {
    submitted_time: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
}

/// What an export exports.
#[derive(Debug, PartialEq, Eq)]
enum DataSet {
    Costs(ReportKind),
    Other(String),
}

/// Reads manifests, each once. Those of other data sets than costs are skipped.
///
/// # Errors
/// One that cannot be read or contradicts itself.
pub(super) fn read_all(
    found: Vec<FoundManifest>,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Manifest>, Error> {
    let mut seen = BTreeSet::new();
    let mut manifests = Vec::new();
    for found in found {
        if !seen.insert(found.tree.file(&found.listed).identity()) {
            continue;
        }
        let text = found.tree.read_manifest(&found.listed)?;
        let name = found.tree.name(&found.listed.path);
        let wrong = |problem: String| Error::Damaged { file: name.clone(), problem };
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        let file: ManifestFile = serde_json::from_slice(text)
            .map_err(|error| wrong(format!("it is no manifest of an export: {error}")))?;
        match DataSet::of(file.export_config.as_ref()) {
            DataSet::Other(name) => skipped.push(Skipped {
                path: found.folder_name(),
                reason: format!("an export of {name}, which costlake does not read"),
            }),
            DataSet::Costs(kind) => {
                manifests.push(Manifest::of(found, file, kind).map_err(wrong)?);
            }
        }
    }
    Ok(manifests)
}

impl DataSet {
    fn of(config: Option<&ExportConfig>) -> Self {
        let Some(name) = config.and_then(|config| config.data_set.as_deref()) else {
            return Self::Costs(ReportKind::Unknown);
        };
        let name = name.trim();
        match name.parse::<Metric>() {
            Ok(metric) => Self::Costs(ReportKind::Metric(metric)),
            Err(_) if name.eq_ignore_ascii_case("FocusCost") => Self::Costs(ReportKind::Focus),
            // Azure's name for actual costs where there are no amortized ones (`azure-specs`, exports).
            Err(_) if name.eq_ignore_ascii_case("Usage") => {
                Self::Costs(ReportKind::Metric(Metric::Actual))
            }
            Err(_) => Self::Other(name.to_owned()),
        }
    }
}

impl FoundManifest {
    fn folder(&self) -> &Path {
        self.listed.path.parent().unwrap_or(Path::new(""))
    }

    fn folder_name(&self) -> String {
        self.tree.name(self.folder())
    }

    /// The folder of days above it, and what it says.
    fn days(&self) -> Option<(&Path, DayRange)> {
        let mut folders = self.whole_folder.ancestors();
        folders.find_map(|folder| Some((folder, DayRange::of(folder)?)))
    }
}

impl Manifest {
    fn of(found: FoundManifest, file: ManifestFile, kind: ReportKind) -> Result<Self, String> {
        let is_empty = file.has_no_rows == Some(true) || file.blob_count == Some(0);
        let blobs = match file.blobs {
            Some(blobs) => blobs,
            None if is_empty => Vec::new(),
            None => return Err("it names no blobs".to_owned()),
        };
        if file.blob_count.is_some_and(|count| count != blobs.len() as u64) {
            return Err(format!("blobCount is not the number of its blobs, {}", blobs.len()));
        }
        check_sum("byteCount", file.byte_count, blobs.iter().map(|blob| blob.byte_count))?;
        check_sum("dataRowCount", file.data_row_count, blobs.iter().map(|b| b.data_row_count))?;
        let config = file.export_config;
        let run = file.run_info;
        let period = match run.as_ref().and_then(RunInfo::days) {
            Some((start, end)) => Some(month_of_run(start, end)?),
            None => found.days().and_then(|(_, days)| days.month()),
        };
        let resource_id = config.as_ref().and_then(|config| config.resource_id.as_deref());
        let scope = resource_id.map(str::trim).filter(|id| !id.is_empty()).map(scope_of_export);
        let export = config.as_ref().and_then(|config| config.export_name.as_deref());
        let rank = Rank {
            end: run.as_ref().and_then(|run| day(run.end_date.as_deref()?)),
            submitted: submitted(run.as_ref(), &found.whole_folder),
        };
        let place = scope.is_none().then(|| place_of_export(&found));
        let export = export.map(|name| name.trim().to_lowercase());
        let key = ReportKey { kind, period, scope: scope.clone(), export, place };
        let manifest = found.tree.name(&found.listed.path);
        let no_rows = (file.has_no_rows == Some(true)).then_some(0);
        let rows = no_rows.or(file.data_row_count);
        let has_rows = file.has_no_rows == Some(false);
        let totals = Totals { manifest, bytes: file.byte_count, rows, has_rows };
        Ok(Self { found, blobs, totals, key, rank, scope })
    }

    /// The folder that it lies in, for people.
    pub(super) fn folder_name(&self) -> String {
        self.found.folder_name()
    }

    /// Finds its files. Cost files beside them that it does not name are skipped.
    ///
    /// # Errors
    /// If one is not there, or is named twice.
    pub(super) fn into_report(self, skipped: &mut Vec<Skipped>) -> Result<FileReport, Error> {
        let mut files = Vec::new();
        let mut seen = BTreeSet::new();
        for blob in &self.blobs {
            let name = blob.blob_name.trim();
            if name.is_empty() {
                return Err(self.damaged("one of its blobs has no name".to_owned()));
            }
            let listed = self.find_blob(name)?;
            if !seen.insert(listed.path.clone()) {
                let problem = format!("it names {} twice", self.found.tree.name(&listed.path));
                return Err(self.damaged(problem));
            }
            let (bytes, rows) = (blob.byte_count, blob.data_row_count);
            files.push(InputFile { bytes, rows, ..self.found.tree.file(&listed) });
        }
        let beside = self.found.beside.iter().filter(|file| !seen.contains(&file.path));
        skipped.extend(beside.map(|file| Skipped {
            path: self.found.tree.name(&file.path),
            reason: "the manifest of its folder does not name it".to_owned(),
        }));
        let (kind, period) = (self.key.kind, self.key.period);
        Ok(FileReport { kind, period, scope: self.scope, files, totals: Some(self.totals) })
    }

    fn find_blob(&self, name: &str) -> Result<Listed, Error> {
        let candidates = places_of_blob(self.found.folder(), &self.found.root, name);
        for path in &candidates {
            if let Some(listed) = self.found.known.get(path) {
                return Ok(listed.clone());
            }
        }
        for path in &candidates {
            if let Some(listed) = self.found.tree.find(path)? {
                return Ok(listed);
            }
        }
        let first = candidates.first().map_or_else(String::new, |path| self.found.tree.name(path));
        let problem = format!("{first} is not there, although its manifest names it");
        Err(self.damaged(problem))
    }

    fn damaged(&self, problem: String) -> Error {
        Error::Damaged { file: self.totals.manifest.clone(), problem }
    }
}

/// Where a blob may lie. Its name is that in the container that the export was written to, and what a
/// folder was copied from: so beside its manifest, or else below a folder above, up to the root, since a
/// manifest is no reason to read what nobody asked for.
fn places_of_blob(folder: &Path, root: &Path, name: &str) -> Vec<PathBuf> {
    let parts = Path::new(name);
    let is_plain = parts.components().all(|part| matches!(part, Component::Normal(_)));
    let beside = name.rsplit('/').next().filter(|name| !name.is_empty() && *name != "..");
    let beside = beside.map(|name| folder.join(name)).into_iter();
    let above = folder.ancestors().filter(|above| is_plain && above.starts_with(root));
    beside.chain(above.map(|above| above.join(parts))).collect()
}

/// A count of the whole must be the sum of its parts, where all parts have one.
fn check_sum(
    field: &str,
    whole: Option<u64>,
    parts: impl Iterator<Item = Option<u64>>,
) -> Result<(), String> {
    let sum = parts.sum::<Option<u64>>();
    match (whole, sum) {
        (Some(whole), Some(sum)) if whole != sum => {
            Err(format!("its {field} is {whole}, those of its blobs make {sum}"))
        }
        _ => Ok(()),
    }
}

impl RunInfo {
    fn days(&self) -> Option<(&str, &str)> {
        Some((self.start_date.as_deref()?, self.end_date.as_deref()?))
    }
}

/// The month of a run that covers it from its first day on; other ranges are no partition.
fn month_of_run(start: &str, end: &str) -> Result<BillingPeriod, String> {
    let range = day(start).zip(day(end));
    let month = range.filter(|(first, last)| {
        let month = BillingPeriod::of(*first);
        month.first_day() == *first && month == BillingPeriod::of(*last)
    });
    month.map(|(first, _)| BillingPeriod::of(first)).ok_or_else(|| {
        format!("the export covers {start} to {end}: expected one month, from its first day on")
    })
}

/// The day of a time with or without a zone.
fn day(time: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(time.trim().get(..10)?, "%Y-%m-%d").ok()
}

/// When a run was submitted: by its manifest, else by a folder above it.
fn submitted(run: Option<&RunInfo>, folder: &Path) -> Option<DateTime<Utc>> {
    let said = run.and_then(|run| time(run.submitted_time.as_deref()?.trim()));
    said.or_else(|| folder.ancestors().find_map(time_of_run).map(|time| time.and_utc()))
}

/// A time with a zone, or else of UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let naive = || text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).or_else(naive)
}

/// The folder that an export writes its months into, or else that of this run.
fn place_of_export(found: &FoundManifest) -> PathBuf {
    let export = found.days().and_then(|(folder, _)| folder.parent());
    PathBuf::from(found.tree.name(export.unwrap_or(&found.whole_folder)))
}

/// The scope of an export: its resource id up to the export itself.
fn scope_of_export(resource_id: &str) -> ScopeSlug {
    let lower = resource_id.to_ascii_lowercase();
    let end = lower.find("/providers/microsoft.costmanagement").unwrap_or(resource_id.len());
    let scope = &resource_id[..end];
    scope.parse::<Scope>().map_or_else(|_| ScopeSlug::from_name(scope), |scope| scope.slug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_name_their_scope() {
        for (id, slug) in [
            (
                "/providers/Microsoft.Billing/billingAccounts/12/providers/Microsoft.CostManagement/exports/daily",
                "billing-account-12",
            ),
            (
                "subscriptions/ab-1/providers/microsoft.costmanagement/exports/x",
                "subscription-ab-1",
            ),
            ("somewhere else", "somewhere-else"),
        ] {
            assert_eq!(scope_of_export(id).as_str(), slug);
        }
    }

    #[test]
    fn blobs_lie_beside_their_manifest_or_below_a_folder_above() {
        let places = |folder, root, name| {
            places_of_blob(Path::new(folder), Path::new(root), name)
                .into_iter()
                .map(|path| path.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(places("a", "", "exports/../../etc/part_0.csv"), ["a/part_0.csv"]);
        let all = ["x/a/p.csv", "x/a/a/p.csv", "x/a/p.csv", "a/p.csv"];
        assert_eq!(places("x/a", "", "a/p.csv"), all);
        assert_eq!(places("x/a", "x", "a/p.csv"), all[..3]);
        assert_eq!(places("/x/a", "/x/a", "etc/passwd"), ["/x/a/passwd", "/x/a/etc/passwd"]);
        assert_eq!(places("a", "a", ".."), [""; 0]);
    }

    #[test]
    fn data_sets_are_told_in_any_case() {
        let of = |name: Option<&str>| {
            DataSet::of(Some(&ExportConfig {
                export_name: None,
                data_set: name.map(str::to_owned),
                resource_id: None,
            }))
        };
        assert_eq!(of(Some("actualcost")), DataSet::Costs(ReportKind::Metric(Metric::Actual)));
        assert_eq!(of(Some("FOCUSCOST")), DataSet::Costs(ReportKind::Focus));
        assert_eq!(of(Some("PriceSheet")), DataSet::Other("PriceSheet".to_owned()));
        assert_eq!(of(None), DataSet::Costs(ReportKind::Unknown));
        assert_eq!(DataSet::of(None), DataSet::Costs(ReportKind::Unknown));
    }

    #[test]
    fn months_begin_on_their_first_day() {
        let month = |start, end| month_of_run(start, end).ok().map(|month| month.to_string());
        let may = Some("2025-05".to_owned());
        assert_eq!(month("2025-05-01T00:00:00", "2025-05-31T00:00:00Z"), may);
        assert_eq!(month("2025-05-01", "2025-05-03T00:00:00+00:00"), may);
        assert_eq!(month("2025-05-02T00:00:00", "2025-05-31T00:00:00Z"), None);
        assert_eq!(month("2025-05-01T00:00:00", "2025-06-30T00:00:00Z"), None);
        assert_eq!(month("May", "June"), None);
    }

    #[test]
    fn times_are_compared_and_not_their_texts() {
        let (early, late) =
            (time("2025-03-21T21:04:06Z").unwrap(), time("2025-03-21T21:04:06.5234447Z").unwrap());
        assert!(early < late);
        assert_eq!(time("2025-03-21T23:04:06+02:00"), Some(early));
        assert_eq!(time("2025-03-21T21:04:06"), Some(early));
        assert_eq!(time(""), None);
    }
}
