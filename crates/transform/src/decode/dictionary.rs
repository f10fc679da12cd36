//! Distinct texts of a column, each held once, in the order in which they first occur.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The code of no value.
pub(crate) const NULL: i32 = -1;

#[derive(Debug)]
pub(crate) struct Dictionary {
    codes: HashTable<Entry>,
    values: Vec<u8>,
    /// Where each value ends; the first entry is 0.
    offsets: Vec<i32>,
    hasher: FixedState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    code: i32,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            codes: HashTable::new(),
            values: Vec::new(),
            offsets: vec![0],
            hasher: FixedState::default(),
        }
    }
}

impl Dictionary {
    /// Returns the code of a text, a new one if it is new.
    #[inline]
    pub(crate) fn code_of(&mut self, text: &[u8]) -> i32 {
        let hash = self.hash(text);
        self.find(text, hash).unwrap_or_else(|| self.insert(text, hash))
    }

    /// Returns the hash of a text, for [`Self::find`] and [`Self::insert`].
    #[inline]
    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        let mut state = self.hasher.build_hasher();
        state.write(text);
        state.finish()
    }

    /// Returns the code of a text that is known.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], hash: u64) -> Option<i32> {
        let is_same = |entry: &Entry| {
            entry.hash == hash && value_of(&self.values, &self.offsets, entry.code) == text
        };
        self.codes.find(hash, is_same).map(|entry| entry.code)
    }

    /// Adds a text that is not known. Offsets are 32-bit: beyond that, [`Self::finish`] fails.
    pub(crate) fn insert(&mut self, text: &[u8], hash: u64) -> i32 {
        let code = i32::try_from(self.offsets.len() - 1).unwrap_or(NULL);
        self.values.extend_from_slice(text);
        self.offsets.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
        self.codes.insert_unique(hash, Entry { hash, code }, |entry| entry.hash);
        code
    }

    /// Returns the text of a code; that of [`NULL`] is empty.
    pub(crate) fn value(&self, code: i32) -> &str {
        std::str::from_utf8(value_of(&self.values, &self.offsets, code)).unwrap_or_default()
    }

    /// Ends the dictionary: an array of the codes, with its values.
    pub(crate) fn finish(&mut self, codes: Vec<i32>) -> Result<ArrayRef, ArrowError> {
        if i32::try_from(self.values.len()).is_err() {
            let message = "the texts of one column take more than 2 GiB in one chunk";
            return Err(ArrowError::ComputeError(message.to_owned()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::take(&mut self.offsets)));
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        let values = StringArray::try_new(offsets, values, None)?;
        of_values(values, codes)
    }
}

fn of_values(values: StringArray, mut codes: Vec<i32>) -> Result<ArrayRef, ArrowError> {
    let nulls = codes.contains(&NULL).then(|| {
        let is_value = BooleanBuffer::collect_bool(codes.len(), |row| codes[row] != NULL);
        codes.iter_mut().for_each(|code| *code = (*code).max(0));
        NullBuffer::new(is_value)
    });
    let keys = Int32Array::try_new(ScalarBuffer::from(codes), nulls)?;
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?))
}

/// An array in which every row has the same text.
pub(crate) fn constant(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    of_values(StringArray::from(vec![text]), vec![0; rows])
}

/// An array of codes into given names.
pub(crate) fn of_names<'a>(
    names: impl Iterator<Item = &'a str>,
    codes: Int32Array,
) -> Result<ArrayRef, ArrowError> {
    let values: StringArray = names.map(Some).collect();
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(codes, Arc::new(values))?))
}

#[inline]
fn value_of<'a>(values: &'a [u8], offsets: &[i32], code: i32) -> &'a [u8] {
    let Ok(at) = usize::try_from(code) else {
        return &[];
    };
    let end = |at: usize| usize::try_from(offsets[at]).unwrap_or_default();
    &values[end(at)..end(at + 1)]
}
