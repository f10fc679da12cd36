//! The choke point: which address may get which credential.
//!
//! ```text
//! purpose     allowed destination                        carries
//! Arm         the configured ARM origin, nothing else    bearer token
//! Authority   the configured authority origin            client secret or assertion, in the body
//! Identity    the configured managed identity origin     the machine's own key, in a header
//! Blob        below an allowed suffix (https, default    nothing: the link is signed
//!             port), or a configured origin
//! ```
//!
//! A text is parsed once; the decision is about the parsed URL, and that very object is sent, since
//! parsers disagree about odd texts (`reliability.md`, 3.8). [`ApprovedUrl`] is the only thing that
//! the transport sends to, and only this file makes one.

use url::{Host, Url};

use crate::endpoints::{Endpoints, StorageHost};

/// What a request is for, hence what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Arm,
    Authority,
    Identity,
    Blob,
}

/// A URL that may be asked for a purpose.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApprovedUrl {
    url: Url,
    purpose: Purpose,
}

impl ApprovedUrl {
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether an `Authorization` header may be sent along.
    pub(crate) fn accepts_bearer(&self) -> bool {
        self.purpose == Purpose::Arm
    }
}

/// Why an address gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a plain absolute URL: parsers would disagree about where it leads.
    #[error("it is not a plain absolute URL")]
    Malformed,
    /// Holds a user or password.
    #[error("it holds a user name or password")]
    User,
    /// Holds a fragment.
    #[error("it holds a fragment")]
    Fragment,
    /// Another scheme, host or port than the configured one.
    #[error("it is not the configured origin")]
    ForeignOrigin,
    /// Not a configured storage host.
    #[error("it is not an allowed storage host over https")]
    ForeignStorage,
    /// A redirect: none is ever followed.
    #[error("redirects are not followed")]
    Redirect,
}

/// Approves a text that must be an absolute URL.
pub(crate) fn approve(
    endpoints: &Endpoints,
    purpose: Purpose,
    text: &str,
) -> Result<ApprovedUrl, Refusal> {
    if !is_plain(text) || !has_web_scheme(text) {
        return Err(Refusal::Malformed);
    }
    let url = Url::parse(text).map_err(|_| Refusal::Malformed)?;
    approve_url(endpoints, purpose, url)
}

/// Approves a `Location` value: absolute, or a path on the origin that sent it.
pub(crate) fn approve_location(
    endpoints: &Endpoints,
    base: &ApprovedUrl,
    text: &str,
) -> Result<ApprovedUrl, Refusal> {
    let is_path = text.starts_with('/') && !text.starts_with("//");
    if !is_path {
        return approve(endpoints, base.purpose, text);
    }
    if !is_plain(text) {
        return Err(Refusal::Malformed);
    }
    let url = base.url.join(text).map_err(|_| Refusal::Malformed)?;
    approve_url(endpoints, base.purpose, url)
}

/// Approves a URL that is already parsed.
pub(crate) fn approve_url(
    endpoints: &Endpoints,
    purpose: Purpose,
    url: Url,
) -> Result<ApprovedUrl, Refusal> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::User);
    }
    if url.fragment().is_some() {
        return Err(Refusal::Fragment);
    }
    match purpose {
        Purpose::Arm if !is_same_origin(&url, endpoints.arm()) => Err(Refusal::ForeignOrigin),
        Purpose::Authority if !is_same_origin(&url, endpoints.authority()) => {
            Err(Refusal::ForeignOrigin)
        }
        Purpose::Identity if !is_same_origin(&url, endpoints.identity()) => {
            Err(Refusal::ForeignOrigin)
        }
        Purpose::Blob if !endpoints.storage().iter().any(|host| allows(host, &url)) => {
            Err(Refusal::ForeignStorage)
        }
        Purpose::Arm | Purpose::Authority | Purpose::Identity | Purpose::Blob => {
            Ok(ApprovedUrl { url, purpose })
        }
    }
}

/// Whether a text has no byte that parsers drop or turn into another: blanks, controls,
/// backslashes, anything beyond ASCII.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

fn has_web_scheme(text: &str) -> bool {
    let starts_with = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let authority = match (starts_with("https://"), starts_with("http://")) {
        (true, _) => &text[8..],
        (_, true) => &text[7..],
        _ => return false,
    };
    !authority.starts_with('/')
}

fn is_same_origin(url: &Url, allowed: &Url) -> bool {
    url.scheme() == allowed.scheme()
        && url.host().is_some()
        && url.host() == allowed.host()
        && url.port_or_known_default() == allowed.port_or_known_default()
}

fn allows(storage: &StorageHost, url: &Url) -> bool {
    match storage {
        StorageHost::Origin(origin) => is_same_origin(url, origin),
        StorageHost::Suffix(suffix) => {
            let below = |domain: &str| {
                domain
                    .strip_suffix(suffix.as_str())
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|rest| !rest.is_empty())
            };
            url.scheme() == "https"
                && url.port().is_none()
                && matches!(url.host(), Some(Host::Domain(domain)) if below(domain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Endpoints {
        Endpoints::public_azure().unwrap()
    }

    fn refusal(purpose: Purpose, text: &str) -> Option<Refusal> {
        approve(&endpoints(), purpose, text).err()
    }

    #[test]
    fn azure_gets_what_it_should() {
        for text in [
            "https://management.azure.com/subscriptions/x?api-version=2025-03-01",
            "https://management.azure.com:443/subscriptions/x?t=1&sessiontoken=a%2Fb",
            "HTTPS://Management.Azure.COM/x",
        ] {
            let approved = approve(&endpoints(), Purpose::Arm, text).unwrap();
            assert!(approved.accepts_bearer(), "{text}");
        }
        for text in [
            "https://ccmreportstorageeastus.blob.core.windows.net/armreports/0/0?sv=1&sig=%2TEST",
            "https://a.z1.blob.core.windows.net/x",
        ] {
            let approved = approve(&endpoints(), Purpose::Blob, text).unwrap();
            assert!(!approved.accepts_bearer(), "{text}");
        }
    }

    #[test]
    fn hostile_arm_urls_get_no_token() {
        use Refusal::{ForeignOrigin, Fragment, Malformed, User};
        for (text, expected) in [
            ("https://evil.example/x", ForeignOrigin),
            ("http://management.azure.com/x", ForeignOrigin),
            ("https://management.azure.com:444/x", ForeignOrigin),
            ("https://management.azure.com:80/x", ForeignOrigin),
            ("https://management.azure.com./x", ForeignOrigin),
            ("https://management.azure.com.evil.example/x", ForeignOrigin),
            ("https://evilmanagement.azure.com/x", ForeignOrigin),
            ("https://evil.example/https://management.azure.com/", ForeignOrigin),
            ("https://evil.example?https://management.azure.com/", ForeignOrigin),
            ("https://management%2eazure%2ecom.evil.example/x", ForeignOrigin),
            ("https://management.azure.com@evil.example/x", User),
            ("https://management.azure.com:pw@evil.example/x", User),
            ("https://user@management.azure.com/x", User),
            ("https://:pw@management.azure.com/x", User),
            ("https://management.azure.com/x#y", Fragment),
            ("https://evil.example#@management.azure.com/", Fragment),
            ("https:\\\\management.azure.com\\x", Malformed),
            ("https://evil.example\\@management.azure.com/x", Malformed),
            ("/\\evil.example/x", Malformed),
            ("//evil.example/x", Malformed),
            ("https:management.azure.com/x", Malformed),
            ("https:evil.example/x", Malformed),
            ("https:///evil.example/x", Malformed),
            ("ht\ntps://management.azure.com/x", Malformed),
            ("https://management.azure.com/x\r\nHost: evil", Malformed),
            (" https://management.azure.com/x", Malformed),
            ("https://manage\tment.azure.com/x", Malformed),
            ("https://management\u{ff0e}azure\u{ff0e}com/x", Malformed),
            ("https://management.azure.com\u{0}.evil.example/", Malformed),
            ("javascript:alert(1)", Malformed),
            ("file:///etc/passwd", Malformed),
            ("ftp://management.azure.com/x", Malformed),
            ("blob:https://management.azure.com/x", Malformed),
            ("https://", Malformed),
            ("", Malformed),
            ("https://2130706433/x", ForeignOrigin),
            ("https://0x7f.1/x", ForeignOrigin),
            ("https://017700000001/x", ForeignOrigin),
            ("https://[::1]/x", ForeignOrigin),
            ("https://169.254.169.254/metadata/identity", ForeignOrigin),
            ("https://login.microsoftonline.com/x", ForeignOrigin),
            ("https://a.blob.core.windows.net/x", ForeignOrigin),
        ] {
            assert_eq!(refusal(Purpose::Arm, text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn hostile_blob_links_are_refused() {
        use Refusal::{ForeignStorage, Fragment, Malformed, User};
        for (text, expected) in [
            ("https://evil.example/x?sig=1", ForeignStorage),
            ("https://evilblob.core.windows.net/x", ForeignStorage),
            ("https://blob.core.windows.net/x", ForeignStorage),
            ("https://.blob.core.windows.net/x", ForeignStorage),
            ("https://a.blob.core.windows.net.evil.example/x", ForeignStorage),
            ("https://a.blob.core.windows.net./x", ForeignStorage),
            ("http://a.blob.core.windows.net/x", ForeignStorage),
            ("https://a.blob.core.windows.net:8443/x", ForeignStorage),
            ("https://127.0.0.1/x", ForeignStorage),
            ("https://10.0.0.1/x", ForeignStorage),
            ("https://[fe80::1]/x", ForeignStorage),
            ("https://evil.example/a.blob.core.windows.net", ForeignStorage),
            ("https://management.azure.com/x", ForeignStorage),
            ("https://a.blob.core.windows.net@evil.example/x", User),
            ("https://a:b@a.blob.core.windows.net/x", User),
            ("https://a.blob.core.windows.net/x#y", Fragment),
            ("https://evil.example\\.blob.core.windows.net/x", Malformed),
            ("https://a.blob.core\u{3002}windows.net/x", Malformed),
            ("//a.blob.core.windows.net/x", Malformed),
            ("/armreports/x?sig=1", Malformed),
        ] {
            assert_eq!(refusal(Purpose::Blob, text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn keys_of_machines_stay_beside_the_machine() {
        let service = "http://169.254.169.254/metadata/identity/oauth2/token?resource=x";
        assert_eq!(refusal(Purpose::Identity, service), None);
        for text in [
            "https://169.254.169.254/metadata",
            "http://169.254.169.254:8080/metadata",
            "http://169.254.169.254.evil.example/metadata",
            "http://login.microsoftonline.com/x",
            "https://management.azure.com/x",
        ] {
            assert_eq!(refusal(Purpose::Identity, text), Some(Refusal::ForeignOrigin), "{text}");
        }
        let app_service =
            endpoints().with_identity_endpoint("http://127.0.0.1:41/msi/token/").unwrap();
        let allowed = |text| approve(&app_service, Purpose::Identity, text).is_ok();
        assert!(allowed("http://127.0.0.1:41/msi/token?api-version=1"));
        assert!(!allowed("http://127.0.0.1:42/msi/token"));
        assert!(!allowed(service));
    }

    #[test]
    fn a_configured_origin_is_matched_to_the_port() {
        let storage = vec!["http://127.0.0.1:10000".parse().unwrap()];
        let endpoints = Endpoints::new("http://[::1]:99", "http://localhost:98", storage).unwrap();
        let refused = |purpose, text| approve(&endpoints, purpose, text).is_err();
        assert!(!refused(Purpose::Blob, "http://127.0.0.1:10000/x?sig=1"));
        assert!(refused(Purpose::Blob, "http://127.0.0.1:10001/x"));
        assert!(refused(Purpose::Blob, "https://127.0.0.1:10000/x"));
        assert!(refused(Purpose::Blob, "http://127.0.0.2:10000/x"));
        assert!(!refused(Purpose::Arm, "http://[0:0:0:0:0:0:0:1]:99/x"));
        assert!(refused(Purpose::Arm, "http://127.0.0.1:99/x"));
        assert!(!refused(Purpose::Authority, "http://localhost:98/x"));
        assert!(refused(Purpose::Authority, "http://localhost.evil.example:98/x"));
    }

    #[test]
    fn locations_may_be_paths_of_the_same_origin() {
        let endpoints = endpoints();
        let base = approve(&endpoints, Purpose::Arm, "https://management.azure.com/a/b").unwrap();
        let approved = approve_location(&endpoints, &base, "/c?d=e").unwrap();
        assert_eq!(approved.url().as_str(), "https://management.azure.com/c?d=e");
        for text in [
            "//evil.example/c",
            "/\\evil.example/c",
            "c",
            "../c",
            "?d",
            "https:c",
            "/\t/evil.example",
            "",
        ] {
            assert!(approve_location(&endpoints, &base, text).is_err(), "{text:?}");
        }
    }
}
