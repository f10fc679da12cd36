//! Zip archives: each cost file in one is a file of its own.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::pipe::{self, Message};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 18;

/// Where an archive can be read from, as often as there are files in it.
#[derive(Clone, Debug)]
pub(crate) enum Archive {
    /// A file of this machine.
    Local(PathBuf),
    /// A copy without a name, which is gone with its last reader.
    Copy(Arc<Mutex<File>>),
}

impl Archive {
    /// An archive that was copied into a file without a name.
    pub(crate) fn of_copy(file: File) -> Self {
        Self::Copy(Arc::new(Mutex::new(file)))
    }

    /// Returns the names of the files in it, sorted, without folders.
    ///
    /// # Errors
    /// If the archive cannot be read or is damaged.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let archive = self.open()?;
        if archive.has_duplicate_names() {
            let message = "two files of the archive have the same name, so only one could be read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let names = archive.file_names().map(|name| name.map(|name| name.into_owned()));
        let mut names = names.collect::<Result<Vec<String>, _>>().map_err(damaged)?;
        names.retain(|name| !name.ends_with('/'));
        names.sort();
        Ok(names)
    }

    /// Opens a file of it. Its bytes are proven against their checksum at the end.
    ///
    /// # Errors
    /// While reading: if the file is not there, encrypted, or damaged.
    pub(crate) fn open_file(&self, name: &str) -> Box<dyn Read + Send> {
        let (sender, reader) = pipe::pipe();
        let (archive, name) = (self.clone(), name.to_owned());
        // An archive lends its files, so a thread holds it for as long as one is read.
        std::thread::spawn(move || {
            let end = archive.send(&name, &sender);
            // Nobody listens any more when the run has ended early.
            drop(sender.blocking_send(end.map(|()| None)));
        });
        Box::new(reader)
    }

    fn send(&self, name: &str, sender: &mpsc::Sender<Message>) -> io::Result<()> {
        let mut archive = self.open()?;
        let mut file = archive.by_name(name).map_err(damaged)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let piece = Bytes::copy_from_slice(&buffer[..length]);
            if sender.blocking_send(Ok(Some(piece))).is_err() {
                return Ok(());
            }
        }
    }

    fn open(&self) -> io::Result<ZipArchive<BufReader<Box<dyn ReadSeek + Send>>>> {
        let file: Box<dyn ReadSeek + Send> = match self {
            Self::Local(path) => Box::new(File::open(path)?),
            Self::Copy(file) => Box::new(CopyReader { file: Arc::clone(file), at: 0 }),
        };
        ZipArchive::new(BufReader::new(file)).map_err(damaged)
    }
}

trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Reads a shared file from a place of its own.
struct CopyReader {
    file: Arc<Mutex<File>>,
    at: u64,
}

impl Read for CopyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let length = file.read(buffer)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for CopyReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // The shared file stands wherever another reader left it.
        file.seek(SeekFrom::Start(self.at))?;
        self.at = file.seek(target)?;
        Ok(self.at)
    }
}

fn damaged(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
