//! The control plane for tests, which Azure does not have.
//!
//! | request | does |
//! |---|---|
//! | `POST /_simulator/advance` | shows the next state of the open month; returns `{"revision": n}` |
//! | `POST /_simulator/faults` | queues faults, a JSON list: `[{"route": "poll", "skip": 1, "count": 2, "action": {"type": "reply", "status": 429, "headers": {"Retry-After": "1"}}}]` |
//! | `DELETE /_simulator/faults` | forgets them |
//! | `GET /_simulator/requests` | counts per kind and the list of requests |
//! | `GET /_simulator/organization` | ids of departments, accounts and subscriptions |
//! | `POST /_simulator/shutdown` | ends the server |

use super::dispatch::Call;
use super::faults::Fault;
use super::replies::{arm_error, empty_reply, json_reply};
use super::state::{Simulator, lock};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Answers a control request; `command` is the path behind `/_simulator/`.
pub(super) fn answer(simulator: &Simulator, call: &Call, command: &str) -> Response {
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
        ("GET", "organization") => json_reply(200, &organization(simulator)),
        ("POST", "shutdown") => {
            simulator.stop();
            empty_reply(202)
        }
        _ => arm_error(404, "NotFound", "The simulator has no such command."),
    }
}

fn queue_faults(simulator: &Simulator, body: &[u8]) -> Response {
    match serde_json::from_slice::<Vec<Fault>>(body) {
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
