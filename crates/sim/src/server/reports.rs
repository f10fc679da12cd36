//! Cost Details reports: submit, poll, complete.

use super::blobs::{self, Link, Recipe};
use super::faults::Action;
use super::packing::Packing;
use super::replies::{Refused, Reply, arm_error, empty_reply, json_reply, with_header};
use super::request::Call;
use super::request_body;
use super::state::{Simulator, azure_time, lock};
use super::throttle::{self, Remaining};
use super::{LinkRenewal, NoData, login, scopes};
use crate::generator::{BlobPlan, Selection};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// End of the path that creates a report, in lower case.
pub(super) const SUBMIT_SUFFIX: &str =
    "/providers/microsoft.costmanagement/generatecostdetailsreport";
/// What poll paths contain, in lower case: the specification's spelling and that of the prose documentation.
pub(super) const POLL_MARKS: [&str; 2] = [
    "/providers/microsoft.costmanagement/costdetailsoperationresults/",
    "/providers/microsoft.costmanagement/costdetailsoperationstatus/",
];

/// Versions of the Cost Details API.
const API_VERSIONS: &[&str] = &[
    "2022-05-01",
    "2022-10-01",
    "2022-10-05-preview",
    "2023-03-01",
    "2023-04-01-preview",
    "2023-07-01-preview",
    "2023-08-01",
    "2023-09-01",
    "2023-11-01",
    "2024-08-01",
    "2025-03-01",
];

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A report on its way.
#[derive(Clone)]
pub(super) struct Operation {
    id: String,
    scope_path: String,
    api_version: String,
    request_body: Value,
    session_token: String,
    submitted: DateTime<Utc>,
    polls: u64,
    polls_left: u32,
    is_complete: bool,
    outcome: Outcome,
    packing: Option<Packed>,
    /// Set by the poll that completes the report.
    links: Option<SignedLinks>,
}

/// How the blobs of a report are packed, and whether its manifest says so.
#[derive(Clone, Copy)]
struct Packed {
    packing: Packing,
    flag: bool,
}

#[derive(Clone)]
enum Outcome {
    Blobs(Vec<BlobPlan>),
    NoData,
    Failed { code: String, message: String },
}

#[derive(Clone)]
struct SignedLinks {
    links: Vec<Link>,
    valid_till: DateTime<Utc>,
}

/// Answers a request for a report.
pub(super) async fn submit(
    simulator: &Arc<Simulator>,
    call: &Call,
    fault: Option<&Action>,
) -> Reply {
    let (operation, remaining) = match accept(simulator, call, fault) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    remaining.add_to(begin(simulator, operation, fault).await)
}

/// Begins a report and returns the answer to its request.
async fn begin(
    simulator: &Arc<Simulator>,
    mut operation: Operation,
    fault: Option<&Action>,
) -> Reply {
    operation.outcome = limited(simulator, operation.outcome).await;
    if matches!(operation.outcome, Outcome::NoData) && simulator.config.no_data == NoData::NoContent
    {
        return empty_reply(204);
    }
    if matches!(fault, Some(Action::CompleteAtOnce)) {
        operation.polls_left = 0;
        let reply = complete(simulator, &mut operation, None).await;
        lock(&simulator.operations).insert(operation.id.clone(), operation);
        return reply;
    }
    let reply = accepted(simulator, &operation);
    lock(&simulator.operations).insert(operation.id.clone(), operation);
    reply
}

/// Answers the question whether a report is ready.
pub(super) async fn poll(simulator: &Arc<Simulator>, call: &Call, fault: Option<&Action>) -> Reply {
    let (mut operation, remaining) = match find(simulator, call, fault) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    if let Some(Action::FailedReport { code, message }) = fault {
        operation.outcome = Outcome::Failed { code: code.clone(), message: message.clone() };
        operation.polls_left = 0;
    }
    operation.polls += 1;
    operation.packing = packed(fault).or(operation.packing);
    let reply = match fault {
        Some(Action::NeverReady) => accepted(simulator, &operation),
        Some(Action::Swap) => complete(simulator, &mut another(simulator, &operation), None).await,
        _ if operation.polls_left > 0 => {
            operation.polls_left -= 1;
            accepted(simulator, &operation)
        }
        _ => complete(simulator, &mut operation, fault).await,
    };
    lock(&simulator.operations).insert(operation.id.clone(), operation);
    remaining.add_to(reply)
}

/// A report with too many rows takes too long.
async fn limited(simulator: &Simulator, outcome: Outcome) -> Outcome {
    let (Outcome::Blobs(plans), Some(most)) = (&outcome, simulator.config.most_rows) else {
        return outcome;
    };
    let (enrollment, plans) = (simulator.enrollment.clone(), plans.clone());
    let count = move || plans.iter().map(|plan| enrollment.count_rows(plan)).sum::<u64>();
    // Counting does not fail; were it to panic, the report goes its way.
    let rows = tokio::task::spawn_blocking(count).await.unwrap_or_default();
    if rows <= most {
        return outcome;
    }
    let message = "The report is too large. Ask for a shorter period or a narrower scope.";
    Outcome::Failed { code: "GatewayTimeout".to_owned(), message: message.to_owned() }
}

/// Returns all reports in the order of their requests.
pub(super) fn list(simulator: &Simulator) -> Value {
    let mut operations: Vec<Operation> = lock(&simulator.operations).values().cloned().collect();
    operations.sort_by_key(|operation| operation.submitted);
    operations.iter().map(|operation| account(simulator, operation)).collect()
}

fn account(simulator: &Simulator, operation: &Operation) -> Value {
    let (state, blobs) = match &operation.outcome {
        Outcome::Blobs(plans) => ("Completed", plans.len()),
        Outcome::NoData => ("NoDataFound", 0),
        Outcome::Failed { .. } => ("Failed", 0),
    };
    let blobs: Vec<Value> = (0..blobs)
        .map(|number| blobs::account(simulator, &operation.id, number))
        .filter(|account| !account.is_null())
        .collect();
    json!({
        "id": operation.id,
        "scope": operation.scope_path,
        "request": operation.request_body,
        "submitted": operation.submitted.to_rfc3339_opts(SecondsFormat::Micros, true),
        "polls": operation.polls,
        "state": if operation.is_complete { state } else { "Running" },
        "blobs": blobs,
    })
}

/// Returns another report that was asked for, made up if there is none.
fn another(simulator: &Simulator, operation: &Operation) -> Operation {
    let other =
        lock(&simulator.operations).values().find(|other| other.id != operation.id).cloned();
    other.unwrap_or_else(|| Operation { id: simulator.new_id(), ..operation.clone() })
}

fn accept(
    simulator: &Simulator,
    call: &Call,
    fault: Option<&Action>,
) -> Result<(Operation, Remaining), Refused> {
    expire_tokens(simulator, fault);
    login::check(simulator, call)?;
    let api_version = check_api_version(call)?;
    let scope_path =
        call.path[..call.path.len() - SUBMIT_SUFFIX.len()].trim_matches('/').to_owned();
    let scope = scopes::resolve(simulator, &scope_path)?;
    let remaining = throttle::admit(simulator, call, &scope_path)?;
    let config = &simulator.config;
    let request = request_body::parse(&call.body, &config.enrollment, config.months_back)?;
    let selection = Selection {
        scope,
        metric: request.metric,
        from: request.days.0,
        to: request.days.1,
        revision: simulator.revision.load(Ordering::Relaxed),
    };
    let plans = simulator.enrollment.plan(&selection, simulator.config.blobs_per_report);
    let operation = Operation {
        id: simulator.new_id(),
        scope_path,
        api_version,
        request_body: serde_json::from_slice(&call.body).unwrap_or_default(),
        session_token: simulator.new_id(),
        submitted: simulator.now(),
        polls: 0,
        polls_left: simulator.config.polls_before_completion,
        is_complete: false,
        outcome: outcome(plans, fault),
        packing: packed(fault),
        links: None,
    };
    Ok((operation, remaining))
}

fn packed(fault: Option<&Action>) -> Option<Packed> {
    match fault {
        Some(action @ Action::Compress { flag, .. }) => {
            action.packing().map(|packing| Packed { packing, flag: *flag })
        }
        _ => None,
    }
}

fn outcome(plans: Vec<BlobPlan>, fault: Option<&Action>) -> Outcome {
    match fault {
        Some(Action::FailedReport { code, message }) => {
            Outcome::Failed { code: code.clone(), message: message.clone() }
        }
        Some(Action::NoDataFound) => Outcome::NoData,
        _ if plans.is_empty() => Outcome::NoData,
        _ => Outcome::Blobs(plans),
    }
}

fn find(
    simulator: &Simulator,
    call: &Call,
    fault: Option<&Action>,
) -> Result<(Operation, Remaining), Refused> {
    expire_tokens(simulator, fault);
    login::check(simulator, call)?;
    check_api_version(call)?;
    let id =
        call.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let operation = lock(&simulator.operations).get(&id).cloned();
    let operation = operation
        .ok_or_else(|| Box::new(arm_error(404, "NotFound", "The report was not found.")))?;
    let remaining = throttle::admit(simulator, call, &operation.scope_path)?;
    // Location is opaque: whoever builds it anew loses its parameters.
    if call.query.get("sessiontoken") != Some(&operation.session_token) {
        return Err(Box::new(arm_error(
            400,
            "BadRequest",
            "The session token is missing or wrong.",
        )));
    }
    Ok((operation, remaining))
}

fn expire_tokens(simulator: &Simulator, fault: Option<&Action>) {
    if matches!(fault, Some(Action::ExpireTokens)) {
        let now = simulator.now();
        lock(&simulator.tokens).values_mut().for_each(|expiry| *expiry = now);
    }
}

fn check_api_version(call: &Call) -> Result<String, Refused> {
    match call.query.get("api-version") {
        Some(version) if API_VERSIONS.contains(&version.as_str()) => Ok(version.clone()),
        Some(version) => {
            let message = format!("The api-version '{version}' is invalid or not supported.");
            Err(Box::new(arm_error(400, "InvalidApiVersionParameter", &message)))
        }
        None => {
            let message =
                "The api-version query parameter (?api-version=) is required for all requests.";
            Err(Box::new(arm_error(400, "MissingApiVersionParameter", message)))
        }
    }
}

fn accepted(simulator: &Simulator, operation: &Operation) -> Reply {
    let location = format!(
        "{}/{}/providers/Microsoft.CostManagement/costDetailsOperationResults/{}?api-version={}&sessiontoken={}&OperationType=CostDetails",
        simulator.origin,
        operation.scope_path,
        operation.id,
        operation.api_version,
        operation.session_token
    );
    let retry_after = simulator.config.retry_after_seconds.to_string();
    with_header(with_header(empty_reply(202), "location", &location), "retry-after", &retry_after)
}

async fn complete(
    simulator: &Arc<Simulator>,
    operation: &mut Operation,
    fault: Option<&Action>,
) -> Reply {
    let path = format!(
        "{}/providers/Microsoft.CostManagement/costDetailsOperationResults/{}",
        operation.scope_path, operation.id
    );
    let head = json!({ "id": path, "name": operation.id });
    operation.is_complete = true;
    match operation.outcome.clone() {
        Outcome::NoData => json_reply(200, &joined(head, json!({ "status": "NoDataFound" }))),
        Outcome::Failed { code, message } => {
            let error = json!({ "code": code, "message": message });
            json_reply(200, &joined(head, json!({ "status": "Failed", "error": error })))
        }
        Outcome::Blobs(plans) => {
            let signed = sign_links(simulator, operation, &plans, fault).await;
            let body = completed(operation, &signed);
            operation.links = Some(signed);
            json_reply(200, &joined(head, body))
        }
    }
}

async fn sign_links(
    simulator: &Arc<Simulator>,
    operation: &Operation,
    plans: &[BlobPlan],
    fault: Option<&Action>,
) -> SignedLinks {
    let born_expired = matches!(fault, Some(Action::ExpireLinks));
    if let (Some(signed), LinkRenewal::Never, false) =
        (&operation.links, simulator.config.link_renewal, born_expired)
    {
        return signed.clone();
    }
    let now = simulator.now();
    let lifetime = simulator.config.link_lifetime.unwrap_or(A_YEAR);
    let valid_till = if born_expired { now - Duration::from_secs(1) } else { now + lifetime };
    let packing = operation.packing.map(|packed| packed.packing);
    let mut links = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let recipe = Recipe { plan: plan.clone(), packing };
        links.push(blobs::publish(simulator, &operation.id, number, &recipe, valid_till).await);
    }
    SignedLinks { links, valid_till }
}

fn completed(operation: &Operation, signed: &SignedLinks) -> Value {
    let blobs: Vec<Value> = signed
        .links
        .iter()
        .map(|link| json!({ "blobLink": link.url, "byteCount": link.bytes }))
        .collect();
    json!({
        "status": "Completed",
        "manifest": {
            "manifestVersion": operation.api_version,
            "dataFormat": "Csv",
            "byteCount": signed.links.iter().map(|link| link.bytes).sum::<u64>(),
            "blobCount": blobs.len(),
            "compressData": operation.packing.is_some_and(|packed| packed.flag),
            "requestContext": {
                "requestScope": operation.scope_path,
                "requestBody": operation.request_body,
            },
            "blobs": blobs,
        },
        "validTill": azure_time(signed.valid_till),
    })
}

fn joined(mut head: Value, tail: Value) -> Value {
    if let (Value::Object(head), Value::Object(tail)) = (&mut head, tail) {
        head.extend(tail);
    }
    head
}
