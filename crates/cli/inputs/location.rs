//! What a PATH on the command line is: a path of this machine, or the URL of a place in a store.

use std::fmt;
use std::path::{Path, PathBuf};

use costlake_sink::BlobName;
use url::Url;

use crate::error::Error;

/// A PATH, taken apart.
#[derive(Debug)]
pub(super) enum Location {
    /// A path of this machine.
    Local(PathBuf),
    /// A place in a store.
    Store(StoreUrl),
}

/// A place in a store: bucket or container, and a key in it.
#[derive(Debug)]
pub(super) struct StoreUrl {
    /// Which service it is of.
    #[cfg_attr(not(feature = "cloud"), expect(dead_code, reason = "only stores ask for it"))]
    pub kind: StoreKind,
    /// The URL of the bucket or container, without a slash at its end.
    pub root: Url,
    /// The key, decoded, without slashes around it; may have wildcards.
    pub key: String,
    /// The shared access signature, if the URL has one.
    #[cfg_attr(not(feature = "cloud"), expect(dead_code, reason = "only stores ask for it"))]
    pub signature: Option<Signature>,
}

/// The services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// Azure Blob Storage and Data Lake Storage.
    Azure,
    /// Amazon S3 and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
}

/// The query of a URL that signs it: a secret.
#[derive(Clone)]
pub(super) struct Signature(String);

const HINT: &str = "give a path, or a URL such as az://container/folder, \
    abfss://container@account.dfs.core.windows.net/folder, \
    https://account.blob.core.windows.net/container/folder, s3://bucket/folder, gs://bucket/folder";

impl Location {
    /// Reads a PATH.
    ///
    /// # Errors
    /// If it is a URL that costlake cannot read from. No part of it that may be secret is in the error.
    pub(super) fn parse(path: &Path) -> Result<Self, Error> {
        match path.to_str().and_then(split_scheme) {
            None => Ok(Self::Local(path.to_owned())),
            Some(("file", rest)) => file_path(rest).map(Self::Local),
            Some((scheme, rest)) => StoreUrl::parse(scheme, rest).map(Self::Store),
        }
    }
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn file_path(rest: &str) -> Result<PathBuf, Error> {
    let url = format!("file://{}", without_wildcards(rest));
    let path = Url::parse(&url).ok().and_then(|url| url.to_file_path().ok());
    path.ok_or_else(|| unreadable(&url, "it names no file of this machine"))
}

/// In a URL a question mark would begin the query, and a number sign the fragment.
fn without_wildcards(path: &str) -> String {
    path.replace('?', "%3F").replace('#', "%23")
}

impl StoreUrl {
    fn parse(scheme: &str, rest: &str) -> Result<Self, Error> {
        let (place, query) = split_query(rest);
        let shown = format!("{scheme}://{place}");
        let url = Url::parse(&format!("{scheme}://{}", without_wildcards(place)))
            .map_err(|error| unreadable(&shown, &error.to_string()))?;
        let no_bucket = || unreadable(&shown, "it has no bucket or container");
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(no_bucket)?;
        let kind = StoreKind::of(url.scheme(), host)
            .ok_or_else(|| unreadable(&shown, "there is no such kind of place"))?;
        let is_container_at_account = kind == StoreKind::Azure && scheme != "https";
        if url.password().is_some() || (!url.username().is_empty() && !is_container_at_account) {
            return Err(unreadable(&shown, "user and password belong into variables"));
        }
        let signature = query.map(|query| Signature(query.to_owned()));
        if signature.is_some() && kind != StoreKind::Azure {
            return Err(unreadable(&shown, "a query is understood in URLs of Azure only"));
        }
        let (root, key) =
            split_root(&url).ok_or_else(|| unreadable(&shown, "it has no bucket or container"))?;
        let key = object_store::path::Path::from_url_path(key)
            .map_err(|_| unreadable(&shown, "its path has an empty part, `.` or `..`"))?;
        Ok(Self { kind, root, key: key.to_string(), signature })
    }

    /// The URL of a key of this bucket or container, without secrets.
    pub(super) fn name_of(&self, key: &str) -> String {
        format!("{}/{key}", self.root.as_str().trim_end_matches('/'))
    }
}

/// Splits the query off: what follows a question mark and has an equals sign. Another question mark is
/// a wildcard.
fn split_query(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('?') {
        Some((place, query)) if query.contains('=') => (place, Some(query)),
        _ => (rest, None),
    }
}

/// The URL of the bucket or container, and the key below it.
fn split_root(url: &Url) -> Option<(Url, String)> {
    let has_container_in_path = url.scheme() == "https" && !is_virtual_host(url);
    let path = url.path().trim_start_matches('/');
    let (container, key) = match path.split_once('/') {
        _ if !has_container_in_path => ("", path),
        Some((container, key)) => (container, key),
        None => (path, ""),
    };
    if has_container_in_path && container.is_empty() {
        return None;
    }
    let mut root = url.clone();
    root.set_path(container);
    Some((root, key.to_owned()))
}

/// Whether the bucket is part of the host: `https://bucket.s3.region.amazonaws.com/key`.
fn is_virtual_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with("amazonaws.com") && !host.starts_with("s3"))
}

impl StoreKind {
    fn of(scheme: &str, host: &str) -> Option<Self> {
        let ends = |ends: &[&str]| ends.iter().any(|end| host.ends_with(end));
        match scheme {
            "az" | "azure" | "adl" | "abfs" | "abfss" => Some(Self::Azure),
            "https" if ends(&[".dfs.core.windows.net", ".blob.core.windows.net"]) => {
                Some(Self::Azure)
            }
            "s3" | "s3a" => Some(Self::S3),
            "https" if ends(&["amazonaws.com", ".r2.cloudflarestorage.com"]) => Some(Self::S3),
            "gs" => Some(Self::Google),
            _ => None,
        }
    }
}

impl Signature {
    /// Its names and values, decoded. A plus is a plus here: signatures are base64.
    #[cfg_attr(not(feature = "cloud"), expect(dead_code, reason = "only stores ask for it"))]
    pub(super) fn reveal(&self) -> Vec<(String, String)> {
        let query = self.0.replace('+', "%2B");
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// Checks that what names no file is not a URL in disguise: its signature must not be shown.
///
/// # Errors
/// [`Error::Usage`], without the signature.
pub(crate) fn check_no_signature(path: &Path) -> Result<(), Error> {
    let text = path.to_string_lossy();
    match text.split_once('?') {
        Some((place, query)) if query.to_ascii_lowercase().contains("sig=") => Err(unreadable(
            place,
            "a URL with a signature begins with its scheme, such as https://",
        )),
        _ => Ok(()),
    }
}

fn unreadable(place: &str, problem: &str) -> Error {
    let place = BlobName::of_link(place);
    Error::usage(format!("cannot read from {}: {problem}", place.as_str()), HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(text: &str) -> StoreUrl {
        match Location::parse(Path::new(text)).unwrap() {
            Location::Store(url) => url,
            Location::Local(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn urls_name_a_container_and_a_key() {
        for (text, kind, root, key) in [
            ("az://box/a/b.csv", StoreKind::Azure, "az://box", "a/b.csv"),
            ("az://box", StoreKind::Azure, "az://box", ""),
            ("az://box/", StoreKind::Azure, "az://box/", ""),
            (
                "abfss://box@acc.dfs.core.windows.net/a/",
                StoreKind::Azure,
                "abfss://box@acc.dfs.core.windows.net/",
                "a",
            ),
            (
                "https://acc.blob.core.windows.net/box/my%20a/b c.csv",
                StoreKind::Azure,
                "https://acc.blob.core.windows.net/box",
                "my a/b c.csv",
            ),
            ("s3://box/2025*/**/part_?.csv", StoreKind::S3, "s3://box", "2025*/**/part_?.csv"),
            ("gs://box/[ab]", StoreKind::Google, "gs://box", "[ab]"),
            (
                "https://box.s3.eu-west-1.amazonaws.com/a",
                StoreKind::S3,
                "https://box.s3.eu-west-1.amazonaws.com/",
                "a",
            ),
        ] {
            let url = store(text);
            let root = root.trim_end_matches('/');
            assert_eq!((url.kind, url.key.as_str()), (kind, key), "{text}");
            assert_eq!(url.root.as_str().trim_end_matches('/'), root, "{text}");
        }
    }

    #[test]
    fn signatures_are_kept_apart_and_not_shown() {
        let url = store("https://acc.blob.core.windows.net/box/a?sv=1&sig=se%2Fc+ret%3D");
        assert_eq!(url.name_of(&url.key), "https://acc.blob.core.windows.net/box/a");
        assert!(!format!("{url:?}").contains("ret"), "{url:?}");
        let pairs = url.signature.unwrap().reveal();
        assert_eq!(pairs[1], ("sig".to_owned(), "se/c+ret=".to_owned()));
    }

    #[test]
    fn other_urls_are_refused_without_their_secrets() {
        for text in [
            "https://example.com/a?sig=secret",
            "http://acc.blob.core.windows.net/box/a?sig=secret",
            "ftp://user:secret@host/a",
            "s3://key:secret@box/a",
            "s3://box/a?sig=secret",
            "https://user:secret@acc.blob.core.windows.net/box",
            "https://acc.blob.core.windows.net/?sig=secret",
            "az:///a?sig=secret",
        ] {
            let error = Location::parse(Path::new(text)).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn file_urls_and_paths_are_local() {
        for (text, path) in
            [("a/b.csv", "a/b.csv"), ("file:///a%20b/part_?.csv", "/a b/part_?.csv")]
        {
            match Location::parse(Path::new(text)).unwrap() {
                Location::Local(found) => assert_eq!(found, Path::new(path)),
                Location::Store(url) => panic!("{url:?}"),
            }
        }
    }
}
