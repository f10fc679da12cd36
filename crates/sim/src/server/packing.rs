//! Gzip, right and wrong.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use std::io::{self, Write};

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) variant: Variant,
    /// What a bomb expands to, in bytes.
    pub(super) expanded_bytes: u64,
}

/// What is right or wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// As it should be.
    #[default]
    Whole,
    /// Not packed at all.
    None,
    /// The second half is missing.
    Cut,
    /// A wrong checksum.
    BadCrc,
    /// Bytes behind the end.
    Trailing,
    /// Two files one behind the other, which is allowed.
    TwoMembers,
    /// The bytes, then zeros without end.
    Bomb,
    /// Packed again.
    Twice,
}

/// Size of the checksum and length at the end.
const TRAILER_BYTES: usize = 8;

impl Packing {
    /// Packs bytes.
    pub(super) fn pack(&self, bytes: &[u8]) -> Vec<u8> {
        // Writing into memory does not fail; were it to, the empty answer would be noticed.
        self.try_pack(bytes).unwrap_or_default()
    }

    fn try_pack(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        if self.variant == Variant::None {
            return Ok(bytes.to_vec());
        }
        let mut packed = gzip(bytes)?;
        match self.variant {
            Variant::None | Variant::Whole => {}
            Variant::Cut => packed.truncate(packed.len() / 2),
            Variant::BadCrc => {
                let checksum = packed.len() - TRAILER_BYTES;
                packed[checksum] ^= 1;
            }
            Variant::Trailing => packed.extend_from_slice(b"surplus bytes"),
            Variant::TwoMembers => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                packed = [gzip(first)?, gzip(second)?].concat();
            }
            Variant::Bomb => packed = bomb(bytes, self.expanded_bytes)?,
            Variant::Twice => packed = gzip(&packed)?,
        }
        Ok(packed)
    }
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The right bytes come first, so that a reader has begun to trust it.
fn bomb(bytes: &[u8], expanded_bytes: u64) -> io::Result<Vec<u8>> {
    let zeros = [b'0'; 64 << 10];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    let mut rest = expanded_bytes.saturating_sub(bytes.len() as u64);
    while rest > 0 {
        let piece = usize::try_from(rest).unwrap_or(usize::MAX).min(zeros.len());
        encoder.write_all(&zeros[..piece])?;
        rest -= piece as u64;
    }
    encoder.finish()
}
