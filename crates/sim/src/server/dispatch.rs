//! Finds out what a request is for. Paths are compared without case, as Azure Resource Manager does.

use super::faults::Action;
use super::state::{Simulator, lock};
use super::{blobs, control, faults, login, replies, reports};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Larger request bodies are refused.
const MOST_BODY_BYTES: usize = 1 << 20;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RouteKind {
    Token,
    Submit,
    Poll,
    Blob,
    Other,
}

impl RouteKind {
    /// Returns the name used by the control plane.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Blob => "blob",
            Self::Other => "other",
        }
    }
}

/// A request with its body.
pub(super) struct Call {
    pub(super) method: Method,
    /// As sent, still percent-encoded.
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// Returns a header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Returns the service that answers every path.
pub(super) fn router(simulator: Arc<Simulator>) -> Router {
    Router::new().fallback(dispatch).with_state(simulator)
}

async fn dispatch(State(simulator): State<Arc<Simulator>>, request: Request) -> Response {
    let Some(call) = read(request).await else {
        return replies::arm_error(413, "RequestEntityTooLarge", "The request body is too large.");
    };
    let lower = call.path.to_ascii_lowercase();
    if let Some(command) = lower.strip_prefix("/_simulator/") {
        return control::answer(&simulator, &call, command);
    }
    let kind = classify(&lower);
    let fault = lock(&simulator.faults).take(kind);
    let mut response = match &fault {
        Some(action) if action.is_instead() => faults::instead(action),
        other => route(&simulator, kind, &call, other.as_ref()).await,
    };
    add_request_id(&simulator, &mut response);
    let client_type = call.header("clienttype");
    lock(&simulator.log).add(
        kind,
        call.method.as_str(),
        &call.path,
        client_type,
        response.status().as_u16(),
    );
    match fault {
        Some(action) => faults::damage(&simulator, action, response).await,
        None => response,
    }
}

async fn read(request: Request) -> Option<Call> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MOST_BODY_BYTES).await.ok()?;
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    Some(Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query,
        headers: parts.headers,
        body,
    })
}

fn classify(lower_path: &str) -> RouteKind {
    if lower_path.ends_with("/oauth2/v2.0/token") {
        RouteKind::Token
    } else if lower_path.starts_with("/blobs/") {
        RouteKind::Blob
    } else if lower_path.ends_with(reports::SUBMIT_SUFFIX) {
        RouteKind::Submit
    } else if reports::POLL_MARKS.iter().any(|mark| lower_path.contains(mark)) {
        RouteKind::Poll
    } else {
        RouteKind::Other
    }
}

async fn route(
    simulator: &Arc<Simulator>,
    kind: RouteKind,
    call: &Call,
    fault: Option<&Action>,
) -> Response {
    match (kind, &call.method) {
        (RouteKind::Token, &Method::POST) => login::token(simulator, call),
        (RouteKind::Submit, &Method::POST) => reports::submit(simulator, call, fault).await,
        (RouteKind::Poll, &Method::GET) => reports::poll(simulator, call, fault).await,
        (RouteKind::Blob, &(Method::GET | Method::HEAD)) => {
            blobs::download(simulator, call, fault).await
        }
        (RouteKind::Other, _) => {
            login::check(simulator, call).map_or_else(|refused| *refused, |()| not_found())
        }
        _ => replies::arm_error(
            405,
            "MethodNotAllowed",
            "The resource does not support this HTTP method.",
        ),
    }
}

fn not_found() -> Response {
    replies::arm_error(404, "NotFound", "The resource or the provider operation does not exist.")
}

fn add_request_id(simulator: &Simulator, response: &mut Response) {
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        if let Ok(value) = simulator.new_id().parse() {
            response.headers_mut().insert(header::HeaderName::from_static(name), value);
        }
    }
}
