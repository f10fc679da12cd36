//! The control plane for tests, which Azure does not have.
//!
//! | request | does |
//! |---|---|
//! | `POST /_simulator/advance` | shows the next state of the open month; returns `{"revision": n}` |
//! | `POST /_simulator/faults` | queues faults, a JSON list: `[{"route": "poll", "skip": 1, "count": 2, "action": {"type": "reply", "status": 429, "headers": {"Retry-After": "1"}}}]` |
//! | `DELETE /_simulator/faults` | forgets them, and counts requests anew |
//! | `GET /_simulator/requests` | counts per kind and the list of requests |
//! | `GET /_simulator/reports` | all reports in the order of their requests, with their blobs and what was sent of them |
//! | `GET /_simulator/organization` | ids of departments, accounts and subscriptions |
//! | `POST /_simulator/shutdown` | ends the server |

use super::faults::FaultList;
use super::replies::{Reply, arm_error, empty_reply, json_reply};
use super::reports;
use super::request::Call;
use super::state::{Simulator, lock};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Start of all its paths, in lower case.
pub(super) const PREFIX: &str = "/_simulator/";

/// Answers a control request.
pub(super) fn answer(simulator: &Simulator, call: &Call) -> Reply {
    let path = call.path.to_ascii_lowercase();
    let command = path.strip_prefix(PREFIX).unwrap_or_default();
    match (call.method.as_str(), command) {
        ("POST", "advance") => {
            let revision = simulator.revision.fetch_add(1, Ordering::Relaxed) + 1;
            json_reply(200, &json!({ "revision": revision }))
        }
        ("POST", "faults") => queue_faults(simulator, &call.body),
        ("DELETE", "faults") => {
            lock(&simulator.faults).clear();
            empty_reply(204)
        }
        ("GET", "requests") => json_reply(200, &lock(&simulator.log).to_json()),
        ("GET", "reports") => json_reply(200, &reports::list(simulator)),
        ("GET", "organization") => json_reply(200, &organization(simulator)),
        ("POST", "shutdown") => {
            simulator.stop();
            empty_reply(202)
        }
        _ => arm_error(404, "NotFound", "The simulator has no such command."),
    }
}

fn queue_faults(simulator: &Simulator, body: &[u8]) -> Reply {
    match FaultList::from_json(body) {
        Ok(faults) => {
            lock(&simulator.faults).extend(faults);
            empty_reply(204)
        }
        Err(error) => arm_error(400, "InvalidFaults", &error.to_string()),
    }
}

fn organization(simulator: &Simulator) -> Value {
    let organization = simulator.enrollment.organization();
    let departments: Vec<Value> = organization
        .departments
        .iter()
        .map(|department| json!({ "id": department.id, "name": department.name }))
        .collect();
    let accounts: Vec<Value> = organization
        .accounts
        .iter()
        .map(|account| json!({ "id": account.id, "department": account.department }))
        .collect();
    let subscriptions: Vec<Value> = organization
        .subscriptions
        .iter()
        .map(|subscription| json!({ "id": subscription.id, "account": subscription.account }))
        .collect();
    json!({ "departments": departments, "accounts": accounts, "subscriptions": subscriptions })
}
