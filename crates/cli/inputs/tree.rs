//! What lies below a folder, of this machine or of a store, in one shape.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kinds::{LAKE_FOLDER, is_cost_file, is_manifest};
use super::stores::{Store, StoredObject};
use super::{InputFile, Place};
use crate::error::Error;

/// Where files lie.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// On this machine.
    Local,
    /// In a store.
    Store(Arc<Store>),
}

/// A file, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path, or its key in the store.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What tells this version of it from others, if the store says it.
    pub e_tag: Option<String>,
}

/// The cost files and manifests below a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The files, sorted.
    pub files: Vec<Listed>,
    /// Lakes below the folder, or around it: their Parquet files are results and no input.
    pub lakes: BTreeSet<PathBuf>,
}

/// A manifest is read whole; one of 10,000 blobs has some MB.
const MANIFEST_BYTES_LIMIT: u64 = 64 << 20;

impl Tree {
    /// A path in it, for people.
    pub(super) fn name(&self, path: &Path) -> String {
        match self {
            Self::Local => path.display().to_string(),
            Self::Store(store) => store.name(path),
        }
    }

    /// A file of it, as input.
    pub(super) fn file(&self, listed: &Listed) -> InputFile {
        let place = match self {
            Self::Local => Place::Local(listed.path.clone()),
            Self::Store(store) => {
                Place::Stored(StoredObject::new(Arc::clone(store), listed.clone()))
            }
        };
        InputFile::at(place)
    }

    /// Looks for a file.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub(super) fn find(&self, path: &Path) -> Result<Option<Listed>, Error> {
        match self {
            Self::Local => Ok(fs::metadata(path)
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|metadata| Listed::local(path, metadata.len()))),
            Self::Store(store) => store.find(path),
        }
    }

    /// Lists what lies below a folder and may be read. `enter` says of folders, and of files, whether
    /// they are wanted; in a store that is found out afterwards.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(super) fn list(
        &self,
        folder: &Path,
        enter: &dyn Fn(&Path) -> bool,
    ) -> Result<Listing, Error> {
        match self {
            Self::Local => {
                let mut listing = Listing { lakes: lake_around(folder), ..Listing::default() };
                walk(folder, enter, &mut BTreeSet::new(), &mut listing)?;
                Ok(listing)
            }
            Self::Store(store) => Ok(Listing::of_objects(store.list(folder)?, enter)),
        }
    }

    /// The bytes of a manifest.
    ///
    /// # Errors
    /// If it cannot be read or is far too large.
    pub(super) fn read_manifest(&self, listed: &Listed) -> Result<Vec<u8>, Error> {
        let file = self.file(listed);
        let mut bytes = Vec::new();
        let source = file.read_stored()?;
        let read = source.take(MANIFEST_BYTES_LIMIT + 1).read_to_end(&mut bytes);
        read.map_err(|source| file.read_error(source))?;
        if bytes.len() as u64 > MANIFEST_BYTES_LIMIT {
            return Err(file.damaged(format!("it has more than {MANIFEST_BYTES_LIMIT} bytes")));
        }
        Ok(bytes)
    }
}

impl Listed {
    /// A file of this machine.
    pub(super) fn local(path: &Path, bytes: u64) -> Self {
        Self { path: path.to_owned(), bytes, e_tag: None }
    }
}

impl Listing {
    fn of_objects(objects: Vec<Listed>, enter: &dyn Fn(&Path) -> bool) -> Self {
        let mut listing = Self::default();
        for object in objects {
            if let Some(lake) = lake_of(&object.path) {
                listing.lakes.insert(lake);
            } else if is_wanted(&object.path) && enter(&object.path) {
                listing.files.push(object);
            }
        }
        listing
    }
}

fn is_wanted(path: &Path) -> bool {
    is_cost_file(path) || is_manifest(path)
}

/// The lake that an object belongs to, if it is one of costlake's own records.
fn lake_of(path: &Path) -> Option<PathBuf> {
    let own = path.ancestors().find(|folder| folder.ends_with(LAKE_FOLDER))?;
    own.parent().map(Path::to_owned)
}

/// The lake that a folder lies in.
fn lake_around(folder: &Path) -> BTreeSet<PathBuf> {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let is_inside = whole.ancestors().any(|folder| folder.join(LAKE_FOLDER).is_dir());
    is_inside.then(|| folder.to_owned()).into_iter().collect()
}

fn walk(
    folder: &Path,
    enter: &dyn Fn(&Path) -> bool,
    above: &mut BTreeSet<PathBuf>,
    listing: &mut Listing,
) -> Result<(), Error> {
    let failed = |source| Error::File { action: "read", path: folder.to_owned(), source };
    // A link to a folder above would never end.
    let whole = folder.canonicalize().map_err(failed)?;
    if !above.insert(whole.clone()) {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(failed)?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    entries.sort();
    for path in entries.into_iter().filter(|path| path.ends_with(LAKE_FOLDER) || enter(path)) {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(source) if is_wanted(&path) => {
                return Err(Error::File { action: "read", path, source });
            }
            // A link to nowhere, of another kind.
            Err(_) => continue,
        };
        if metadata.is_dir() && path.ends_with(LAKE_FOLDER) {
            listing.lakes.insert(folder.to_owned());
        } else if metadata.is_dir() {
            walk(&path, enter, above, listing)?;
        } else if metadata.is_file() && is_wanted(&path) {
            listing.files.push(Listed::local(&path, metadata.len()));
        }
    }
    above.remove(&whole);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lakes_are_told_from_their_records() {
        let object = |path: &str| Listed { path: path.into(), bytes: 1, e_tag: None };
        let objects = ["a/lake/_costlake/x.json", "a/lake/t/data.parquet", "b.csv", "c.txt"];
        let listing = Listing::of_objects(objects.map(object).into(), &|_| true);
        assert_eq!(listing.lakes, BTreeSet::from([PathBuf::from("a/lake")]));
        let paths: Vec<&Path> = listing.files.iter().map(|file| file.path.as_path()).collect();
        assert_eq!(paths, [Path::new("a/lake/t/data.parquet"), Path::new("b.csv")]);
    }
}
