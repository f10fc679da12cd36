//! Commas, line ends and quotes of 64 bytes as bits, and what they mean inside and outside quotes.

use super::finder::Finder;

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
    #[inline(always)]
    pub(super) fn next(
        &mut self,
        finder: impl Finder,
        block: &[u8; BLOCK],
        length: usize,
    ) -> Marks {
        let text = if length == BLOCK { !0 } else { (1_u64 << length) - 1 };
        let [quotes, commas, feeds, returns] = finder.find(block).map(|mask| mask & text);

        // A bit is set from an opening quote up to the byte before its closing quote.
        let inside = finder.parity(quotes) ^ self.inside;
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
