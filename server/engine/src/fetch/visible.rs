//! What readers see of stored batches: none without records, no marker, and no record that has expired.
//!
//! Batches without expiries, which are nearly all, pass as they are; only one in which something has expired is built
//! anew, with its offsets.

use flymq_types::{BatchFlags, InflateLimits, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, BatchError, NewRecord, ProducerFields, pack};

/// Takes out of `batches` what is not to be seen at `now`. The first may begin before the asked offset, as always.
pub(super) fn visible(batches: Vec<RecordBatch>, now: Timestamp) -> Result<Vec<RecordBatch>, BatchError> {
    let special = BatchFlags::HAS_TTL.union(BatchFlags::COMPACTED).union(BatchFlags::CONTROL);
    let plain = |batch: &RecordBatch| {
        let flags = batch.header().flags;
        flags.without(special) == flags
    };
    if batches.iter().all(plain) {
        return Ok(batches);
    }
    let seen =
        batches.into_iter().map(|batch| if plain(&batch) { Ok(Some(batch)) } else { rest(batch, now) });
    seen.filter_map(Result::transpose).collect()
}

/// What is left of a batch.
fn rest(batch: RecordBatch, now: Timestamp) -> Result<Option<RecordBatch>, BatchError> {
    if batch.payload().is_empty() || batch.header().flags.contains(BatchFlags::CONTROL) {
        return Ok(None);
    }
    let header = *batch.header();
    if !header.flags.contains(BatchFlags::HAS_TTL) {
        return Ok(Some(batch));
    }
    let Ok(records) = batch.open(&InflateLimits::BATCH) else {
        // Nobody else can open it either: readers get the error that says so.
        return Ok(Some(batch));
    };
    let lives = |expires_at: Option<i64>| expires_at.is_none_or(|end| end > now.as_millis());
    if records.iter().flatten().all(|record| lives(record.expires_at)) {
        return Ok(Some(batch));
    }
    let mut builder = BatchBuilder::compacted(header.record_count, header.first_timestamp);
    builder.add_flags(header.flags.without(BatchFlags::HAS_TTL)).set_producer(ProducerFields {
        id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    });
    for record in records.iter().flatten().filter(|record| lives(record.expires_at)) {
        let delta =
            u32::try_from(record.offset - header.server.base_offset).map_err(|_| BatchError::TooLarge)?;
        let (key, value, expires_at) = (record.key, record.value, record.expires_at);
        let new = NewRecord { key, value, timestamp: record.timestamp, expires_at };
        builder.push_at(delta, &new, record.headers())?;
    }
    if builder.is_empty() {
        return Ok(None);
    }
    let bytes = pack(builder.build()?, header.compression, None)?;
    Ok(Some(RecordBatch::from_broker(bytes)?.stamp(header.server)))
}

#[cfg(test)]
mod tests {
    use flymq_wire::batch::ServerFields;

    use super::*;

    fn batch(expiries: &[Option<i64>]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for expires_at in expiries {
            builder
                .push(&NewRecord { value: Some(b"v"), expires_at: *expires_at, ..NewRecord::default() })
                .unwrap();
        }
        let batch = RecordBatch::from_producer(builder.build().unwrap()).unwrap();
        batch.stamp(ServerFields { base_offset: 10, ..ServerFields::default() })
    }

    fn offsets(batches: &[RecordBatch]) -> Vec<u64> {
        batches
            .iter()
            .flat_map(|b| b.records().unwrap().map(|r| r.unwrap().offset).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn expired_records_are_taken_out_and_offsets_stay() {
        let stored = batch(&[Some(100), None, Some(50), Some(200)]);
        for (now, left) in
            [(0, vec![10, 11, 12, 13]), (50, vec![10, 11, 13]), (100, vec![11, 13]), (200, vec![11])]
        {
            let seen = visible(vec![stored.clone()], Timestamp(now)).unwrap();
            assert_eq!(offsets(&seen), left, "at {now}");
            assert_eq!((seen[0].base_offset().get(), seen[0].next_offset().get()), (10, 14));
        }
        assert_eq!(visible(vec![batch(&[Some(5)])], Timestamp(5)).unwrap(), []);
        let plain = vec![batch(&[None])];
        assert_eq!(visible(plain.clone(), Timestamp(1 << 40)).unwrap(), plain);
        let empty = RecordBatch::from_broker(BatchBuilder::compacted(9, 0).build().unwrap()).unwrap();
        assert_eq!(visible(vec![empty], Timestamp(0)).unwrap(), []);
    }
}
