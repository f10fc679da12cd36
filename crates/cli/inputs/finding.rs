//! From PATHs to manifests, and to files without one.
//!
//! | in a folder | is |
//! |---|---|
//! | a manifest | one report; of other cost files there only those that it names are read |
//! | cost files, below a folder with a manifest | for that manifest to name |
//! | cost files, in a folder `YYYYMMDD-YYYYMMDD` | the whole report of an old export, one file |
//! | cost files, further below such a folder | a run that is not finished: skipped |
//! | other cost files | part of the one report without a manifest |
//! | `_costlake` | a lake: nothing in it is input |

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kinds::{DayRange, MANIFEST_NAMES, is_cost_file, is_manifest};
use super::location::{Location, StoreUrl, check_no_signature};
use super::manifests::FoundManifest;
use super::opening::entries;
use super::patterns::{self, Match, PathPattern};
use super::stores::Store;
use super::tree::{Listed, Listing, Tree};
use super::{FileReport, InputFile, Skipped};
use crate::error::Error;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Files of no report in particular.
    pub loose: Vec<Loose>,
    /// Files that are a report each.
    pub singles: Vec<Single>,
    /// Manifests.
    pub manifests: Vec<FoundManifest>,
    /// What is not read.
    pub skipped: Vec<Skipped>,
}

/// A file of no report in particular.
#[derive(Debug)]
pub(super) struct Loose {
    /// The file.
    pub file: InputFile,
    /// How it was found.
    pub origin: Origin,
}

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was named.
    Name,
    /// A folder above it was named.
    Folder,
    /// It, or a folder above it, matched a pattern.
    Pattern,
}

/// A file that is a whole report.
#[derive(Debug)]
pub(super) struct Single {
    /// What is the same for the same file, however it is named.
    pub path: PathBuf,
    /// The report.
    pub report: FileReport,
}

/// Adds what lies at a PATH.
///
/// # Errors
/// If nothing lies there, or it cannot be read.
pub(super) fn gather(path: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    match Location::parse(path)? {
        Location::Local(path) => gather_local(&path, gathered),
        Location::Store(url) => gather_stored(url, gathered),
    }
}

fn gather_local(path: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    let tree = Tree::Local;
    let metadata = fs::metadata(path);
    if metadata.is_err() {
        check_no_signature(path)?;
    }
    match metadata {
        Ok(metadata) if metadata.is_dir() => gather_folder(&tree, path, gathered),
        Ok(metadata) => gathered.add_file(&tree, Listed::local(path, metadata.len()), Origin::Name),
        Err(error) if is_absence(&error) => match path.to_str() {
            Some(text) if patterns::has_wildcards(text) => gather_matches(&tree, text, gathered),
            _ => Err(absent(&tree, path)),
        },
        Err(source) => Err(Error::File { action: "read", path: path.to_owned(), source }),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn gather_stored(url: StoreUrl, gathered: &mut Gathered) -> Result<(), Error> {
    let key = url.key.clone();
    let path = Path::new(&key);
    let tree = Tree::Store(Arc::new(Store::open(url)?));
    let object = if key.is_empty() { None } else { tree.find(path)? };
    if let Some(object) = object.as_ref().filter(|object| object.bytes > 0) {
        return gathered.add_file(&tree, object.clone(), Origin::Name);
    }
    if object.is_none() && patterns::has_wildcards(&key) {
        return gather_matches(&tree, &key, gathered);
    }
    // Stores with folders of their own have an empty object for each.
    let listing = tree.list(path, &|_| true)?;
    match object {
        _ if !listing.files.is_empty() => {
            gathered.add_folder(&tree, (path, path), listing, Origin::Folder)
        }
        Some(object) => gathered.add_file(&tree, object, Origin::Name),
        None => Err(absent(&tree, path)),
    }
}

fn absent(tree: &Tree, path: &Path) -> Error {
    let name = tree.name(path);
    match tree {
        Tree::Local => Error::usage(format!("there is no file or folder {name}"), "check the path"),
        Tree::Store(_) => Error::usage(
            format!("there is no {name}, and no cost file or manifest below it"),
            "check the URL",
        ),
    }
}

fn gather_folder(tree: &Tree, folder: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    let listing = tree.list(folder, &|_| true)?;
    gathered.add_folder(tree, (folder, folder), listing, Origin::Folder)
}

/// Adds what matches a pattern: folders as a whole, and cost files and manifests elsewhere.
fn gather_matches(tree: &Tree, text: &str, gathered: &mut Gathered) -> Result<(), Error> {
    let shown = tree.name(Path::new(text));
    let (base, pattern) = patterns::split(text).map_err(|error| {
        Error::usage(
            format!("there is no {shown}, and as a pattern it is wrong: {}", error.msg),
            "`**` stands alone between slashes, and `[` itself is written `[[]`",
        )
    })?;
    let unmatched = || Error::usage(format!("no cost file matches {shown}"), "check the pattern");
    let base = match (tree, base) {
        (Tree::Local, "") => Path::new("."),
        _ => Path::new(base),
    };
    if matches!(tree, Tree::Local) && !base.is_dir() {
        return Err(unmatched());
    }
    let listing = tree.list(base, &|path| relation(&pattern, base, path) != Match::No)?;
    let mut folders: BTreeMap<PathBuf, Listing> = BTreeMap::new();
    let mut files = Vec::new();
    for file in listing.files {
        match matched(&pattern, base, &file.path) {
            Some(path) if path == file.path => files.push(file),
            Some(folder) => folders.entry(folder).or_default().files.push(file),
            None => {}
        }
    }
    if folders.is_empty() && files.is_empty() {
        return Err(unmatched());
    }
    let lakes = listing.lakes;
    for (folder, listing) in folders {
        let listing = Listing { lakes: lakes.clone(), ..listing };
        gathered.add_folder(tree, (&folder, base), listing, Origin::Pattern)?;
    }
    for file in gathered.outside_lakes(tree, files, &lakes) {
        gathered.add_file(tree, file, Origin::Pattern)?;
    }
    Ok(())
}

/// The shortest path that matches: a file, or a folder above it.
fn matched(pattern: &PathPattern, base: &Path, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(base).ok()?;
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    let names = names?;
    let length = (0..=names.len()).find(|n| pattern.matches(&names[..*n]) == Match::Whole)?;
    Some(names[..length].iter().fold(base.to_owned(), |path, name| path.join(name)))
}

/// How a path relates to a pattern; what lies below a match matches.
fn relation(pattern: &PathPattern, base: &Path, path: &Path) -> Match {
    if matched(pattern, base, path).is_some() {
        return Match::Whole;
    }
    let below = path.strip_prefix(base).unwrap_or(path);
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    names.map_or(Match::No, |names| pattern.matches(&names))
}

impl Gathered {
    /// Adds a file that was named or matched: it is read whatever its folder is.
    fn add_file(&mut self, tree: &Tree, listed: Listed, origin: Origin) -> Result<(), Error> {
        if is_manifest(&listed.path) {
            let folder = listed.path.parent().unwrap_or(Path::new(""));
            let (whole_folder, known) = (whole(tree, folder), Arc::default());
            let (tree, root) = (tree.clone(), root_of_blobs(tree, folder));
            self.manifests.push(FoundManifest {
                tree,
                listed,
                root,
                whole_folder,
                known,
                beside: Vec::new(),
            });
            return Ok(());
        }
        let files = entries(tree.file(&listed))?;
        self.loose.extend(files.into_iter().map(|file| Loose { file, origin }));
        Ok(())
    }

    /// Adds what lies in a folder and below it. `base` is that folder, or what a pattern has before its
    /// first wildcard.
    fn add_folder(
        &mut self,
        tree: &Tree,
        (root, base): (&Path, &Path),
        listing: Listing,
        origin: Origin,
    ) -> Result<(), Error> {
        let files = self.outside_lakes(tree, listing.files, &listing.lakes);
        let arranged = arrange(&files, root, &whole(tree, root))?;
        let known: Arc<BTreeMap<PathBuf, Listed>> =
            Arc::new(files.into_iter().map(|file| (file.path.clone(), file)).collect());
        for manifest in arranged.manifests {
            self.manifests.push(FoundManifest {
                tree: tree.clone(),
                listed: manifest.listed,
                root: root_of_blobs(tree, base),
                whole_folder: manifest.whole_folder,
                known: Arc::clone(&known),
                beside: manifest.beside,
            });
        }
        for (listed, days) in arranged.singles {
            let files = entries(tree.file(&listed))?;
            let path = tree.file(&listed).identity();
            let report = FileReport::without_manifest(days.month(), files);
            self.singles.push(Single { path, report });
        }
        for listed in arranged.loose {
            self.add_file(tree, listed, origin)?;
        }
        self.skipped.extend(arranged.unfinished.into_iter().map(|folder| Skipped {
            path: tree.name(&folder),
            reason: "a run without a manifest, so it is not finished".to_owned(),
        }));
        Ok(())
    }

    /// The files that lie in no lake.
    fn outside_lakes(
        &mut self,
        tree: &Tree,
        files: Vec<Listed>,
        lakes: &BTreeSet<PathBuf>,
    ) -> Vec<Listed> {
        let lake_of = |file: &Listed| lakes.iter().find(|lake| file.path.starts_with(lake));
        let inside = files.iter().filter_map(lake_of);
        self.skipped.extend(inside.collect::<BTreeSet<_>>().into_iter().map(|lake| Skipped {
            path: tree.name(lake),
            reason: "a lake of costlake, or a folder of one".to_owned(),
        }));
        files.into_iter().filter(|file| lake_of(file).is_none()).collect()
    }
}

/// How far up a manifest may name files: below what was given, and anywhere in its container.
fn root_of_blobs(tree: &Tree, given: &Path) -> PathBuf {
    match tree {
        Tree::Local => given.to_owned(),
        Tree::Store(_) => PathBuf::new(),
    }
}

/// A folder with all folders above it.
fn whole(tree: &Tree, folder: &Path) -> PathBuf {
    match tree {
        Tree::Local => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
        }
        Tree::Store(_) => folder.to_owned(),
    }
}

/// The files of a folder, by what they are.
#[derive(Debug, Default)]
struct Arranged {
    manifests: Vec<ArrangedManifest>,
    singles: Vec<(Listed, DayRange)>,
    loose: Vec<Listed>,
    unfinished: Vec<PathBuf>,
}

#[derive(Debug)]
struct ArrangedManifest {
    listed: Listed,
    whole_folder: PathBuf,
    beside: Vec<Listed>,
}

/// Arranges the cost files and manifests below `root`, which is `whole_root` with all folders above it.
fn arrange(files: &[Listed], root: &Path, whole_root: &Path) -> Result<Arranged, Error> {
    let whole = |folder: &Path| match folder.strip_prefix(root) {
        Ok(below) => whole_root.join(below),
        Err(_) => folder.to_owned(),
    };
    let mut folders: BTreeMap<&Path, Vec<&Listed>> = BTreeMap::new();
    for file in files {
        folders.entry(file.path.parent().unwrap_or(Path::new(""))).or_default().push(file);
    }
    let mut manifests: BTreeMap<&Path, ArrangedManifest> = BTreeMap::new();
    for (folder, files) in &folders {
        let named = |name: &&str| files.iter().find(|file| file.path.ends_with(name));
        if let Some(listed) = MANIFEST_NAMES.iter().find_map(named) {
            let (listed, whole_folder) = ((*listed).clone(), whole(folder));
            let manifest = ArrangedManifest { listed, whole_folder, beside: Vec::new() };
            manifests.insert(folder, manifest);
        }
    }
    let mut arranged = Arranged::default();
    for (folder, files) in folders {
        let costs: Vec<&Listed> = files.into_iter().filter(|f| is_cost_file(&f.path)).collect();
        if costs.is_empty() {
            continue;
        }
        let above = folder.ancestors().find(|folder| manifests.contains_key(folder));
        if let Some(manifest) = above.and_then(|folder| manifests.get_mut(folder)) {
            manifest.beside.extend(costs.into_iter().cloned());
            continue;
        }
        arranged.add_without_manifest(folder, &whole(folder), &costs)?;
    }
    arranged.manifests = manifests.into_values().collect();
    arranged.loose.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(arranged)
}

impl Arranged {
    fn add_without_manifest(
        &mut self,
        folder: &Path,
        whole_folder: &Path,
        costs: &[&Listed],
    ) -> Result<(), Error> {
        match (DayRange::of(whole_folder), costs) {
            (Some(days), [file]) => self.singles.push(((*file).clone(), days)),
            (Some(_), files) => return Err(several(folder, files)),
            (None, _) if whole_folder.ancestors().any(|f| DayRange::of(f).is_some()) => {
                self.unfinished.push(folder.to_owned());
            }
            (None, files) => self.loose.extend(files.iter().map(|file| (*file).clone())),
        }
        Ok(())
    }
}

fn several(folder: &Path, files: &[&Listed]) -> Error {
    let name = |file: &&Listed| {
        file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let names: Vec<String> = files.iter().map(name).collect();
    Error::usage(
        format!(
            "{} holds several reports of the same days, and nothing says which is the newest: {}",
            folder.display(),
            names.join(", ")
        ),
        "name the one to read",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each file is: M of a manifest, 1 alone, L loose, - beside a manifest, U in an unfinished run.
    #[track_caller]
    fn check(root: &str, cases: &[(&str, char)]) {
        let file = |path: &str| Listed { path: path.into(), bytes: 1, e_tag: None };
        let files: Vec<Listed> = cases.iter().map(|(path, _)| file(path)).collect();
        let arranged = arrange(&files, Path::new(root), Path::new(root)).unwrap();
        for (path, expected) in cases {
            let file = file(path);
            let beside = || arranged.manifests.iter().any(|m| m.beside.contains(&file));
            let unfinished = || arranged.unfinished.iter().any(|f| file.path.parent() == Some(f));
            let found = if arranged.manifests.iter().any(|manifest| manifest.listed == file) {
                'M'
            } else if arranged.singles.iter().any(|(single, _)| *single == file) {
                '1'
            } else if arranged.loose.contains(&file) {
                'L'
            } else if beside() {
                '-'
            } else if unfinished() {
                'U'
            } else {
                '?'
            };
            assert_eq!(found, *expected, "{path}");
        }
    }

    #[test]
    fn layouts_of_exports_are_told_apart() {
        check(
            "c",
            &[
                ("c/a.csv", 'L'),
                ("c/new/20250501-20250531/202506010000/run/manifest.json", 'M'),
                ("c/new/20250501-20250531/202506010000/run/part_0_0001.csv.gz", '-'),
                ("c/new/20250501-20250531/202506010000/run/deeper/x.csv", '-'),
                ("c/new/20250501-20250531/202506020000/run/part_0_0001.csv.gz", 'U'),
                ("c/new/20250601-20250630/run/part_0_0001.csv.gz", 'U'),
                ("c/old/20250501-20250531/202506010000/run/_manifest.json", 'M'),
                ("c/old/20250501-20250531/202506010000/run/000001.csv", '-'),
                ("c/oldest/20250501-20250531/oldest_guid.csv", '1'),
                ("c/oldest/20250601-20250630/oldest_guid.csv", '1'),
                ("c/z/b.zip", 'L'),
            ],
        );
        check("20250501-20250531/run", &[("20250501-20250531/run/a.csv", 'U')]);
        check("20250501-20250531", &[("20250501-20250531/a.csv", '1')]);
        check("", &[("a.csv", 'L'), ("manifest.json.csv", 'L')]);
        check("", &[("a.csv", '-'), ("manifest.json", 'M')]);
    }

    #[test]
    fn several_reports_of_the_same_days_are_for_the_user_to_decide() {
        let file = |path: &str| Listed { path: path.into(), bytes: 1, e_tag: None };
        let files = ["x/20250501-20250531/a_1.csv", "x/20250501-20250531/a_2.csv"].map(file);
        let error = arrange(&files, Path::new("x"), Path::new("x")).unwrap_err().to_string();
        assert!(error.contains("a_1.csv, a_2.csv"), "{error}");
    }

    #[test]
    fn a_pattern_matches_folders_before_what_lies_in_them() {
        let matched = |pattern: &str, path: &str| {
            let (base, pattern) = patterns::split(pattern).unwrap();
            matched(&pattern, Path::new(base), Path::new(path))
        };
        let whole = |path: &str| Some(PathBuf::from(path));
        assert_eq!(matched("e/*", "e/a/b.csv"), whole("e/a"));
        assert_eq!(matched("e/*.csv", "e/a.csv"), whole("e/a.csv"));
        assert_eq!(matched("e/*.csv", "e/a/b.csv"), None);
        assert_eq!(matched("e/**", "e/a/b.csv"), whole("e"));
        assert_eq!(matched("e/**/*.csv", "e/a/b.csv"), whole("e/a/b.csv"));
    }
}
