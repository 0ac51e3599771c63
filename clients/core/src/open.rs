//! Opening batches: crc, inflating within bounds, records as messages.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use flymq_wire::{
    batch::{BatchError, BatchHeader, BatchSlices, HEADER_LEN, Records, verify_payload_crc},
    compress::InflateLimits,
    frame::MAX_PAYLOAD,
};

use crate::{ClientError, Message, pb::ErrorCode};

/// What one batch may inflate to: whatever a server can be configured to take as one record.
const LIMITS: InflateLimits = InflateLimits { max_len: MAX_PAYLOAD as usize, ..InflateLimits::BATCH };
/// After this many uncompressed bytes a fetch opens no further batch; they are fetched again.
const MAX_OPENED: usize = 64 << 20;

/// Messages out of fetched batches.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub messages: Vec<Message>,
    /// First offset that was left out, where batches or messages were.
    pub rest: Option<u64>,
}

/// Opens batches: the messages from offset `from` on, at most `max`.
///
/// # Errors
/// Those of [`open_batch`], for the first batch that has one of the messages; a later one is left for the next fetch.
pub(crate) fn open_batches(
    topic: &Arc<str>,
    partition: i32,
    batches: Bytes,
    from: u64,
    max: usize,
) -> Result<Opened, ClientError> {
    let mut opened = Opened::default();
    let mut bytes = 0;
    for item in BatchSlices::new(batches) {
        let (header, batch) = item.map_err(|why| damaged(topic, partition, why))?;
        let first = header.server.base_offset.max(from);
        if bytes >= MAX_OPENED {
            opened.rest = Some(first);
            return Ok(opened);
        }
        let records = match open_batch(topic, partition, &header, &batch) {
            Ok(records) => records,
            Err(_) if !opened.messages.is_empty() => {
                opened.rest = Some(first);
                return Ok(opened);
            }
            Err(error) => return Err(error),
        };
        bytes += records.payload().len();
        if opened.add(topic, partition, &records, from, max)?.is_break() {
            return Ok(opened);
        }
    }
    Ok(opened)
}

impl Opened {
    /// Adds the records from `from` on. Break: there are `max`.
    fn add(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        records: &Records,
        from: u64,
        max: usize,
    ) -> Result<ControlFlow<()>, ClientError> {
        for view in records {
            let view = view.map_err(|why| unreadable(topic, partition, records.header(), why))?;
            if view.offset < from {
                continue;
            }
            if self.messages.len() == max {
                self.rest = Some(view.offset);
                return Ok(ControlFlow::Break(()));
            }
            self.messages.push(Message::from_view(topic, partition, &view));
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The records of one batch, its payload's crc checked.
///
/// # Errors
/// `CorruptBatch` for bytes that changed on the way; `CorruptData`, with the offsets as `start` and `end`, for a batch that
/// was stored as it is but does not open: a reader goes on behind it by a seek to `end`.
pub(crate) fn open_batch(
    topic: &Arc<str>,
    partition: i32,
    header: &BatchHeader,
    batch: &Bytes,
) -> Result<Records, ClientError> {
    let payload = batch.slice(HEADER_LEN..);
    verify_payload_crc(header, &payload).map_err(|why| damaged(topic, partition, why))?;
    Records::open(header, &payload, &LIMITS).map_err(|why| unreadable(topic, partition, header, why))
}

/// All messages of pushed batches, one batch in memory at a time. A batch that does not open is one error.
pub(crate) fn open_each(
    topic: Arc<str>,
    partition: i32,
    batches: Bytes,
    from: u64,
) -> impl Iterator<Item = Result<Vec<Message>, ClientError>> + Send {
    BatchSlices::new(batches).map(move |item| {
        let (header, batch) = item.map_err(|why| damaged(&topic, partition, why))?;
        let records = open_batch(&topic, partition, &header, &batch)?;
        let mut opened = Opened::default();
        let _ = opened.add(&topic, partition, &records, from, usize::MAX)?;
        Ok(opened.messages)
    })
}

fn damaged(topic: &Arc<str>, partition: i32, why: BatchError) -> ClientError {
    ClientError::new(ErrorCode::CorruptBatch, format!("cannot read a batch of {topic}/{partition}: {why}"))
}

fn unreadable(topic: &Arc<str>, partition: i32, header: &BatchHeader, why: BatchError) -> ClientError {
    let (start, end) = (header.server.base_offset, header.next_offset());
    let text = format!(
        "cannot open the batch of {topic}/{partition} at offsets {start} to {}: {why}",
        header.last_offset()
    );
    let error =
        ClientError::new(ErrorCode::CorruptData, text).with("topic", topic).with("partition", partition);
    error.with("start", start).with("end", end)
}

#[cfg(test)]
mod tests {
    use flymq_wire::batch::{BatchBuilder, Compression, NewRecord, ServerFields, stamp_header};
    use flymq_wire::compress::ALL;

    use super::*;

    fn batch(base_offset: u64, count: usize, codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            builder.push(&NewRecord { value: Some(&[b'v'; 200]), ..NewRecord::default() }).unwrap();
        }
        let mut bytes = builder.build_compressed(codec, None).unwrap().to_vec();
        stamp_header(&mut bytes, &ServerFields { base_offset, ..ServerFields::default() }).unwrap();
        bytes
    }

    fn offsets(opened: &Opened) -> Vec<u64> {
        opened.messages.iter().map(|message| message.offset).collect()
    }

    #[test]
    fn batches_of_all_codecs_are_opened_from_an_offset_on() {
        let bytes: Vec<u8> =
            ALL.iter().zip([0, 3, 6, 9, 12]).flat_map(|(codec, base)| batch(base, 3, *codec)).collect();
        let opened = open_batches(&"t".into(), 0, bytes.clone().into(), 2, usize::MAX).unwrap();
        assert_eq!((offsets(&opened), opened.rest), ((2..15).collect(), None));
        let opened = open_batches(&"t".into(), 0, bytes.into(), 2, 3).unwrap();
        assert_eq!((offsets(&opened), opened.rest), (vec![2, 3, 4], Some(5)));
    }

    #[test]
    fn a_batch_that_does_not_open_comes_after_what_stands_before_it() {
        let mut bad = batch(3, 3, Compression::Zstd);
        bad[16] = 2; // one record less than there are
        let bytes = [batch(0, 3, Compression::Lz4), bad, batch(5, 3, Compression::None)].concat();
        let topic: Arc<str> = "t".into();
        let opened = open_batches(&topic, 0, bytes.clone().into(), 0, usize::MAX).unwrap();
        assert_eq!((offsets(&opened), opened.rest), (vec![0, 1, 2], Some(3)));
        let error = open_batches(&topic, 0, bytes.clone().into(), 3, usize::MAX).unwrap_err();
        assert_eq!(error.code, ErrorCode::CorruptData);
        assert_eq!((&error.metadata["start"][..], &error.metadata["end"][..]), ("3", "5"));
        let each: Vec<_> = open_each(topic, 0, bytes.into(), 0).collect();
        assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_fetch_opens_no_more_than_fits_the_memory() {
        // Each batch has 1 KiB and inflates to 1 MiB.
        let one = |base| {
            let mut builder = BatchBuilder::new();
            builder.push(&NewRecord { value: Some(&vec![0; 1_000_000]), ..NewRecord::default() }).unwrap();
            let mut bytes = builder.build_compressed(Compression::Zstd, None).unwrap().to_vec();
            stamp_header(&mut bytes, &ServerFields { base_offset: base, ..ServerFields::default() }).unwrap();
            assert!(bytes.len() < 1 << 10);
            bytes
        };
        let bytes: Vec<u8> = (0..200).flat_map(one).collect();
        let opened = open_batches(&"t".into(), 0, bytes.into(), 0, usize::MAX).unwrap();
        assert_eq!((opened.messages.len(), opened.rest), (68, Some(68)));
    }
}
