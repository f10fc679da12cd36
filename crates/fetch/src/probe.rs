//! Questions that make no report: who the token is for, what it may read, how far the clocks are apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use costlake_model::Scope;
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::error::Error;
use crate::policy::{self, ApprovedUrl, Purpose};
use crate::retry::Replay;
use crate::text;
use crate::wire;

const BILLING_API_VERSION: &str = "2024-04-01";
const SUBSCRIPTION_API_VERSION: &str = "2022-12-01";

/// Whom a token is for, as it says itself. Nothing is verified: Azure does that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The kind of credential that gave it, as in pipeline files.
    pub kind: &'static str,
    /// Whether it could be read. Azure promises nothing about what is in a token.
    pub is_readable: bool,
    /// Application (client) id: `appid`, or `azp`.
    pub application_id: Option<String>,
    /// Object id of the principal: `oid`. Roles are granted to this one.
    pub object_id: Option<String>,
    /// Tenant id: `tid`.
    pub tenant_id: Option<String>,
    /// The user, where it is one: `upn`, or `unique_name`.
    pub user: Option<String>,
    /// For which service it is: `aud`.
    pub audience: Option<String>,
    /// Until when it is good, by Azure's clock: `exp`.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What Azure says of a scope when asked to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readable {
    /// It is there. Its name for people, if it has one.
    Yes {
        /// Such as the name of the company.
        display_name: Option<String>,
    },
    /// It is not there, or Azure does not say so to this identity.
    NotFound {
        /// Azure's code, empty if none.
        code: String,
    },
    /// Its short path cannot be asked for: only the one with the enrollment can.
    NotAsked,
}

/// What Azure says when asked for a report that it has to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It refused the request for what is in it, so the right is there. No report was made.
    Given,
    /// It found another fault than the one that was put in, which tells nothing of rights.
    Unclear {
        /// HTTP status.
        status: u16,
        /// Azure's code, empty if none.
        code: String,
        /// Azure's message, first line.
        message: String,
    },
    /// It accepted the request, against its documentation: a report may have been made.
    ReportMade {
        /// HTTP status.
        status: u16,
    },
}

impl Client {
    /// Signs in, if that was not done before, and returns whom the token is for.
    ///
    /// # Errors
    /// Those of signing in.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let token = self.inner.tokens.token().await?;
        Ok(parse_identity(token.kind, token.secret.reveal()))
    }

    /// Asks for a scope by itself: the billing account, department, enrollment account or subscription.
    ///
    /// # Errors
    /// [`Error::Authorization`] if the identity may not see it, and those of any call.
    pub async fn check_scope(&self, scope: &Scope) -> Result<Readable, Error> {
        let version = match scope {
            Scope::EaDepartment { billing_account: None, .. }
            | Scope::EnrollmentAccount { billing_account: None, .. } => {
                return Ok(Readable::NotAsked);
            }
            Scope::Subscription(_) => SUBSCRIPTION_API_VERSION,
            _ => BILLING_API_VERSION,
        };
        let url = self.scope_url(scope, version)?;
        let answer = self.ask(&url, None).await?;
        match answer.reply.status {
            200 => Ok(Readable::Yes { display_name: display_name(&answer.reply.body) }),
            404 => Ok(Readable::NotFound { code: wire::azure_error(&answer.reply.body).0 }),
            _ => Err(answer.into_refusal()),
        }
    }

    /// Asks for a report with two periods where Azure takes one at most. It looks at rights first, so its
    /// answer tells whether reports can be made, and none is.
    ///
    /// # Errors
    /// [`Error::Authorization`] if reports cannot be made, and those of any call.
    pub async fn check_right(&self, scope: &Scope) -> Result<Right, Error> {
        let url = self.submit_url(scope)?;
        let answer = self.ask(&url, Some(&refused_body(Utc::now()))).await?;
        let status = answer.reply.status;
        if (200..300).contains(&status) {
            return Ok(Right::ReportMade { status });
        }
        match answer.into_refusal() {
            Error::Rejected { status: 400, message, .. } if is_about_payload(&message) => {
                Ok(Right::Given)
            }
            Error::Rejected { status, code, message, .. } => {
                Ok(Right::Unclear { status, code, message })
            }
            error => Err(error),
        }
    }

    /// How far Azure's clock is ahead of this machine's, by the `Date` of the last answer; zero before the
    /// first. Right to about a second.
    pub fn clock_skew(&self) -> TimeDelta {
        self.inner.transport.server_now().signed_duration_since(Utc::now())
    }

    fn scope_url(&self, scope: &Scope, version: &str) -> Result<ApprovedUrl, Error> {
        let endpoints = &self.inner.config.endpoints;
        let mut url = endpoints.arm().clone();
        url.set_path(&scope.path());
        url.set_query(Some(&format!("api-version={version}")));
        policy::approve_url(endpoints, Purpose::Arm, url).map_err(|refusal| Error::Configuration {
            problem: format!("the scope cannot be asked for: {refusal}"),
        })
    }

    async fn ask(&self, url: &ApprovedUrl, body: Option<&str>) -> Result<Answer, Error> {
        self.call_arm(url, body, Replay::Safe, &self.inner.config.retry).await
    }
}

/// A body that is always refused: "can only have either timePeriod or invoiceId or billingPeriod".
fn refused_body(now: DateTime<Utc>) -> String {
    let day = now.format("%Y-%m-%d").to_string();
    serde_json::json!({
        "metric": "ActualCost",
        "timePeriod": { "start": day, "end": day },
        "billingPeriod": format!("{:04}{:02}", now.year(), now.month()),
    })
    .to_string()
}

fn is_about_payload(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["payload", "billingperiod", "timeperiod"].iter().any(|word| message.contains(word))
}

fn display_name(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let found = ["/properties/displayName", "/displayName"].iter().find_map(|at| body.pointer(at));
    found?.as_str().filter(|name| !name.is_empty()).map(text::escaped)
}

fn parse_identity(kind: &'static str, token: &str) -> Identity {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(claims) = claims else {
        return Identity { kind, ..Identity::default() };
    };
    let claim = |names: &[&str]| {
        names.iter().find_map(|name| claims.get(name)?.as_str().map(text::escaped))
    };
    let expiry = claims.get("exp").and_then(Value::as_i64);
    Identity {
        kind,
        is_readable: true,
        application_id: claim(&["appid", "azp"]),
        object_id: claim(&["oid"]),
        tenant_id: claim(&["tid"]),
        user: claim(&["upn", "unique_name", "preferred_username"]),
        audience: claim(&["aud"]),
        expires_at: expiry.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whom_it_is_for() {
        let claims =
            r#"{"appid":"a","oid":"o\u001b","tid":"t","aud":"https://x/","exp":1751328000}"#;
        let token = format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims));
        let identity = parse_identity("client-secret", &token);
        assert_eq!(
            identity,
            Identity {
                kind: "client-secret",
                is_readable: true,
                application_id: Some("a".to_owned()),
                object_id: Some("o\\u{1b}".to_owned()),
                tenant_id: Some("t".to_owned()),
                user: None,
                audience: Some("https://x/".to_owned()),
                expires_at: Some("2025-07-01T00:00:00Z".parse().unwrap()),
            }
        );
        for token in ["", "opaque", "a.b.c", "a.e30", "e30.W10.x"] {
            let identity = parse_identity("bearer-token", token);
            assert_eq!((identity.audience, identity.expires_at), (None, None), "{token}");
        }
    }

    #[test]
    fn the_refused_body_has_both_periods() {
        let body: Value =
            serde_json::from_str(&refused_body("2025-07-09T12:00:00Z".parse().unwrap())).unwrap();
        assert_eq!(body["billingPeriod"], "202507");
        assert_eq!(body["timePeriod"]["start"], "2025-07-09");
    }
}
