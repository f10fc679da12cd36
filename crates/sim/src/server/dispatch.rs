//! Finds out what a request is for. Paths are compared without case, as Azure Resource Manager does.

use super::damage;
use super::faults::Action;
use super::replies::{Refused, Reply, arm_error, empty_reply};
use super::request::Call;
use super::state::{Simulator, lock};
use super::{billing, blobs, control, identity, login, reports};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RouteKind {
    Token,
    Submit,
    Poll,
    Blob,
    Other,
    /// The control plane, which has no faults.
    Control,
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
            Self::Control => "control",
        }
    }

    /// Returns the kind that faults may name so.
    pub(super) fn named(name: &str) -> Option<Self> {
        let kinds = [Self::Token, Self::Submit, Self::Poll, Self::Blob, Self::Other];
        kinds.into_iter().find(|kind| kind.name() == name)
    }

    fn of(lower_path: &str) -> Self {
        if lower_path.starts_with(control::PREFIX) {
            Self::Control
        } else if lower_path.ends_with("/oauth2/v2.0/token")
            || [identity::APP_SERVICE_PATH, identity::MACHINE_PATH].contains(&lower_path)
        {
            Self::Token
        } else if lower_path.starts_with("/blobs/") {
            Self::Blob
        } else if lower_path.ends_with(reports::SUBMIT_SUFFIX) {
            Self::Submit
        } else if reports::POLL_MARKS.iter().any(|mark| lower_path.contains(mark)) {
            Self::Poll
        } else {
            Self::Other
        }
    }
}

/// A request, what it is for, and what goes wrong with it.
pub(super) struct Errand {
    pub(super) call: Call,
    pub(super) kind: RouteKind,
    pub(super) fault: Option<Action>,
}

impl Errand {
    /// Sorts a request and takes its fault.
    pub(super) fn new(simulator: &Simulator, call: Call) -> Self {
        let kind = RouteKind::of(&call.path.to_ascii_lowercase());
        let has_faults = kind != RouteKind::Control;
        let fault = if has_faults { lock(&simulator.faults).take(kind) } else { None };
        Self { call, kind, fault }
    }

    /// Returns how long nothing happens before the request is carried out.
    pub(super) fn pause_before(&self) -> Option<Duration> {
        match &self.fault {
            Some(stall @ Action::Stall { after_bytes: None, effect: false, .. }) => stall.stall(),
            _ => None,
        }
    }
}

/// Carries a request out and returns its answer, damaged where that does not concern HTTP itself.
pub(super) async fn answer(simulator: &Arc<Simulator>, errand: &Errand) -> Reply {
    let call = &errand.call;
    if errand.kind == RouteKind::Control {
        return control::answer(simulator, call);
    }
    if matches!(errand.fault, Some(Action::Advance)) {
        simulator.revision.fetch_add(1, Ordering::Relaxed);
    }
    let is_prevented = errand.fault.as_ref().is_some_and(Action::prevents);
    let reply = if is_prevented { empty_reply(200) } else { route(simulator, errand).await };
    let mut reply = match &errand.fault {
        Some(action) => damage::damage(simulator, errand, action, reply),
        None => reply,
    };
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        reply.set_header(name, &simulator.new_id());
    }
    let is_silent = errand.fault.as_ref().is_some_and(Action::is_silent);
    lock(&simulator.log).add(errand, (!is_silent).then_some(reply.status));
    reply
}

async fn route(simulator: &Arc<Simulator>, errand: &Errand) -> Reply {
    let (call, fault) = (&errand.call, errand.fault.as_ref());
    match (errand.kind, call.method.as_str()) {
        (RouteKind::Token, "POST") => login::token(simulator, call),
        (RouteKind::Token, "GET") if !call.path.ends_with("/v2.0/token") => {
            identity::token(simulator, call)
        }
        (RouteKind::Submit, "POST") => reports::submit(simulator, call, fault).await,
        (RouteKind::Poll, "GET") => reports::poll(simulator, call, fault).await,
        (RouteKind::Blob, "GET" | "HEAD") => blobs::download(simulator, call, fault).await,
        (RouteKind::Other, _) => other(simulator, call).unwrap_or_else(|refused| *refused),
        _ => arm_error(405, "MethodNotAllowed", "The resource does not support this HTTP method."),
    }
}

fn other(simulator: &Simulator, call: &Call) -> Result<Reply, Refused> {
    login::check(simulator, call)?;
    let object = if call.method == "GET" { billing::get(simulator, call) } else { None };
    Ok(object.unwrap_or_else(not_found))
}

fn not_found() -> Reply {
    arm_error(404, "NotFound", "The resource or the provider operation does not exist.")
}
