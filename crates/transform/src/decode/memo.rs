//! What fields of a column were seen before: their bytes, as they stand in the text, to codes.
//!
//! Most fields were seen before. For these nothing is looked at but their bytes: no quotes, no
//! placeholders, no encoding.
//!
//! Hashes are fixed, so that anyone can find texts with the same one: a field that would stand too far
//! from where its hash puts it is not kept, and costs what a new one does.

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

/// How far a field may stand from where its hash puts it. Half full, hardly any table has it so far.
const MAX_STEPS: usize = 64;

/// A chunk has fewer fields.
const FREE: Slot = Slot { hash: 0, entry: u32::MAX };

impl Memo {
    /// Returns the code of a field that was [kept](Self::keep).
    #[inline]
    pub(super) fn find(&self, field: &[u8], hash: u32) -> Option<i32> {
        for step in 0..MAX_STEPS {
            let at = hash as usize + step;
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
        }
        None
    }

    /// Keeps the code of a field that was not found, if there is room for it where it is sought.
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
        let mut places = (0..MAX_STEPS).map(|step| (slot.hash as usize + step) & mask);
        if let Some(at) = places.find(|at| self.slots[*at].entry == FREE.entry) {
            self.slots[at] = slot;
        }
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
        Some(first) => {
            let ([low, high], [low_mask, high_mask]) = (words(first), MASKS[length.min(16)]);
            [low & low_mask, high & high_mask]
        }
        None => words(&short(&text[start..end])),
    };
    let mut hash = mix(first) ^ (length as u64).wrapping_mul(ODD[0]);
    if length > 16 {
        let (blocks, _) = text[start + 16..end].as_chunks::<16>();
        for block in blocks {
            hash = hash.rotate_left(7) ^ mix(words(block));
        }
        if let Some(last) = text[start..end].last_chunk() {
            hash = hash.rotate_left(7) ^ mix(words(last));
        }
    }
    ((hash ^ hash << 32) >> 32) as u32
}

/// A field at the very end of the text, with zeros behind it.
#[cold]
fn short(field: &[u8]) -> [u8; 16] {
    let mut block = [0; 16];
    let length = field.len().min(16);
    block[..length].copy_from_slice(&field[..length]);
    block
}

#[inline(always)]
fn words(block: &[u8; 16]) -> [u64; 2] {
    let [low, high] = bytemuck::cast::<[u8; 16], [[u8; 8]; 2]>(*block);
    [u64::from_le_bytes(low), u64::from_le_bytes(high)]
}

/// Bits of the first bytes of 16, by how many.
const MASKS: [[u64; 2]; 17] = {
    let mut masks = [[u64::MAX; 2]; 17];
    let mut bytes = 0;
    while bytes < 8 {
        masks[bytes] = [(1 << (8 * bytes)) - 1, 0];
        masks[8 + bytes] = [u64::MAX, (1 << (8 * bytes)) - 1];
        bytes += 1;
    }
    masks
};

/// Bits without a pattern, those of the fractions of the golden ratio, pi and e.
const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0x243f_6a88_85a3_08d3, 0xb7e1_5162_8aed_2a6b];

/// Folds the product of two words, so that each bit of them touches many.
#[inline(always)]
fn mix([low, high]: [u64; 2]) -> u64 {
    let (low, high) = (low ^ ODD[1], high ^ ODD[2]);
    let upper = (u128::from(low) * u128::from(high)) >> 64;
    low.wrapping_mul(high) ^ upper as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_bytes_alone() {
        let texts: Vec<String> =
            (0..5000).map(|at| "x".repeat(at % 70) + &at.to_string()).collect();
        let mut memo = Memo::default();
        // What stands around a field is not part of it, and at the end of a text nothing does.
        let place = |text: &str, behind: &str| {
            let whole = format!("{text}{behind}");
            let end = u32::try_from(text.len()).unwrap();
            hash(whole.as_bytes(), 0..end)
        };
        for (code, text) in (0..).zip(&texts) {
            let hash = place(text, "");
            assert_eq!(memo.find(text.as_bytes(), hash), None);
            memo.keep(text.as_bytes(), hash, code);
        }
        for (code, text) in (0..).zip(&texts) {
            for behind in ["", ",", "0", &"9".repeat(40)] {
                assert_eq!(memo.find(text.as_bytes(), place(text, behind)), Some(code));
            }
        }
    }

    #[test]
    fn fields_with_one_hash_are_told_apart() {
        let mut memo = Memo::default();
        for code in 0..1000 {
            memo.keep(code.to_string().as_bytes(), 0, code);
        }
        assert_eq!(memo.find(b"57", 0), Some(57));
        assert_eq!(memo.find(b"999", 0), None, "too far from where it is sought");
        assert_eq!(memo.find(b"x", 0), None);
        assert_eq!(memo.find(b"57", 1), None);
    }
}
