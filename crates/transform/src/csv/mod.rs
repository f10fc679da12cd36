//! Records and fields of RFC 4180 text, found 64 bytes at a time.
//!
//! [`finder`] finds commas, line ends and quotes as bits, [`block`] knows which of them mean something;
//! [`records`] turns them into records and fields; [`careful`] is the plain state machine that decides
//! wherever the bits look odd. All agree
//! with the `csv` crate on well-formed text, and are stricter on the rest:
//!
//! | input | here |
//! |---|---|
//! | `"a"b` (text after a closing quote) | the record is malformed |
//! | `a"b`, `{"k":1}` (quote inside a bare field) | part of the field |
//! | CR that no LF follows, outside quotes | the record is malformed |
//! | quote still open at the end | the text is refused |
//! | empty line | counted, no record |

mod block;
mod careful;
mod finder;
mod records;

pub(crate) use records::{
    Bounds, FieldTable, MalformedRecord, RecordReader, bounds, bytes, first_record_end,
};

/// Why a record is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Text between a closing quote and the next comma or line end.
    TextAfterQuote,
    /// A carriage return that no line feed follows.
    BareCarriageReturn,
    /// Another number of fields than the header has.
    FieldCount(usize),
}

/// Returns the fields of one record, quotes included, however many, and what is wrong with it.
pub(crate) fn fields(record: &[u8]) -> (Vec<&[u8]>, Option<Malformed>) {
    let (ends, malformed) = match careful::record(record, 0, true) {
        Ok(found) => (found.field_ends, found.malformed),
        Err(_) => (vec![record.len()], Some(Malformed::TextAfterQuote)),
    };
    let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
    (starts.zip(&ends).map(|(start, end)| &record[start..*end]).collect(), malformed)
}

/// Returns the content of a field: quotes taken off, doubled quotes made single.
///
/// `scratch` holds the content where it differs from the text.
#[inline]
pub(crate) fn content<'a>(field: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let [b'"', inner @ .., b'"'] = field else {
        return field;
    };
    if memchr::memchr(b'"', inner).is_none() {
        return inner;
    }
    scratch.clear();
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'"', rest) {
        scratch.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    scratch.extend_from_slice(rest);
    scratch
}

/// Whether two fields have the same bytes. Most are short, and a call would cost more than the answer.
#[inline(always)]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0 => true,
        1..4 => a[0] == b[0] && a[a.len() / 2] == b[b.len() / 2] && a.last() == b.last(),
        4..8 => ends(a).map(u32::from_le_bytes) == ends(b).map(u32::from_le_bytes),
        8..16 => ends(a).map(u64::from_le_bytes) == ends(b).map(u64::from_le_bytes),
        16..=32 => ends(a).map(u128::from_le_bytes) == ends(b).map(u128::from_le_bytes),
        _ => a == b,
    }
}

/// The first and the last `N` bytes of a text that has as many.
#[inline(always)]
fn ends<const N: usize>(text: &[u8]) -> [[u8; N]; 2] {
    let first = text.first_chunk().copied().unwrap_or([0; N]);
    [first, text.last_chunk().copied().unwrap_or([0; N])]
}

/// Returns a text without the spaces around it; other blanks are part of it.
pub(crate) fn without_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_takes_quotes_off() {
        for (field, expected) in [
            ("", ""),
            ("a", "a"),
            ("\"\"", ""),
            ("\"a,b\"", "a,b"),
            ("\"\"\"a\"\": \"\"b\"\"\"", "\"a\": \"b\""),
            ("a\"b", "a\"b"),
            ("\"", "\""),
        ] {
            let mut scratch = Vec::new();
            assert_eq!(content(field.as_bytes(), &mut scratch), expected.as_bytes(), "{field}");
        }
    }
}
