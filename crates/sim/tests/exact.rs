//! A tiny exact decimal for checks: 28 fraction digits in an `i128`, up to ten billion.

use std::iter::Sum;
use std::ops::{Add, Mul, Neg};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exact(i128);

const DIGITS: usize = 28;

impl Exact {
    pub(crate) const ZERO: Self = Self(0);

    /// Reads `-12.34`. More than 28 fraction digits, exponents and blanks are mistakes.
    pub(crate) fn parse(text: &str) -> Self {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        assert!(fraction.len() <= DIGITS, "{text} has too many digits");
        let number: i128 = format!("{whole}{fraction:0<DIGITS$}").parse().unwrap();
        Self(sign * number)
    }

    /// Returns the size without the sign.
    pub(crate) fn size(self) -> Self {
        Self(self.0.abs())
    }
}

impl Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Neg for Exact {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// Exact product of numbers with at most 14 fraction digits each.
impl Mul for Exact {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        const HALF: i128 = 10i128.pow(14);
        assert!(self.0 % HALF == 0 && other.0 % HALF == 0, "too many digits for a product");
        Self((self.0 / HALF) * (other.0 / HALF))
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}

#[test]
fn sums_and_products_keep_every_digit() {
    let tiny = Exact::parse("0.0000000000000000000000000001");
    assert_eq!(Exact::parse("7") + tiny + -Exact::parse("7"), tiny);
    assert_eq!(Exact::parse("0.061644") * Exact::parse("-8"), Exact::parse("-0.493152"));
}
