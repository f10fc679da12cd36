//! Signing in with a client secret or an assertion, and the check of the token on every ARM call.
//!
//! Source: `articles/active-directory/develop/v2-oauth2-client-creds-grant-flow` of the Azure documentation.

use super::replies::{Refused, Reply, arm_error, json_reply, with_header};
use super::request::Call;
use super::state::{Simulator, lock};
use super::{assertion, scopes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::collections::HashMap;

/// Hands out a token for `grant_type=client_credentials`.
pub(super) fn token(simulator: &Simulator, call: &Call) -> Reply {
    let form: HashMap<String, String> =
        url::form_urlencoded::parse(&call.body).into_owned().collect();
    match refusal(simulator, &call.path, &form) {
        Some(refusal) => refusal.reply(simulator),
        None => grant(simulator),
    }
}

/// Checks the bearer token of an ARM call, and that its owner has a role.
pub(super) fn check(simulator: &Simulator, call: &Call) -> Result<(), Refused> {
    check_token(simulator, call)?;
    if simulator.config.has_role {
        return Ok(());
    }
    let scope = call.path.split("/providers/Microsoft.CostManagement").next().unwrap_or_default();
    Err(Box::new(scopes::forbidden(simulator, scope)))
}

fn check_token(simulator: &Simulator, call: &Call) -> Result<(), Refused> {
    let Some(authorization) = call.header("authorization") else {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        return Err(unauthorized(simulator, "AuthenticationFailed", message));
    };
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    match lock(&simulator.tokens).get(token) {
        Some(expiry) if *expiry > simulator.now() => Ok(()),
        Some(_) => {
            Err(unauthorized(simulator, "ExpiredAuthenticationToken", "The access token expired."))
        }
        None => Err(unauthorized(
            simulator,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
        )),
    }
}

/// Why there is no token.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
}

fn refuse(
    status: u16,
    error: &'static str,
    code: u32,
    message: impl Into<String>,
) -> Option<Refusal> {
    Some(Refusal { status, error, code, message: message.into() })
}

fn refusal(simulator: &Simulator, path: &str, form: &HashMap<String, String>) -> Option<Refusal> {
    let credentials = &simulator.config.credentials;
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let tenant = path.split('/').nth(1).unwrap_or_default();
    if !tenant.eq_ignore_ascii_case(&credentials.tenant_id) {
        return refuse(400, "invalid_request", 90_002, format!("Tenant '{tenant}' not found."));
    }
    for name in ["grant_type", "client_id", "scope"] {
        if field(name).is_empty() {
            let message =
                format!("The request body must contain the following parameter: '{name}'.");
            return refuse(400, "invalid_request", 900_144, message);
        }
    }
    if field("grant_type") != "client_credentials" {
        let message =
            format!("The app requested an unsupported grant type '{}'.", field("grant_type"));
        return refuse(400, "unsupported_grant_type", 70_003, message);
    }
    if !field("client_id").eq_ignore_ascii_case(&credentials.client_id) {
        let message = format!(
            "Application with identifier '{}' was not found in the directory.",
            field("client_id")
        );
        return refuse(400, "unauthorized_client", 700_016, message);
    }
    if form.contains_key("client_assertion") {
        if field("client_assertion_type") != assertion::ASSERTION_TYPE {
            let message = "The client assertion type is not supported.";
            return refuse(400, "invalid_request", 900_144, message);
        }
        if let Err((code, message)) = assertion::check(simulator, path, field("client_assertion")) {
            return refuse(401, "invalid_client", code, message);
        }
    } else if field("client_secret") != credentials.client_secret {
        return refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
    }
    scope_refusal(simulator, field("scope"))
}

fn scope_refusal(simulator: &Simulator, scope: &str) -> Option<Refusal> {
    let Some(resource) = scope.strip_suffix("/.default") else {
        return refuse(
            400,
            "invalid_scope",
            70_011,
            format!("The provided value for scope {scope} is not valid."),
        );
    };
    if is_known_resource(simulator, resource) {
        return None;
    }
    refuse(
        400,
        "invalid_resource",
        500_011,
        format!("The resource principal named {resource} was not found."),
    )
}

/// Returns whether there are tokens for a resource.
pub(super) fn is_known_resource(simulator: &Simulator, resource: &str) -> bool {
    let known = [
        "https://management.azure.com",
        "https://management.core.windows.net",
        simulator.origin.as_str(),
    ];
    known.contains(&resource.trim_end_matches('/'))
}

impl Refusal {
    fn reply(&self, simulator: &Simulator) -> Reply {
        let (trace, correlation) = (simulator.new_id(), simulator.new_id());
        let timestamp = simulator.now().format("%Y-%m-%d %H:%M:%SZ").to_string();
        let description = format!(
            "AADSTS{}: {}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {timestamp}",
            self.code, self.message
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
        });
        json_reply(self.status, &body)
    }
}

fn grant(simulator: &Simulator) -> Reply {
    let token = issue(simulator);
    let body = json!({
        "token_type": "Bearer", "expires_in": token.seconds, "ext_expires_in": token.seconds, "access_token": token.text,
    });
    json_reply(200, &body)
}

/// A token that opens ARM.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) expiry: DateTime<Utc>,
    /// Until it expires.
    pub(super) seconds: u64,
}

/// Makes a token and remembers it.
pub(super) fn issue(simulator: &Simulator) -> Token {
    let lifetime = simulator.config.token_lifetime;
    let expiry = simulator.now() + lifetime;
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({ "typ": "JWT", "alg": "HS256" }));
    let claims = encode(json!({
        "aud": "https://management.azure.com/",
        "appid": simulator.config.credentials.client_id,
        "tid": simulator.config.credentials.tenant_id,
        "exp": expiry.timestamp(),
        "uti": simulator.new_id(),
    }));
    let unsigned = format!("{head}.{claims}");
    let text = format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(simulator.signature(&unsigned)));
    lock(&simulator.tokens).insert(text.clone(), expiry);
    Token { text, expiry, seconds: lifetime.as_secs() }
}

fn unauthorized(simulator: &Simulator, code: &str, message: &str) -> Refused {
    let tenant = &simulator.config.credentials.tenant_id;
    let challenge = format!(
        "Bearer authorization_uri=\"{}/{tenant}\", error=\"invalid_token\", error_description=\"{message}\"",
        simulator.origin
    );
    Box::new(with_header(arm_error(401, code, message), "www-authenticate", &challenge))
}
