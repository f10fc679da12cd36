//! Files that are there already: on this machine or in a store, alone, in folders, or as Azure's exports
//! left them.
//!
//! ```text
//! PATH ─ location ─▶ a path or a URL ─ finding, in a tree ─▶ manifests, and files without one
//! manifests ─ runs: of several of one report, one ─▶ reports ─ opening ─▶ bytes
//! ```
//!
//! A folder with a manifest is one report: its blobs in the order of the manifest, with the metric, period
//! and scope that it names, its row and byte counts checked (`cost-data.md`, 4; `azure-apis.md`, 8).
//! `docs/inputs.md` says it for users.

mod failure;
mod finding;
mod header;
mod kinds;
mod location;
mod manifests;
mod opening;
mod patterns;
mod runs;
mod stores;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use costlake_model::aliases::Naming;
use costlake_model::ledger::Ledger;
use costlake_model::{BillingPeriod, Metric, ScopeSlug};

use crate::archive::Archive;
use crate::error::Error;
pub(crate) use failure::{Failure, FailureKind};
use finding::{Gathered, Loose, Origin};
pub(crate) use header::read_binding;
pub(crate) use location::check_no_signature;
pub(crate) use opening::{decompressed, open};
use stores::StoredObject;

/// What was found below the given paths.
#[derive(Debug)]
pub(crate) struct Found {
    /// The reports to read.
    pub reports: Vec<FileReport>,
    /// What is there and not read, sorted.
    pub skipped: Vec<Skipped>,
}

/// The files of one report.
#[derive(Debug)]
pub(crate) struct FileReport {
    /// What a manifest says that it is.
    pub kind: ReportKind,
    /// The period, if a manifest or a folder names it.
    pub period: Option<BillingPeriod>,
    /// The scope, if a manifest names it.
    pub scope: Option<ScopeSlug>,
    /// The files, in order.
    pub files: Vec<InputFile>,
    /// Its manifest, with what it says of all files together.
    pub totals: Option<Totals>,
}

/// What a report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReportKind {
    /// Costs; nothing says which.
    Unknown,
    /// Actual or amortized costs.
    Metric(Metric),
    /// Costs in the columns of FOCUS, both metrics at once.
    Focus,
}

/// What a manifest says of all its files together.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    manifest: String,
    bytes: Option<u64>,
    rows: Option<u64>,
    /// Whether it says that there are rows, however many.
    has_rows: bool,
}

/// A place that is not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skipped {
    /// The folder or file.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    place: Place,
    /// Which file of the archive at that place, if there is one.
    entry: Option<Entry>,
    /// Its size, if a manifest says it.
    pub bytes: Option<u64>,
    /// Its rows, if a manifest says it.
    pub rows: Option<u64>,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Stored(StoredObject),
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    archive: Archive,
}

/// Finds the reports below some paths: one per manifest, one for all files together that belong to none.
/// Of several runs of one report one wins, see [`runs`]. Stores are asked with the credentials of the
/// environment.
///
/// # Errors
/// A path that is not there, a manifest that cannot be read, nothing to read at all, or a store.
pub(crate) async fn find_reports(paths: &[PathBuf]) -> Result<Found, Error> {
    let paths = paths.to_owned();
    let finding = tokio::task::spawn_blocking(move || find(&paths));
    finding.await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

fn find(paths: &[PathBuf]) -> Result<Found, Error> {
    let mut gathered = Gathered::default();
    for path in paths {
        finding::gather(path, &mut gathered)?;
    }
    let Gathered { loose, singles, manifests, mut skipped } = gathered;
    let chosen = runs::choose(manifests::read_all(manifests, &mut skipped)?, &mut skipped)?;
    let mut reports = Vec::new();
    for manifest in chosen {
        reports.push(manifest.into_report(&mut skipped)?);
    }
    let mut taken: BTreeSet<PathBuf> =
        reports.iter().flat_map(|report| &report.files).map(InputFile::identity).collect();
    for single in singles {
        if taken.insert(single.path.clone()) {
            reports.push(single.report);
        }
    }
    let loose = only_once(loose, &taken)?;
    if !loose.is_empty() {
        reports.push(FileReport::without_manifest(None, loose));
    }
    skipped.sort();
    skipped.dedup();
    if reports.is_empty() {
        return Err(nothing_left(&skipped));
    }
    Ok(Found { reports, skipped })
}

/// The same file twice would count twice: what is named twice is an error, what a pattern finds again, and
/// what a manifest names, is passed over.
fn only_once(loose: Vec<Loose>, taken: &BTreeSet<PathBuf>) -> Result<Vec<InputFile>, Error> {
    let mut seen: BTreeMap<PathBuf, Origin> = BTreeMap::new();
    let mut files = Vec::new();
    for Loose { file, origin } in loose {
        let identity = file.identity();
        let is_twice = match seen.insert(identity.clone(), origin) {
            _ if taken.contains(&identity) => origin == Origin::Name,
            Some(other) => other != Origin::Pattern && origin != Origin::Pattern,
            None => {
                files.push(file);
                continue;
            }
        };
        if is_twice {
            return Err(Error::usage(
                format!("{file} is given twice"),
                "name each file once, by itself or by its folder",
            ));
        }
    }
    Ok(files)
}

fn nothing_left(skipped: &[Skipped]) -> Error {
    /// Enough to see what is meant.
    const SHOWN: usize = 5;
    if skipped.is_empty() {
        return Error::usage(
            "there is no cost file below the given paths",
            "give .csv, .csv.gz, .parquet or .zip files, or folders of them",
        );
    }
    let mut message = "nothing is left to read: all that is there is skipped".to_owned();
    for Skipped { path, reason } in skipped.iter().take(SHOWN) {
        message.push_str(&format!("\n  {path}: {reason}"));
    }
    if skipped.len() > SHOWN {
        message.push_str(&format!("\n  and {} more", skipped.len() - SHOWN));
    }
    Error::usage(message, "name files themselves to read them all the same, see docs/inputs.md")
}

impl FileReport {
    /// Files that no manifest names.
    fn without_manifest(period: Option<BillingPeriod>, files: Vec<InputFile>) -> Self {
        Self { kind: ReportKind::Unknown, period, scope: None, files, totals: None }
    }

    /// Holds the account of all files together against the manifest. Its bytes may be those that are
    /// stored or those that they decompress to.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they differ.
    pub(crate) fn check_totals(&self, ledger: &Ledger) -> Result<(), Error> {
        let Some(Totals { manifest, bytes, rows, has_rows }) = &self.totals else { return Ok(()) };
        let damaged = |problem| Error::Damaged { file: manifest.clone(), problem };
        if let Some(rows) = rows.filter(|rows| *rows != ledger.records) {
            let found = ledger.records;
            return Err(damaged(format!("its files have {found} rows together, it says {rows}")));
        }
        if *has_rows && ledger.records == 0 {
            return Err(damaged("its files have no rows, it says that there are some".to_owned()));
        }
        let stored = self.files.iter().map(InputFile::stored_bytes).sum::<Option<u64>>();
        let is_wrong = |bytes: &u64| *bytes != ledger.bytes && Some(*bytes) != stored;
        if let Some(bytes) = bytes.filter(is_wrong) {
            let found = stored.unwrap_or(ledger.bytes);
            return Err(damaged(format!("its files have {found} bytes together, it says {bytes}")));
        }
        Ok(())
    }
}

impl ReportKind {
    /// Whose names the headers of its files have, if it is known.
    pub(crate) fn naming(self) -> Option<Naming> {
        match self {
            Self::Unknown => None,
            Self::Metric(_) => Some(Naming::Native),
            Self::Focus => Some(Naming::Focus),
        }
    }

    /// The metric, if it is known.
    pub(crate) fn metric(self) -> Option<Metric> {
        match self {
            Self::Metric(metric) => Some(metric),
            Self::Unknown | Self::Focus => None,
        }
    }
}

impl InputFile {
    /// A file of this machine that nothing is known of.
    pub(crate) fn plain(path: &Path) -> Self {
        Self::at(Place::Local(path.to_owned()))
    }

    fn at(place: Place) -> Self {
        Self { place, entry: None, bytes: None, rows: None }
    }

    /// Its name, without the folders before it.
    pub(crate) fn file_name(&self) -> String {
        let name = self.place.to_string();
        name.rsplit(['/', std::path::MAIN_SEPARATOR]).next().unwrap_or(&name).to_owned()
    }

    /// Whether it can be opened again: a pipe gives its bytes once.
    pub(crate) fn can_be_read_twice(&self) -> bool {
        match &self.place {
            Place::Local(path) => std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
            Place::Stored(_) => true,
        }
    }

    /// How many bytes are stored at its place, if that can be found out.
    pub(crate) fn stored_bytes(&self) -> Option<u64> {
        match &self.place {
            Place::Local(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            Place::Stored(object) => Some(object.bytes()),
        }
    }

    /// What is the same for the same file, however it is named.
    fn identity(&self) -> PathBuf {
        let place = match &self.place {
            Place::Local(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
            Place::Stored(object) => PathBuf::from(object.name()),
        };
        // No file lies below a file, so nothing else has this path.
        self.entry.iter().fold(place, |place, entry| place.join("#").join(&entry.name))
    }

    /// The name that says what is in it.
    fn inner_name(&self) -> String {
        self.entry.as_ref().map_or_else(|| self.file_name(), |entry| entry.name.clone())
    }
}

impl fmt::Display for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        match &self.entry {
            Some(entry) => write!(f, " ({})", entry.name),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Stored(object) => f.write_str(&object.name()),
        }
    }
}
