//! Files that are there already: plain, gzipped and zipped CSV, Parquet, folders, and Azure's export folders.
//!
//! A folder with `manifest.json` is one report: its blobs in the order of the manifest, with the
//! metric, period and scope that it names, its row and byte counts checked (`cost-data.md`, 4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use costlake_model::{BillingPeriod, Metric, Scope, ScopeSlug};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use crate::archive;
use crate::error::Error;
use crate::ingest::OpenBlob;
use crate::parquet_text;

/// The files of one report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileReport {
    /// The metric, if a manifest names it.
    pub metric: Option<Metric>,
    /// The period, if a manifest names it.
    pub period: Option<BillingPeriod>,
    /// The scope, if a manifest names it.
    pub scope: Option<ScopeSlug>,
    /// The files, in order.
    pub files: Vec<InputFile>,
    /// Up to which day the run goes and when it was submitted, as the manifest writes them: the run that
    /// goes furthest wins, of several the newest.
    rank: (String, String),
}

/// What report a manifest is of: two manifests with the same are runs of one report.
type ReportKey = (Option<Metric>, Option<BillingPeriod>, Option<ScopeSlug>, Option<PathBuf>);

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name within a zip archive at that path, if it lies in one.
    pub entry: Option<String>,
    /// Its size as stored, if a manifest says it.
    pub bytes: Option<u64>,
    /// Its rows, if a manifest says it.
    pub rows: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestFile {
    blobs: Vec<ManifestBlob>,
    blob_count: Option<u64>,
    export_config: ExportConfig,
    run_info: RunInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestBlob {
    blob_name: String,
    byte_count: Option<u64>,
    data_row_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportConfig {
    #[serde(rename = "type")]
    kind: String,
    resource_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunInfo {
    #[serde(default)]
    submitted_time: String,
    start_date: String,
    end_date: String,
}

const MANIFEST_NAMES: [&str; 2] = ["manifest.json", "_manifest.json"];

/// Finds the reports below some paths: one per manifest, one for all other files together. Of several
/// runs of one report the newest wins; the others are returned as their folders.
///
/// # Errors
/// A path that is not there, a manifest that cannot be read, or no file at all.
pub(crate) fn find_reports(paths: &[PathBuf]) -> Result<(Vec<FileReport>, Vec<PathBuf>), Error> {
    let mut loose = Vec::new();
    let mut folders = Vec::new();
    for path in paths {
        collect(path, &mut loose, &mut folders)?;
    }
    check_no_twins(&loose)?;
    let mut newest: BTreeMap<ReportKey, (FileReport, PathBuf)> = BTreeMap::new();
    let mut superseded = Vec::new();
    for folder in folders {
        let report = read_manifest(&folder)?;
        // Exports that do not name their scope may be of different ones.
        let place = report.scope.is_none().then(|| folder.clone());
        let key = (report.metric, report.period, report.scope.clone(), place);
        match newest.remove(&key) {
            Some(older) if older.0.rank > report.rank => {
                superseded.push(folder);
                newest.insert(key, older);
            }
            replaced => {
                superseded.extend(replaced.map(|(_, folder)| folder));
                newest.insert(key, (report, folder));
            }
        }
    }
    let mut reports: Vec<FileReport> = newest.into_values().map(|(report, _)| report).collect();
    if !loose.is_empty() {
        reports.push(FileReport {
            metric: None,
            period: None,
            scope: None,
            files: loose,
            rank: Default::default(),
        });
    }
    if reports.is_empty() {
        return Err(Error::usage(
            "there is no cost file below the given paths",
            "give .csv, .csv.gz, .parquet or .zip files, or folders of them",
        ));
    }
    Ok((reports, superseded))
}

fn collect(
    path: &Path,
    loose: &mut Vec<InputFile>,
    folders: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::usage(format!("there is no file or folder {}", path.display()), "check the path")
        }
        _ => failed(error),
    })?;
    if !metadata.is_dir() {
        if is_manifest(path) {
            folders.push(path.to_owned());
        } else {
            loose.extend(files_of(path)?);
        }
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(failed)?;
    entries.sort();
    if let Some(manifest) = entries.iter().find(|entry| is_manifest(entry)) {
        folders.push(manifest.clone());
        entries.retain(|entry| entry.is_dir());
    }
    entries.retain(|entry| if entry.is_dir() { !is_lake(entry) } else { is_cost_file(entry) });
    entries.iter().try_for_each(|entry| collect(entry, loose, folders))
}

/// The files at a path: itself, or the cost files of a zip archive.
fn files_of(path: &Path) -> Result<Vec<InputFile>, Error> {
    if !has_ending(path, &[".zip"]) {
        return Ok(vec![InputFile::plain(path)]);
    }
    let damaged = |problem: String| Error::Damaged { file: path.display().to_string(), problem };
    let names = archive::names(path).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => damaged(source.to_string()),
        _ => Error::File { action: "read", path: path.to_owned(), source },
    })?;
    let costs = names.into_iter().filter(|name| has_ending(Path::new(name), &COST_ENDINGS));
    let files: Vec<InputFile> =
        costs.map(|name| InputFile { entry: Some(name), ..InputFile::plain(path) }).collect();
    if files.is_empty() {
        return Err(damaged("there is no .csv file in the archive".to_owned()));
    }
    Ok(files)
}

/// The same file twice would count twice.
fn check_no_twins(files: &[InputFile]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for file in files {
        let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        if !seen.insert((path, file.entry.clone())) {
            return Err(Error::usage(
                format!("{file} is given twice"),
                "name each file once, by itself or by its folder",
            ));
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| MANIFEST_NAMES.iter().any(|manifest| name == *manifest))
}

const COST_ENDINGS: [&str; 3] = [".csv", ".csv.gz", ".parquet"];

fn is_cost_file(path: &Path) -> bool {
    has_ending(path, &COST_ENDINGS) || has_ending(path, &[".zip"])
}

/// Whether a folder is a lake: what was written there is no source.
fn is_lake(folder: &Path) -> bool {
    folder.join("_costlake").is_dir()
}

/// Whether a name has one of some endings, in any case. Names that begin with a dot are no cost files:
/// archives made on some systems hold such twins of each file.
fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|name| {
        !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
    })
}

impl InputFile {
    /// A file that nothing is known of.
    pub(crate) fn plain(path: &Path) -> Self {
        Self { path: path.to_owned(), entry: None, bytes: None, rows: None }
    }
}

impl fmt::Display for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.entry {
            Some(entry) => write!(f, " ({entry})"),
            None => Ok(()),
        }
    }
}

fn read_manifest(path: &Path) -> Result<FileReport, Error> {
    let text = std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let wrong = |problem: String| Error::Damaged { file: path.display().to_string(), problem };
    let manifest: ManifestFile = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("it is no manifest of an export: {error}")))?;
    if manifest.blob_count.is_some_and(|count| count != manifest.blobs.len() as u64) {
        let blobs = manifest.blobs.len();
        return Err(wrong(format!("blobCount is not the number of its blobs, {blobs}")));
    }
    let kind = &manifest.export_config.kind;
    let metric = kind.parse::<Metric>().map_err(|error| wrong(error.to_string()))?;
    let period = month_of_run(&manifest.run_info).map_err(wrong)?;
    let scope = manifest.export_config.resource_id.as_deref().map(scope_of_export);
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = manifest.blobs.iter().map(|blob| InputFile {
        path: blob_path(folder, &blob.blob_name),
        entry: None,
        bytes: blob.byte_count,
        rows: blob.data_row_count,
    });
    Ok(FileReport {
        metric: Some(metric),
        period: Some(period),
        scope,
        files: files.collect(),
        rank: (manifest.run_info.end_date, manifest.run_info.submitted_time),
    })
}

/// The month of a run that covers it from its first day on; other ranges are no partition.
fn month_of_run(run: &RunInfo) -> Result<BillingPeriod, String> {
    let month = |date: &str| date.get(..7).unwrap_or_default().parse::<BillingPeriod>();
    let (start, end) = (&run.start_date, &run.end_date);
    match (month(start), month(end)) {
        (Ok(first), Ok(last)) if first == last && start.get(8..10) == Some("01") => Ok(first),
        _ => Err(format!(
            "the export covers {start} to {end}: expected one month, from its first day on"
        )),
    }
}

/// The scope of an export: its resource id up to the export itself.
fn scope_of_export(resource_id: &str) -> ScopeSlug {
    let lower = resource_id.to_ascii_lowercase();
    let end = lower.find("/providers/microsoft.costmanagement").unwrap_or(resource_id.len());
    let scope = &resource_id[..end];
    scope.parse::<Scope>().map_or_else(|_| ScopeSlug::from_name(scope), |scope| scope.slug())
}

/// A blob lies beside its manifest, under the last part of its name: the folders before it are those
/// of the container that the export was written to.
fn blob_path(folder: &Path, blob_name: &str) -> PathBuf {
    folder.join(blob_name.rsplit('/').next().unwrap_or(blob_name))
}

/// Opens a file, decompressing it if it is gzipped, and writing it as text if it is Parquet.
///
/// # Errors
/// If it cannot be opened, or is not as long as its manifest says.
pub(crate) fn open(file: &InputFile) -> Result<OpenBlob, Error> {
    let failed = |source| Error::File { action: "read", path: file.path.clone(), source };
    let opened = File::open(&file.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Damaged {
            file: file.path.display().to_string(),
            problem: "the file is not there, although its manifest names it".to_owned(),
        },
        _ => failed(error),
    })?;
    let length = opened.metadata().map_err(failed)?.len();
    if let Some(expected) = file.bytes.filter(|expected| *expected != length) {
        return Err(Error::Damaged {
            file: file.path.display().to_string(),
            problem: format!("it has {length} bytes, its manifest says {expected}"),
        });
    }
    let source: Box<dyn Read + Send> = match &file.entry {
        Some(entry) => archive::open_file(&file.path, entry),
        None if parquet_text::is_parquet(&opened).map_err(failed)? => {
            return parquet_text::open_blob(&file.to_string(), opened);
        }
        None => Box::new(opened),
    };
    decompressed(source).map(OpenBlob::from).map_err(failed)
}

/// Decompresses bytes that begin as gzip data do, of any number of members; others pass.
///
/// # Errors
/// If the first bytes cannot be read.
pub(crate) fn decompressed(mut source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut start = [0; MAGIC.len()];
    let mut length = 0;
    while length < start.len() {
        match source.read(&mut start[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let whole = io::Cursor::new(start[..length].to_vec()).chain(source);
    Ok(if start[..length] == MAGIC {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, whole)))
    } else {
        Box::new(whole)
    })
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
    fn blobs_lie_beside_their_manifest() {
        let path = blob_path(Path::new("a"), "exports/../../etc/part_0.csv");
        assert_eq!(path, Path::new("a/part_0.csv"));
    }
}
