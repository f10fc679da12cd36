//! Parquet's hybrid of run lengths and bit-packed groups, for definition levels and dictionary codes.
//!
//! ```text
//! run:    varint(length << 1)        value in ceil(width / 8) bytes
//! groups: varint(groups << 1 | 1)    8 values in `width` bytes each, lowest bits first
//! ```

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

/// From this length on, equal codes are written as a run, as every writer does.
const RUN_CODES: usize = 8;
/// Most groups under one header: it stays one byte, which is what other writers give to readers.
const HEADER_GROUPS: usize = 63;

/// Returns the bits that the codes of a dictionary of `values` values take. At least one: not every
/// reader expects none. Whole bytes from five bits on: rows come in patterns, and zstd finds them only
/// where they begin at bytes.
pub(crate) fn code_width(values: usize) -> u32 {
    match (usize::BITS - values.saturating_sub(1).leading_zeros()).max(1) {
        width @ 5..=16 => width.next_multiple_of(8),
        width => width,
    }
}

/// Appends codes that take `width` bits, at most 32.
pub(crate) fn put_codes(out: &mut Vec<u8>, codes: &[u32], width: u32) {
    let mut rest = codes;
    while let Some(&first) = rest.first() {
        let run = run_length(rest);
        if run >= RUN_CODES || run == rest.len() {
            put_run(out, run, first, width);
            rest = &rest[run..];
        } else {
            let (literals, after) = rest.split_at(literal_length(rest));
            put_groups(out, literals, width);
            rest = after;
        }
    }
}

/// The definition levels of rows: 1 for a value, 0 for null. Bits are kept only where both occur.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    rows: usize,
    nulls: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Levels {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many of them are null.
    pub(crate) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Appends so many rows.
    pub(crate) fn append(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        match nulls.map(|nulls| (nulls, nulls.null_count())) {
            Some((nulls, count)) if count > 0 && count < rows => {
                self.mixed().append_buffer(nulls.inner());
                self.rows += rows;
                self.nulls += count;
            }
            Some((_, count)) if count > 0 => self.append_same(rows, false),
            _ => self.append_same(rows, true),
        }
    }

    /// Appends rows of which all have a value, or none has.
    pub(crate) fn append_same(&mut self, rows: usize, are_values: bool) {
        let was_same = if are_values { self.nulls == 0 } else { self.nulls == self.rows };
        if self.bits.is_some() || !was_same {
            self.mixed().append_n(rows, are_values);
        }
        self.rows += rows;
        if !are_values {
            self.nulls += rows;
        }
    }

    /// Whether a row has a value.
    pub(crate) fn is_value(&self, row: usize) -> bool {
        self.bits.as_ref().map_or(self.nulls == 0, |bits| bits.get_bit(row))
    }

    /// Appends the levels, encoded.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match &self.bits {
            Some(bits) => {
                let word = |bytes: &[u8]| {
                    let mut word = [0; 8];
                    word[..bytes.len()].copy_from_slice(bytes);
                    u64::from_le_bytes(word)
                };
                let words: Vec<u64> = bits.as_slice().chunks(8).map(word).collect();
                put_bits(out, &words, self.rows);
            }
            None => put_run(out, self.rows, u32::from(self.nulls == 0), 1),
        }
    }

    fn mixed(&mut self) -> &mut BooleanBufferBuilder {
        self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(self.rows);
            bits.append_n(self.rows, self.nulls == 0);
            bits
        })
    }
}

/// Appends the bits of `words`, 64 rows each with the first one lowest.
fn put_bits(out: &mut Vec<u8>, words: &[u64], rows: usize) {
    let mut literals = Literals { header_at: 0, groups: 0 };
    let mut at = 0;
    while at < rows {
        let ahead = bits_from(words, at);
        let run = run_of_bits(ahead).min(rows - at);
        if run >= RUN_CODES || run == rows - at {
            let mut length = run;
            while length < rows - at && bits_from(words, at + length) & 1 == ahead & 1 {
                length += run_of_bits(bits_from(words, at + length)).min(rows - at - length);
            }
            literals.finish(out);
            put_run(out, length, u32::from(ahead & 1 == 1), 1);
            at += length;
        } else {
            // Bits beyond the last row are not ours: as they are, the same rows would not always
            // give the same bytes.
            let kept = u8::MAX >> 8_usize.saturating_sub(rows - at);
            literals.push(out, ahead.to_le_bytes()[0] & kept);
            at += 8;
        }
    }
    literals.finish(out);
}

/// Returns the 64 bits from `at` on, of which those beyond the last word are zero.
fn bits_from(words: &[u64], at: usize) -> u64 {
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    let (index, shift) = (at / 64, at % 64);
    if shift == 0 { word(index) } else { word(index) >> shift | word(index + 1) << (64 - shift) }
}

fn run_of_bits(bits: u64) -> usize {
    (if bits & 1 == 1 { bits.trailing_ones() } else { bits.trailing_zeros() }) as usize
}

/// Groups of width 1, one byte each, under a header that is known after the last of them.
struct Literals {
    header_at: usize,
    groups: u8,
}

impl Literals {
    fn push(&mut self, out: &mut Vec<u8>, group: u8) {
        if self.groups == 0 {
            self.header_at = out.len();
            out.push(0);
        }
        out.push(group);
        self.groups += 1;
        if usize::from(self.groups) == HEADER_GROUPS {
            self.finish(out);
        }
    }

    fn finish(&mut self, out: &mut [u8]) {
        if self.groups > 0 {
            out[self.header_at] = self.groups << 1 | 1;
            self.groups = 0;
        }
    }
}

fn put_run(out: &mut Vec<u8>, length: usize, value: u32, width: u32) {
    put_varint(out, length << 1);
    let bytes = if width <= 8 {
        1
    } else if width <= 16 {
        2
    } else if width <= 24 {
        3
    } else {
        4
    };
    out.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

fn put_groups(out: &mut Vec<u8>, codes: &[u32], width: u32) {
    put_varint(out, codes.len().div_ceil(8) << 1 | 1);
    let (groups, rest) = codes.as_chunks::<8>();
    for group in groups {
        put_group(out, group, width);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        put_group(out, &last, width);
    }
}

fn put_group(out: &mut Vec<u8>, group: &[u32; 8], width: u32) {
    let quarter = |at: usize| u64::from(group[at]) | u64::from(group[at + 1]) << width;
    if width <= 16 {
        let half = |at: usize| quarter(at) | quarter(at + 2) << (2 * width);
        let packed = u128::from(half(0)) | u128::from(half(4)) << (4 * width);
        let mut rest = width;
        for byte in packed.to_le_bytes() {
            if rest == 0 {
                break;
            }
            out.push(byte);
            rest -= 1;
        }
    } else {
        // Two codes do not end at a byte, and eight do not fit into a register: bit by bit into bytes.
        let (mut bits, mut held) = (0_u64, 0_u32);
        for code in group {
            bits |= u64::from(*code) << held;
            held += width;
            while held >= 8 {
                out.extend_from_slice(&bits.to_le_bytes()[..1]);
                bits >>= 8;
                held -= 8;
            }
        }
    }
}

/// How many codes from the first one are equal to it.
fn run_length(codes: &[u32]) -> usize {
    let Some(&first) = codes.first() else { return 0 };
    let (blocks, _) = codes.as_chunks::<16>();
    let equal = blocks.iter().take_while(|block| differences(*block, first) == 0).count() * 16;
    equal + codes[equal..].iter().take_while(|code| **code == first).count()
}

/// How many codes to write as groups before the next run: all of them, or whole groups.
fn literal_length(codes: &[u32]) -> usize {
    let (groups, _) = codes.as_chunks::<8>();
    let begins_run = |group: &[u32; 8]| differences(group, group[0]) == 0;
    let before_run = groups.iter().skip(1).position(begins_run).map(|groups| groups + 1);
    let groups = before_run.unwrap_or(codes.len().div_ceil(8)).min(HEADER_GROUPS);
    (groups * 8).min(codes.len())
}

fn differences(codes: &[u32], from: u32) -> u32 {
    codes.iter().fold(0, |differences, code| differences | (code ^ from))
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::buffer::BooleanBuffer;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_come_back(
            width in 1..=32_u32,
            runs in prop::collection::vec((any::<u32>(), prop_oneof![1..4_usize, 1..700_usize]), 0..40),
        ) {
            let fit = |code: u32| code >> (u32::BITS - width);
            let codes: Vec<u32> =
                runs.iter().flat_map(|(code, run)| std::iter::repeat_n(fit(*code), *run)).collect();
            let mut bytes = Vec::new();
            put_codes(&mut bytes, &codes, width);
            prop_assert_eq!(decode(&bytes, width, codes.len()), codes);
        }

        #[test]
        fn levels_come_back(
            runs in prop::collection::vec((any::<bool>(), prop_oneof![1..9_usize, 1..700_usize]), 1..40),
            start in any::<prop::sample::Index>(),
        ) {
            let bits: Vec<bool> =
                runs.iter().flat_map(|(bit, run)| std::iter::repeat_n(*bit, *run)).collect();
            let nulls = NullBuffer::new(BooleanBuffer::from(bits.clone()));
            let start = start.index(bits.len());
            for rows in [bits.len() - start, (bits.len() - start).div_ceil(2)] {
                let mut bytes = Vec::new();
                let (first, rest) = (rows / 3, rows - rows / 3);
                let mut levels = Levels::default();
                levels.append(Some(&nulls.slice(start, first)), first);
                levels.append(Some(&nulls.slice(start + first, rest)), rest);
                levels.put(&mut bytes);
                let expected: Vec<u32> =
                    bits[start..start + rows].iter().map(|bit| u32::from(*bit)).collect();
                prop_assert_eq!(decode(&bytes, 1, rows), expected);
            }
        }
    }

    #[test]
    fn long_runs_take_no_room() {
        let mut bytes = Vec::new();
        put_codes(&mut bytes, &vec![5; 40_000], 9);
        assert_eq!(bytes, [0x80, 0xf1, 0x04, 5, 0]);
        bytes.clear();
        let mut levels = Levels::default();
        levels.append(None, 3);
        levels.put(&mut bytes);
        assert_eq!(bytes, [6, 1]);
    }

    #[test]
    fn groups_are_packed_as_the_format_shows() {
        // The example of the Parquet specification: 0 to 7 in three bits each.
        let mut bytes = Vec::new();
        put_codes(&mut bytes, &[0, 1, 2, 3, 4, 5, 6, 7], 3);
        assert_eq!(bytes, [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }

    #[test]
    fn widths_are_those_of_the_greatest_code() {
        let widths = [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (16, 4),
            (17, 8),
            (257, 16),
            (65_536, 16),
            (65_537, 17),
        ];
        for (values, width) in widths {
            assert_eq!(code_width(values), width, "{values}");
        }
    }

    /// Bit by bit, as the format describes it.
    fn decode(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut codes = Vec::new();
        let mut at = 0;
        while codes.len() < count {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                header |= usize::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let mut value = [0; 4];
                let length = usize::try_from(width.div_ceil(8)).unwrap();
                value[..length].copy_from_slice(&bytes[at..at + length]);
                codes.extend(std::iter::repeat_n(u32::from_le_bytes(value), header >> 1));
                at += length;
            } else {
                let width = usize::try_from(width).unwrap();
                for code in 0..(header >> 1) * 8 {
                    let bit = |bit: usize| {
                        let bit = code * width + bit;
                        u32::from(bytes[at + bit / 8] >> (bit % 8) & 1)
                    };
                    codes.push((0..width).fold(0, |value, at| value | bit(at) << at));
                }
                at += (header >> 1) * width;
            }
        }
        assert_eq!(at, bytes.len());
        codes.truncate(count);
        codes
    }
}
