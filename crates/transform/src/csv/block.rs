//! Commas, line ends and quotes of 64 bytes as bits, and what they mean inside and outside quotes.

/// Bytes per block: one bit each in a 64-bit mask.
pub(super) const BLOCK: usize = 64;

/// What a block holds, a bit per byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Commas outside quotes.
    pub(super) commas: u64,
    /// Line feeds outside quotes.
    pub(super) line_feeds: u64,
    /// Line feeds that end an empty line.
    pub(super) blank: u64,
    /// Places that break RFC 4180: from the first one on, the other marks mean nothing.
    pub(super) odd: u64,
}

/// Carries the state between blocks. Starts at the beginning of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockScanner {
    /// All ones inside quotes, else zero.
    inside: u64,
    /// Bit 0: a quote here would open a field, or double a quote.
    may_open: u64,
    /// Bit 0: the byte before was a closing quote.
    after_closing: u64,
    /// Bit 0: the byte before was a carriage return outside quotes.
    after_return: u64,
    /// Bit 0: a record starts here.
    starts: u64,
    /// Bit 0: the byte before was a carriage return at the start of a record.
    after_blank_return: u64,
}

impl BlockScanner {
    pub(super) fn at_record_start() -> Self {
        Self {
            inside: 0,
            may_open: 1,
            after_closing: 0,
            after_return: 0,
            starts: 1,
            after_blank_return: 0,
        }
    }

    /// Whether the text so far ends inside quotes.
    pub(super) fn is_inside_quotes(&self) -> bool {
        self.inside != 0
    }

    /// Whether the text so far ends with a carriage return outside quotes.
    pub(super) fn ends_with_return(&self) -> bool {
        self.after_return != 0
    }

    /// Marks the next block, of which only the first `length` bytes are text.
    #[inline]
    pub(super) fn next(&mut self, block: &[u8; BLOCK], length: usize) -> Marks {
        let text = if length == BLOCK { !0 } else { (1_u64 << length) - 1 };
        let [quotes, commas, feeds, returns] = byte_masks(block).map(|mask| mask & text);

        // A bit is set from an opening quote up to the byte before its closing quote.
        let inside = prefix_xor(quotes) ^ self.inside;
        let (opening, closing) = (quotes & inside, quotes & !inside);
        let (commas, line_feeds) = (commas & !inside, feeds & !inside);
        let returns = returns & !inside;

        let ends = commas | line_feeds;
        let odd_opening = opening & !(((ends | closing) << 1) | self.may_open);
        let after_closing = (closing << 1) | self.after_closing;
        let odd_after_closing = after_closing & text & !(ends | returns | quotes);
        let after_return = (returns << 1) | self.after_return;
        let odd_return = after_return & text & !line_feeds;

        let starts = (line_feeds << 1) | self.starts;
        let blank_returns = returns & starts;
        let blank = line_feeds & (starts | (blank_returns << 1) | self.after_blank_return);

        let last = |mask: u64| (mask >> (length.max(1) - 1)) & 1;
        self.inside = if last(inside) == 1 { !0 } else { 0 };
        self.may_open = last(ends | closing);
        self.after_closing = last(closing);
        self.after_return = last(returns);
        self.starts = last(line_feeds);
        self.after_blank_return = last(blank_returns);
        Marks { commas, line_feeds, blank, odd: odd_opening | odd_after_closing | odd_return }
    }
}

/// Returns, for each bit, the parity of the bits up to and including it.
#[inline]
fn prefix_xor(mut mask: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}

const SOUGHT: [u8; 4] = [b'"', b',', b'\n', b'\r'];

/// Returns where the block has each of the sought bytes.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the one call that needs SSE2, see the safety comment")]
#[inline]
fn byte_masks(block: &[u8; BLOCK]) -> [u64; 4] {
    // SAFETY: the callee needs SSE2, which every x86-64 processor has and the target enables.
    unsafe { byte_masks_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn byte_masks_sse2(block: &[u8; BLOCK]) -> [u64; 4] {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};

    let lanes: [__m128i; 4] = bytemuck::cast(*block);
    let mut masks = [0_u64; 4];
    for (mask, byte) in masks.iter_mut().zip(SOUGHT) {
        let sought = _mm_set1_epi8(byte.cast_signed());
        for lane in lanes.into_iter().rev() {
            let bits = _mm_movemask_epi8(_mm_cmpeq_epi8(lane, sought));
            *mask = (*mask << 16) | u64::from(bits.cast_unsigned());
        }
    }
    masks
}

/// Returns where the block has each of the sought bytes.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn byte_masks(block: &[u8; BLOCK]) -> [u64; 4] {
    SOUGHT.map(|sought| {
        block.iter().rev().fold(0, |mask, byte| (mask << 1) | u64::from(*byte == sought))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_a_bit_for_each_byte() {
        for at in 0..BLOCK {
            let mut block = [b'x'; BLOCK];
            block[at] = b'\n';
            assert_eq!(byte_masks(&block), [0, 0, 1 << at, 0]);
        }
    }

    #[test]
    fn parity_runs_from_the_lowest_bit() {
        assert_eq!(prefix_xor(0b0010_0100), 0b0001_1100);
        assert_eq!(prefix_xor(1), !0);
    }
}
