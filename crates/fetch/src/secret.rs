//! Values that must not reach a log, an error or a terminal.

use std::fmt;

use url::Url;

use crate::text;

const MIN_SCRUBBED_BYTES: usize = 8;

/// A client secret or a token. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret that an environment variable holds; `None` if it is unset, empty or not
    /// Unicode.
    pub fn from_env(variable: &str) -> Option<Self> {
        std::env::var(variable).ok().filter(|value| !value.is_empty()).map(Self)
    }

    /// The value itself, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns `text` with every occurrence of the secret replaced: servers echo what they get.
    /// A secret of a few letters is in every text by chance and stays.
    pub(crate) fn scrub(&self, text: &str) -> String {
        if self.0.len() < MIN_SCRUBBED_BYTES {
            text.to_owned()
        } else {
            text.replace(&self.0, "***")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A download link whose query is a signature. Prints without the query.
#[derive(Clone, PartialEq, Eq)]
pub struct SasUrl(Url);

impl SasUrl {
    pub(crate) fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole link, signature included: for sending, or for a journal that is kept as a secret.
    pub fn reveal(&self) -> &Url {
        &self.0
    }

    /// Its path: what names the blob.
    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// The object that the link names, whatever its signature.
    pub(crate) fn object(&self) -> &str {
        let whole = self.0.as_str();
        whole.split('?').next().unwrap_or(whole)
    }
}

impl fmt::Display for SasUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text::redacted(&self.0))
    }
}

impl fmt::Debug for SasUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SasUrl({self})")
    }
}
