//! Bearer tokens: asked for once, shared, renewed in time, replaced when refused.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::RetryLimits;
use crate::endpoints::Endpoints;
use crate::error::{Error, Place};
use crate::monitor::Monitor;
use crate::policy::{self, ApprovedUrl, Purpose};
use crate::retry::{self, Job, Replay};
use crate::secret::Secret;
use crate::text;
use crate::transport::{Body, Call, Reply, Transport};

/// How long before its end a token is renewed (`azure-apis.md`, 9).
const RENEWAL_MARGIN: Duration = Duration::from_secs(5 * 60);

/// Who we are to Azure.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A service principal with a client secret.
    ClientSecret {
        /// Tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// The secret.
        client_secret: Secret,
    },
    /// A token made elsewhere. It cannot be renewed.
    BearerToken(Secret),
}

/// A token and which one it is.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    generation: u64,
    renew_at: Instant,
}

/// Hands out tokens; at most one request for one is under way.
pub(crate) struct TokenSource {
    kind: Kind,
    cached: Mutex<Option<Token>>,
}

enum Kind {
    Fixed(Secret),
    ClientSecret {
        url: ApprovedUrl,
        address: String,
        token_scope: String,
        client_id: String,
        client_secret: Secret,
    },
}

/// What a token request goes through.
pub(crate) struct Via<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) limits: &'a RetryLimits,
    pub(crate) monitor: &'a dyn Monitor,
}

impl TokenSource {
    pub(crate) fn new(credentials: Credentials, endpoints: &Endpoints) -> Result<Self, Error> {
        let kind = match credentials {
            Credentials::BearerToken(secret) => Kind::Fixed(secret),
            Credentials::ClientSecret { tenant, client_id, client_secret } => {
                let url = token_url(endpoints, &tenant)?;
                Kind::ClientSecret {
                    address: text::redacted(url.url()),
                    url,
                    token_scope: endpoints.token_scope().to_owned(),
                    client_id,
                    client_secret,
                }
            }
        };
        Ok(Self { kind, cached: Mutex::new(None) })
    }

    /// Returns a token that is good for a while, from the cache or the authority.
    pub(crate) async fn token(&self, via: &Via<'_>) -> Result<Token, Error> {
        // Held over the request on purpose: the others wait for the one that asks.
        let mut cached = self.cached.lock().await;
        let generation = match &*cached {
            Some(token) if Instant::now() < token.renew_at => return Ok(token.clone()),
            Some(token) => token.generation + 1,
            None => 0,
        };
        self.renew(&mut cached, generation, via).await
    }

    /// Returns a newer token than one that was refused; `None` if there can be none.
    pub(crate) async fn replace(
        &self,
        refused: &Token,
        via: &Via<'_>,
    ) -> Result<Option<Token>, Error> {
        if let Kind::Fixed(_) = self.kind {
            return Ok(None);
        }
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(token) if token.generation > refused.generation => Ok(Some(token.clone())),
            _ => {
                let generation = refused.generation + 1;
                self.renew(&mut cached, generation, via).await.map(Some)
            }
        }
    }

    async fn renew(
        &self,
        cached: &mut Option<Token>,
        generation: u64,
        via: &Via<'_>,
    ) -> Result<Token, Error> {
        let (secret, lifetime) = match &self.kind {
            Kind::Fixed(secret) => (secret.clone(), Duration::from_secs(24 * 60 * 60)),
            Kind::ClientSecret { .. } => self.request(via).await?,
        };
        let margin = RENEWAL_MARGIN.min(lifetime / 2);
        let token = Token { secret, generation, renew_at: Instant::now() + (lifetime - margin) };
        *cached = Some(token.clone());
        Ok(token)
    }

    async fn request(&self, via: &Via<'_>) -> Result<(Secret, Duration), Error> {
        let Kind::ClientSecret { url, address, token_scope, client_id, client_secret } = &self.kind
        else {
            return Err(no_authority());
        };
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
            ("client_secret", client_secret.reveal()),
            ("scope", token_scope.as_str()),
        ];
        let job = Job { method: "POST", address, blob: None, replay: Replay::Safe };
        let call =
            Call { method: Method::POST, url, body: Body::Form(&form), bearer: None, job: &job };
        let attempt = || via.transport.exchange(&call);
        let (reply, place) = retry::run(via.limits, via.monitor, &job, attempt).await?;
        parse_token(&reply, place, client_secret)
    }
}

fn token_url(endpoints: &Endpoints, tenant: &str) -> Result<ApprovedUrl, Error> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if tenant.is_empty() || tenant.starts_with('.') || !tenant.bytes().all(is_name) {
        return Err(Error::Configuration {
            problem: format!(
                "`{}` is no tenant: expected an id or a domain",
                text::escaped(tenant)
            ),
        });
    }
    let address = format!("{}{tenant}/oauth2/v2.0/token", endpoints.authority());
    policy::approve(endpoints, Purpose::Authority, &address).map_err(|refusal| {
        Error::Configuration { problem: format!("the authority cannot be used: {refusal}") }
    })
}

fn no_authority() -> Error {
    Error::Configuration { problem: "a fixed token cannot be renewed".to_owned() }
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
    expires_in: Option<Seconds>,
}

/// The v2 endpoint sends a number, v1 and managed identities a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenErrorBody {
    error: String,
    error_description: String,
}

fn parse_token(
    reply: &Reply,
    place: Box<Place>,
    client_secret: &Secret,
) -> Result<(Secret, Duration), Error> {
    if reply.status != 200 {
        return Err(refused(reply, place, client_secret));
    }
    if reply.is_page() {
        return Err(Error::UnexpectedPage {
            expected: "a token",
            title: text::html_title(&reply.body),
            place,
        });
    }
    let Ok(body) = serde_json::from_slice::<TokenBody>(&reply.body) else {
        let violation = "the body is no token".to_owned();
        return Err(Error::Protocol { violation, place });
    };
    let seconds = match body.expires_in {
        Some(Seconds::Number(seconds)) => seconds,
        Some(Seconds::Text(text)) => text.parse().unwrap_or(0),
        None => 0,
    };
    let lifetime = Duration::from_secs(seconds.min(24 * 60 * 60));
    Ok((Secret::new(body.access_token), lifetime))
}

fn refused(reply: &Reply, place: Box<Place>, client_secret: &Secret) -> Error {
    let body: TokenErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let description = client_secret.scrub(&body.error_description);
    let (code, message) = match description.split_once(':') {
        Some((code, rest)) if code.starts_with("AADSTS") => (code, rest.trim_start()),
        _ => (body.error.as_str(), description.as_str()),
    };
    Error::Authentication {
        code: client_secret.scrub(&text::first_line(code)),
        message: match message {
            "" => format!("status {}", reply.status),
            message => text::first_line(message),
        },
        place,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    fn check(status: u16, body: &'static str) -> Result<(Secret, Duration), Error> {
        let reply =
            Reply { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) };
        let job = Job {
            method: "POST",
            address: "https://login.example/t/oauth2/v2.0/token",
            blob: None,
            replay: Replay::Safe,
        };
        let place = Box::new(job.place(1, Duration::ZERO));
        parse_token(&reply, place, &Secret::new("hunter22"))
    }

    #[test]
    fn lifetimes_are_numbers_or_texts() {
        for (body, seconds) in [
            (r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#, 3599),
            (r#"{"expires_in":"3599","access_token":"t"}"#, 3599),
            (r#"{"expires_in":99999999999,"access_token":"t"}"#, 86400),
            (r#"{"access_token":"t"}"#, 0),
        ] {
            let (token, lifetime) = check(200, body).unwrap();
            assert_eq!((token.reveal(), lifetime.as_secs()), ("t", seconds), "{body}");
        }
    }

    #[test]
    fn refusals_name_the_code_and_not_the_secret() {
        for (body, expected) in [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret hunter22.\r\nTrace ID: 1"}"#,
                ("AADSTS7000215", "Invalid secret ***."),
            ),
            (r#"{"error":"invalid_scope"}"#, ("invalid_scope", "status 401")),
            ("<html>", ("", "status 401")),
        ] {
            match check(401, body) {
                Err(Error::Authentication { code, message, .. }) => {
                    assert_eq!((code.as_str(), message.as_str()), expected);
                }
                _ => panic!("{body}"),
            }
        }
    }

    #[test]
    fn tenants_stay_in_their_path_segment() {
        let endpoints = Endpoints::public_azure().unwrap();
        for tenant in ["", "..", "a/b", "a?b", "a#b", "a\\b", "a b", "ü"] {
            assert!(token_url(&endpoints, tenant).is_err(), "{tenant}");
        }
        assert!(token_url(&endpoints, "contoso.onmicrosoft.com").is_ok());
    }
}
