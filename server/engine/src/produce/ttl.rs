//! Records of a topic with a time to live: each that says nothing of its own gets the topic's.

use flymq_types::{BatchFlags, InflateLimits, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, BatchError, NewRecord, ProducerFields, pack};

/// The batch with an expiry in every record, `ttl_ms` from `now` where it had none. It is built anew for that, and
/// compressed as it was.
pub(super) fn with_expiry(
    batch: RecordBatch,
    ttl_ms: u64,
    now: Timestamp,
) -> Result<RecordBatch, BatchError> {
    let header = *batch.header();
    let records = batch.open(&InflateLimits::BATCH)?;
    if records.iter().all(|record| record.is_ok_and(|record| record.expires_at.is_some())) {
        return Ok(batch);
    }
    let end = now.as_millis().saturating_add(i64::try_from(ttl_ms).unwrap_or(i64::MAX));
    let mut builder = BatchBuilder::with_capacity(records.payload().len() + 8 * header.record_count as usize);
    builder.add_flags(header.flags.without(BatchFlags::HAS_TTL)).set_producer(ProducerFields {
        id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    });
    for record in &records {
        let record = record?;
        let new = NewRecord {
            key: record.key,
            value: record.value,
            timestamp: record.timestamp,
            expires_at: Some(record.expires_at.unwrap_or(end)),
        };
        builder.push_with_headers(&new, record.headers())?;
    }
    RecordBatch::from_producer(pack(builder.build()?, header.compression, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_without_an_expiry_get_one() {
        let mut builder = BatchBuilder::new();
        for expires_at in [None, Some(7)] {
            let record = NewRecord { key: Some(b"k"), value: Some(b"v"), timestamp: 3, expires_at };
            builder.push_with_headers(&record, [("h", &b"x"[..])]).unwrap();
        }
        let batch = RecordBatch::from_producer(builder.build().unwrap()).unwrap();
        let stamped = with_expiry(batch, 100, Timestamp(1_000)).unwrap();
        let records: Vec<_> = stamped.records().unwrap().map(Result::unwrap).collect();
        assert_eq!(records.iter().map(|r| r.expires_at).collect::<Vec<_>>(), [Some(1_100), Some(7)]);
        assert!(records.iter().all(|r| r.timestamp == 3 && r.key == Some(b"k") && r.headers().len() == 1));
        assert_eq!(with_expiry(stamped.clone(), 5, Timestamp(9_000)).unwrap(), stamped);
    }
}
