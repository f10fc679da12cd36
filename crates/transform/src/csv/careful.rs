//! The plain state machine: one record, byte by byte, with a verdict on anything odd.

use super::Malformed;

/// A record found by [`record`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CarefulRecord {
    /// The ends of its fields, relative to the text.
    pub(super) field_ends: Vec<usize>,
    /// Where the record ends, its line end included.
    pub(super) end: usize,
    /// What is wrong with it, if anything.
    pub(super) malformed: Option<Malformed>,
}

/// How the text ended before the record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// Inside quotes.
    InsideQuotes,
    /// In a record that no line end closes.
    NoLineEnd,
}

#[derive(Clone, Copy)]
enum State {
    FieldStart,
    Bare,
    Quoted,
    AfterQuote,
    Broken,
}

/// Reads the record that starts at `start`. With `is_last`, the end of the text ends it too.
pub(super) fn record(
    text: &[u8],
    start: usize,
    is_last: bool,
) -> Result<CarefulRecord, Unfinished> {
    let mut field_ends = Vec::new();
    let mut malformed = None;
    let mut state = State::FieldStart;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        let ends_line = byte == b'\n' || (byte == b'\r' && text.get(at + 1) == Some(&b'\n'));
        state = match (state, byte) {
            (State::Quoted, b'"') => State::AfterQuote,
            (State::Quoted, _) => State::Quoted,
            (State::AfterQuote, b'"') => State::Quoted,
            (_, b',') => {
                field_ends.push(at);
                State::FieldStart
            }
            _ if ends_line => {
                field_ends.push(at);
                let end = at + if byte == b'\r' { 2 } else { 1 };
                return Ok(CarefulRecord { field_ends, end, malformed });
            }
            (_, b'\r') if at + 1 == text.len() && !is_last => return Err(Unfinished::NoLineEnd),
            (_, b'\r') => {
                malformed.get_or_insert(Malformed::BareCarriageReturn);
                State::Broken
            }
            (State::FieldStart, b'"') => State::Quoted,
            (State::AfterQuote, _) => {
                malformed.get_or_insert(Malformed::TextAfterQuote);
                State::Broken
            }
            (State::FieldStart | State::Bare, _) => State::Bare,
            (State::Broken, _) => State::Broken,
        };
        at += 1;
    }
    match state {
        State::Quoted => Err(Unfinished::InsideQuotes),
        _ if !is_last => Err(Unfinished::NoLineEnd),
        _ => {
            field_ends.push(at);
            Ok(CarefulRecord { field_ends, end: at, malformed })
        }
    }
}
