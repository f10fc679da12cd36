//! Who is to pay for unused shares.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use costlake_model::{ExactSum, STORED_SCALE, commitment};

use super::allocation::split;
use super::commitments::{Ledger, Shares};
use super::departments::{DepartmentDifference, Rows, SharedBack};
use super::error::Error;
use super::tables::CommitmentMonth;

/// To whom the unused shares of a commitment in a month go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// To nobody: they stay where the report has them.
    Central,
    /// To the departments that bought it, in proportion to what they paid to date, refunds taken away.
    Owner,
    /// To the departments that used it that month, in proportion to their used shares; where none did, to the owners.
    ByUsage,
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no policy: expected central, owner or by-usage")]
pub struct ParsePolicyError {
    found: String,
}

impl Policy {
    /// All policies, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Central, Self::Owner, Self::ByUsage];

    /// The name on the command line and in the column `unused_policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Owner => "owner",
            Self::ByUsage => "by-usage",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let policy = Self::ALL.into_iter().find(|policy| policy.name() == text);
        policy.ok_or_else(|| ParsePolicyError { found: text.to_owned() })
    }
}

/// Shares the unused shares of a month back to departments.
///
/// Returns the rows with `shared_back` filled, sorted as before. A department that has no row, but a part, gets one
/// with 0 in everything else. Per currency the parts add up to the unused shares, to the last digit. The ledger ends
/// with the same month.
///
/// # Errors
/// [`Error::OtherMonth`] for a ledger that ends with another month; [`Error::TooLarge`] for sums of more than 38
/// digits.
pub fn share_back(
    policy: Policy,
    rows: Vec<DepartmentDifference>,
    month: &CommitmentMonth,
    ledger: &Ledger,
) -> Result<Vec<DepartmentDifference>, Error> {
    let period = month.period;
    if ledger.period() != Some(period) {
        let last = ledger.period().map_or("no month".to_owned(), |last| last.to_string());
        return Err(Error::OtherMonth { period, last });
    }
    let mut rows: Rows = rows.into_iter().map(|row| with_own_shares(policy, row)).collect();
    for ((commitment_id, currency), unused) in unused_shares(month) {
        let Some(parts) =
            unused.parts(policy, &commitment_id, ledger.paid(&commitment_id, &currency))?
        else {
            continue;
        };
        let own = unused.by_department.into_iter().map(|(key, shares)| (key, -shares.unused));
        for (key, amount) in own.chain(parts).filter(|(_, amount)| !amount.is_zero()) {
            let row = rows.of(&ledger.department(&key), &currency);
            let shared_back =
                row.shared_back.get_or_insert(SharedBack { policy, amount: ExactSum::ZERO });
            shared_back.amount += amount;
        }
    }
    Ok(rows.into_sorted())
}

/// Leaves unused shares where they are: what is moved is added later.
fn with_own_shares(policy: Policy, row: DepartmentDifference) -> DepartmentDifference {
    let amount = row.figures.unused_shares;
    DepartmentDifference { shared_back: Some(SharedBack { policy, amount }), ..row }
}

/// The shares of a commitment in a month, in one currency.
#[derive(Default)]
struct UnusedShares {
    by_department: BTreeMap<String, Shares>,
}

/// The shares by commitment and currency. Those of no known commitment are left out, and so stay where they are.
fn unused_shares(month: &CommitmentMonth) -> BTreeMap<(String, String), UnusedShares> {
    let mut commitments: BTreeMap<_, UnusedShares> = BTreeMap::new();
    for row in month.rows.iter().filter(|row| row.commitment_id != commitment::UNKNOWN) {
        let key = (row.commitment_id.clone(), row.billing_currency.clone());
        let departments = &mut commitments.entry(key).or_default().by_department;
        departments.entry(row.department.key()).or_default().absorb(row);
    }
    commitments
}

impl UnusedShares {
    /// The parts of departments; `None` where unused shares stay where they are.
    fn parts(
        &self,
        policy: Policy,
        commitment_id: &str,
        paid: Option<&BTreeMap<String, ExactSum>>,
    ) -> Result<Option<BTreeMap<String, ExactSum>>, Error> {
        let unused: ExactSum = self.by_department.values().map(|shares| shares.unused).sum();
        let used =
            || self.by_department.iter().map(|(key, shares)| (key.clone(), shares.used)).collect();
        let none = BTreeMap::new();
        let by_owner = || split_sum(unused, paid.unwrap_or(&none), commitment_id);
        match policy {
            Policy::Central => Ok(None),
            Policy::Owner => by_owner(),
            Policy::ByUsage => match split_sum(unused, &used(), commitment_id)? {
                Some(parts) => Ok(Some(parts)),
                None => by_owner(),
            },
        }
    }
}

fn split_sum(
    amount: ExactSum,
    weights: &BTreeMap<String, ExactSum>,
    commitment_id: &str,
) -> Result<Option<BTreeMap<String, ExactSum>>, Error> {
    let stored = |sum: ExactSum| {
        sum.to_stored().ok_or_else(|| Error::TooLarge {
            figure: "shared_back",
            of: commitment_id.to_owned(),
            value: sum.to_string(),
            scale: STORED_SCALE,
        })
    };
    let units = weights.values().map(|weight| stored(*weight)).collect::<Result<Vec<_>, _>>()?;
    let Some(parts) = split(stored(amount)?, &units) else { return Ok(None) };
    let parts = parts.into_iter().map(ExactSum::from_stored);
    Ok(Some(weights.keys().cloned().zip(parts).collect()))
}
