//! Objects of Microsoft.Billing (2024-04-01) and subscriptions (2022-12-01), as far as there is something to say of them.
//!
//! | path | answers |
//! |---|---|
//! | `providers/Microsoft.Billing/billingAccounts/{enrollment}` | the enrollment |
//! | `.../departments`, `.../departments/{id}` | its departments, one of them |
//! | `.../enrollmentAccounts`, `.../enrollmentAccounts/{id}` | its enrollment accounts, one of them |
//! | `subscriptions/{guid}` | a subscription |

use super::replies::{Refused, Reply, arm_error, json_reply};
use super::request::Call;
use super::scopes;
use super::state::Simulator;
use crate::generator::{Account, Department, Scope};
use serde_json::{Value, json};

const BILLING_VERSION: &str = "2024-04-01";
const SUBSCRIPTION_VERSION: &str = "2022-12-01";

/// Answers a request for an object, if the path is that of one.
pub(super) fn get(simulator: &Simulator, call: &Call) -> Option<Reply> {
    let lower = call.path.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').filter(|segment| !segment.is_empty()).collect();
    let reply = match segments.as_slice() {
        ["subscriptions", id] => subscription(simulator, call, id),
        [
            "providers",
            "microsoft.billing",
            "billingaccounts",
            _,
            kind @ ("departments" | "enrollmentaccounts"),
        ] => list(simulator, call, kind),
        ["providers", "microsoft.billing", "billingaccounts", _]
        | [
            "providers",
            "microsoft.billing",
            "billingaccounts",
            _,
            "departments" | "enrollmentaccounts",
            _,
        ] => object(simulator, call),
        _ => return None,
    };
    Some(reply.unwrap_or_else(|refused| *refused))
}

fn check_version(call: &Call, expected: &str) -> Result<(), Refused> {
    let (code, message) = match call.query.get("api-version") {
        Some(version) if version == expected => return Ok(()),
        Some(version) => (
            "InvalidApiVersionParameter",
            format!("The api-version '{version}' is invalid or not supported."),
        ),
        None => (
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests."
                .to_owned(),
        ),
    };
    Err(Box::new(arm_error(400, code, &message)))
}

fn subscription(simulator: &Simulator, call: &Call, id: &str) -> Result<Reply, Refused> {
    check_version(call, SUBSCRIPTION_VERSION)?;
    let known = &simulator.enrollment.organization().subscriptions;
    match known.iter().find(|subscription| subscription.id == id) {
        Some(subscription) => Ok(json_reply(
            200,
            &json!({
                "id": format!("/subscriptions/{id}"),
                "subscriptionId": subscription.id,
                "tenantId": simulator.config.credentials.tenant_id,
                "displayName": subscription.name,
                "state": "Enabled",
                "subscriptionPolicies": { "quotaId": "EnterpriseAgreement_2014-09-01", "spendingLimit": "Off" },
                "authorizationSource": "RoleBased",
            }),
        )),
        None => Err(Box::new(scopes::unknown(&Scope::Subscription(id.to_owned())))),
    }
}

fn list(simulator: &Simulator, call: &Call, kind: &str) -> Result<Reply, Refused> {
    check_version(call, BILLING_VERSION)?;
    let account = call.path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    scopes::resolve(simulator, account)?;
    let organization = simulator.enrollment.organization();
    let value: Vec<Value> = if kind == "departments" {
        let known = organization.departments.iter().filter(|department| !department.id.is_empty());
        known.map(|known| department(simulator, known)).collect()
    } else {
        organization.accounts.iter().map(|known| enrollment_account(simulator, known)).collect()
    };
    Ok(json_reply(200, &json!({ "value": value })))
}

fn object(simulator: &Simulator, call: &Call) -> Result<Reply, Refused> {
    check_version(call, BILLING_VERSION)?;
    let organization = simulator.enrollment.organization();
    let body = match scopes::resolve(simulator, &call.path)? {
        Scope::Department(id) => organization
            .departments
            .iter()
            .find(|known| known.id == id)
            .map(|known| department(simulator, known)),
        Scope::EnrollmentAccount(id) => organization
            .accounts
            .iter()
            .find(|known| known.id == id)
            .map(|known| enrollment_account(simulator, known)),
        Scope::Enrollment | Scope::Subscription(_) => Some(billing_account(simulator)),
    };
    Ok(json_reply(200, &body.unwrap_or_default()))
}

fn account_path(simulator: &Simulator) -> String {
    let number = &simulator.config.enrollment.enrollment_number;
    format!("/providers/Microsoft.Billing/billingAccounts/{number}")
}

fn billing_account(simulator: &Simulator) -> Value {
    let config = &simulator.config.enrollment;
    json!({
        "id": account_path(simulator),
        "name": config.enrollment_number,
        "type": "Microsoft.Billing/billingAccounts",
        "properties": {
            "accountStatus": "Active",
            "accountType": "Enterprise",
            "agreementType": "EnterpriseAgreement",
            "displayName": config.enrollment_name,
            "hasReadAccess": true,
            "enrollmentDetails": {
                "startDate": format!("{}T00:00:00Z", config.first_month.first_day()),
                "currency": config.currency,
                "channel": "EaDirect",
                "language": "en",
                "countryCode": "DE",
                "billingCycle": "Monthly",
                "supportLevel": "Standard",
                "cloud": "Azure Commercial",
            },
        },
    })
}

fn department(simulator: &Simulator, department: &Department) -> Value {
    json!({
        "id": format!("{}/departments/{}", account_path(simulator), department.id),
        "name": department.id,
        "type": "Microsoft.Billing/billingAccounts/departments",
        "properties": { "displayName": department.name, "status": "Active" },
    })
}

fn enrollment_account(simulator: &Simulator, account: &Account) -> Value {
    let department = &simulator.enrollment.organization().departments[account.department];
    json!({
        "id": format!("{}/enrollmentAccounts/{}", account_path(simulator), account.id),
        "name": account.id,
        "type": "Microsoft.Billing/billingAccounts/enrollmentAccounts",
        "properties": {
            "displayName": account.name,
            "departmentDisplayName": department.name,
            "departmentId": department.id,
            "isDevTestEnabled": false,
            "accountOwner": account.owner,
            "authType": "Organization",
            "status": "Active",
        },
    })
}
