//! How a value is written: exact, and in a form that the reader of CSV files knows.

use std::io::Write as _;

const SECONDS_OF_DAY: i64 = 86_400;
/// Ten to this power is the largest that fits 64 bits.
const DIGITS_OF_WORD: usize = 19;
const WORD: u128 = 10_u128.pow(19);
/// The digits of 2^128.
const MAX_DIGITS: usize = 39;
/// A number has no more bytes, or the reader takes it for none.
const MAX_NUMBER_BYTES: usize = 64;

/// Writes text as one field: as it is, in quotes where commas, quotes or line ends demand them.
///
/// A byte-order mark at the front is quoted too: in the first field of a file it would be taken for that
/// of the file.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    // No early exit: that way the compiler compares many bytes at once.
    let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let has_special = text.iter().fold(false, |found, byte| found | is_special(byte));
    if !has_special && !text.starts_with(b"\xef\xbb\xbf") {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (at, part) in text.split(|byte| *byte == b'"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}

/// Writes `unscaled` x 10^-`scale` in plain digits, without zeros at the end of the fraction.
pub(super) fn write_decimal(unscaled: i128, scale: usize, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = [b'0'; MAX_DIGITS];
    write_digits(digits(unscaled.unsigned_abs(), &mut buffer), scale, out);
}

/// Writes digits with a point before the last `scale` of them, without zeros at the end of the fraction.
pub(super) fn write_digits(digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    let Some(last) = fraction.iter().rposition(|digit| *digit != b'0') else { return };
    out.push(b'.');
    out.resize(out.len() + scale - fraction.len(), b'0');
    out.extend_from_slice(&fraction[..=last]);
}

/// Writes the shortest decimal that reads back to the same double; `NaN` and `Infinity` as such, for the
/// reader to refuse.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
        return;
    }
    let start = out.len();
    write(out, format_args!("{value}"));
    if out.len() - start > MAX_NUMBER_BYTES {
        out.truncate(start);
        write(out, format_args!("{value:e}"));
    }
}

/// Writes a single as its own shortest decimal: that of the double next to it has digits that nobody wrote.
pub(super) fn write_single(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        // No single has as many digits as the limit.
        write(out, format_args!("{value}"));
    } else {
        write_double(f64::from(value), out);
    }
}

/// Writes a day, counted from 1970-01-01, as `YYYY-MM-DD`. Years that do not have four digits are written
/// with as many as they have, for the reader to refuse.
pub(super) fn write_day(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        write(out, format_args!("{year}-{month:02}-{day:02}"));
        return;
    }
    write_padded(year, 4, out);
    out.push(b'-');
    write_padded(month, 2, out);
    out.push(b'-');
    write_padded(day, 2, out);
}

/// Writes a moment, counted from 1970-01-01 in UTC, as `YYYY-MM-DDTHH:MM:SSZ`, with nine fraction digits
/// if the second is not whole.
pub(super) fn write_moment(seconds: i64, nanoseconds: i64, out: &mut Vec<u8>) {
    write_day(seconds.div_euclid(SECONDS_OF_DAY), out);
    let second = seconds.rem_euclid(SECONDS_OF_DAY);
    for (mark, part) in [(b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(mark);
        write_padded(part, 2, out);
    }
    if nanoseconds != 0 {
        out.push(b'.');
        write_padded(nanoseconds, 9, out);
    }
    out.push(b'Z');
}

/// Writes 16 bytes as the text of a UUID.
pub(super) fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// The digits of a number, at least one, at the end of a buffer of zeros.
fn digits(mut rest: u128, buffer: &mut [u8; MAX_DIGITS]) -> &[u8] {
    let (mut start, mut word_end) = (MAX_DIGITS, MAX_DIGITS);
    while rest > 0 {
        // Most numbers are one word; of larger ones, words of 19 digits are taken off.
        let word = u64::try_from(rest).ok();
        let mut word = word.or_else(|| u64::try_from(rest % WORD).ok()).unwrap_or_default();
        rest = (rest - u128::from(word)) / WORD;
        start = word_end;
        while word > 0 {
            start -= 1;
            buffer[start] = ascii(word % 10);
            word /= 10;
        }
        word_end = word_end.saturating_sub(DIGITS_OF_WORD);
    }
    &buffer[start.min(MAX_DIGITS - 1)..]
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar of all time.
///
/// Years begin in March here, so that the leap day is the last of its year; see Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_ERA: i64 = 146_097;
    const MARCH_OF_YEAR_0: i64 = -719_468;
    let days = days - MARCH_OF_YEAR_0;
    let (era, day) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

fn write_padded(number: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(ascii((number / 10_i64.pow(place)).unsigned_abs() % 10));
    }
}

/// The character of a digit.
fn ascii(digit: u64) -> u8 {
    b'0' + u8::try_from(digit).unwrap_or_default()
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    drop(out.write_fmt(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_written_to_the_last_digit() {
        for (unscaled, scale, text) in [
            (0, 0, "0"),
            (0, 28, "0"),
            (7, 0, "7"),
            (-7, 0, "-7"),
            (700, 0, "700"),
            (700, 2, "7"),
            (-750, 2, "-7.5"),
            (5, 1, "0.5"),
            (-5, 24, "-0.000000000000000000000005"),
            (10_i128.pow(19), 0, "10000000000000000000"),
            (10_i128.pow(19) - 1, 19, "0.9999999999999999999"),
            (10_i128.pow(37) + 3, 37, "1.0000000000000000000000000000000000003"),
            (i128::MAX, 0, "170141183460469231731687303715884105727"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(written(|out| write_decimal(unscaled, scale, out)), text);
        }
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let mut number: u128 = 1;
        for step in 0..2000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let number = number >> (step % 128);
            let text = number.to_string();
            assert_eq!(digits(number, &mut [b'0'; MAX_DIGITS]), text.as_bytes());
        }
    }

    #[test]
    fn floats_are_written_to_read_back_the_same() {
        for (value, text) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (7.0, "7"),
            (145.000_000_000_000_03, "145.00000000000003"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e-7, "0.0000001"),
            (1e300, "1e300"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(written(|out| write_double(value, out)), text);
        }
        assert_eq!(written(|out| write_single(0.1, out)), "0.1");
        assert_eq!(written(|out| write_single(f32::NAN, out)), "NaN");
        for value in [f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(0x007f_ffff)]
        {
            let text = written(|out| write_single(value, out));
            assert!(text.len() <= MAX_NUMBER_BYTES && !text.contains('e'), "{text}");
            assert_eq!(text.parse::<f32>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn doubles_of_all_sizes_read_back() {
        let mut bits: u64 = 1;
        for _ in 0..20_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits);
            let text = written(|out| write_double(value, out));
            assert!(text.len() <= MAX_NUMBER_BYTES, "{text}");
            if value.is_finite() {
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{text}");
            }
        }
    }

    #[test]
    fn days_follow_the_calendar() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let first = chrono::NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
        for (at, day) in first.iter_days().enumerate().step_by(13).take(280_000) {
            let days = first.signed_duration_since(epoch).num_days() + i64::try_from(at).unwrap();
            assert_eq!(written(|out| write_day(days, out)), day.to_string());
        }
        assert_eq!(written(|out| write_day(2_932_896, out)), "9999-12-31");
        assert_eq!(written(|out| write_day(2_932_897, out)), "10000-01-01");
        assert_eq!(written(|out| write_day(-719_529, out)), "-1-12-31");
        for days in [i64::from(i32::MIN), i64::from(i32::MAX), i64::MAX / SECONDS_OF_DAY] {
            written(|out| write_day(days, out));
        }
    }

    #[test]
    fn moments_are_in_utc() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (86_399, 1, "1970-01-01T23:59:59.000000001Z"),
            (-2_208_988_800, 500_000_000, "1900-01-01T00:00:00.500000000Z"),
        ] {
            assert_eq!(written(|out| write_moment(seconds, nanoseconds, out)), text);
        }
    }

    #[test]
    fn text_is_quoted_where_it_must_be() {
        for (text, field) in [
            ("", ""),
            (" plain 'text' ", " plain 'text' "),
            ("a,b", "\"a,b\""),
            ("24\"", "\"24\"\"\""),
            ("\"\"", "\"\"\"\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\rlines", "\"two\rlines\""),
            ("\u{feff}marked", "\"\u{feff}marked\""),
        ] {
            assert_eq!(written(|out| write_text(text.as_bytes(), out)), field);
        }
    }

    #[test]
    fn uuids_have_their_usual_form() {
        let bytes: Vec<u8> = (0xf0..=0xff).collect();
        let text = "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff";
        assert_eq!(written(|out| write_uuid(&bytes, out)), text);
    }
}
