//! Which hosts are Azure: one cloud's resource manager, authority and storage.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::error::Error;

const PUBLIC_ARM: &str = "https://management.azure.com/";
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com/";
const PUBLIC_STORAGE: &str = "blob.core.windows.net";

/// The hosts that costlake talks to, and no others. Plain http is accepted for loopback hosts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    arm: Url,
    authority: Url,
    storage: Vec<StorageHost>,
    token_scope: String,
}

/// Where report blobs may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageHost {
    /// Any host below a domain, over https on the default port: `blob.core.windows.net` allows
    /// `account.blob.core.windows.net`.
    Suffix(String),
    /// Exactly one scheme, host and port, such as `http://127.0.0.1:10000`.
    Origin(Url),
}

impl Endpoints {
    /// Returns the endpoints of a cloud, or of a simulator.
    ///
    /// The token scope is `{arm origin}/.default`.
    ///
    /// # Errors
    /// [`Error::Configuration`] if an address is not a bare origin, is http on a host that is not
    /// loopback, or no storage host is given.
    pub fn new(arm: &str, authority: &str, storage: Vec<StorageHost>) -> Result<Self, Error> {
        let arm = parse_origin("resource manager", arm)?;
        let authority = parse_origin("authority", authority)?;
        if storage.is_empty() {
            return Err(configuration("no storage host is allowed".to_owned()));
        }
        let token_scope = format!("{}.default", arm.as_str());
        Ok(Self { arm, authority, storage, token_scope })
    }

    /// Returns the endpoints of public Azure.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn public_azure() -> Result<Self, Error> {
        let storage = StorageHost::Suffix(PUBLIC_STORAGE.to_owned());
        Self::new(PUBLIC_ARM, PUBLIC_AUTHORITY, vec![storage])
    }

    /// Returns the endpoints with another scope to ask tokens for (`azure-apis.md`, 9).
    pub fn with_token_scope(self, token_scope: String) -> Self {
        Self { token_scope, ..self }
    }

    /// The resource manager, the only origin that gets a bearer token.
    pub fn arm(&self) -> &Url {
        &self.arm
    }

    /// The authority, the only origin that gets a client secret.
    pub fn authority(&self) -> &Url {
        &self.authority
    }

    /// The hosts that blob links may point to.
    pub fn storage(&self) -> &[StorageHost] {
        &self.storage
    }

    /// The scope that tokens are asked for.
    pub fn token_scope(&self) -> &str {
        &self.token_scope
    }

    /// Whether the resource manager is on this machine, so that no proxy stands between.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.arm)
    }
}

impl FromStr for StorageHost {
    type Err = Error;

    /// Reads a domain suffix, or an origin if the text has a scheme.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") {
            return parse_origin("storage", text).map(Self::Origin);
        }
        let suffix = text.trim_start_matches('.').to_ascii_lowercase();
        let is_domain =
            matches!(Host::parse(&suffix), Ok(Host::Domain(domain)) if domain == suffix);
        let has_two_labels = suffix.split('.').filter(|label| !label.is_empty()).count() >= 2;
        if is_domain && has_two_labels && !suffix.ends_with('.') {
            Ok(Self::Suffix(suffix))
        } else {
            Err(configuration(format!(
                "`{text}` is no storage host: expected a domain such as {PUBLIC_STORAGE} or an \
                 origin such as http://127.0.0.1:10000"
            )))
        }
    }
}

impl fmt::Display for StorageHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
            Self::Origin(url) => f.write_str(&crate::text::origin(url)),
        }
    }
}

/// Whether the host is this machine by name or address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse_origin(what: &str, text: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| configuration(format!("the {what} address {reason}"));
    let url = Url::parse(text).map_err(|_| refuse("is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold a user or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("must be a scheme, host and port only"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refuse("must be https: http is for loopback hosts only")),
        _ => Err(refuse("must be https")),
    }
}

fn configuration(problem: String) -> Error {
    Error::Configuration { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_azure_asks_tokens_for_itself() {
        let endpoints = Endpoints::public_azure().unwrap();
        assert_eq!(endpoints.token_scope(), "https://management.azure.com/.default");
    }

    #[test]
    fn unsafe_addresses_are_refused() {
        for arm in [
            "http://management.azure.com",
            "ftp://127.0.0.1",
            "https://user@management.azure.com",
            "https://management.azure.com/path",
            "https://management.azure.com/?a=b",
            "http://127.0.0.1.evil.example",
            "http://169.254.169.254",
            "management.azure.com",
            "",
        ] {
            let storage = vec![StorageHost::Suffix(PUBLIC_STORAGE.to_owned())];
            assert!(Endpoints::new(arm, PUBLIC_AUTHORITY, storage).is_err(), "{arm}");
        }
    }

    #[test]
    fn storage_hosts_are_domains_or_origins() {
        for (text, expected) in [
            ("blob.core.windows.net", "*.blob.core.windows.net"),
            (".Blob.Core.Windows.net", "*.blob.core.windows.net"),
            ("http://127.0.0.1:10000", "http://127.0.0.1:10000"),
            ("https://store.example", "https://store.example"),
        ] {
            assert_eq!(text.parse::<StorageHost>().unwrap().to_string(), expected);
        }
        for text in ["", "net", ".", "a..", "127.0.0.1", "::1", "http://store.example", "a b.net"] {
            assert!(text.parse::<StorageHost>().is_err(), "{text}");
        }
    }
}
