//! Billing scopes of an Enterprise Agreement (`azure-apis.md`, 0.2) and their names in the lake.

use std::fmt;
use std::str::FromStr;

/// What a report covers. Not to be confused with the department that a rollup groups by: a
/// [`Scope::EaDepartment`] is a place in Azure that a caller has rights on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A whole enrollment, by its number.
    BillingAccount(String),
    /// A department of an enrollment. The enrollment is part of the newer path form only.
    EaDepartment {
        /// The enrollment number, if the path names it.
        billing_account: Option<String>,
        /// The department id.
        id: String,
    },
    /// An enrollment account. The enrollment is part of the newer path form only.
    EnrollmentAccount {
        /// The enrollment number, if the path names it.
        billing_account: Option<String>,
        /// The account id.
        id: String,
    },
    /// A subscription, by its GUID.
    Subscription(String),
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no scope: expected {expected}")]
pub struct ParseScopeError {
    found: String,
    expected: &'static str,
}

const EXPECTED_PATH: &str = "a path such as /providers/Microsoft.Billing/billingAccounts/1234567, \
    …/departments/12, …/enrollmentAccounts/34 or /subscriptions/<guid>";
const EXPECTED_ID: &str = "an id of letters, digits, `-`, `_`, `.` or `:`";

impl Scope {
    /// Returns the scope of an enrollment.
    ///
    /// # Errors
    /// If the number holds anything but id characters; so for the other constructors.
    pub fn billing_account(id: &str) -> Result<Self, ParseScopeError> {
        Ok(Self::BillingAccount(checked_id(id)?))
    }

    /// Returns the scope of a department, in the newer path form if the enrollment is given.
    pub fn department(billing_account: Option<&str>, id: &str) -> Result<Self, ParseScopeError> {
        Ok(Self::EaDepartment {
            billing_account: billing_account.map(checked_id).transpose()?,
            id: checked_id(id)?,
        })
    }

    /// Returns the scope of an enrollment account, in the newer path form if the enrollment is given.
    pub fn enrollment_account(
        billing_account: Option<&str>,
        id: &str,
    ) -> Result<Self, ParseScopeError> {
        Ok(Self::EnrollmentAccount {
            billing_account: billing_account.map(checked_id).transpose()?,
            id: checked_id(id)?,
        })
    }

    /// Returns the scope of a subscription.
    pub fn subscription(id: &str) -> Result<Self, ParseScopeError> {
        Ok(Self::Subscription(checked_id(id)?))
    }

    /// The resource path, with a leading slash and without a trailing one.
    pub fn path(&self) -> String {
        const BILLING: &str = "/providers/Microsoft.Billing";
        let under = |account: &Option<String>, kind: &str, id: &str| match account {
            Some(account) => format!("{BILLING}/billingAccounts/{account}/{kind}/{id}"),
            None => format!("{BILLING}/{kind}/{id}"),
        };
        match self {
            Self::BillingAccount(id) => format!("{BILLING}/billingAccounts/{id}"),
            Self::EaDepartment { billing_account, id } => under(billing_account, "departments", id),
            Self::EnrollmentAccount { billing_account, id } => {
                under(billing_account, "enrollmentAccounts", id)
            }
            Self::Subscription(id) => format!("/subscriptions/{id}"),
        }
    }

    /// The name of this scope in partition paths.
    pub fn slug(&self) -> ScopeSlug {
        let text = match self {
            Self::BillingAccount(id) => format!("billing-account-{id}"),
            Self::EaDepartment { id, .. } => format!("department-{id}"),
            Self::EnrollmentAccount { id, .. } => format!("enrollment-account-{id}"),
            Self::Subscription(id) => format!("subscription-{id}"),
        };
        ScopeSlug::from_name(&text)
    }
}

fn checked_id(id: &str) -> Result<String, ParseScopeError> {
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    let sound = !id.is_empty() && id.len() <= 200 && id.bytes().all(is_id) && !id.starts_with('.');
    if sound {
        Ok(id.to_owned())
    } else {
        Err(ParseScopeError { found: id.to_owned(), expected: EXPECTED_ID })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.path())
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    /// Reads a resource path; the leading slash is optional and case of the fixed segments is free.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments: Vec<&str> = text.trim_matches('/').split('/').collect();
        let keys: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        match keys.as_slice() {
            ["subscriptions", _] => Self::subscription(segments[1]),
            ["providers", "microsoft.billing", "billingaccounts", _] => {
                Self::billing_account(segments[3])
            }
            ["providers", "microsoft.billing", "departments", _] => {
                Self::department(None, segments[3])
            }
            ["providers", "microsoft.billing", "enrollmentaccounts", _] => {
                Self::enrollment_account(None, segments[3])
            }
            ["providers", "microsoft.billing", "billingaccounts", _, "departments", _] => {
                Self::department(Some(segments[3]), segments[5])
            }
            ["providers", "microsoft.billing", "billingaccounts", _, "enrollmentaccounts", _] => {
                Self::enrollment_account(Some(segments[3]), segments[5])
            }
            _ => Err(ParseScopeError { found: text.to_owned(), expected: EXPECTED_PATH }),
        }
    }
}

/// The name of a scope in partition paths: lower-case ASCII letters, digits and dashes, never empty.
///
/// Five of eight Parquet readers disagree about anything else in a partition value
/// (`reliability.md`, 3.8), so other characters become dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeSlug(String);

impl ScopeSlug {
    /// Returns the slug of any name: `Ünit A/B` becomes `nit-a-b`, an empty one `scope`.
    pub fn from_name(name: &str) -> Self {
        let mut slug = String::with_capacity(name.len());
        for c in name.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(150);
        let slug = slug.trim_end_matches('-');
        Self(if slug.is_empty() { "scope" } else { slug }.to_owned())
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_printed_back() {
        for path in [
            "/providers/Microsoft.Billing/billingAccounts/8608480",
            "/providers/Microsoft.Billing/billingAccounts/8608480/departments/84819",
            "/providers/Microsoft.Billing/departments/84819",
            "/providers/Microsoft.Billing/billingAccounts/8608480/enrollmentAccounts/3",
            "/providers/Microsoft.Billing/enrollmentAccounts/3",
            "/subscriptions/00000000-0000-0000-0000-000000000001",
        ] {
            assert_eq!(path.parse::<Scope>().unwrap().path(), path);
            assert_eq!(
                path[1..].to_uppercase().parse::<Scope>().unwrap().path().to_uppercase(),
                path.to_uppercase()
            );
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in [
            "",
            "/",
            "/subscriptions/",
            "/subscriptions/a/resourceGroups/b",
            "/providers/Microsoft.Billing/billingAccounts/..",
            "/subscriptions/a?b",
        ] {
            assert!(path.parse::<Scope>().is_err(), "{path}");
        }
    }

    #[test]
    fn slugs_are_plain_for_every_byte() {
        for byte in 0..=255_u8 {
            let slug = ScopeSlug::from_name(&String::from_utf8_lossy(&[b'a', byte]));
            assert!(
                slug.as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
        assert_eq!(ScopeSlug::from_name("Ünit A/B").as_str(), "nit-a-b");
        assert_eq!(ScopeSlug::from_name("ü").as_str(), "scope");
    }
}
