//! Zip archives: each cost file in one is a file of its own.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::pipe::{self, Message};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 18;

/// Returns the names of the files in an archive, sorted, without folders.
///
/// # Errors
/// If the archive cannot be read or is damaged.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let archive = open(path)?;
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

/// Opens a file of an archive. Its bytes are proven against their checksum at the end.
///
/// # Errors
/// While reading: if the file is not there, encrypted, or damaged.
pub(crate) fn open_file(path: &Path, name: &str) -> Box<dyn Read + Send> {
    let (sender, reader) = pipe::pipe();
    let (path, name) = (path.to_owned(), name.to_owned());
    // An archive lends its files, so a thread holds it for as long as one is read.
    std::thread::spawn(move || {
        let end = send(&path, &name, &sender);
        // Nobody listens any more when the run has ended early.
        drop(sender.blocking_send(end.map(|()| None)));
    });
    Box::new(reader)
}

fn send(path: &Path, name: &str, sender: &mpsc::Sender<Message>) -> io::Result<()> {
    let mut archive = open(path)?;
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

fn open(path: &Path) -> io::Result<ZipArchive<BufReader<File>>> {
    ZipArchive::new(BufReader::new(File::open(path)?)).map_err(damaged)
}

fn damaged(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
