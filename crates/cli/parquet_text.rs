//! Parquet files, read as the CSV files that they would have been.
//!
//! ```text
//! footer ─▶ a header line with the names of the columns
//! row group by row group, some thousand rows at once ─▶ a record per row
//! ```
//!
//! So the rules for names, numbers, days, charges and quarantine are those of the reader of CSV files, and
//! there is one implementation of them. What each type becomes is listed in `docs/reading-parquet.md`.
//!
//! **Invariant:** text, decimals, integers and days lose nothing on the way: the values of the file are
//! those of the text. Only floats were approximations before, and they are named in
//! [`ParquetText::float_columns`].

mod cells;
mod columns;

use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::ingest::{OpenBlob, read_error};
use crate::pipe::{self, Message, PipeReader};
use columns::Table;

/// What Parquet files begin with: whole ones, and those with an encrypted footer.
const MAGICS: [[u8; 4]; 2] = [*b"PAR1", *b"PARE"];
/// Text that is sent at once.
const PIECE_BYTES: usize = 1 << 18;

/// The text of a Parquet file.
pub(crate) struct ParquetText {
    reader: PipeReader,
    float_columns: Vec<String>,
}

/// Returns whether a file begins as Parquet files do. The file is then at its start again. A pipe is none:
/// Parquet is read from its end.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn is_parquet(mut file: &File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    file.take(MAGICS[0].len() as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(MAGICS.iter().any(|magic| start == magic))
}

/// Opens a Parquet file as a blob of the given name, with a note for each column of floats.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_blob(name: &str, file: File) -> Result<OpenBlob, Error> {
    let text = open(file).map_err(|error| read_error(name, error))?;
    let note = |column: &String| {
        format!("column {column} is a float in the file: its digits are those of the float")
    };
    Ok(OpenBlob { notes: text.float_columns().iter().map(note).collect(), text: Box::new(text) })
}

/// Opens a Parquet file. Its rows are read on a thread of their own, a little ahead of the reader.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported) if a column has a type or a compression that has no text,
/// or the file is encrypted; [`InvalidData`](io::ErrorKind::InvalidData) if the file is damaged, then also
/// while reading. Messages do not name the file.
pub(crate) fn open(file: File) -> io::Result<ParquetText> {
    let table = guarded(|| Table::open(file))?;
    let float_columns = table.float_columns();
    let (sender, reader) = pipe::pipe();
    thread::Builder::new().name("costlake-parquet".to_owned()).spawn(move || {
        let end = guarded(|| {
            let mut pieces = Pieces { text: Vec::new(), sender: &sender };
            table.write(&mut pieces)?;
            pieces.send()
        });
        // Nobody listens any more when the run has ended early.
        drop(sender.blocking_send(end.map(|()| None)));
    })?;
    Ok(ParquetText { reader, float_columns })
}

impl ParquetText {
    /// The columns whose numbers are floats: the digits of their text are those of the float, not those
    /// that Azure computed.
    pub(crate) fn float_columns(&self) -> &[String] {
        &self.float_columns
    }
}

impl Read for ParquetText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Text on its way to the reader.
struct Pieces<'a> {
    text: Vec<u8>,
    sender: &'a mpsc::Sender<Message>,
}

impl Pieces<'_> {
    /// Sends the text on if there is enough of it.
    fn send_full(&mut self) -> io::Result<()> {
        if self.text.len() < PIECE_BYTES { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> io::Result<()> {
        let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let piece = Bytes::from(std::mem::replace(&mut self.text, next));
        // An empty piece would say nothing.
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.sender.blocking_send(Ok(Some(piece)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Does some work on a file; a panic of the Parquet library on a damaged one becomes an error.
fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // What the work had in hand is dropped with it.
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(damaged(panic_message(panic.as_ref()))))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the library gave up")
}

fn damaged(problem: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Parquet file is damaged: {problem}"))
}

fn unsupported(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, problem.into())
}

#[cfg(test)]
mod tests;
