//! Opening a file that was found: its bytes decompressed, or as a file in which one can seek.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::kinds::{is_archive, is_parquet, is_plain_cost_file};
use super::{Entry, InputFile, Place};
use crate::archive::Archive;
use crate::error::Error;
use crate::ingest::{self, OpenBlob};
use crate::parquet_text;

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 18;

/// Opens a file as the text of a CSV file: decompressed if it is gzipped, transcribed if it is Parquet.
///
/// # Errors
/// If it cannot be opened, or is not as long as its manifest says. Of a gzipped file that is known at its
/// end, since the manifest may mean the decompressed bytes.
pub(crate) fn open(file: &InputFile) -> Result<OpenBlob, Error> {
    if file.is_parquet()? {
        return parquet_text::open_blob(&file.to_string(), open_seekable(file)?);
    }
    open_text(file).map(OpenBlob::from)
}

fn open_text(file: &InputFile) -> Result<Box<dyn Read + Send>, Error> {
    let (source, length) = file.open_stored()?;
    let (source, is_gzip) = gunzipped(source).map_err(|error| file.read_error(error))?;
    match file.bytes {
        Some(expected) if length.is_some_and(|length| length != expected) => {
            if !is_gzip {
                return Err(file.wrong_length(length, expected));
            }
            Ok(Box::new(Measured { source, read: 0, expected, stored: length, file: file.clone() }))
        }
        _ => Ok(source),
    }
}

/// Opens a file in which one can seek: the local file itself, or a copy without a name, which is gone when
/// it is closed.
///
/// # Errors
/// If it cannot be opened or copied, or is not as long as its manifest says.
pub(crate) fn open_seekable(file: &InputFile) -> Result<File, Error> {
    let opened = match (&file.place, &file.entry) {
        (Place::Local(path), None) => File::open(path).map_err(|error| file.read_error(error))?,
        _ => copied(file)?,
    };
    let length = opened.metadata().map_err(|error| file.read_error(error))?.len();
    match file.bytes {
        Some(expected) if expected != length => Err(file.wrong_length(Some(length), expected)),
        _ => Ok(opened),
    }
}

fn copied(file: &InputFile) -> Result<File, Error> {
    let unwritable =
        |source| Error::File { action: "write a copy into", path: std::env::temp_dir(), source };
    let mut copy = tempfile::tempfile().map_err(unwritable)?;
    let (mut source, _) = file.open_stored()?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let length = source.read(&mut buffer).map_err(|error| file.read_error(error))?;
        if length == 0 {
            break;
        }
        copy.write_all(&buffer[..length]).map_err(unwritable)?;
    }
    copy.rewind().map_err(unwritable)?;
    Ok(copy)
}

/// Decompresses bytes that begin as gzip data do, of any number of members; others pass.
///
/// # Errors
/// If the first bytes cannot be read.
pub(crate) fn decompressed(source: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    gunzipped(source).map(|(source, _)| source)
}

/// As [`decompressed`], and whether there was anything to decompress.
fn gunzipped(mut source: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, bool)> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut start = [0; MAGIC.len()];
    let mut length = 0;
    while length < start.len() {
        match source.read(&mut start[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let whole = io::Cursor::new(start[..length].to_vec()).chain(source);
    Ok(if start[..length] == MAGIC {
        let packed = Counted { source: whole, read: Arc::default() };
        let (read, packed) = (Arc::clone(&packed.read), BufReader::with_capacity(1 << 18, packed));
        let source = MultiGzDecoder::new(packed);
        (Box::new(Expanding { source, expanded: 0, packed: read }), true)
    } else {
        (Box::new(whole), false)
    })
}

/// Cost files shrink to a tenth or a thirtieth. What expands to more than this many times its size was made to fill
/// disks.
const MOST_EXPANSION: u64 = 300;
/// What may expand to without being looked at.
const HARMLESS_BYTES: u64 = 64 << 20;

/// Counts the bytes that are read through it.
struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Refuses to expand a few bytes to very many.
struct Expanding<R> {
    source: R,
    expanded: u64,
    /// Bytes read so far of what is expanded.
    packed: Arc<AtomicU64>,
}

impl<R: Read> Read for Expanding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.expanded += length as u64;
        let packed = self.packed.load(Ordering::Relaxed);
        if self.expanded > HARMLESS_BYTES && self.expanded / MOST_EXPANSION > packed {
            let (expanded, most) = (self.expanded, MOST_EXPANSION);
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{packed} bytes of gzip expand to {expanded} and more, over {most} times as many"
                ),
            ));
        }
        Ok(length)
    }
}

/// Holds the length of what it reads against what a manifest says, at the end.
struct Measured {
    source: Box<dyn Read + Send>,
    read: u64,
    expected: u64,
    stored: Option<u64>,
    file: InputFile,
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read += length as u64;
        let is_wrong = self.read > self.expected || (length == 0 && self.read != self.expected);
        if is_wrong && !buffer.is_empty() {
            let error = self.file.wrong_length(self.stored, self.expected);
            return Err(io::Error::other(error));
        }
        Ok(length)
    }
}

/// The files at a place: itself, or the cost files of a zip archive.
///
/// # Errors
/// If it is an archive that is damaged, cannot be read, or has no cost file.
pub(super) fn entries(file: InputFile) -> Result<Vec<InputFile>, Error> {
    if !is_archive(Path::new(&file.inner_name())) {
        return Ok(vec![file]);
    }
    let archive = match &file.place {
        Place::Local(path) => Archive::Local(path.clone()),
        Place::Stored(_) => Archive::of_copy(open_seekable(&file)?),
    };
    let names = archive.names().map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            file.damaged(source.to_string())
        }
        _ => file.read_error(source),
    })?;
    let names = names.into_iter().filter(|name| is_plain_cost_file(Path::new(name)));
    let entry = |name| Some(Entry { name, archive: archive.clone() });
    let files: Vec<InputFile> =
        names.map(|name| InputFile { entry: entry(name), ..file.clone() }).collect();
    if files.is_empty() {
        return Err(file.damaged("there is no .csv file in the archive".to_owned()));
    }
    Ok(files)
}

impl InputFile {
    /// Its bytes as they are stored.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn read_stored(&self) -> Result<Box<dyn Read + Send>, Error> {
        self.open_stored().map(|(source, _)| source)
    }

    /// Whether it is a Parquet file: by its first bytes where one can look at them twice, else by its name.
    fn is_parquet(&self) -> Result<bool, Error> {
        match (&self.place, &self.entry) {
            (Place::Local(path), None) => File::open(path)
                .and_then(|opened| parquet_text::is_parquet(&opened))
                .map_err(|error| self.read_error(error)),
            _ => Ok(is_parquet(Path::new(&self.inner_name()))),
        }
    }

    /// Its bytes as they are stored, and how many, if that is known.
    fn open_stored(&self) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
        if let Some(entry) = &self.entry {
            return Ok((entry.archive.open_file(&entry.name), None));
        }
        match &self.place {
            Place::Local(path) => {
                let opened = File::open(path).map_err(|error| self.read_error(error))?;
                let metadata = opened.metadata().map_err(|error| self.read_error(error))?;
                Ok((Box::new(opened), Some(metadata.len())))
            }
            Place::Stored(object) => Ok((Box::new(object.read()), Some(object.bytes()))),
        }
    }

    /// The error for bytes that could not be read: our own, if it came through `Read`.
    pub(super) fn read_error(&self, error: io::Error) -> Error {
        match (&self.place, error.get_ref()) {
            (Place::Local(path), None) => {
                Error::File { action: "read", path: path.clone(), source: error }
            }
            _ => ingest::read_error(&self.to_string(), error),
        }
    }

    /// The error for a file that is not what it should be.
    pub(super) fn damaged(&self, problem: String) -> Error {
        Error::Damaged { file: self.to_string(), problem }
    }

    fn wrong_length(&self, length: Option<u64>, expected: u64) -> Error {
        let length = length.map_or_else(String::new, |length| format!("{length} bytes, "));
        self.damaged(format!("it has {length}its manifest says {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8], said: u64) -> Result<Vec<u8>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, bytes).unwrap();
        let file = InputFile { bytes: Some(said), ..InputFile::plain(&path) };
        let mut read = Vec::new();
        open(&file)?.text.read_to_end(&mut read).map_err(|error| file.read_error(error))?;
        Ok(read)
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_manifest_means_stored_or_decompressed_bytes() {
        let (text, zipped) = (b"some text".repeat(9), gzipped(&b"some text".repeat(9)));
        let (length, stored) = (text.len() as u64, zipped.len() as u64);
        assert_eq!(read(&text, length).unwrap(), text);
        assert_eq!(read(&zipped, stored).unwrap(), text);
        assert_eq!(read(&zipped, length).unwrap(), text);
        let twice = [zipped.clone(), zipped.clone()].concat();
        assert_eq!(read(&twice, 2 * length).unwrap(), [text.clone(), text.clone()].concat());
        for (bytes, said) in [
            (&text, length - 1),
            (&text, length + 1),
            (&zipped, length - 1),
            (&zipped, length + 1),
            (&zipped, stored - 1),
        ] {
            let error = read(bytes, said).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
    }

    fn expanded(text: impl Read) -> io::Result<u64> {
        let mut text = text;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        io::copy(&mut text, &mut encoder)?;
        let packed = io::Cursor::new(encoder.finish()?);
        io::copy(&mut decompressed(Box::new(packed))?, &mut io::sink())
    }

    #[test]
    fn a_few_bytes_do_not_expand_to_very_many() {
        let zeros = |bytes| io::repeat(0).take(bytes);
        assert_eq!(expanded(zeros(HARMLESS_BYTES)).unwrap(), HARMLESS_BYTES);
        let error = expanded(zeros(4 * HARMLESS_BYTES)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let row = "2025-07-01,4711,some text that repeats,1.25\r\n";
        let rows: String = (0..2_000_000).map(|at| format!("{at},{row}")).collect();
        assert_eq!(expanded(rows.as_bytes()).unwrap(), rows.len() as u64);
    }
}
