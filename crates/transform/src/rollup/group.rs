//! The figures of one group, and how those of two batches become one.

use costlake_model::columns::{self, Presence};
use costlake_model::{ExactSum, STORED_SCALE};

/// The figures of a group; those that no batch had are nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// By the positions of the keys, the latest name of those that have one, and its day, counted from
    /// 1970-01-01. Of several on one day the last in the alphabet.
    pub names: Vec<Option<(i32, String)>>,
    /// By the positions of the measures.
    pub figures: Vec<Figure>,
}

/// What rows give to a measure. Merging does not depend on the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Figure {
    /// No row, or a measure that is made of others.
    #[default]
    Nothing,
    /// A sum, and whether values are behind it: how many, or at least one where none can be null.
    Sum(ExactSum, u64),
    /// A number of rows.
    Count(u64),
    /// The earliest of some days, counted from 1970-01-01.
    First(i32),
    /// The latest of some days.
    Last(i32),
    /// A text, and the day on which it stands.
    Latest(i32, String),
}

/// Whether every row has a value in a column, so that a sum over no rows is 0 and not unknown.
pub(super) fn is_never_null(column: &str) -> bool {
    columns::SOURCE_COLUMNS
        .iter()
        .any(|other| other.name == column && other.presence == Presence::Required)
}

impl Group {
    pub(super) fn merge(&mut self, other: Self) {
        // A group without rows has neither.
        self.names.resize(other.names.len(), None);
        for (ours, theirs) in self.names.iter_mut().zip(other.names) {
            *ours = ours.take().max(theirs);
        }
        self.figures.resize(self.figures.len().max(other.figures.len()), Figure::Nothing);
        for (ours, theirs) in self.figures.iter_mut().zip(other.figures) {
            ours.merge(theirs);
        }
    }
}

impl Figure {
    fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) => {}
            (Self::Sum(sum, values), Self::Sum(more, more_values)) => {
                *sum += more;
                *values = values.saturating_add(more_values);
            }
            (Self::Count(count), Self::Count(more)) => *count = count.saturating_add(more),
            (Self::First(day), Self::First(other)) => *day = (*day).min(other),
            (Self::Last(day), Self::Last(other)) => *day = (*day).max(other),
            (Self::Latest(day, text), Self::Latest(other_day, other)) => {
                if (other_day, &other) > (*day, &*text) {
                    (*day, *text) = (other_day, other);
                }
            }
            (ours, other) => *ours = other,
        }
    }
}

/// The value of a measure in a row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// An amount.
    Amount(ExactSum),
    /// A number of rows.
    Count(u64),
    /// A day, counted from 1970-01-01.
    Day(i32),
    /// A text.
    Text(String),
    /// A quotient, in units of its last digit.
    Quotient(i128),
}

impl Value {
    /// Amounts and counts, as operands.
    pub(super) fn number(&self) -> Option<ExactSum> {
        match self {
            Self::Amount(amount) => Some(*amount),
            Self::Count(count) => {
                let unit = 10_i128.pow(STORED_SCALE.unsigned_abs().into());
                Some(ExactSum::from_stored(i128::from(*count).checked_mul(unit)?))
            }
            _ => None,
        }
    }
}
