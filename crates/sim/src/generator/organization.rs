//! The invented company: departments, the accounts that belong to them, and the subscriptions the accounts pay for.

use super::config::EnrollmentConfig;
use super::random::{Random, to_index};
use super::row::{Column, Row, rendered_field};
use chrono::NaiveDate;

/// A department of the enrollment; cost rows call it invoice section.
#[derive(Clone, Debug)]
pub struct Department {
    /// Department id; empty for the accounts that belong to none.
    pub id: String,
    /// Name, at first.
    pub name: String,
    /// The day on which it got another name, and that name.
    pub renamed: Option<(NaiveDate, String)>,
}

/// An enrollment account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Account id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Mail address of the owner.
    pub owner: String,
    /// Its department, an index into the list of departments.
    pub department: usize,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Subscription id, a GUID in lower case.
    pub id: String,
    /// Display name.
    pub name: String,
    /// The account that pays, an index into the list of accounts.
    pub account: usize,
    /// Cost centre, as free text.
    pub cost_center: String,
}

/// All departments, accounts and subscriptions of the enrollment.
#[derive(Debug)]
pub struct Organization {
    /// Departments, the one without id included.
    pub departments: Vec<Department>,
    /// Enrollment accounts.
    pub accounts: Vec<Account>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
}

/// Id and name of each department. One has a comma, one letters outside ASCII, one a no-break space, one no id.
const DEPARTMENTS: &[(&str, &str)] = &[
    ("36910", "Finance, Controlling & Audit"),
    ("36911", "Forschung & Entwicklung Zürich"),
    ("36912", "Retail"),
    ("", UNASSIGNED),
    ("36914", "Platform Engineering"),
    ("36915", "Data\u{a0}Science"),
    ("36916", "Logistics"),
];

/// The department that is renamed, and its new name.
const RENAMED: (&str, &str) = ("36912", "Retail & Online");

/// What Azure writes where there is no department.
pub(super) const UNASSIGNED: &str = "Unassigned";

const PURPOSES: &[&str] = &["prod", "dev", "test", "shared", "analytics", "sandbox"];
const COST_CENTERS: &[&str] = &["4711", "CC-0815", "cc-0815", "", "Vertrieb, Süd", "12-300"];
const ACCOUNTS_PER_DEPARTMENT: usize = 2;

impl Organization {
    /// Invents the organization; larger data sets have more subscriptions.
    pub(super) fn invent(config: &EnrollmentConfig) -> Self {
        let departments = invent_departments(config.renaming_day());
        let accounts = invent_accounts(config.seed, departments.len());
        let subscription_count = to_index((config.rows_per_month / 10_000).clamp(24, 240));
        let subscriptions = invent_subscriptions(config.seed, &accounts, subscription_count);
        Self { departments, accounts, subscriptions }
    }

    /// Returns the department of a subscription, an index into `departments`.
    pub fn department_of(&self, subscription: usize) -> usize {
        self.accounts[self.subscriptions[subscription].account].department
    }

    /// Returns the rendered InvoiceSectionName field of each department on a day.
    pub(super) fn names_on(&self, day: NaiveDate) -> Vec<Vec<u8>> {
        self.departments.iter().map(|department| rendered_field(department.name_on(day))).collect()
    }

    /// Fills the columns that follow from the paying subscription.
    pub(super) fn describe(&self, subscription: usize, row: &mut Row) {
        let paying = &self.subscriptions[subscription];
        let account = &self.accounts[paying.account];
        row.set(Column::SubscriptionId, paying.id.as_str())
            .set(Column::SubscriptionName, paying.name.as_str())
            .set(Column::CostCenter, paying.cost_center.as_str())
            .set(Column::AccountName, account.name.as_str())
            .set(Column::AccountOwnerId, account.owner.as_str())
            .set(Column::AccountId, account.id.as_str())
            .set(Column::InvoiceSectionId, self.departments[account.department].id.as_str());
    }
}

impl Department {
    /// Returns the name a row of this day carries.
    pub fn name_on(&self, day: NaiveDate) -> &str {
        match &self.renamed {
            Some((from, name)) if day >= *from => name,
            _ => &self.name,
        }
    }
}

fn invent_departments(renaming_day: NaiveDate) -> Vec<Department> {
    let department = |&(id, name): &(&str, &str)| Department {
        id: id.to_owned(),
        name: name.to_owned(),
        renamed: (id == RENAMED.0).then(|| (renaming_day, RENAMED.1.to_owned())),
    };
    DEPARTMENTS.iter().map(department).collect()
}

fn invent_accounts(seed: u64, department_count: usize) -> Vec<Account> {
    let account = |number: usize| {
        let mut random = Random::at(seed, &[1, number as u64]);
        Account {
            id: (210_000 + 100 * number as u64 + random.below(100)).to_string(),
            name: format!("Account {:02}", number + 1),
            owner: format!("owner{:02}@contoso.example", number + 1),
            department: number % department_count,
        }
    };
    (0..department_count * ACCOUNTS_PER_DEPARTMENT).map(account).collect()
}

fn invent_subscriptions(seed: u64, accounts: &[Account], count: usize) -> Vec<Subscription> {
    let subscription = |number: usize| {
        let mut random = Random::at(seed, &[2, number as u64]);
        let purpose = random.pick(PURPOSES);
        Subscription {
            id: random.guid(),
            name: format!("sub-{purpose}-{:03}", number + 1),
            account: number % accounts.len(),
            cost_center: (*random.pick(COST_CENTERS)).to_owned(),
        }
    };
    (0..count).map(subscription).collect()
}
