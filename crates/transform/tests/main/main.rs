//! The reader and the rollups from outside: bytes in, batches out.

#[cfg(test)]
mod focus;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod layouts;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
#[cfg(feature = "rollup")]
mod rollups;
#[cfg(test)]
#[cfg(feature = "rollup")]
mod rollups_reference;

use costlake_model::Metric;
use costlake_transform::{BlobOptions, BlobReader, BlobSummary, Chunk, DecodedChunk, Error};

/// Options that cut small chunks, so that small texts have several.
fn options() -> BlobOptions {
    BlobOptions { ordinal: 0, metric: Metric::Actual, currency: None, chunk_bytes: 256 }
}

/// Reads a text fed in pieces of `piece` bytes.
fn read_in_pieces(
    text: &[u8],
    piece: usize,
    options: BlobOptions,
) -> Result<(Vec<DecodedChunk>, BlobSummary), Error> {
    read_pieces(text.chunks(piece.max(1)), options)
}

/// Reads a text fed in the given pieces.
fn read_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    options: BlobOptions,
) -> Result<(Vec<DecodedChunk>, BlobSummary), Error> {
    let (chunks, summary) = cut_pieces(pieces, options)?;
    let decoded = chunks.iter().map(|chunk| chunk.decode()).collect::<Result<_, _>>()?;
    Ok((decoded, summary))
}

/// Cuts a text fed in the given pieces into chunks.
fn cut_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    options: BlobOptions,
) -> Result<(Vec<Chunk>, BlobSummary), Error> {
    let mut reader = BlobReader::new(options);
    let mut chunks = Vec::new();
    for mut input in pieces {
        while let Some(chunk) = reader.feed(&mut input)? {
            chunks.push(chunk);
        }
    }
    let (last, summary) = reader.finish()?;
    chunks.extend(last);
    Ok((chunks, summary))
}

fn read(text: &str) -> Result<Vec<DecodedChunk>, Error> {
    read_in_pieces(text.as_bytes(), usize::MAX, options()).map(|(chunks, _)| chunks)
}

/// A file of the reference folder; `None`, with a word on it, where that folder is not there.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the folder is named by a variable")]
fn reference(path: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var("COSTLAKE_REFERENCE").map_or_else(
        |_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference").into(),
        std::path::PathBuf::from,
    );
    let found = folder.join(path);
    if !found.exists() {
        println!("skipped: there is no {path} in the reference folder");
        return None;
    }
    Some(found)
}
