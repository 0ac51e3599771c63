//! How a committed offset stands in `__consumer_offsets`. All integers little-endian.
//!
//! | key | value |
//! |---|---|
//! | u8 version = 1 | u8 version = 1 |
//! | u8 kind = 1 (offset) | u64 offset, the next to read |
//! | u16 group length, group | i64 committed at, Unix ms |
//! | 16 bytes topic id | u16 topic name length, name |
//! | u32 partition | metadata: the rest, UTF-8 |
//!
//! and a group's membership, whose value is that of `membership::stored`:
//!
//! | key |
//! |---|
//! | u8 version = 1 |
//! | u8 kind = 2 (membership) |
//! | u16 group length, group |
//!
//! and what a transactional producer has committed in a group, from its first offset in the transaction on; the marker that ends
//! the transaction writes the offsets themselves, and leaves the epoch behind without offsets, in one batch:
//!
//! | key | value |
//! |---|---|
//! | u8 version = 1 | u8 version = 1 |
//! | u8 kind = 3 (offsets of a transaction) | u16 epoch of the transaction, or of the marker that ended it |
//! | u16 group length, group | i64 written at, Unix ms |
//! | u64 producer id | u32 count of offsets, each 16 bytes topic id, u32 partition, u32 length, and a value as above |
//!
//! and what is kept of a single record of a group, under kind 4: see `queue::stored`.
//!
//! A record without value deletes its key. The topic stands there by id: one made again under an old name has no
//! offsets.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use flymq_types::{GroupId, Offset, PartitionId, Timestamp, TopicId, TopicName};

use super::membership;
use super::queue::Delivery;

const VERSION: u8 = 1;
const KIND_OFFSET: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;
const KIND_PENDING: u8 = 3;
const KIND_DELIVERY: u8 = 4;

/// Whose offset it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OffsetKey {
    pub(super) group: GroupId,
    pub(super) topic: TopicId,
    pub(super) partition: PartitionId,
}

/// One record of a topic, in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DeliveryKey {
    pub(super) at: OffsetKey,
    pub(super) offset: Offset,
}

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OffsetValue {
    pub(super) offset: Offset,
    pub(super) committed_at: Timestamp,
    /// For people and tools; the id in the key decides.
    pub(super) topic_name: TopicName,
    pub(super) metadata: String,
}

/// A change of one key: a new value, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Offset(OffsetKey, Option<OffsetValue>),
    /// As `membership::Group::encode` has it.
    Membership(GroupId, Option<Bytes>),
    /// Of the transactions of a producer id.
    Pending(GroupId, u64, Option<Pending>),
    /// Of a single record; none: what the committed offset says of it.
    Delivery(DeliveryKey, Option<Delivery>),
}

/// The offsets of a producer's transaction in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// Of the transaction; without offsets: of the marker that ended it.
    pub(super) epoch: u16,
    pub(super) written_at: Timestamp,
    pub(super) offsets: Vec<(TopicId, PartitionId, OffsetValue)>,
}

/// A record that this build cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an offset record of version {VERSION}")]
pub(super) struct UnknownRecord;

impl Change {
    /// The bytes of its value beyond those of an offset.
    pub(super) fn extra_bytes(&self) -> usize {
        match self {
            Self::Offset(..) => 0,
            Self::Membership(_, value) => value.as_ref().map_or(0, Bytes::len),
            Self::Pending(_, _, value) => value.as_ref().map_or(0, |pending| pending.offsets.len() * 64),
            Self::Delivery(_, value) => value.as_ref().map_or(0, |delivery| delivery.error.len()),
        }
    }

    /// Key and value of its record.
    pub(super) fn encode(&self) -> (Vec<u8>, Option<Bytes>) {
        match self {
            Self::Offset(key, value) => (key.encode(), value.as_ref().map(|value| value.encode().into())),
            Self::Membership(group, value) => {
                let mut key = vec![VERSION, KIND_MEMBERSHIP];
                put_text(&mut key, group.as_str().as_bytes());
                (key, value.clone())
            }
            Self::Pending(group, producer, value) => {
                let mut key = vec![VERSION, KIND_PENDING];
                put_text(&mut key, group.as_str().as_bytes());
                key.put_u64_le(*producer);
                (key, value.as_ref().map(|pending| pending.encode().into()))
            }
            Self::Delivery(key, value) => {
                (key.encode(), value.as_ref().map(|delivery| delivery.encode().into()))
            }
        }
    }

    pub(super) fn decode(mut key: &[u8], value: Option<&[u8]>) -> Result<Self, UnknownRecord> {
        if key.starts_with(&[VERSION, KIND_DELIVERY]) {
            let value = value.map(Delivery::decode).transpose()?;
            return Ok(Self::Delivery(DeliveryKey::decode(key)?, value));
        }
        if key.starts_with(&[VERSION, KIND_PENDING]) {
            key.advance(2);
            let group = GroupId::any(take_text(&mut key)?).map_err(|_| UnknownRecord)?;
            let producer = key.try_get_u64_le().map_err(|_| UnknownRecord)?;
            let pending = value.map(Pending::decode).transpose()?;
            return if key.is_empty() {
                Ok(Self::Pending(group, producer, pending))
            } else {
                Err(UnknownRecord)
            };
        }
        if !key.starts_with(&[VERSION, KIND_MEMBERSHIP]) {
            let value = value.map(OffsetValue::decode).transpose()?;
            return Ok(Self::Offset(OffsetKey::decode(key)?, value));
        }
        key.advance(2);
        let group = GroupId::any(take_text(&mut key)?).map_err(|_| UnknownRecord)?;
        if let Some(value) = value {
            membership::Group::decode(value, Duration::ZERO)?;
        }
        if key.is_empty() {
            Ok(Self::Membership(group, value.map(Bytes::copy_from_slice)))
        } else {
            Err(UnknownRecord)
        }
    }
}

impl Pending {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(15 + self.offsets.len() * 64);
        out.put_u8(VERSION);
        out.put_u16_le(self.epoch);
        out.put_i64_le(self.written_at.as_millis());
        out.put_u32_le(u32::try_from(self.offsets.len()).unwrap_or(u32::MAX));
        for (topic, partition, value) in &self.offsets {
            let value = value.encode();
            out.put_slice(topic.as_bytes());
            out.put_u32_le(partition.get());
            out.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(&value);
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let bytes = &mut bytes;
        if take_u8(bytes)? != VERSION {
            return Err(UnknownRecord);
        }
        let epoch = bytes.try_get_u16_le().map_err(|_| UnknownRecord)?;
        let written_at = Timestamp(bytes.try_get_i64_le().map_err(|_| UnknownRecord)?);
        let mut offsets = Vec::new();
        for _ in 0..bytes.try_get_u32_le().map_err(|_| UnknownRecord)? {
            let mut topic = [0; 16];
            bytes.try_copy_to_slice(&mut topic).map_err(|_| UnknownRecord)?;
            let partition = PartitionId(bytes.try_get_u32_le().map_err(|_| UnknownRecord)?);
            let len = bytes.try_get_u32_le().map_err(|_| UnknownRecord)? as usize;
            let (value, rest) = bytes.split_at_checked(len).ok_or(UnknownRecord)?;
            offsets.push((TopicId::from_bytes(topic), partition, OffsetValue::decode(value)?));
            *bytes = rest;
        }
        if bytes.is_empty() { Ok(Self { epoch, written_at, offsets }) } else { Err(UnknownRecord) }
    }
}

impl DeliveryKey {
    fn encode(&self) -> Vec<u8> {
        let mut out = self.at.encode_as(KIND_DELIVERY);
        out.put_u64_le(self.offset.get());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let (at, mut offset) = bytes.split_at_checked(bytes.len().saturating_sub(8)).ok_or(UnknownRecord)?;
        let offset = offset.try_get_u64_le().map_err(|_| UnknownRecord)?;
        Ok(Self { at: OffsetKey::decode_as(KIND_DELIVERY, at)?, offset: Offset(offset) })
    }
}

impl OffsetKey {
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_as(KIND_OFFSET)
    }

    fn encode_as(&self, kind: u8) -> Vec<u8> {
        let group = self.group.as_str().as_bytes();
        let mut out = Vec::with_capacity(32 + group.len());
        out.put_u8(VERSION);
        out.put_u8(kind);
        put_text(&mut out, group);
        out.put_slice(self.topic.as_bytes());
        out.put_u32_le(self.partition.get());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, UnknownRecord> {
        Self::decode_as(KIND_OFFSET, bytes)
    }

    fn decode_as(kind: u8, mut bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let bytes = &mut bytes;
        if (take_u8(bytes)?, take_u8(bytes)?) != (VERSION, kind) {
            return Err(UnknownRecord);
        }
        let group = GroupId::any(take_text(bytes)?).map_err(|_| UnknownRecord)?;
        if bytes.len() != 20 {
            return Err(UnknownRecord);
        }
        let mut topic = [0; 16];
        bytes.copy_to_slice(&mut topic);
        Ok(Self { group, topic: TopicId::from_bytes(topic), partition: PartitionId(bytes.get_u32_le()) })
    }
}

impl OffsetValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.topic_name.as_str().as_bytes();
        let mut out = Vec::with_capacity(19 + name.len() + self.metadata.len());
        out.put_u8(VERSION);
        out.put_u64_le(self.offset.get());
        out.put_i64_le(self.committed_at.as_millis());
        put_text(&mut out, name);
        out.put_slice(self.metadata.as_bytes());
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, UnknownRecord> {
        let bytes = &mut bytes;
        if take_u8(bytes)? != VERSION || bytes.len() < 16 {
            return Err(UnknownRecord);
        }
        let (offset, committed_at) = (Offset(bytes.get_u64_le()), Timestamp(bytes.get_i64_le()));
        let topic_name = TopicName::any(take_text(bytes)?).map_err(|_| UnknownRecord)?;
        let metadata = std::str::from_utf8(bytes).map_err(|_| UnknownRecord)?.to_owned();
        Ok(Self { offset, committed_at, topic_name, metadata })
    }
}

/// Names have at most 249 bytes, so the length always fits.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text);
}

pub(super) fn take_u8(bytes: &mut &[u8]) -> Result<u8, UnknownRecord> {
    bytes.try_get_u8().map_err(|_| UnknownRecord)
}

pub(super) fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, UnknownRecord> {
    let len = usize::from(bytes.try_get_u16_le().map_err(|_| UnknownRecord)?);
    let (text, rest) = bytes.split_at_checked(len).ok_or(UnknownRecord)?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(|_| UnknownRecord)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> OffsetKey {
        OffsetKey {
            group: GroupId::new("g").unwrap(),
            topic: TopicId::from_bytes([7; 16]),
            partition: PartitionId(258),
        }
    }

    /// The bytes are on disks: they may only change with a new version.
    #[test]
    fn golden_bytes() {
        let golden = [&[1, 1, 1, 0, b'g'][..], &[7; 16], &[2, 1, 0, 0]].concat();
        assert_eq!(key().encode(), golden);
        let value = OffsetValue {
            offset: Offset(5),
            committed_at: Timestamp(-1),
            topic_name: TopicName::new("t").unwrap(),
            metadata: "m".to_owned(),
        };
        let golden = [&[1, 5, 0, 0, 0, 0, 0, 0, 0][..], &[0xff; 8], &[1, 0, b't', b'm']].concat();
        assert_eq!(value.encode(), golden);
    }

    #[test]
    fn both_kinds_are_told_apart() {
        let group = GroupId::new("g").unwrap();
        let value = Bytes::from(membership::Group::default().encode());
        let membership = Change::Membership(group.clone(), Some(value));
        let (bytes, value) = membership.encode();
        assert_eq!(bytes, [1, 2, 1, 0, b'g']);
        assert_eq!(Change::decode(&bytes, value.as_deref()), Ok(membership));
        assert_eq!(Change::decode(&bytes, None), Ok(Change::Membership(group, None)));
        assert_eq!(Change::decode(&bytes, Some(b"?")), Err(UnknownRecord));
        assert_eq!(Change::decode(&key().encode(), None), Ok(Change::Offset(key(), None)));
        assert_eq!(Change::decode(&[1, 9, 1, 0, b'g'], None), Err(UnknownRecord), "a later build's");
        // What builds without membership make of it.
        assert_eq!(OffsetKey::decode(&bytes), Err(UnknownRecord));
    }

    #[test]
    fn a_record_of_a_queue_comes_back() {
        let topic = TopicName::new("t").unwrap();
        let delivery = Delivery::untouched(&topic, None, Timestamp(1));
        let change = Change::Delivery(DeliveryKey { at: key(), offset: Offset(9) }, Some(delivery));
        let (bytes, value) = change.encode();
        let golden = [&[1, 4, 1, 0, b'g'][..], &[7; 16], &[2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(bytes, golden);
        assert_eq!(Change::decode(&bytes, value.as_deref()), Ok(change));
        for cut in 0..bytes.len() {
            assert!(Change::decode(&bytes[..cut], None).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn offsets_of_a_transaction_come_back() {
        let value = OffsetValue {
            offset: Offset(5),
            committed_at: Timestamp(-1),
            topic_name: TopicName::new("t").unwrap(),
            metadata: "m".to_owned(),
        };
        let offsets = vec![(TopicId::from_bytes([7; 16]), PartitionId(2), value)];
        let pending = Pending { epoch: 3, written_at: Timestamp(4), offsets };
        let change = Change::Pending(GroupId::new("g").unwrap(), 9, Some(pending));
        let (key, value) = change.encode();
        assert_eq!(key, [1, 3, 1, 0, b'g', 9, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = value.unwrap();
        let golden = [
            &[1, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..],
            &[7; 16],
            &[2, 0, 0, 0, 21, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0, 0],
            &[0xff; 8],
            &[1, 0, b't', b'm'],
        ];
        assert_eq!(bytes, golden.concat());
        for cut in 0..bytes.len() {
            assert_eq!(Change::decode(&key, Some(&bytes[..cut])), Err(UnknownRecord), "cut at {cut}");
        }
        assert_eq!(Change::decode(&key, Some(&bytes)), Ok(change));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(group in "[a-zé]{1,100}", partition: u32, offset: u64, at: i64, metadata: String) {
            let key = OffsetKey { group: GroupId::new(&group).unwrap(), partition: PartitionId(partition), ..key() };
            prop_assert_eq!(OffsetKey::decode(&key.encode()), Ok(key));
            let topic_name = TopicName::new(&group).unwrap();
            let value = OffsetValue { offset: Offset(offset), committed_at: Timestamp(at), topic_name, metadata };
            prop_assert_eq!(OffsetValue::decode(&value.encode()), Ok(value));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = OffsetKey::decode(&bytes);
            let _ = OffsetValue::decode(&bytes);
            let _ = Change::decode(&bytes, Some(&bytes));
        }

        #[test]
        fn every_cut_key_is_refused(cut in 0usize..25) {
            prop_assert_eq!(OffsetKey::decode(&key().encode()[..cut]), Err(UnknownRecord));
        }
    }
}
