//! Exact decimals: numbers of cost files, their stored form, and their sums.
//!
//! ```text
//! text            digits x 10^-scale      stored at scale 24            residue at scale 38
//! 3.25            325 x 10^-2             3.25                          0
//! 5.9E-07         59 x 10^-8              0.00000059                    0
//! 0.(28 digits)   … x 10^-28              rounded half-even to 24       what the rounding took away
//! ```
//!
//! A value is stored as `Decimal128(38, 24)`. The few that need more than 24 fraction digits are
//! rounded half-even once, here, and the residue is kept in the sums, so that
//! `stored total + residue = exact total` to the last digit. No float occurs.
//!
//! Accepted forms are the closed set of `reliability.md`, 3.7:
//! `-?digits[.digits][(e|E)[+-]?digits{1,3}]`, at most 64 bytes, ASCII blanks around it ignored.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

use arrow::datatypes::i256;

/// Decimal digits of a stored amount.
pub const STORED_PRECISION: u8 = 38;
/// Fraction digits of a stored amount.
pub const STORED_SCALE: i8 = 24;
/// Fraction digits that a source value may have, trailing zeros aside; the scale of exact sums.
pub const EXACT_SCALE: u32 = 38;

const STORED_SCALE_DIGITS: u32 = STORED_SCALE as u32;
const MAX_TEXT_BYTES: usize = 64;
/// Values of 10^14 and above do not fit 38 digits at scale 24.
const STORED_LIMIT: i128 = 10_i128.pow(38);

/// A text that is not an accepted number, by the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing but blanks.
    #[error("no digits")]
    Empty,
    /// Not of the closed set of forms.
    #[error("not of the form -123.45 or 1.2E-05")]
    Form,
    /// More than 64 bytes.
    #[error("longer than 64 bytes")]
    TooLong,
    /// More than 14 digits before the decimal point.
    #[error("more than 14 digits before the decimal point")]
    TooLarge,
    /// More than 38 digits after the decimal point, or 38 significant ones.
    #[error("more than 38 significant digits or digits after the decimal point")]
    TooFine,
}

/// A number of a cost file: its stored form and what storing it took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExactDecimal {
    stored: i128,
    residue: i128,
}

impl ExactDecimal {
    /// Reads an accepted number.
    ///
    /// # Errors
    /// The rule that the text breaks. Never panics, whatever the bytes.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Self, NumberError> {
        match parse_plain(text) {
            Some(value) => Ok(value),
            None => parse_any(text),
        }
    }

    /// The value at scale 24, rounded half-even where it has more digits.
    #[inline]
    pub fn stored(self) -> i128 {
        self.stored
    }

    /// Exact value minus stored value, at scale 38.
    #[inline]
    pub fn residue(self) -> i128 {
        self.residue
    }

    /// Whether storing the value rounds it.
    #[inline]
    pub fn is_rounded(self) -> bool {
        self.residue != 0
    }
}

/// Reads the common case, `-?digits[.digits]` of at most 38 digits, without a division; `None` means
/// that the careful reader decides.
#[inline]
fn parse_plain(text: &[u8]) -> Option<ExactDecimal> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut integer: u64 = 0;
    let mut integer_digits = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        integer = integer.wrapping_mul(10).wrapping_add(u64::from(digit));
        integer_digits += 1;
    }
    if !(1..=14).contains(&integer_digits) {
        return None;
    }
    let fraction = match &digits[integer_digits..] {
        [] => &[],
        [b'.', fraction @ ..] if (1..=38 - integer_digits).contains(&fraction.len()) => fraction,
        _ => return None,
    };
    let (kept, surplus) = fraction.split_at(fraction.len().min(24));
    let kept = digits_below_25(kept)? * POWERS_OF_TEN[24 - kept.len()];
    let stored = i128::from(integer) * POWERS_OF_TEN[24] + kept;
    let value = match surplus {
        [] => ExactDecimal { stored, residue: 0 },
        _ => ExactDecimal::rounded(stored, surplus)?,
    };
    Some(value.with_sign(negative))
}

/// The value of at most 24 digits, eight at a time.
#[inline]
fn digits_below_25(digits: &[u8]) -> Option<i128> {
    let (eights, rest) = digits.as_chunks::<8>();
    let mut value = 0_i128;
    for eight in eights {
        value = value * 100_000_000 + i128::from(eight_digits(*eight)?);
    }
    let mut tail: u64 = 0;
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        tail = tail * 10 + u64::from(digit);
    }
    Some(value * POWERS_OF_TEN[rest.len()] + i128::from(tail))
}

/// The value of eight digits: neighbours are joined to pairs, pairs to fours, fours to all.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let word = u64::from_le_bytes(text);
    // A digit has the high half of `0`, and still has it when six is added.
    let sixes_more = word.wrapping_add(0x0606_0606_0606_0606);
    if word & HIGH_HALVES != ZEROS || sixes_more & HIGH_HALVES != ZEROS {
        return None;
    }
    let pairs = (word & !HIGH_HALVES).wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

#[cold]
fn parse_any(text: &[u8]) -> Result<ExactDecimal, NumberError> {
    let text = trim_blanks(text);
    if text.is_empty() {
        return Err(NumberError::Empty);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(NumberError::TooLong);
    }
    let parts = NumberParts::split(text)?;
    let (mantissa, scale) = parts.mantissa_and_scale()?;
    let exact = ExactDecimal::from_mantissa(mantissa, scale)?;
    Ok(exact.with_sign(parts.negative))
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ';
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |at| at + 1);
    &text[start..end]
}

struct NumberParts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

impl<'a> NumberParts<'a> {
    fn split(text: &'a [u8]) -> Result<Self, NumberError> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (number, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (integer, fraction) = match number.iter().position(|b| *b == b'.') {
            Some(at) if at + 1 < number.len() => (&number[..at], &number[at + 1..]),
            Some(_) => return Err(NumberError::Form),
            None => (number, &[][..]),
        };
        let is_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        if integer.is_empty() || !is_digits(integer) || !is_digits(fraction) {
            return Err(NumberError::Form);
        }
        Ok(Self { negative, integer, fraction, exponent })
    }

    /// Returns the value as `mantissa x 10^-scale` without leading and trailing zeros.
    fn mantissa_and_scale(&self) -> Result<(i128, i32), NumberError> {
        let digits = || self.integer.iter().chain(self.fraction);
        let leading = digits().take_while(|b| **b == b'0').count();
        let trailing = digits().rev().take_while(|b| **b == b'0').count();
        let count = self.integer.len() + self.fraction.len();
        if leading == count {
            return Ok((0, 0));
        }
        let significant = count - leading - trailing;
        if significant > 38 {
            return Err(if self.has_large_integer(leading) {
                NumberError::TooLarge
            } else {
                NumberError::TooFine
            });
        }
        let mantissa = digits()
            .skip(leading)
            .take(significant)
            .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        let point_shift = |length: usize| i32::try_from(length).unwrap_or(i32::MAX / 2);
        let scale = point_shift(self.fraction.len()) - point_shift(trailing) - self.exponent;
        Ok((mantissa, scale))
    }

    fn has_large_integer(&self, leading_zeros: usize) -> bool {
        // Zeros behind the point count against the exponent. Both are below 64: so long is a text.
        let digits = |count: usize| i32::try_from(count).unwrap_or(i32::MAX / 2);
        digits(self.integer.len()) - digits(leading_zeros) + self.exponent > 14
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, NumberError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Form);
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

impl ExactDecimal {
    /// Rounds half-even what stands behind 24 fraction digits: at most 14 more.
    fn rounded(stored: i128, surplus: &[u8]) -> Option<Self> {
        let value = digits_below_25(surplus)?;
        let unit = POWERS_OF_TEN[surplus.len()];
        let to_residue = POWERS_OF_TEN[EXACT_SCALE as usize - 24 - surplus.len()];
        Some(Self::half_even(stored, value, unit, to_residue))
    }

    /// Rounds an amount half-even by what is left of it, in so many parts of the last digit.
    fn half_even(stored: i128, rest: i128, parts: i128, to_residue: i128) -> Self {
        let rounds_up = match (2 * rest).cmp(&parts) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => stored % 2 == 1,
            std::cmp::Ordering::Greater => true,
        };
        let taken = if rounds_up { rest - parts } else { rest };
        Self { stored: stored + i128::from(rounds_up), residue: taken * to_residue }
    }

    /// Returns `mantissa x 10^-scale` for a mantissa of at most 38 digits that is not negative.
    fn from_mantissa(mantissa: i128, scale: i32) -> Result<Self, NumberError> {
        let power = |exponent: i32| {
            usize::try_from(exponent).ok().and_then(|at| POWERS_OF_TEN.get(at)).copied()
        };
        if mantissa == 0 {
            return Ok(Self::default());
        }
        if scale <= i32::from(STORED_SCALE) {
            let factor = power(i32::from(STORED_SCALE) - scale).ok_or(NumberError::TooLarge)?;
            let stored = mantissa.checked_mul(factor).ok_or(NumberError::TooLarge)?;
            return Self { stored, residue: 0 }.within_limit();
        }
        if scale > EXACT_SCALE.cast_signed() {
            return Err(NumberError::TooFine);
        }
        let surplus = power(scale - i32::from(STORED_SCALE)).ok_or(NumberError::TooFine)?;
        let to_residue = power(EXACT_SCALE.cast_signed() - scale).ok_or(NumberError::TooFine)?;
        Self::half_even(mantissa / surplus, mantissa % surplus, surplus, to_residue).within_limit()
    }

    fn with_sign(self, is_negative: bool) -> Self {
        if is_negative { Self { stored: -self.stored, residue: -self.residue } } else { self }
    }

    fn within_limit(self) -> Result<Self, NumberError> {
        if self.stored < STORED_LIMIT { Ok(self) } else { Err(NumberError::TooLarge) }
    }
}

/// An exact sum of any number of amounts, in 256 bits at scale 38.
///
/// Room for 10^38 units: 10^24 of the largest amounts. Prints without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactSum(i256);

impl ExactSum {
    /// The empty sum.
    pub const ZERO: Self = Self(i256::ZERO);

    /// Returns an amount at scale 24 as a sum.
    pub fn from_stored(stored: i128) -> Self {
        Self(i256::from_i128(stored).wrapping_mul(i256::from_i128(STORED_TO_EXACT)))
    }

    /// Returns a residue at scale 38 as a sum.
    pub fn from_residue(residue: i128) -> Self {
        Self(i256::from_i128(residue))
    }

    /// Returns the sum at scale 24, if it has no finer digits and fits 38 digits.
    pub fn to_stored(self) -> Option<i128> {
        let factor = i256::from_i128(STORED_TO_EXACT);
        if self.0.checked_rem(factor)? != i256::ZERO {
            return None;
        }
        stored_within_limit(self.0.checked_div(factor)?)
    }

    /// Whether the sum is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == i256::ZERO
    }

    /// Reads a sum that was printed.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let sound = !integer.is_empty()
            && integer.len() <= 38
            && fraction.len() <= EXACT_SCALE as usize
            && (integer.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit());
        if !sound {
            return None;
        }
        let padded = format!("{integer}{fraction:0<width$}", width = EXACT_SCALE as usize);
        let value = i256::from_string(&padded)?;
        Some(Self(if negative { value.wrapping_neg() } else { value }))
    }
}

const STORED_TO_EXACT: i128 = POWERS_OF_TEN[(EXACT_SCALE - STORED_SCALE_DIGITS) as usize];

impl Default for ExactSum {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add for ExactSum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for ExactSum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl Neg for ExactSum {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.wrapping_neg())
    }
}

impl AddAssign for ExactSum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ExactSum {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for ExactSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", digits.as_str()),
        };
        let width = EXACT_SCALE as usize;
        let padded = format!("{digits:0>width$}", width = width + 1);
        let (integer, fraction) = padded.split_at(padded.len() - width);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        f.pad(&format!("{sign}{integer}{point}{fraction}"))
    }
}

/// Returns the product of two stored amounts, rounded half-even at scale 24; `None` if it does not fit
/// 38 digits.
pub fn product(a: i128, b: i128) -> Option<i128> {
    let exact = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    let unit = i256::from_i128(POWERS_OF_TEN[STORED_SCALE_DIGITS as usize]);
    stored_within_limit(divided(exact, unit)?)
}

/// Returns `dividend / divisor` rounded half-even, in units of the last of `scale` digits; `None` if the
/// divisor is zero or the result does not fit 38 digits.
pub fn quotient(dividend: ExactSum, divisor: ExactSum, scale: u8) -> Option<i128> {
    let ten = i256::from_i128(10);
    let mut whole = dividend.0.checked_div(divisor.0)?;
    let mut rest = dividend.0.checked_rem(divisor.0)?;
    // Digit by digit, so that nothing has to hold the dividend times a power of ten.
    for _ in 0..scale {
        let next = rest.checked_mul(ten)?;
        whole = whole.checked_mul(ten)?.checked_add(next.checked_div(divisor.0)?)?;
        rest = next.checked_rem(divisor.0)?;
    }
    stored_within_limit(rounded(whole, rest, divisor.0)?)
}

fn divided(dividend: i256, divisor: i256) -> Option<i256> {
    let whole = dividend.checked_div(divisor)?;
    // Cheaper than another division.
    let rest = dividend.wrapping_sub(whole.wrapping_mul(divisor));
    rounded(whole, rest, divisor)
}

/// Rounds a quotient half-even by the rest that it left.
fn rounded(whole: i256, rest: i256, divisor: i256) -> Option<i256> {
    let magnitude = |value: i256| if value.is_negative() { value.wrapping_neg() } else { value };
    let twice = magnitude(rest).checked_mul(i256::from_i128(2))?;
    let is_odd = whole.wrapping_rem(i256::from_i128(2)) != i256::ZERO;
    let away = match twice.cmp(&magnitude(divisor)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => is_odd,
        std::cmp::Ordering::Greater => true,
    };
    match (away, rest.is_negative() != divisor.is_negative()) {
        (false, _) => Some(whole),
        (true, false) => whole.checked_add(i256::ONE),
        (true, true) => whole.checked_sub(i256::ONE),
    }
}

fn stored_within_limit(value: i256) -> Option<i128> {
    let value = value.to_i128()?;
    (value.unsigned_abs() < STORED_LIMIT.unsigned_abs()).then_some(value)
}

/// Sums amounts quickly: 128 bits while they last, the exact sum when they would overflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accumulator {
    stored: i128,
    residue: i128,
    spilled: ExactSum,
}

impl Accumulator {
    /// Adds a number.
    #[inline]
    pub fn add(&mut self, value: ExactDecimal) {
        self.add_stored(value.stored);
        if value.residue != 0 {
            // At most half a unit of scale 24, 5 x 10^13 here: 10^24 of them fit.
            self.residue += value.residue;
        }
    }

    /// Adds an amount at scale 24.
    #[inline]
    pub fn add_stored(&mut self, stored: i128) {
        match self.stored.checked_add(stored) {
            Some(sum) => self.stored = sum,
            None => {
                self.spilled += ExactSum::from_stored(self.stored);
                self.stored = stored;
            }
        }
    }

    /// The sum of the stored amounts.
    pub fn stored_total(&self) -> ExactSum {
        self.spilled + ExactSum::from_stored(self.stored)
    }

    /// The sum of the numbers as the source has them.
    pub fn exact_total(&self) -> ExactSum {
        self.stored_total() + ExactSum::from_residue(self.residue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> Result<String, NumberError> {
        let mut sum = Accumulator::default();
        sum.add(ExactDecimal::parse(text.as_bytes())?);
        Ok(sum.exact_total().to_string())
    }

    fn stored(text: &str) -> String {
        let value = ExactDecimal::parse(text.as_bytes()).unwrap();
        ExactSum::from_stored(value.stored()).to_string()
    }

    #[test]
    fn accepted_numbers_keep_every_digit() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("3.25", "3.25"),
            ("-0.01288992000", "-0.01288992"),
            ("0.2618755954811488071493712087", "0.2618755954811488071493712087"),
            ("0.0000000072922557592391990000", "0.000000007292255759239199"),
            ("0.000000036000000000000000000", "0.000000036"),
            ("5.99772E-07", "0.000000599772"),
            ("1.5e3", "1500"),
            ("2E+2", "200"),
            ("99999999999999.999999999999999999999999", "99999999999999.999999999999999999999999"),
            ("-99999999999999", "-99999999999999"),
            ("00012.50", "12.5"),
            (" 7.5 ", "7.5"),
            ("0e-999", "0"),
            (
                "0.00000000000000000000000000000000000001",
                "0.00000000000000000000000000000000000001",
            ),
        ] {
            assert_eq!(exact(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn finer_digits_round_half_even_and_are_counted() {
        for (text, expected) in [
            ("0.0000000000000000000000005", "0"),
            ("0.0000000000000000000000015", "0.000000000000000000000002"),
            ("0.0000000000000000000000025", "0.000000000000000000000002"),
            ("-0.0000000000000000000000015", "-0.000000000000000000000002"),
            ("0.00000000000000000000000250001", "0.000000000000000000000003"),
        ] {
            assert_eq!(stored(text), expected, "{text}");
            assert!(ExactDecimal::parse(text.as_bytes()).unwrap().is_rounded());
        }
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        use NumberError::{Empty, Form, TooFine, TooLarge, TooLong};
        for (text, expected) in [
            ("", Empty),
            ("  ", Empty),
            ("+1.5", Form),
            (".5", Form),
            ("5.", Form),
            ("1e", Form),
            ("e5", Form),
            ("1e+", Form),
            ("1e1000", Form),
            ("1.2.3", Form),
            ("1,234.50", Form),
            ("1_000", Form),
            ("(1.50)", Form),
            ("$1.50", Form),
            ("NaN", Form),
            ("NULL", Form),
            ("Infinity", Form),
            ("0x10", Form),
            ("--1", Form),
            ("-", Form),
            ("\u{2212}1", Form),
            ("1\u{a0}", Form),
            ("\t1", Form),
            ("1e-400", TooFine),
            ("0.000000000000000000000000000000000000001", TooFine),
            ("100000000000000", TooLarge),
            ("1e14", TooLarge),
            // 39 digits behind zeros: the exponent makes no large number of it.
            ("0.000000000000000184464470700000000000018446447073709551e15", TooFine),
            ("99999999999999.9999999999999999999999999", TooFine),
            ("1e300", TooLarge),
            ("1234567890123456789012345678901234567890", TooLarge),
        ] {
            assert_eq!(exact(text), Err(expected), "{text}");
        }
        assert_eq!(exact(&"1".repeat(65)), Err(TooLong));
    }

    #[test]
    fn sums_go_beyond_128_bits() {
        let largest = ExactDecimal::parse(b"99999999999999.999999999999999999999999").unwrap();
        let mut sum = Accumulator::default();
        (0..1000).for_each(|_| sum.add(largest));
        assert_eq!(sum.exact_total().to_string(), "99999999999999999.999999999999999999999");
        assert_eq!(sum.exact_total().to_stored(), None);
    }

    /// An accepted number as a source may write it, and its plain digits without zeros at either end.
    #[derive(Debug)]
    struct Written {
        text: String,
        plain: String,
    }

    #[test]
    fn quotients_and_products_are_rounded_half_even() {
        let sum = |text: &str| ExactSum::parse(text).unwrap();
        for (a, b, scale, expected) in [
            ("1", "3", 6, Some(333_333)),
            ("2", "3", 6, Some(666_667)),
            ("-2", "3", 6, Some(-666_667)),
            ("2", "-3", 0, Some(-1)),
            ("1", "8", 2, Some(12)),
            ("3", "8", 2, Some(38)),
            ("-1", "8", 2, Some(-12)),
            ("5", "2", 0, Some(2)),
            ("1", "0", 2, None),
            ("99999999999999", "0.00000000000000000000000000000000000001", 24, None),
        ] {
            assert_eq!(quotient(sum(a), sum(b), scale), expected, "{a} / {b}");
        }
        let stored = |text: &str| sum(text).to_stored().unwrap();
        let unit = "0.000000000000000000000001";
        for (a, b, expected) in [
            ("0.25", "4", Some(stored("1"))),
            (unit, "0.5", Some(0)),
            (unit, "1.5", Some(2)),
            (unit, "-1.5", Some(-2)),
            ("99999999999999", "2", None),
        ] {
            assert_eq!(product(stored(a), stored(b)), expected, "{a} x {b}");
        }
    }

    /// Any value of at most 38 digits, at most 14 of them before the point, with zeros at either end, an
    /// exponent that shifts the point, and blanks around it.
    fn written() -> impl Strategy<Value = Written> {
        let digits = "[1-9]([0-9]{0,36}[1-9])?";
        let zeros = (0..4_usize, 0..4_usize);
        (digits, 0..=38_usize, any::<bool>(), zeros, -20..20_i32, "[eE]", " ?").prop_map(
            |(digits, scale, is_negative, zeros, shift, e, blank)| {
                let integers = digits.len().saturating_sub(scale);
                let scale = if integers > 14 { digits.len() - 14 } else { scale };
                let sign = if is_negative { "-" } else { "" };
                let plain = format!("{sign}{}", with_point(&digits, scale));
                let point = scale.cast_signed().saturating_add(shift as isize).clamp(0, 40);
                let exponent = point - scale.cast_signed();
                let shifted = with_point(&digits, point.cast_unsigned());
                let (integer, fraction) = shifted.split_once('.').unwrap_or((&shifted, ""));
                let fraction = format!("{fraction}{}", "0".repeat(zeros.1));
                let fraction = if fraction.is_empty() { fraction } else { format!(".{fraction}") };
                let exponent = if exponent == 0 { String::new() } else { format!("{e}{exponent}") };
                let zeros = "0".repeat(zeros.0);
                let text = format!("{blank}{sign}{zeros}{integer}{fraction}{exponent}{blank}");
                Written { text, plain }
            },
        )
    }

    /// `digits x 10^-scale` in plain digits.
    fn with_point(digits: &str, scale: usize) -> String {
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (integer, fraction) = padded.split_at(padded.len() - scale);
        match fraction.trim_end_matches('0') {
            "" => integer.to_owned(),
            fraction => format!("{integer}.{fraction}"),
        }
    }

    fn exact_sum(value: ExactDecimal) -> ExactSum {
        ExactSum::from_stored(value.stored()) + ExactSum::from_residue(value.residue())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_accepted_text_keeps_its_value_when_printed_and_read_again(written in written()) {
            let value = ExactDecimal::parse(written.text.as_bytes()).unwrap();
            let printed = exact_sum(value).to_string();
            prop_assert_eq!(&printed, &written.plain);
            prop_assert_eq!(ExactDecimal::parse(printed.as_bytes()), Ok(value));
            prop_assert_eq!(ExactSum::parse(&printed), Some(exact_sum(value)));
        }

        #[test]
        fn a_stored_value_printed_and_read_again_is_itself(written in written()) {
            let stored = ExactDecimal::parse(written.text.as_bytes()).unwrap().stored();
            let printed = ExactSum::from_stored(stored).to_string();
            let again = ExactDecimal::parse(printed.as_bytes()).unwrap();
            prop_assert_eq!((again.stored(), again.is_rounded()), (stored, false));
        }

        #[test]
        fn printing_then_parsing_gives_the_same(mantissa in -10_i128.pow(38) + 1..10_i128.pow(38)) {
            let printed = ExactSum::from_stored(mantissa).to_string();
            let parsed = ExactDecimal::parse(printed.as_bytes()).unwrap();
            prop_assert_eq!((parsed.stored(), parsed.residue()), (mantissa, 0));
            prop_assert_eq!(ExactSum::parse(&printed), Some(ExactSum::from_stored(mantissa)));
        }

        #[test]
        fn the_plain_reader_agrees_with_the_careful_one(
            text in "-?([0-9]{0,16}|0{0,3}9{0,14})[.]?([0-9]{0,40}|[0-9]{24}(50{0,13}|49{0,13})|9{0,38})[ae/:]?"
        ) {
            if let Some(value) = parse_plain(text.as_bytes()) {
                prop_assert_eq!(parse_any(text.as_bytes()), Ok(value));
            }
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>) {
            let _ = ExactDecimal::parse(&bytes).is_ok();
        }
    }
}
