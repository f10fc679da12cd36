//! Exact decimals in the plainest way: an `i128` of 10^-28, which is the finest that Azure writes.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

const SCALE: usize = 28;

/// An amount at scale 28; ten digits before the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exact(i128);

impl Exact {
    /// Reads `-12.5`, `5.9E-07`; nothing finer than 10^-28.
    pub(crate) fn parse(text: &str) -> Self {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap()),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{}{fraction}", whole.trim_start_matches(['-', '+']));
        let digits: i128 = digits.parse().unwrap_or_else(|_| panic!("{text:?} is no number"));
        let shift =
            i32::try_from(SCALE).unwrap() + exponent - i32::try_from(fraction.len()).unwrap();
        let power = 10_i128.pow(shift.unsigned_abs());
        let value = if shift < 0 {
            assert_eq!(digits % power, 0, "{text:?} is finer than 28 digits");
            digits / power
        } else {
            digits.checked_mul(power).unwrap()
        };
        Self(if negative { -value } else { value })
    }

    /// From a stored `Decimal128(38, 24)`.
    pub(crate) fn of_stored(units: i128) -> Self {
        Self(units.checked_mul(10_000).unwrap())
    }

    /// Rounded half-even at 24 digits, as it is to be stored.
    pub(crate) fn stored(self) -> Self {
        let (units, rest) = (self.0.div_euclid(10_000), self.0.rem_euclid(10_000));
        let up = rest > 5_000 || (rest == 5_000 && units % 2 != 0);
        Self::of_stored(units + i128::from(up))
    }
}

impl Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).unwrap())
    }
}

impl Sub for Exact {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).unwrap())
    }
}

impl AddAssign for Exact {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// Plain digits without trailing zeros.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:029}", self.0.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len() - SCALE);
        let sign = if self.0 < 0 { "-" } else { "" };
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[test]
fn amounts_are_exact() {
    for (text, expected) in [
        ("0", "0"),
        ("-1.50", "-1.5"),
        ("5.99772E-07", "0.000000599772"),
        ("1E+2", "100"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
    ] {
        assert_eq!(Exact::parse(text).to_string(), expected);
    }
    for (text, expected) in [
        ("1.5E-24", "2E-24"),
        ("2.5E-24", "2E-24"),
        ("2.5001E-24", "3E-24"),
        ("-1.5E-24", "-2E-24"),
        ("-2.5E-24", "-2E-24"),
        ("-2.4999E-24", "-2E-24"),
    ] {
        assert_eq!(Exact::parse(text).stored(), Exact::parse(expected), "{text}");
    }
}
