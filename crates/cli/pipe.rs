//! Bytes that one task or thread produces and another reads.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// What goes through a pipe: bytes, then `None` at the end, or an error.
pub(crate) type Message = io::Result<Option<Bytes>>;

/// Pieces that wait to be read; some MB in all.
const PIECES_WAITING: usize = 16;

/// Returns the two ends of a pipe.
pub(crate) fn pipe() -> (mpsc::Sender<Message>, PipeReader) {
    let (sender, pieces) = mpsc::channel(PIECES_WAITING);
    (sender, PipeReader { pieces, current: Bytes::new(), is_whole: false })
}

/// The reading end, for a thread that may block.
pub(crate) struct PipeReader {
    pieces: mpsc::Receiver<Message>,
    current: Bytes,
    is_whole: bool,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.is_whole {
            match self.pieces.blocking_recv() {
                // The writer is gone without saying that it had finished.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Ok(Some(bytes))) => self.current = bytes,
                Some(Ok(None)) => self.is_whole = true,
                Some(Err(error)) => return Err(error),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_disappears_is_not_the_end() {
        let (sender, mut reader) = pipe();
        sender.blocking_send(Ok(Some(Bytes::from_static(b"ab")))).unwrap();
        drop(sender);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 2);
        assert!(reader.read(&mut [0; 8]).is_err());

        let (sender, mut reader) = pipe();
        sender.blocking_send(Ok(None)).unwrap();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }
}
