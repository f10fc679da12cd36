//! The arithmetic of reconciliation, as `docs/reconciliation.md` describes it.
//!
//! ```text
//! department_month, department_class_month ─▶ departments ──▶ Vec<DepartmentDifference> ─▶ reconciliation
//!                                                                  ▲ share_back
//! commitment_month, commitment_department_month, month by month ─▶ Ledger ───────────┴─▶ Vec<CommitmentFigures> ─▶ commitment_reconciliation
//! ```
//!
//! All of one scope. Amounts are [`costlake_model::ExactSum`]s in the row's billing currency; two currencies are
//! never added. Departments are compared without case, as in rollups. No I/O and no clock.

pub mod allocation;
mod batches;
mod commitments;
mod departments;
mod error;
mod lifetime;
mod shared_back;
mod tables;

pub use batches::{commitment_reconciliation_batch, reconciliation_batch};
pub use commitments::{CommitmentFigures, CommitmentType, Ledger};
pub use departments::{
    ControlFault, ControlTotals, DepartmentDifference, Figures, SharedBack, Unknown,
    control_faults, departments, totals_by_currency,
};
pub use error::Error;
pub use lifetime::{State, term_months};
pub use shared_back::{ParsePolicyError, Policy, share_back};
pub use tables::{
    ClassCosts, CommitmentMonth, CommitmentName, CommitmentShare, Department, DepartmentCosts,
    class_costs, commitment_names, commitment_shares, department_costs,
};
