//! Checking batches: checksums, record framing, and what a producer may send.

use super::error::BatchError;
use super::header::{
    BatchFlags, BatchHeader, Compression, HEADER_LEN, ServerFields, header_bytes, header_crc,
};
use super::record::{Deltas, take_record};

/// Checks the header's crc over the first [`HEADER_LEN`] bytes.
///
/// # Errors
/// [`BatchError::Truncated`], [`BatchError::HeaderCrc`].
pub fn verify_header_crc(batch: &[u8]) -> Result<(), BatchError> {
    let h = header_bytes(batch)?;
    let stored = u32::from_le_bytes([h[20], h[21], h[22], h[23]]);
    let computed = header_crc(h);
    if stored == computed { Ok(()) } else { Err(BatchError::HeaderCrc { stored, computed }) }
}

/// Checks the crc of `payload`, which is exactly the payload of `header`.
///
/// # Errors
/// [`BatchError::Truncated`], [`BatchError::TrailingBytes`], [`BatchError::PayloadCrc`].
pub fn verify_payload_crc(header: &BatchHeader, payload: &[u8]) -> Result<(), BatchError> {
    let need = header.payload_len as usize;
    if payload.len() < need {
        return Err(BatchError::Truncated { need: HEADER_LEN + need, have: HEADER_LEN + payload.len() });
    }
    if payload.len() > need {
        return Err(BatchError::TrailingBytes { extra: payload.len() - need });
    }
    let computed = crc32c::crc32c(payload);
    if computed == header.payload_crc {
        Ok(())
    } else {
        Err(BatchError::PayloadCrc { stored: header.payload_crc, computed })
    }
}

/// Checks the framing of an uncompressed payload against `header`: every record well-formed, the count, both
/// timestamps, and that the TTL flag is set if a record has an expiry.
///
/// # Errors
/// [`BatchError::BadRecord`], `BadHeaderName`, `CountMismatch`, `TimestampMismatch`, `BadFlags`.
pub fn verify_records(header: &BatchHeader, payload: &[u8]) -> Result<(), BatchError> {
    let mut rest = payload;
    let mut found = 0;
    let mut deltas = Deltas::of(header);
    let (mut max_timestamp, mut has_ttl) = (i64::MIN, false);
    while !rest.is_empty() {
        deltas.check_more(found)?;
        let record = take_record(&mut rest, found)?;
        deltas.next(found, record.offset_delta)?;
        let timestamp = record.timestamp.unwrap_or(header.first_timestamp);
        if found == 0 && timestamp != header.first_timestamp {
            return Err(BatchError::TimestampMismatch);
        }
        max_timestamp = max_timestamp.max(timestamp);
        has_ttl |= record.expires_at.is_some();
        found += 1;
    }
    deltas.end(found)?;
    if found > 0 && max_timestamp != header.max_timestamp {
        return Err(BatchError::TimestampMismatch);
    }
    if has_ttl && !header.flags.contains(BatchFlags::HAS_TTL) {
        return Err(BatchError::BadFlags { found: header.flags.bits() });
    }
    Ok(())
}

/// Checks one stored or fetched batch wholly: header, header crc, length, payload crc, and the records if they can
/// be read (neither compressed nor encrypted at rest).
///
/// # Errors
/// Any [`BatchError`] but `Compressed` and `TooLarge`.
pub fn verify(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    verify_header_crc(batch)?;
    verify_body(&header, &batch[HEADER_LEN..])?;
    Ok(header)
}

/// Checks one batch as it comes from a producer: as [`verify`], but without the header crc, which the leader
/// renews, and with the flags that only the server may set refused. The server fields of the returned header are
/// zero, whatever the producer wrote there.
///
/// # Errors
/// Any [`BatchError`] but `HeaderCrc`, `Compressed` and `TooLarge`.
pub fn validate_produced(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let server_only = BatchFlags::CONTROL.union(BatchFlags::ENCRYPTED).union(BatchFlags::COMPACTED);
    if header.flags.without(server_only) != header.flags {
        return Err(BatchError::BadFlags { found: header.flags.bits() });
    }
    verify_body(&header, &batch[HEADER_LEN..])?;
    Ok(BatchHeader { server: ServerFields::default(), ..header })
}

fn verify_body(header: &BatchHeader, payload: &[u8]) -> Result<(), BatchError> {
    verify_payload_crc(header, payload)?;
    let readable = header.compression == Compression::None && !header.flags.contains(BatchFlags::ENCRYPTED);
    if readable { verify_records(header, payload) } else { Ok(()) }
}
