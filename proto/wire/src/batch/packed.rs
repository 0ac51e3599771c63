//! Compressing a built batch.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::error::BatchError;
use super::header::{BatchHeader, Compression, HEADER_LEN, ServerFields};
use crate::compress::{InflateLimits, compress};

/// Payloads below this many bytes do not get smaller.
const MIN_PAYLOAD: usize = 64;

/// A producer's batch with its payload compressed; as it was where that would not make it smaller, where it is compressed
/// already, and where no reader would inflate it again ([`InflateLimits::BATCH`]: more than 200 : 1, or too long).
///
/// The server fields of a compressed batch are zero.
///
/// # Errors
/// Those of [`BatchHeader::parse`], [`BatchError::Truncated`].
pub fn pack(batch: Bytes, codec: Compression, level: Option<i32>) -> Result<Bytes, BatchError> {
    let header = BatchHeader::parse(&batch)?;
    let need = header.batch_len();
    let payload = batch.get(HEADER_LEN..need).ok_or(BatchError::Truncated { need, have: batch.len() })?;
    if codec == Compression::None || header.compression != Compression::None || payload.len() < MIN_PAYLOAD {
        return Ok(batch);
    }
    let packed = compress(codec, level, payload);
    if packed.len() >= payload.len() || !InflateLimits::BATCH.allow(payload.len(), packed.len()) {
        return Ok(batch);
    }
    let header = BatchHeader {
        compression: codec,
        payload_len: u32::try_from(packed.len()).map_err(|_| BatchError::TooLarge)?,
        payload_crc: crc32c::crc32c(&packed),
        ..header
    };
    let mut bytes = BytesMut::with_capacity(HEADER_LEN + packed.len());
    bytes.put_slice(&header.encode_stamped(&ServerFields::default()));
    bytes.put_slice(&packed);
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests;
