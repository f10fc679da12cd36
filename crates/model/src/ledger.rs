//! What a blob held and what became of it, so that nothing is lost (`reliability.md`, I1-I4).
//!
//! Ledgers of parts merge into the ledger of the whole, in any order.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::charge_class::ChargeClass;
use crate::decimal::{Accumulator, ExactDecimal, ExactSum};

/// The sums of one decimal column over some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecimalTotals {
    /// How many rows have a value.
    pub values: u64,
    /// The sum of the source texts.
    pub exact: ExactSum,
    /// The sum of the stored amounts.
    pub stored: ExactSum,
    /// How many values were rounded when stored.
    pub rounded: u64,
}

impl DecimalTotals {
    /// Adds the totals of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.exact += other.exact;
        self.stored += other.stored;
        self.rounded += other.rounded;
    }
}

/// Collects [`DecimalTotals`] value by value.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecimalTally {
    values: u64,
    rounded: u64,
    sum: Accumulator,
}

impl DecimalTally {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: ExactDecimal) {
        self.values += 1;
        self.rounded += u64::from(value.is_rounded());
        self.sum.add(value);
    }

    /// The totals so far.
    pub fn totals(&self) -> DecimalTotals {
        DecimalTotals {
            values: self.values,
            exact: self.sum.exact_total(),
            stored: self.sum.stored_total(),
            rounded: self.rounded,
        }
    }
}

/// Rows and the sums of their decimal columns, by canonical name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowTotals {
    /// How many rows.
    pub rows: u64,
    /// The sums, for columns that the file has.
    pub decimals: BTreeMap<&'static str, DecimalTotals>,
}

impl RowTotals {
    /// Adds the totals of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (column, totals) in &other.decimals {
            self.decimals.entry(column).or_default().merge(totals);
        }
    }

    fn exact(&self, column: &str) -> ExactSum {
        self.decimals.get(column).map_or(ExactSum::ZERO, |totals| totals.exact)
    }
}

/// The account of one blob, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Decoded bytes, byte-order mark and header included.
    pub bytes: u64,
    /// Records, the header not counted.
    pub records: u64,
    /// Empty lines, which are no records.
    pub blank_lines: u64,
    /// Every record of the source whose numbers could be read.
    pub source: RowTotals,
    /// Records that became rows.
    pub published: RowTotals,
    /// Records that went to quarantine.
    pub quarantined: RowTotals,
    /// The first charge date of the published rows.
    pub first_date: Option<NaiveDate>,
    /// The last charge date of the published rows.
    pub last_date: Option<NaiveDate>,
    /// The exact cost of the published rows, by billing currency.
    pub cost_by_currency: BTreeMap<String, ExactSum>,
    /// The stored cost of the published rows, by charge class: the control sum of filtered measures.
    pub cost_by_class: BTreeMap<ChargeClass, ExactSum>,
}

/// An account that does not balance: an error of costlake, never of the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {source_side} in the source, {published} published and {quarantined} quarantined")]
pub struct Imbalance {
    what: String,
    source_side: String,
    published: String,
    quarantined: String,
}

impl Ledger {
    /// Adds the account of another part.
    pub fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.records += other.records;
        self.blank_lines += other.blank_lines;
        self.source.merge(&other.source);
        self.published.merge(&other.published);
        self.quarantined.merge(&other.quarantined);
        self.first_date = [self.first_date, other.first_date].into_iter().flatten().min();
        self.last_date = self.last_date.max(other.last_date);
        for (currency, cost) in &other.cost_by_currency {
            *self.cost_by_currency.entry(currency.clone()).or_default() += *cost;
        }
        for (class, cost) in &other.cost_by_class {
            *self.cost_by_class.entry(*class).or_default() += *cost;
        }
    }

    /// Proves that rows and money in equal rows and money out (I2, I3).
    ///
    /// # Errors
    /// The first figure that does not balance.
    pub fn check(&self) -> Result<(), Imbalance> {
        let (published, quarantined) = (&self.published, &self.quarantined);
        if self.records != published.rows + quarantined.rows {
            return Err(Imbalance {
                what: "rows".to_owned(),
                source_side: self.records.to_string(),
                published: published.rows.to_string(),
                quarantined: quarantined.rows.to_string(),
            });
        }
        for (column, totals) in &self.source.decimals {
            let (out, kept) = (published.exact(column), quarantined.exact(column));
            if totals.exact != out + kept {
                return Err(Imbalance {
                    what: format!("sum of {column}"),
                    source_side: totals.exact.to_string(),
                    published: out.to_string(),
                    quarantined: kept.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(cost: &str) -> Ledger {
        let mut tally = DecimalTally::default();
        tally.add(ExactDecimal::parse(cost.as_bytes()).unwrap());
        let totals = RowTotals { rows: 1, decimals: BTreeMap::from([("cost", tally.totals())]) };
        Ledger { records: 1, source: totals.clone(), published: totals, ..Ledger::default() }
    }

    #[test]
    fn a_balanced_account_passes_and_any_other_does_not() {
        let mut sum = ledger("1.5");
        sum.merge(&ledger("-0.25"));
        assert_eq!(sum.check(), Ok(()));
        assert_eq!(sum.published.decimals["cost"].exact.to_string(), "1.25");

        let mut lost_row = sum.clone();
        lost_row.records += 1;
        assert!(lost_row.check().is_err());

        let mut lost_money = sum;
        lost_money.source.merge(&RowTotals {
            rows: 0,
            decimals: ledger("0.000000000000000000000001").published.decimals,
        });
        assert!(lost_money.check().unwrap_err().to_string().starts_with("sum of cost"));
    }
}
