//! The codecs of a batch's payload. A producer compresses; whoever needs the records inflates, within [`InflateLimits`].
//!
//! | Codec | Bytes of the payload | Level |
//! |---|---|---|
//! | gzip | one member (RFC 1952) | 0-9, default 6 |
//! | lz4 | one frame of the LZ4 frame format, no dictionary | none |
//! | zstd | one frame (RFC 8878), no dictionary | 1-22, default 1 |
//! | snappy | one raw block, as `Snappy.uncompress` of the usual libraries reads it | none |
//!
//! Inflating takes untrusted bytes. The output buffer is the only memory that grows with the input; its size is checked
//! against the limit before it is allocated, whatever length the payload claims, and each codec is told to stop at its end.

mod error;
mod gzip;
mod limits;
mod lz4;
mod output;
mod snappy;
mod zstd;

use std::{fmt, ops::RangeInclusive, str::FromStr};

use bytes::Bytes;
pub use error::InflateError;
pub use limits::InflateLimits;

use self::output::Output;
use crate::batch::Compression;

/// All codecs, [`Compression::None`] first.
pub const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Zstd, Compression::Snappy];

impl Compression {
    /// The name that configurations, command lines and SDKs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
        }
    }

    /// The levels to choose from; `None` where the codec has none.
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::Gzip => Some(gzip::LEVELS),
            Self::Zstd => Some(zstd::LEVELS),
            Self::None | Self::Lz4 | Self::Snappy => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of the codecs'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}: it is none, gzip, lz4, zstd or snappy")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    /// In any case; the empty text is none.
    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        let lower = text.trim().to_ascii_lowercase();
        let found = ALL.into_iter().find(|codec| codec.name() == lower);
        found
            .or_else(|| lower.is_empty().then_some(Self::None))
            .ok_or_else(|| UnknownCompression(text.into()))
    }
}

/// Compresses `plain`. A level outside [`Compression::levels`] is moved to the nearest one; `None` is the codec's default.
/// The result may be longer than `plain`.
pub fn compress(codec: Compression, level: Option<i32>, plain: &[u8]) -> Vec<u8> {
    let level = codec.levels().and_then(|levels| level.map(|l| l.clamp(*levels.start(), *levels.end())));
    match codec {
        Compression::None => plain.to_vec(),
        Compression::Gzip => gzip::compress(level, plain),
        Compression::Lz4 => lz4::compress(plain),
        Compression::Zstd => zstd::compress(level, plain),
        Compression::Snappy => snappy::compress(plain),
    }
}

/// What `packed` inflates to. Never allocates more than the limit for its length allows, nor more than it claims.
///
/// # Errors
/// [`InflateError`]; the bytes are then of no use.
pub fn inflate(codec: Compression, packed: &Bytes, limits: &InflateLimits) -> Result<Bytes, InflateError> {
    if codec == Compression::None {
        return Ok(packed.clone());
    }
    let claimed = claimed_len(codec, packed, limits)?;
    let limit = limits.of(packed.len());
    let most = if codec == Compression::Lz4 { lz4::most(packed) } else { limit };
    let mut output = Output::new(claimed.unwrap_or(limit).min(most));
    let plain = output.bytes();
    let filled = match codec {
        Compression::None => return Ok(packed.clone()),
        Compression::Gzip => gzip::inflate(packed, plain),
        Compression::Lz4 => lz4::inflate(packed, plain),
        Compression::Zstd => zstd::inflate(packed, plain),
        Compression::Snappy => snappy::inflate(packed, plain),
    };
    match (filled, claimed) {
        (Ok(filled), None) => Ok(output.into_bytes(filled)),
        (Ok(filled), Some(claimed)) if filled == claimed => Ok(output.into_bytes(filled)),
        // It claimed less, or more.
        (Ok(_) | Err(InflateError::TooLarge { .. }), Some(_)) => Err(InflateError::Invalid(codec)),
        (Err(error), _) => Err(error),
    }
}

/// How many bytes `packed` says that it inflates to, without inflating it; `None` where it does not say. Cheap: it reads a
/// few bytes. A claim is not a proof, but one above the limit is refused here.
///
/// # Errors
/// [`InflateError::TooLarge`], [`InflateError::Invalid`] where not even the beginning is the codec's.
pub fn claimed_len(
    codec: Compression,
    packed: &[u8],
    limits: &InflateLimits,
) -> Result<Option<usize>, InflateError> {
    let claimed = match codec {
        Compression::None => Some(packed.len() as u64),
        Compression::Gzip => Some(gzip::claimed_len(packed)?),
        Compression::Lz4 => lz4::claimed_len(packed)?,
        Compression::Zstd => zstd::claimed_len(packed)?,
        Compression::Snappy => Some(snappy::claimed_len(packed)?),
    };
    let limit = limits.of(packed.len());
    match claimed.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(claimed)) if claimed <= limit => Ok(Some(claimed)),
        Some(_) => Err(InflateError::TooLarge { limit }),
    }
}

#[cfg(test)]
mod tests;
