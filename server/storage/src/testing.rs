//! Batches for the tests of this crate.

use bytes::Bytes;
use flymq_types::RecordBatch;
use flymq_wire::batch::{BatchBuilder, NewRecord, ServerFields};

/// A batch as a producer sends it, with one record for each value; timestamps count up from `timestamp`.
pub(crate) fn batch_at(values: &[&[u8]], timestamp: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for (i, value) in values.iter().enumerate() {
        let record =
            NewRecord { key: None, value: Some(value), timestamp: timestamp + i as i64, expires_at: None };
        builder.push(&record).unwrap();
    }
    RecordBatch::from_producer(builder.build().unwrap()).unwrap()
}

pub(crate) fn batch(values: &[&[u8]]) -> RecordBatch {
    batch_at(values, 1_000)
}

/// The batch as a log would store it.
pub(crate) fn stamped(values: &[&[u8]], base_offset: u64, incarnation: u64) -> Bytes {
    let fields = ServerFields { base_offset, incarnation, ..ServerFields::default() };
    batch(values).stamp(fields).to_bytes()
}

/// The values of all records, in order.
pub(crate) fn values(batches: &[RecordBatch]) -> Vec<Vec<u8>> {
    let of = |batch: &RecordBatch| -> Vec<Vec<u8>> {
        batch.records().unwrap().map(|record| record.unwrap().value.unwrap().to_vec()).collect()
    };
    batches.iter().flat_map(of).collect()
}
