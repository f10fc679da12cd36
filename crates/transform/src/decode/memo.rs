//! What fields of a column were seen before: their bytes, as they stand in the text, to codes.
//!
//! Most fields were seen before. For these nothing is looked at but their bytes: no quotes, no
//! placeholders, no encoding.

use std::ops::Range;

use crate::csv;

/// A hash table with open addressing, at most half full. It is small, and so is what is known: a look at
/// where a field stood in the text would mostly miss the cache.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// As many as a power of two, or none.
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    known: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// Which entry it is of.
    entry: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    length: u32,
    code: i32,
}

/// A chunk has less fields.
const FREE: Slot = Slot { hash: 0, entry: u32::MAX };

impl Memo {
    /// Returns the code of a field that was [kept](Self::keep).
    #[inline]
    pub(super) fn find(&self, field: &[u8], hash: u32) -> Option<i32> {
        let mut at = hash as usize;
        loop {
            let slot = self.slots.get(at & self.slots.len().wrapping_sub(1))?;
            if slot.hash == hash {
                // None is that of a free slot.
                let entry = self.entries.get(slot.entry as usize)?;
                let known = &self.known[entry.start..entry.start + entry.length as usize];
                if csv::is_same(known, field) {
                    return Some(entry.code);
                }
            } else if slot.entry == FREE.entry {
                return None;
            }
            at += 1;
        }
    }

    /// Keeps the code of a field that was not found, unless it is longer than any field of a text.
    pub(super) fn keep(&mut self, field: &[u8], hash: u32, code: i32) {
        let (Ok(length), Ok(entry)) =
            (u32::try_from(field.len()), u32::try_from(self.entries.len()))
        else {
            return;
        };
        if (self.entries.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.entries.push(Entry { start: self.known.len(), length, code });
        self.known.extend_from_slice(field);
        self.put(Slot { hash, entry });
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].entry != FREE.entry {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    #[cold]
    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(64);
        let slots = std::mem::replace(&mut self.slots, vec![FREE; length]);
        slots.into_iter().filter(|slot| slot.entry != FREE.entry).for_each(|slot| self.put(slot));
    }
}

/// Hashes a field of the text, 16 bytes at a time. Equal bytes have equal hashes, wherever they are.
#[inline]
pub(super) fn hash(text: &[u8], field: Range<u32>) -> u32 {
    let (start, end) = (field.start as usize, field.end as usize);
    let length = end - start;
    let first = match text.get(start..).and_then(|rest| rest.first_chunk()) {
        Some(first) => u128::from_le_bytes(*first) & MASKS[length.min(16)],
        None => short(&text[start..end]),
    };
    let mut hash = mix(first) ^ (length as u64).wrapping_mul(ODD[0]);
    if length > 16 {
        let (blocks, _) = text[start + 16..end].as_chunks::<16>();
        for block in blocks {
            hash = hash.rotate_left(7) ^ mix(u128::from_le_bytes(*block));
        }
        if let Some(last) = text[start..end].last_chunk() {
            hash = hash.rotate_left(7) ^ mix(u128::from_le_bytes(*last));
        }
    }
    (hash ^ hash >> 32) as u32
}

#[cold]
fn short(field: &[u8]) -> u128 {
    field.iter().take(16).rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// Bits of the first bytes of a word, by how many.
const MASKS: [u128; 17] = {
    let mut masks = [u128::MAX; 17];
    let mut bytes = 0;
    while bytes < 16 {
        masks[bytes] = (1 << (8 * bytes)) - 1;
        bytes += 1;
    }
    masks
};

/// Bits without a pattern, those of the fractions of the golden ratio, pi and e.
const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0x243f_6a88_85a3_08d3, 0xb7e1_5162_8aed_2a6b];

/// Folds the product of both halves, so that each bit of them touches many.
#[inline]
fn mix(word: u128) -> u64 {
    let low = word as u64 ^ ODD[1];
    let high = (word >> 64) as u64 ^ ODD[2];
    let product = u128::from(low) * u128::from(high);
    product as u64 ^ (product >> 64) as u64
}
