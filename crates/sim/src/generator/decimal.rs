//! Exact decimals for quantities, prices and money.

/// `mantissa / 10^scale`. Azure's own producer keeps 96 bits and at most 28 fraction digits; so does the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: i128,
    scale: u32,
}

impl Decimal {
    /// Zero.
    pub(super) const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// Returns `mantissa / 10^scale`.
    pub(super) const fn new(mantissa: i128, scale: u32) -> Self {
        Self { mantissa, scale }
    }

    /// Returns the exact product.
    pub(super) fn times(self, other: Self) -> Self {
        Self::new(self.mantissa * other.mantissa, self.scale + other.scale)
    }

    /// Returns the value with the opposite sign.
    pub(super) fn negated(self) -> Self {
        Self::new(-self.mantissa, self.scale)
    }

    /// Returns the value rounded to at most `digits` fraction digits, halves away from zero.
    pub(super) fn rounded(self, digits: u32) -> Self {
        if self.scale <= digits {
            return self;
        }
        let unit = 10i128.pow(self.scale - digits);
        let half = if self.mantissa < 0 { -unit / 2 } else { unit / 2 };
        Self::new((self.mantissa + half) / unit, digits)
    }

    /// Appends the value with all `scale` fraction digits, trailing zeros included.
    pub(super) fn write_padded(self, out: &mut Vec<u8>) {
        if self.mantissa < 0 {
            out.push(b'-');
        }
        let magnitude = self.mantissa.unsigned_abs();
        let unit = 10u128.pow(self.scale);
        let (whole, fraction) =
            if magnitude < unit { (0, magnitude) } else { (magnitude / unit, magnitude % unit) };
        write_digits(whole, 1, out);
        if self.scale > 0 {
            out.push(b'.');
            write_digits(fraction, self.scale, out);
        }
    }

    /// Appends the value without trailing zeros after the point.
    pub(super) fn write_trimmed(self, out: &mut Vec<u8>) {
        self.write_padded(out);
        if self.scale > 0 {
            while out.last() == Some(&b'0') {
                out.pop();
            }
            if out.last() == Some(&b'.') {
                out.pop();
            }
        }
    }

    /// Returns the value as text without trailing zeros after the point.
    pub(super) fn to_text(self) -> String {
        let mut text = Vec::new();
        self.write_trimmed(&mut text);
        text.into_iter().map(char::from).collect()
    }
}

/// Appends the decimal digits of a number, with leading zeros up to `width`.
fn write_digits(number: u128, width: u32, out: &mut Vec<u8>) {
    const CHUNK: u128 = 10u128.pow(19);
    let mut digits = [b'0'; 40];
    let mut start = digits.len();
    let (mut high, mut low) = (0, number);
    if number >= CHUNK {
        (high, low) = (number / CHUNK, number % CHUNK);
    }
    start = put_backwards(u64::try_from(low).unwrap_or(0), &mut digits, start);
    if high > 0 {
        start = put_backwards(u64::try_from(high).unwrap_or(0), &mut digits, 40 - 19);
    }
    out.extend_from_slice(&digits[start.min(40 - width as usize)..]);
}

/// Writes digits so that they end before `end`; returns where they start. Zero writes nothing.
fn put_backwards(mut number: u64, digits: &mut [u8; 40], mut end: usize) -> usize {
    while number > 0 {
        end -= 1;
        digits[end] += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(mantissa: i128, scale: u32) -> String {
        let mut out = Vec::new();
        Decimal::new(mantissa, scale).write_padded(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_every_digit() {
        assert_eq!(padded(0, 0), "0");
        assert_eq!(padded(-5, 2), "-0.05");
        assert_eq!(padded(72_922_557_592_391_990_000, 28), "0.0000000072922557592391990000");
        assert_eq!(
            padded(12_345_678_901_234_567_890_123_456_789, 24),
            "12345.678901234567890123456789"
        );
        assert_eq!(padded(10i128.pow(19), 0), "10000000000000000000");
    }

    #[test]
    fn trims_only_behind_the_point() {
        assert_eq!(Decimal::new(100, 0).to_text(), "100");
        assert_eq!(Decimal::new(100, 2).to_text(), "1");
        assert_eq!(Decimal::new(-120, 2).to_text(), "-1.2");
    }

    #[test]
    fn rounds_halves_away_from_zero() {
        assert_eq!(Decimal::new(125, 2).rounded(1), Decimal::new(13, 1));
        assert_eq!(Decimal::new(-125, 2).rounded(1), Decimal::new(-13, 1));
        assert_eq!(Decimal::new(124, 2).rounded(1), Decimal::new(12, 1));
    }

    #[test]
    fn products_are_exact() {
        let cost = Decimal::new(61_644, 6).times(Decimal::new(8, 0));
        assert_eq!(cost.to_text(), "0.493152");
    }
}
