//! Which hosts are Azure: one cloud's resource manager, authority and storage.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::error::Error;
use crate::text;

/// Where a virtual machine finds its identities. Link-local: nobody beyond the machine's host answers.
pub(crate) const METADATA_SERVICE: &str = "http://169.254.169.254/";

/// An Azure of its own, with its own hosts (docs/signing-in.md names the sources).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// What most people call Azure.
    #[default]
    Public,
    /// Azure Government, of the United States.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl Cloud {
    /// Where the resource manager is.
    pub fn arm(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/",
            Self::UsGovernment => "https://management.usgovcloudapi.net/",
            Self::China => "https://management.chinacloudapi.cn/",
        }
    }

    /// Where tokens are asked for.
    pub fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com/",
            Self::UsGovernment => "https://login.microsoftonline.us/",
            Self::China => "https://login.chinacloudapi.cn/",
        }
    }

    /// Below which domain blobs lie.
    pub fn storage(self) -> &'static str {
        match self {
            Self::Public => "blob.core.windows.net",
            Self::UsGovernment => "blob.core.usgovcloudapi.net",
            Self::China => "blob.core.chinacloudapi.cn",
        }
    }
}

impl FromStr for Cloud {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "public" => Ok(Self::Public),
            "us-government" => Ok(Self::UsGovernment),
            "china" => Ok(Self::China),
            _ => Err(configuration(format!(
                "`{}` is no cloud: expected public, us-government or china",
                text::escaped(text)
            ))),
        }
    }
}

/// The hosts that costlake talks to, and no others. Plain http is accepted for loopback hosts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    arm: Url,
    authority: Url,
    storage: Vec<StorageHost>,
    token_scope: String,
    identity: Url,
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
        let identity = parse_neighbour("metadata service", METADATA_SERVICE)?;
        Ok(Self { arm, authority, storage, token_scope, identity })
    }

    /// Returns the endpoints of public Azure.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn public_azure() -> Result<Self, Error> {
        Self::of_cloud(Cloud::Public)
    }

    /// Returns the endpoints of a cloud.
    ///
    /// # Errors
    /// None in practice: the addresses are constants.
    pub fn of_cloud(cloud: Cloud) -> Result<Self, Error> {
        let storage = StorageHost::Suffix(cloud.storage().to_owned());
        Self::new(cloud.arm(), cloud.authority(), vec![storage])
    }

    /// Returns the endpoints with another scope to ask tokens for (`azure-apis.md`, 9).
    pub fn with_token_scope(self, token_scope: String) -> Self {
        Self { token_scope, ..self }
    }

    /// Returns the endpoints with another place for managed identities than the metadata service of a
    /// virtual machine: `IDENTITY_ENDPOINT` of App Service, or a simulator. Of the address, only the
    /// origin counts.
    ///
    /// # Errors
    /// [`Error::Configuration`] if its host is neither loopback nor link-local: the machine's own key
    /// goes there.
    pub fn with_identity_endpoint(self, address: &str) -> Result<Self, Error> {
        Ok(Self { identity: parse_neighbour("managed identity", address)?, ..self })
    }

    /// The resource manager, the only origin that gets a bearer token.
    pub fn arm(&self) -> &Url {
        &self.arm
    }

    /// The authority, the only origin that gets a client secret or an assertion.
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

    /// The origin that managed identities are asked of.
    pub(crate) fn identity(&self) -> &Url {
        &self.identity
    }

    /// The authority as if it spoke https, for a library that takes no other. The port is always there.
    pub(crate) fn secure_authority(&self) -> String {
        let host = self.authority.host_str().unwrap_or_default();
        let port = self.authority.port_or_known_default().unwrap_or(443);
        format!("https://{host}:{port}")
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
                "`{text}` is no storage host: expected a domain such as blob.core.windows.net or an \
                 origin such as http://127.0.0.1:10000"
            )))
        }
    }
}

impl fmt::Display for StorageHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
            Self::Origin(url) => f.write_str(&text::origin(url)),
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

/// Reads the origin of an address on this machine or on its link.
fn parse_neighbour(what: &str, text: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| configuration(format!("the {what} address {reason}"));
    let mut url = Url::parse(text).map_err(|_| refuse("is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold a user or password"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("must be http or https"));
    }
    let is_link_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_unicast_link_local(),
        Some(Host::Domain(_)) | None => false,
    };
    if !is_link_local && !is_loopback(&url) {
        return Err(refuse("must be of this machine: a loopback or link-local one"));
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
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
            let storage = vec![StorageHost::Suffix("blob.core.windows.net".to_owned())];
            let authority = Cloud::Public.authority();
            assert!(Endpoints::new(arm, authority, storage).is_err(), "{arm}");
        }
    }

    #[test]
    fn each_cloud_keeps_to_itself() {
        for (cloud, hosts) in [
            ("public", "azure.com microsoftonline.com windows.net"),
            ("us-government", "usgovcloudapi.net microsoftonline.us usgovcloudapi.net"),
            ("china", "chinacloudapi.cn chinacloudapi.cn chinacloudapi.cn"),
        ] {
            let endpoints = Endpoints::of_cloud(cloud.parse().unwrap()).unwrap();
            let hosts: Vec<&str> = hosts.split(' ').collect();
            assert_eq!(endpoints.arm().as_str(), format!("https://management.{}/", hosts[0]));
            assert_eq!(endpoints.authority().as_str(), format!("https://login.{}/", hosts[1]));
            assert_eq!(endpoints.storage()[0].to_string(), format!("*.blob.core.{}", hosts[2]));
            assert_eq!(
                endpoints.token_scope(),
                format!("https://management.{}/.default", hosts[0])
            );
        }
        assert!("germany".parse::<Cloud>().is_err());
    }

    #[test]
    fn machines_have_their_identities_beside_them() {
        let with = |text: &str| Endpoints::public_azure().unwrap().with_identity_endpoint(text);
        for (text, origin) in [
            ("http://127.0.0.1:41741/msi/token/?a=b#c", "http://127.0.0.1:41741/"),
            ("http://169.254.130.3:8081/msi/token", "http://169.254.130.3:8081/"),
            ("http://[fe80::1]:80/x", "http://[fe80::1]/"),
            ("https://localhost:42356/msi/token", "https://localhost:42356/"),
        ] {
            assert_eq!(with(text).unwrap().identity().as_str(), origin);
        }
        for text in [
            "http://evil.example/msi",
            "https://management.azure.com/",
            "http://10.0.0.1/",
            "http://user@127.0.0.1/",
            "file:///msi",
            "ftp://127.0.0.1/",
            "169.254.169.254",
            "",
        ] {
            assert!(with(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_is_named_as_https_with_its_port() {
        let storage = || vec!["blob.core.windows.net".parse().unwrap()];
        for (authority, expected) in [
            ("http://127.0.0.1:99", "https://127.0.0.1:99"),
            ("http://localhost", "https://localhost:80"),
            ("https://login.microsoftonline.us", "https://login.microsoftonline.us:443"),
            ("http://[::1]:98", "https://[::1]:98"),
        ] {
            let endpoints = Endpoints::new(Cloud::Public.arm(), authority, storage()).unwrap();
            assert_eq!(endpoints.secure_authority(), expected);
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
