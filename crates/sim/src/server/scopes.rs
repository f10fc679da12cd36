//! Scope paths in front of `/providers/Microsoft.CostManagement`.
//!
//! | path | scope |
//! |---|---|
//! | `providers/Microsoft.Billing/billingAccounts/{enrollment}` | the enrollment |
//! | `.../billingAccounts/{enrollment}/departments/{id}` | a department |
//! | `providers/Microsoft.Billing/departments/{id}` | the same |
//! | `.../billingAccounts/{enrollment}/enrollmentAccounts/{id}` | an enrollment account |
//! | `providers/Microsoft.Billing/enrollmentAccounts/{id}` | the same |
//! | `subscriptions/{guid}` | a subscription |

use super::replies::{Refused, Reply, arm_error};
use super::state::Simulator;
use crate::generator::{Organization, Scope};

/// Reads a scope path and checks that the caller may see it.
pub(super) fn resolve(simulator: &Simulator, path: &str) -> Result<Scope, Refused> {
    let lower = path.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').filter(|segment| !segment.is_empty()).collect();
    let own = simulator.config.enrollment.enrollment_number.to_ascii_lowercase();
    let scope = match segments.as_slice() {
        ["providers", "microsoft.billing", "billingaccounts", enrollment, ..]
            if *enrollment != own =>
        {
            return Err(Box::new(forbidden(simulator, path)));
        }
        ["providers", "microsoft.billing", "billingaccounts", _] => Scope::Enrollment,
        ["providers", "microsoft.billing", "billingaccounts", _, kind, id]
        | ["providers", "microsoft.billing", kind, id] => {
            part(kind, id).ok_or_else(|| Box::new(unsupported(path)))?
        }
        ["subscriptions", id] => Scope::Subscription((*id).to_owned()),
        _ => return Err(Box::new(unsupported(path))),
    };
    if exists(simulator.enrollment.organization(), &scope) {
        Ok(scope)
    } else {
        Err(Box::new(unknown(&scope)))
    }
}

fn part(kind: &str, id: &str) -> Option<Scope> {
    match kind {
        "departments" => Some(Scope::Department(id.to_owned())),
        "enrollmentaccounts" => Some(Scope::EnrollmentAccount(id.to_owned())),
        _ => None,
    }
}

fn exists(organization: &Organization, scope: &Scope) -> bool {
    match scope {
        Scope::Enrollment => true,
        Scope::Department(id) => {
            organization.departments.iter().any(|department| department.id == *id)
        }
        Scope::EnrollmentAccount(id) => {
            organization.accounts.iter().any(|account| account.id == *id)
        }
        Scope::Subscription(id) => {
            organization.subscriptions.iter().any(|subscription| subscription.id == *id)
        }
    }
}

/// Returns the refusal of a caller without a role on the scope.
pub(super) fn forbidden(simulator: &Simulator, path: &str) -> Reply {
    let message = format!(
        "The client '{}' does not have authorization to perform action \
         'Microsoft.CostManagement/generateCostDetailsReport/action' over scope '{path}' or the scope is invalid.",
        simulator.config.credentials.client_id
    );
    arm_error(403, "AuthorizationFailed", &message)
}

fn unsupported(path: &str) -> Reply {
    arm_error(
        404,
        "NotFound",
        &format!("Cost details reports are not available for scope '{path}'."),
    )
}

/// Returns the refusal of a scope that is not there.
pub(super) fn unknown(scope: &Scope) -> Reply {
    match scope {
        Scope::Enrollment => arm_error(404, "NotFound", "The billing account was not found."),
        Scope::Department(id) => {
            arm_error(404, "NotFound", &format!("The department '{id}' was not found."))
        }
        Scope::EnrollmentAccount(id) => {
            arm_error(404, "NotFound", &format!("The enrollment account '{id}' was not found."))
        }
        Scope::Subscription(id) => arm_error(
            404,
            "SubscriptionNotFound",
            &format!("The subscription '{id}' could not be found."),
        ),
    }
}
