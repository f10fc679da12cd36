//! The number parser, against the written grammar and the arithmetic of the `bigdecimal` crate.

#![no_main]

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode};
use costlake_model::decimal::{ExactDecimal, ExactSum, NumberError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parsed = ExactDecimal::parse(data);
    match expected(data) {
        Ok(value) => {
            let found = parsed.unwrap_or_else(|error| panic!("{value} is refused: {error}"));
            let exact = ExactSum::from_stored(found.stored()) + ExactSum::from_residue(found.residue());
            assert_eq!(exact.to_string(), value.normalized().to_plain_string());
            let stored = value.with_scale_round(24, RoundingMode::HalfEven);
            assert_eq!(BigInt::from(found.stored()), stored.as_bigint_and_scale().0.into_owned());
            assert_eq!(found.is_rounded(), stored != value);
            let printed = exact.to_string();
            assert_eq!(ExactDecimal::parse(printed.as_bytes()), Ok(found), "printed and read again");
        }
        Err(error) => assert_eq!(parsed, Err(error)),
    }
});

/// The value of a text of the written grammar, within the written limits.
fn expected(text: &[u8]) -> Result<BigDecimal, NumberError> {
    let is_blank = |byte: &u8| *byte == b' ';
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at + 1);
    let text = &text[start..end];
    if text.is_empty() {
        return Err(NumberError::Empty);
    }
    if text.len() > 64 {
        return Err(NumberError::TooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| NumberError::Form)?;
    if !is_number(text) {
        return Err(NumberError::Form);
    }
    let value: BigDecimal = text.parse().map_err(|_| NumberError::Form)?;
    let limits = value.normalized();
    let (digits, scale) = limits.as_bigint_and_scale();
    let limit = BigDecimal::new(BigInt::from(1), -14);
    if limits.abs() >= limit {
        return Err(NumberError::TooLarge);
    }
    if scale > 38 || (*digits).magnitude().to_string().len() > 38 {
        return Err(NumberError::TooFine);
    }
    Ok(value)
}

/// `-?digits[.digits][(e|E)[+-]?digits{1,3}]`
fn is_number(text: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(mantissa),
    };
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        is_digits(digits) && digits.len() <= 3
    };
    is_mantissa && exponent.is_none_or(is_exponent)
}
