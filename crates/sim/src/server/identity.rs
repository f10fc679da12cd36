//! Managed identities: tokens for programs that run in Azure, without any secret of their own.
//!
//! | path | header | where |
//! |---|---|---|
//! | `GET /msi/token?api-version=2019-08-01&resource=..` | `X-IDENTITY-HEADER` | App Service |
//! | `GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=..` | `Metadata: true` | virtual machines |
//!
//! Source: `articles/active-directory/managed-identities-azure-resources/how-to-use-vm-token` of the Azure documentation.

use super::login;
use super::replies::{Reply, json_reply};
use super::request::Call;
use super::state::Simulator;
use serde_json::json;

pub(super) const APP_SERVICE_PATH: &str = "/msi/token";
pub(super) const MACHINE_PATH: &str = "/metadata/identity/oauth2/token";

/// Answers a request for a token.
pub(super) fn token(simulator: &Simulator, call: &Call) -> Reply {
    let is_app_service = call.path.eq_ignore_ascii_case(APP_SERVICE_PATH);
    let refused = if is_app_service {
        app_service_refusal(simulator, call).or_else(|| refusal(simulator, call, &["2019-08-01"]))
    } else {
        machine_refusal(call).or_else(|| refusal(simulator, call, &["2018-02-01", "2019-08-01"]))
    };
    refused.unwrap_or_else(|| grant(simulator, call))
}

fn app_service_refusal(simulator: &Simulator, call: &Call) -> Option<Reply> {
    let expected = simulator.config.credentials.identity_header.as_str();
    (call.header("x-identity-header") != Some(expected))
        .then(|| error(401, "invalid_request", "The identity header is missing or wrong."))
}

fn machine_refusal(call: &Call) -> Option<Reply> {
    let is_given = call.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    (!is_given).then(|| error(400, "invalid_request", "Required metadata header not specified"))
}

fn refusal(simulator: &Simulator, call: &Call, versions: &[&str]) -> Option<Reply> {
    let parameter = |name: &str| call.query.get(name).map(String::as_str);
    if parameter("api-version").is_none_or(|version| !versions.contains(&version)) {
        return Some(error(400, "invalid_request", "Required api-version is missing or wrong"));
    }
    let resource = parameter("resource").unwrap_or_default();
    if !login::is_known_resource(simulator, resource) {
        return Some(error(400, "invalid_resource", "The resource principal was not found"));
    }
    let own = &simulator.config.credentials.client_id;
    let is_other = parameter("client_id").is_some_and(|id| !id.eq_ignore_ascii_case(own));
    is_other.then(|| error(400, "invalid_request", "Identity not found"))
}

fn grant(simulator: &Simulator, call: &Call) -> Reply {
    let token = login::issue(simulator);
    let body = json!({
        "access_token": token.text,
        "client_id": simulator.config.credentials.client_id,
        "refresh_token": "",
        "expires_in": token.seconds.to_string(),
        "expires_on": token.expiry.timestamp().to_string(),
        "not_before": simulator.now().timestamp().to_string(),
        "resource": call.query.get("resource"),
        "token_type": "Bearer",
    });
    json_reply(200, &body)
}

fn error(status: u16, error: &str, description: &str) -> Reply {
    json_reply(status, &json!({ "error": error, "error_description": description }))
}
