//! What was paid for each commitment and what of it was used, to date.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use costlake_model::decimal::quotient;
use costlake_model::{BillingPeriod, ExactSum, commitment};

use super::error::Error;
use super::lifetime::{Coverage, Facts, State, term_months};
use super::tables::{CommitmentMonth, CommitmentName, CommitmentShare, Department};

/// Fraction digits of utilisations.
pub(super) const UTILISATION_SCALE: i8 = 6;

/// What a commitment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitmentType {
    /// A reservation.
    Reservation,
    /// A savings plan.
    SavingsPlan,
}

impl CommitmentType {
    /// The name in the column `commitment_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reservation => "reservation",
            Self::SavingsPlan => "savings_plan",
        }
    }
}

/// A row of `commitment_reconciliation`: a commitment in one currency, to the end of a month.
///
/// Sums are over the months that the lake has, from its first one on; `balance` alone says nothing rather than
/// something in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentFigures {
    /// The commitment; `unknown` for rows that do not say which.
    pub commitment_id: String,
    /// Its latest name.
    pub commitment_name: Option<String>,
    /// What it is; `None` where rows of both kinds have its id, or none says.
    pub commitment_type: Option<CommitmentType>,
    /// Currency of the amounts.
    pub billing_currency: String,
    /// Where it is in its life; `None` for `unknown`.
    pub state: Option<State>,
    /// Its term; `None` where the rows do not say, and for `unknown`.
    pub term_months: Option<u16>,
    /// Its first day.
    pub start_date: Option<NaiveDate>,
    /// The day after its last.
    pub end_date: Option<NaiveDate>,
    /// Days to the end after the last charge of the month.
    pub remaining_days: Option<i64>,
    /// What was billed for it.
    pub purchases_to_date: ExactSum,
    /// What was given back, negative.
    pub refunds_to_date: ExactSum,
    /// Its shares that usage took.
    pub used_to_date: ExactSum,
    /// Its shares that nothing used.
    pub unused_to_date: ExactSum,
    /// Purchases and refunds less used and unused: paid and not yet consumed. `None` where the purchase is not in the
    /// lake, where a month between start and end lacks a metric, and for `unknown`.
    pub balance: Option<ExactSum>,
    /// Used over used and unused, in millionths, rounded half-even. `None` where nothing was consumed.
    pub utilisation_to_date: Option<i128>,
    /// The same of the month.
    pub utilisation_in_month: Option<i128>,
    /// By department id, what it paid, refunds taken away.
    pub bought_by: BTreeMap<String, ExactSum>,
    /// By department id, the shares that its usage took.
    pub used_by: BTreeMap<String, ExactSum>,
}

/// The commitments of a scope to date. It absorbs month after month, and tells the figures after each.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    coverage: Coverage,
    /// As spelled and named last, by what departments are compared by.
    departments: BTreeMap<String, Department>,
    /// By commitment and currency.
    accounts: BTreeMap<(String, String), Account>,
}

/// A commitment in one currency, to date.
#[derive(Clone, Debug, Default)]
struct Account {
    name: Option<String>,
    term_months: Option<u16>,
    facts: Facts,
    reservation_rows: i64,
    rows: i64,
    purchases: ExactSum,
    refunds: ExactSum,
    shares: Shares,
    shares_in_month: Shares,
    /// Purchases and refunds by department.
    paid: BTreeMap<String, ExactSum>,
    /// Used shares by department.
    used: BTreeMap<String, ExactSum>,
}

/// What was consumed of a commitment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    /// By usage.
    pub used: ExactSum,
    /// By nothing.
    pub unused: ExactSum,
}

impl Ledger {
    /// A ledger before the first month.
    pub fn new() -> Self {
        Self::default()
    }

    /// The latest month that was absorbed.
    pub fn period(&self) -> Option<BillingPeriod> {
        self.coverage.period()
    }

    /// Adds a month. Months come in order; one that the lake does not have is left out, and counts as missing.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] for a month that is not later than all before; the ledger is as it was.
    pub fn absorb(&mut self, month: &CommitmentMonth) -> Result<(), Error> {
        let period = month.period;
        if let Some(last) = self.period().filter(|last| *last >= period) {
            return Err(Error::OutOfOrder { period, last });
        }
        self.coverage.add(period, month.known_metrics(), month.last_charge_date);
        for account in self.accounts.values_mut() {
            account.shares_in_month = Shares::default();
        }
        for name in &month.names {
            let key = (name.commitment_id.clone(), name.billing_currency.clone());
            self.accounts.entry(key).or_default().rename(name);
        }
        for row in &month.rows {
            self.remember(&row.department);
            let key = (row.commitment_id.clone(), row.billing_currency.clone());
            self.accounts.entry(key).or_default().absorb(row);
        }
        Ok(())
    }

    /// The figures to the end of the latest month, of every commitment so far, sorted by commitment and currency.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for shares of more than 38 digits.
    pub fn figures(&self) -> Result<Vec<CommitmentFigures>, Error> {
        self.accounts.iter().map(|(key, account)| self.figures_of(key, account)).collect()
    }

    /// What each department paid for a commitment to date, by what departments are sorted by.
    pub(super) fn paid(
        &self,
        commitment_id: &str,
        billing_currency: &str,
    ) -> Option<&BTreeMap<String, ExactSum>> {
        let key = (commitment_id.to_owned(), billing_currency.to_owned());
        self.accounts.get(&key).map(|account| &account.paid)
    }

    /// The department as spelled and named last.
    pub(super) fn department(&self, key: &str) -> Department {
        let unseen = || Department { id: key.to_owned(), name: None };
        self.departments.get(key).cloned().unwrap_or_else(unseen)
    }

    fn remember(&mut self, department: &Department) {
        let known = self.departments.entry(department.key()).or_insert_with(|| department.clone());
        known.id.clone_from(&department.id);
        if department.name.is_some() {
            known.name.clone_from(&department.name);
        }
    }

    fn figures_of(
        &self,
        (commitment_id, billing_currency): &(String, String),
        account: &Account,
    ) -> Result<CommitmentFigures, Error> {
        let term_months = account.term_months;
        let life = self.coverage.lifetime(&Facts { term_months, ..account.facts });
        // Several commitments may be behind `unknown`: their sums add up, their days do not.
        let is_one = commitment_id != commitment::UNKNOWN;
        let life = is_one.then_some(life);
        let is_whole = life.is_some_and(|life| life.is_whole);
        let balance =
            account.purchases + account.refunds - account.shares.used - account.shares.unused;
        let utilisation = |figure, shares: Shares| shares.utilisation(figure, commitment_id);
        let by_id = |amounts: &BTreeMap<String, ExactSum>| {
            amounts.iter().map(|(key, amount)| (self.department(key).id, *amount)).collect()
        };
        Ok(CommitmentFigures {
            commitment_id: commitment_id.clone(),
            commitment_name: account.name.clone(),
            commitment_type: account.commitment_type(),
            billing_currency: billing_currency.clone(),
            state: life.map(|life| life.state),
            term_months: term_months.filter(|_| is_one),
            start_date: life.and_then(|life| life.start_date),
            end_date: life.and_then(|life| life.end_date),
            remaining_days: life.and_then(|life| life.remaining_days),
            purchases_to_date: account.purchases,
            refunds_to_date: account.refunds,
            used_to_date: account.shares.used,
            unused_to_date: account.shares.unused,
            balance: is_whole.then_some(balance),
            utilisation_to_date: utilisation("utilisation_to_date", account.shares)?,
            utilisation_in_month: utilisation("utilisation_in_month", account.shares_in_month)?,
            bought_by: by_id(&account.paid),
            used_by: by_id(&account.used),
        })
    }
}

impl Account {
    /// What a later month does not say stays as it was.
    fn rename(&mut self, latest: &CommitmentName) {
        if latest.name.is_some() {
            self.name.clone_from(&latest.name);
        }
        self.term_months = latest.term.as_deref().and_then(term_months).or(self.term_months);
    }

    fn absorb(&mut self, row: &CommitmentShare) {
        self.facts.absorb(row);
        self.absorb_counts(row);
        let purchases = row.commitment_purchases.unwrap_or_default();
        let refunds = row.commitment_refunds.unwrap_or_default();
        let used = row.used_shares.unwrap_or_default();
        self.purchases += purchases;
        self.refunds += refunds;
        self.shares.absorb(row);
        self.shares_in_month.absorb(row);
        if !purchases.is_zero() || !refunds.is_zero() {
            *self.paid.entry(row.department.key()).or_default() += purchases + refunds;
        }
        if !used.is_zero() {
            *self.used.entry(row.department.key()).or_default() += used;
        }
    }

    fn absorb_counts(&mut self, row: &CommitmentShare) {
        let reservations = [row.actual_reservation_rows, row.amortized_reservation_rows];
        let rows = [row.actual_rows, row.amortized_rows];
        let add = |sum: i64, count: Option<i64>| sum.saturating_add(count.unwrap_or(0));
        self.reservation_rows = reservations.into_iter().fold(self.reservation_rows, add);
        self.rows = rows.into_iter().fold(self.rows, add);
    }

    fn commitment_type(&self) -> Option<CommitmentType> {
        match (self.reservation_rows, self.rows) {
            (_, 0) => None,
            (0, _) => Some(CommitmentType::SavingsPlan),
            (reservations, rows) if reservations == rows => Some(CommitmentType::Reservation),
            _ => None,
        }
    }
}

impl Facts {
    fn absorb(&mut self, row: &CommitmentShare) {
        let at_once = row.one_time_purchases.is_some_and(|count| count > 0);
        if row.first_purchase.is_some() && row.first_purchase == self.first_purchase {
            self.is_paid_at_once |= at_once;
        } else if earlier(self.first_purchase, row.first_purchase) != self.first_purchase {
            self.first_purchase = row.first_purchase;
            self.is_paid_at_once = at_once;
        }
        self.last_purchase = self.last_purchase.max(row.last_purchase);
        self.last_refund = self.last_refund.max(row.last_refund);
        self.first_share = earlier(self.first_share, row.first_share);
        self.last_share = self.last_share.max(row.last_share);
    }
}

/// The earlier of two days; a day, if there is only one.
fn earlier(one: Option<NaiveDate>, other: Option<NaiveDate>) -> Option<NaiveDate> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Shares {
    /// Adds the shares of a row.
    pub(super) fn absorb(&mut self, row: &CommitmentShare) {
        self.used += row.used_shares.unwrap_or_default();
        self.unused += row.unused_shares.unwrap_or_default();
    }

    fn utilisation(self, figure: &'static str, of: &str) -> Result<Option<i128>, Error> {
        let all = self.used + self.unused;
        if all.is_zero() {
            return Ok(None);
        }
        match quotient(self.used, all, UTILISATION_SCALE.unsigned_abs()) {
            Some(ratio) => Ok(Some(ratio)),
            None => Err(Error::TooLarge {
                figure,
                of: of.to_owned(),
                value: format!("{} / {all}", self.used),
                scale: UTILISATION_SCALE,
            }),
        }
    }
}
