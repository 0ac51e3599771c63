//! Records of a topic with a time to live: each that says nothing of its own gets the topic's. Not so the deletions in a
//! compacted topic: with one that is gone before what it deletes, that would come back.

use flymq_types::{BatchFlags, InflateLimits, RecordBatch, RecordView, Timestamp};
use flymq_wire::batch::{BatchBuilder, BatchError, NewRecord, ProducerFields, pack};

/// The batch with an expiry in every record, `ttl_ms` from `now` where it had none. It is built anew for that, and
/// compressed as it was.
pub(super) fn with_expiry(
    batch: RecordBatch,
    ttl_ms: u64,
    by_key: bool,
    now: Timestamp,
) -> Result<RecordBatch, BatchError> {
    let header = *batch.header();
    let records = batch.open(&InflateLimits::BATCH)?;
    let stays = |record: &RecordView<'_>| by_key && record.value.is_none();
    let has_its_own = |record: RecordView<'_>| record.expires_at.is_some() || stays(&record);
    if records.iter().all(|record| record.is_ok_and(has_its_own)) {
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
            expires_at: record.expires_at.or_else(|| (!stays(&record)).then_some(end)),
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
        let stamped = with_expiry(batch, 100, true, Timestamp(1_000)).unwrap();
        let records: Vec<_> = stamped.records().unwrap().map(Result::unwrap).collect();
        assert_eq!(records.iter().map(|r| r.expires_at).collect::<Vec<_>>(), [Some(1_100), Some(7)]);
        assert!(records.iter().all(|r| r.timestamp == 3 && r.key == Some(b"k") && r.headers().len() == 1));
        let mut builder = BatchBuilder::new();
        builder
            .push(&NewRecord { key: Some(b"k"), value: None, timestamp: 3, ..NewRecord::default() })
            .unwrap();
        let deletion = RecordBatch::from_producer(builder.build().unwrap()).unwrap();
        let expiry = |by_key| {
            let stamped = with_expiry(deletion.clone(), 100, by_key, Timestamp(1_000)).unwrap();
            stamped.records().unwrap().next().unwrap().unwrap().expires_at
        };
        assert_eq!((expiry(true), expiry(false)), (None, Some(1_100)));
        assert_eq!(with_expiry(stamped.clone(), 5, true, Timestamp(9_000)).unwrap(), stamped);
    }
}
