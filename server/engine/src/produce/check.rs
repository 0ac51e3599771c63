//! What a producer's batch has to be before it may be appended.

use bytes::Bytes;
use flymq_types::{BatchError, BatchFlags, Compression, InflateLimits, Limits, RecordBatch, TopicName};
use flymq_wire::{
    batch::{MIN_RECORD_LEN, NO_SEQUENCE},
    compress::claimed_len,
};

use crate::error::EngineError;
use crate::transactions::TransactionHandle;

/// Checks checksums, framing and sizes; the bytes are shared, not copied.
///
/// `unnumbered`: a batch with a producer may be without sequence, as the broker builds them inside a transaction.
pub(crate) fn check_batch(
    bytes: Bytes,
    unnumbered: bool,
    limits: &Limits,
) -> Result<RecordBatch, EngineError> {
    too_large("batch", bytes.len(), limits.batch_bytes)?;
    let batch = RecordBatch::from_producer(bytes).map_err(EngineError::InvalidBatch)?;
    let header = batch.header();
    let numbered = header.base_sequence >= 0 || unnumbered && header.base_sequence == NO_SEQUENCE;
    if header.has_producer_id() && !numbered {
        return Err(EngineError::InvalidBatch(BatchError::BadSequence { found: header.base_sequence }));
    }
    if header.flags.contains(BatchFlags::TRANSACTIONAL) && !header.has_producer_id() {
        return Err(EngineError::InvalidBatch(BatchError::BadFlags { found: header.flags.bits() }));
    }
    let records = batch.record_count();
    too_large("number of records", records as usize, limits.batch_records as usize)?;
    check_claim(&batch, limits)?;
    check_inside(&batch, limits)?;
    Ok(batch)
}

/// Refuses a batch that is not one of this transaction.
pub(super) fn check_transaction(
    batch: &RecordBatch,
    transaction: &TransactionHandle,
) -> Result<(), EngineError> {
    let header = batch.header();
    let named = (header.producer_id, header.producer_epoch);
    let flagged = header.flags.contains(BatchFlags::TRANSACTIONAL);
    if flagged && named == (transaction.producer_id, transaction.epoch) {
        return Ok(());
    }
    let reason = format!("it is not flagged TRANSACTIONAL, or names another producer than {transaction}");
    Err(EngineError::InvalidArgument { field: "batch", reason })
}

/// Refuses a compressed batch that says itself that no reader will open it, before anything is inflated.
fn check_claim(batch: &RecordBatch, limits: &Limits) -> Result<(), EngineError> {
    let codec = batch.header().compression;
    if codec == Compression::None {
        return Ok(());
    }
    let invalid = |why: BatchError| EngineError::InvalidBatch(why);
    let claimed =
        claimed_len(codec, batch.payload(), &limits.inflate()).map_err(|why| invalid(why.into()))?;
    let found = claimed.map_or(u32::MAX, |bytes| u32::try_from(bytes / MIN_RECORD_LEN).unwrap_or(u32::MAX));
    let expected = batch.record_count();
    if found < expected { Err(invalid(BatchError::CountMismatch { expected, found })) } else { Ok(()) }
}

/// Checks a batch that comes out of a backup as the log stored it, with the server's fields: all that is checked of a
/// producer's batch, and the header's checksum.
pub(crate) fn check_stored(bytes: Bytes, limits: &Limits) -> Result<RecordBatch, EngineError> {
    too_large("batch", bytes.len(), limits.batch_bytes)?;
    let batch = RecordBatch::from_broker(bytes).map_err(EngineError::InvalidBatch)?;
    let flags = batch.header().flags;
    if flags.contains(BatchFlags::ENCRYPTED) || flags.contains(BatchFlags::CONTROL) {
        return Err(EngineError::InvalidBatch(BatchError::BadFlags { found: flags.bits() }));
    }
    Ok(batch)
}

/// What is compressed is inflated and its records are looked at, as those of an uncompressed batch were: once acknowledged, a batch that
/// does not open would stop every reader of its partition. Inflated on the caller's thread, so that no more is open at a time than there
/// are threads, and the order of a connection's batches stays (docs/adr/0010-compressed-batches.md).
fn check_inside(batch: &RecordBatch, limits: &Limits) -> Result<(), EngineError> {
    // Only a payload above the limit can hold a record above it.
    let long = |bytes: usize| bytes > limits.record_bytes;
    if batch.header().compression == Compression::None && !long(batch.payload().len()) {
        return Ok(());
    }
    let records = batch.open(&limits.inflate()).map_err(EngineError::InvalidBatch)?;
    if !long(records.payload().len()) {
        return Ok(());
    }
    for record in &records {
        let record = record.map_err(EngineError::InvalidBatch)?;
        let headers: usize = record.headers().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = headers + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        too_large("record", bytes, limits.record_bytes)?;
    }
    Ok(())
}

/// Refuses a batch for a compacted topic that has a record without key.
pub(crate) fn check_keys(batch: &RecordBatch, topic: &TopicName) -> Result<(), EngineError> {
    let records = batch.open(&InflateLimits::BATCH).map_err(EngineError::InvalidBatch)?;
    for record in &records {
        if record.map_err(EngineError::InvalidBatch)?.key.is_none() {
            return Err(EngineError::KeyRequired { topic: topic.clone() });
        }
    }
    Ok(())
}

fn too_large(what: &'static str, bytes: usize, limit: usize) -> Result<(), EngineError> {
    if bytes > limit { Err(EngineError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use crc32c::crc32c;
    use flymq_types::{BatchHeader, InflateError};
    use flymq_wire::{
        batch::{BatchBuilder, NewRecord, pack},
        compress::compress,
    };

    use super::*;

    fn batch(values: &[usize]) -> Bytes {
        let mut builder = BatchBuilder::new();
        for size in values {
            let value = vec![b'v'; *size];
            builder.push(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn sizes_are_bounded() {
        let limits = Limits { batch_bytes: 2_000, record_bytes: 500, batch_records: 5, ..Limits::DEFAULT };
        assert!(check_batch(batch(&[500, 500, 500]), false, &limits).is_ok());
        let what = |bytes| match check_batch(bytes, false, &limits) {
            Err(EngineError::TooLarge { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(batch(&[400, 501])), "record");
        assert_eq!(what(batch(&[2_000])), "batch");
        assert_eq!(what(batch(&[1; 6])), "number of records");
    }

    #[test]
    fn a_compressed_batch_is_judged_by_what_it_claims() {
        let plain = batch(&[3_000, 3_000]);
        let packed = pack(plain, Compression::Zstd, None).unwrap();
        assert!(check_batch(packed.clone(), false, &Limits::DEFAULT).is_ok());
        let refused = |bytes| match check_batch(bytes, false, &Limits::DEFAULT) {
            Err(EngineError::InvalidBatch(why)) => why,
            other => panic!("{other:?}"),
        };
        let forged = |codec, count: u32, payload: &[u8]| -> Bytes {
            let mut header = BatchHeader::parse(&packed).unwrap();
            (header.compression, header.record_count) = (codec, count);
            (header.payload_len, header.payload_crc) = (payload.len() as u32, crc32c(payload));
            [&header.encode()[..], payload].concat().into()
        };
        let bomb = compress(Compression::Gzip, None, &vec![0; 64 << 20]);
        let why = refused(forged(Compression::Gzip, 1, &bomb));
        assert!(matches!(why, BatchError::Inflate(InflateError::TooLarge { .. })), "{why}");
        let why = refused(forged(Compression::Lz4, 1, b"no lz4 frame"));
        assert_eq!(why, BatchError::Inflate(InflateError::Invalid(Compression::Lz4)));
        let small = compress(Compression::Snappy, None, &[0; 50]);
        let why = refused(forged(Compression::Snappy, 11, &small));
        assert_eq!(why, BatchError::CountMismatch { expected: 11, found: 10 });
    }

    #[test]
    fn damage_is_refused() {
        let mut bytes = batch(&[10]).to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let result = check_batch(bytes.into(), false, &Limits::DEFAULT);
        assert!(matches!(result, Err(EngineError::InvalidBatch(BatchError::PayloadCrc { .. }))));
        let result = check_batch(Bytes::from_static(b"short"), false, &Limits::DEFAULT);
        assert!(matches!(result, Err(EngineError::InvalidBatch(BatchError::Truncated { .. }))));
    }
}
