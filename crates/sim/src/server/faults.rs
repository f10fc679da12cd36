//! Faults on request: what goes wrong, on which request.

use super::dispatch::RouteKind;
use super::replies::{typed_reply, with_header};
use super::state::Simulator;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A fault and the requests it hits: of one kind, after `skip` of them, `count` times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    route: RouteKind,
    #[serde(default)]
    skip: u32,
    #[serde(default = "once")]
    count: u32,
    action: Action,
}

/// What goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Action {
    /// Another reply: any status, headers and body. Throttling is 429 with retry headers.
    Reply {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
    },
    /// A page for people, as proxies and gateways send.
    Html {
        #[serde(default = "bad_gateway")]
        status: u16,
    },
    /// The connection ends after so many bytes of the body; `Content-Length` promises all of them.
    Truncate { bytes: usize },
    /// Nothing comes for a while: before the reply, or after so many bytes of its body.
    Stall {
        seconds: u64,
        #[serde(default)]
        after_bytes: usize,
    },
    /// The connection ends without a reply.
    Close,
    /// On submit or poll: the report fails.
    FailedReport {
        #[serde(default = "server_timeout")]
        code: String,
        #[serde(default)]
        message: String,
    },
    /// On submit: the report has no data.
    NoDataFound,
    /// On submit: the reply is the complete report.
    CompleteAtOnce,
    /// On poll: the links are too old when they arrive. On blob: this link is too old.
    ExpireLinks,
    /// On poll: the manifest claims so many bytes more for the first blob than it has.
    OverstateBytes { by: u64 },
    /// On submit or poll: all tokens handed out so far are too old.
    ExpireTokens,
}

fn once() -> u32 {
    1
}

fn bad_gateway() -> u16 {
    502
}

fn server_timeout() -> String {
    "ServerTimeout".to_owned()
}

impl Action {
    /// Returns whether the fault replaces the reply.
    pub(super) fn is_instead(&self) -> bool {
        matches!(self, Self::Reply { .. } | Self::Html { .. } | Self::Close)
    }
}

/// Faults to come. A request takes the first fault for its kind, whose turn may not have come yet.
#[derive(Default)]
pub(super) struct FaultQueue(VecDeque<Fault>);

impl FaultQueue {
    /// Adds faults behind the waiting ones.
    pub(super) fn extend(&mut self, faults: Vec<Fault>) {
        self.0.extend(faults);
    }

    /// Forgets all faults.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the fault of a request.
    pub(super) fn take(&mut self, kind: RouteKind) -> Option<Action> {
        let position = self.0.iter().position(|fault| fault.route == kind)?;
        let fault = &mut self.0[position];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.count = fault.count.saturating_sub(1);
        let action = fault.action.clone();
        if fault.count == 0 {
            drop(self.0.remove(position));
        }
        Some(action)
    }
}

const PAGE: &str = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Our services aren't available right now</h1></body></html>";

/// Returns the reply that comes instead of the proper one.
pub(super) fn instead(action: &Action) -> Response {
    match action {
        Action::Reply { status, headers, body } => {
            let reply = typed_reply(*status, "application/json; charset=utf-8", body.clone());
            headers.iter().fold(reply, |reply, (name, value)| with_header(reply, name, value))
        }
        Action::Html { status } => typed_reply(*status, "text/html", PAGE),
        _ => typed_reply(200, "", broken_body()),
    }
}

/// Damages a reply on its way.
pub(super) async fn damage(
    simulator: &Arc<Simulator>,
    action: Action,
    response: Response,
) -> Response {
    match action {
        Action::Truncate { bytes } => {
            cut(response, bytes, |_rest| stream::once(broken_soon()).boxed()).await
        }
        Action::Stall { seconds, after_bytes: 0 } => {
            pause(simulator, seconds).await;
            response
        }
        Action::Stall { seconds, after_bytes } => {
            let simulator = simulator.clone();
            cut(response, after_bytes, |rest| stream::once(later(simulator, seconds, rest)).boxed())
                .await
        }
        _ => response,
    }
}

async fn pause(simulator: &Simulator, seconds: u64) {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        () = simulator.stopped() => {}
    }
}

async fn later(simulator: Arc<Simulator>, seconds: u64, bytes: Bytes) -> io::Result<Bytes> {
    pause(&simulator, seconds).await;
    Ok(bytes)
}

/// A body that fails before its first byte: the connection closes before the head is sent.
fn broken_body() -> Body {
    Body::from_stream(stream::once(async {
        Err::<Bytes, _>(io::Error::other("closed on request"))
    }))
}

/// Fails a little later, when the bytes before are on their way.
async fn broken_soon() -> io::Result<Bytes> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Err(io::Error::other("cut on request"))
}

/// Sends the first bytes of a body as they are and leaves the rest to `then`.
async fn cut(
    response: Response,
    bytes: usize,
    then: impl FnOnce(Bytes) -> stream::BoxStream<'static, io::Result<Bytes>>,
) -> Response {
    let (mut parts, body) = response.into_parts();
    let content = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.len()));
    let first = content.slice(..bytes.min(content.len()));
    let rest = content.slice(first.len()..);
    let start = stream::once(async move { Ok(first) });
    Response::from_parts(parts, Body::from_stream(start.chain(then(rest))))
}
