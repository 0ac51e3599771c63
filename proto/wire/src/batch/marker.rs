//! Markers: control batches of one record that end a transaction in a partition.
//!
//! The header names producer id and epoch and no sequence. The record's key is version u16 · kind u16 (0 abort, 1 commit), its
//! value version u16 · coordinator epoch u32, both versions 0, all little-endian.

use bytes::Bytes;

use super::builder::{BatchBuilder, NewRecord, ProducerFields};
use super::error::BatchError;
use super::header::{BatchFlags, BatchHeader, NO_PRODUCER_ID, NO_SEQUENCE};
use super::record::RecordIter;

/// The only version of a marker so far.
const VERSION: u16 = 0;

/// What a transaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Outcome {
    /// None of its records count.
    Abort = 0,
    /// All of its records count.
    Commit = 1,
}

/// The end of a transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction.
    pub producer_id: u64,
    /// The epoch that its producer has from now on.
    pub producer_epoch: u16,
    /// Term of the coordinator that decided: a later one never decides otherwise, and an earlier one may not speak any more.
    pub coordinator_epoch: u32,
    /// What it came to.
    pub outcome: Outcome,
}

impl Marker {
    /// The control batch, to be stamped by the leader; `timestamp` in Unix ms.
    ///
    /// # Errors
    /// None that can happen: those of [`BatchBuilder::build`].
    pub fn encode(&self, timestamp: i64) -> Result<Bytes, BatchError> {
        let (mut key, mut value) = ([0; 4], [0; 6]);
        key[..2].copy_from_slice(&VERSION.to_le_bytes());
        key[2..].copy_from_slice(&(self.outcome as u16).to_le_bytes());
        value[..2].copy_from_slice(&VERSION.to_le_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_le_bytes());
        let mut builder = BatchBuilder::with_capacity(32);
        builder.add_flags(BatchFlags::TRANSACTIONAL.union(BatchFlags::CONTROL)).set_producer(
            ProducerFields { id: self.producer_id, epoch: self.producer_epoch, base_sequence: NO_SEQUENCE },
        );
        builder.push(&NewRecord { key: Some(&key), value: Some(&value), timestamp, expires_at: None })?;
        builder.build()
    }

    /// The marker that a control batch is. `None` for another kind of batch, and for a marker of a version that is not known.
    pub fn parse(header: &BatchHeader, payload: &Bytes) -> Option<Self> {
        let control = header.flags.contains(BatchFlags::CONTROL) && header.producer_id != NO_PRODUCER_ID;
        if !control || header.record_count != 1 {
            return None;
        }
        let record = RecordIter::over_payload(header, payload).next()?.ok()?;
        let (key, value) = (record.key?, record.value?);
        let &[v0, v1, k0, k1] = key else { return None };
        let &[w0, w1, e0, e1, e2, e3] = value else { return None };
        if [u16::from_le_bytes([v0, v1]), u16::from_le_bytes([w0, w1])] != [VERSION; 2] {
            return None;
        }
        let outcome = match u16::from_le_bytes([k0, k1]) {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            _ => return None,
        };
        Some(Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            coordinator_epoch: u32::from_le_bytes([e0, e1, e2, e3]),
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HEADER_LEN, validate_produced, verify};
    use super::*;

    const MARKER: Marker = Marker {
        producer_id: 0x0102_0304_0506_0708,
        producer_epoch: 9,
        coordinator_epoch: 0x0a0b_0c0d,
        outcome: Outcome::Commit,
    };

    #[test]
    fn its_bytes_are_fixed() {
        let batch = MARKER.encode(1_000).unwrap();
        let payload = batch.slice(HEADER_LEN..);
        // Length, attributes (a key), key length, key, value.
        assert_eq!(payload[..], [15, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x0d, 0x0c, 0x0b, 0x0a]);
        let header = verify(&batch).unwrap();
        assert_eq!(header.flags.bits(), 3);
        assert_eq!(Marker::parse(&header, &payload), Some(MARKER));
    }

    #[test]
    fn no_producer_may_send_one() {
        let batch = MARKER.encode(1_000).unwrap();
        assert_eq!(validate_produced(&batch), Err(BatchError::BadFlags { found: 3 }));
    }

    #[test]
    fn what_is_not_known_is_no_marker() {
        let batch = MARKER.encode(0).unwrap();
        let (header, payload) = (verify(&batch).unwrap(), batch.slice(HEADER_LEN..));
        let plain = BatchHeader { flags: BatchFlags::TRANSACTIONAL, ..header };
        assert_eq!(Marker::parse(&plain, &payload), None);
        assert_eq!(Marker::parse(&BatchHeader { producer_id: NO_PRODUCER_ID, ..header }, &payload), None);
        // Versions and kind.
        for at in [9, 10, 12, 13, 14] {
            let mut other = payload.to_vec();
            other[at] ^= 4;
            assert_eq!(Marker::parse(&header, &other.into()), None, "byte {at}");
        }
        assert_eq!(Marker::parse(&header, &payload.slice(..10)), None);
    }
}
