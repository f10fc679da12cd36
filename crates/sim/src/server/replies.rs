//! Replies in the shapes of Azure Resource Manager (JSON) and Azure Storage (XML).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

/// A reply that ends the handling of a request early; boxed because replies are large.
pub(super) type Refused = Box<Response>;

/// Returns a reply with a JSON body.
pub(super) fn json_reply(status: u16, body: &Value) -> Response {
    typed_reply(status, "application/json; charset=utf-8", body.to_string())
}

/// Returns `{"error": {"code", "message"}}`, as all ARM errors look.
pub(super) fn arm_error(status: u16, code: &str, message: &str) -> Response {
    json_reply(status, &json!({ "error": { "code": code, "message": message } }))
}

/// Returns an error as Azure Storage writes it.
pub(super) fn storage_error(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    with_header(typed_reply(status, "application/xml", body), "x-ms-error-code", code)
}

/// Returns a reply without body.
pub(super) fn empty_reply(status: u16) -> Response {
    typed_reply(status, "", String::new())
}

/// Returns a reply with a body of some media type; an empty type leaves the header out.
pub(super) fn typed_reply(
    status: u16,
    media_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !media_type.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    response
}

/// Adds a header, unless name or value cannot stand in one.
pub(super) fn with_header(mut response: Response, name: &str, value: &str) -> Response {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
        response.headers_mut().insert(name, value);
    }
    response
}
