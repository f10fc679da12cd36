//! The memory of chunks, used again and again.
//!
//! A system clears memory that is new to a process, which takes as long as reading a file into it. So
//! the text of a chunk that was decoded makes room for that of another.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::blob::DEFAULT_CHUNK_BYTES;

/// A text that grew beyond, for the sake of one long record, is not kept.
const MAX_KEPT_BYTES: usize = 2 * DEFAULT_CHUNK_BYTES;

/// Memory that the chunks of several blobs share. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Returns an empty text with room for some bytes.
    pub(crate) fn take(&self, bytes: usize) -> Text {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = free.unwrap_or_default();
        if memory.is_empty() {
            memory = vec![0; bytes];
        }
        Text { memory, length: 0, origin: self.clone() }
    }

    fn give(&self, memory: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

/// Bytes of a blob. The memory goes back to where it came from.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The bytes, and room for more.
    memory: Vec<u8>,
    length: usize,
    origin: Buffers,
}

impl Text {
    /// The room behind the bytes, up to so many bytes in all.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.memory.len() < bytes {
            self.memory.resize(bytes, 0);
        }
        &mut self.memory[self.length..bytes.max(self.length)]
    }

    /// Takes the first bytes of the room for text.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.length = self.memory.len().min(self.length + bytes);
    }

    /// Returns the bytes from an offset on as another text, and drops them here.
    pub(crate) fn split_off(&mut self, at: usize, room: usize) -> Self {
        let mut rest = self.origin.take(room);
        let bytes = &self.memory[at..self.length];
        rest.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        rest.advance(bytes.len());
        self.length = at;
        rest
    }

    /// Drops bytes at the front.
    pub(crate) fn drop_front(&mut self, bytes: usize) {
        self.memory.copy_within(bytes..self.length, 0);
        self.length -= bytes;
    }
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if (1..=MAX_KEPT_BYTES).contains(&self.memory.len()) {
            self.origin.give(std::mem::take(&mut self.memory));
        }
    }
}
