//! How scheduled messages stand in `__schedules`. All integers little-endian.
//!
//! | key | value |
//! |---|---|
//! | u8 version = 1, u8 kind, 16 bytes topic id | by kind |
//!
//! | kind | value |
//! |---|---|
//! | 1 message | i64 due, u64 number, u8 flags (1: recurring, 2: names its partition), u16 length and topic name, u32 partition, u16 length and cron text, a record batch of one record |
//! | 2 firing | u32 partition, u64 producer id, u16 epoch, u32 count, each i64 due, u64 number |
//! | 3 fired | u32 partition, u64 producer id, u16 epoch, u32 count, each i64 due, u64 number, i64 next due (`i64::MIN`: none) |
//! | 4 cancelled | i64 due, u64 number |

use bytes::{Buf, BufMut, Bytes};
use flymq_types::{PartitionId, TopicId, TopicName};

use super::id::Key;

const VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const FIRING: u8 = 2;
const FIRED: u8 = 3;
const CANCELLED: u8 = 4;

const RECURRING: u8 = 1;
const PLACED: u8 = 2;

/// Which batch an idempotent producer of the broker writes: unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shot {
    pub(super) producer: u64,
    pub(super) epoch: u16,
}

/// One record of `__schedules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A message is to be delivered. It stands here once more when it is moved to the log's end, and then takes the place of itself.
    Message {
        topic: TopicId,
        name: TopicName,
        key: Key,
        recurring: bool,
        body: Bytes,
    },
    /// From here on these messages are in that batch, and nowhere else.
    Firing {
        topic: TopicId,
        partition: u32,
        shot: Shot,
        keys: Vec<Key>,
    },
    /// That batch is over. Each message is due again then, or never more.
    Fired {
        topic: TopicId,
        partition: u32,
        shot: Shot,
        next: Vec<(Key, Option<i64>)>,
    },
    Cancelled {
        topic: TopicId,
        key: Key,
    },
}

/// A message with all that there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) name: TopicName,
    pub(super) partition: Option<PartitionId>,
    /// Empty: it is delivered once.
    pub(super) cron: String,
    /// A batch of one record.
    pub(super) batch: Bytes,
}

impl Stored {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64 + self.name.as_str().len() + self.cron.len() + self.batch.len());
        put_key(&mut out, self.key);
        let recurring = if self.cron.is_empty() { 0 } else { RECURRING };
        out.put_u8(recurring | self.partition.map_or(0, |_| PLACED));
        put_text(&mut out, self.name.as_str());
        out.put_u32_le(self.partition.map_or(0, PartitionId::get));
        put_text(&mut out, &self.cron);
        out.put_slice(&self.batch);
        out.into()
    }

    /// None: not of this version.
    pub(super) fn decode(mut value: &[u8]) -> Option<Self> {
        let bytes = &mut value;
        let (key, flags, name) = head(bytes)?;
        let partition = PartitionId(bytes.try_get_u32_le().ok()?);
        let cron = take_text(bytes)?.to_owned();
        let batch = Bytes::copy_from_slice(bytes);
        Some(Self { key, name, partition: (flags & PLACED != 0).then_some(partition), cron, batch })
    }
}

pub(super) fn encode(change: &Change) -> (Vec<u8>, Option<Bytes>) {
    let mut out = Vec::new();
    let (kind, topic) = match change {
        Change::Message { topic, body, .. } => return (record_key(MESSAGE, *topic), Some(body.clone())),
        Change::Firing { topic, partition, shot, keys } => {
            put_shot(&mut out, *partition, *shot, keys.len());
            keys.iter().for_each(|key| put_key(&mut out, *key));
            (FIRING, *topic)
        }
        Change::Fired { topic, partition, shot, next } => {
            put_shot(&mut out, *partition, *shot, next.len());
            for (key, due) in next {
                put_key(&mut out, *key);
                out.put_i64_le(due.unwrap_or(i64::MIN));
            }
            (FIRED, *topic)
        }
        Change::Cancelled { topic, key } => {
            put_key(&mut out, *key);
            (CANCELLED, *topic)
        }
    };
    (record_key(kind, topic), Some(out.into()))
}

/// None: of a later build. What a message is stays on the disk: its `body` is empty.
pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Change> {
    let [VERSION, kind, topic @ ..] = key else { return None };
    let topic = TopicId::from_bytes(topic.try_into().ok()?);
    let bytes = &mut value?;
    let change = match *kind {
        MESSAGE => {
            let (key, flags, name) = head(bytes)?;
            return Some(Change::Message {
                topic,
                name,
                key,
                recurring: flags & RECURRING != 0,
                body: Bytes::new(),
            });
        }
        FIRING => {
            let (partition, shot, count) = take_shot(bytes)?;
            let keys = (0..count).map(|_| take_key(bytes)).collect::<Option<_>>()?;
            Change::Firing { topic, partition, shot, keys }
        }
        FIRED => {
            let (partition, shot, count) = take_shot(bytes)?;
            let one = |_| {
                let key = take_key(bytes)?;
                let due = bytes.try_get_i64_le().ok()?;
                Some((key, (due != i64::MIN).then_some(due)))
            };
            Change::Fired { topic, partition, shot, next: (0..count).map(one).collect::<Option<_>>()? }
        }
        CANCELLED => Change::Cancelled { topic, key: take_key(bytes)? },
        _ => return None,
    };
    bytes.is_empty().then_some(change)
}

fn record_key(kind: u8, topic: TopicId) -> Vec<u8> {
    [&[VERSION, kind], &topic.as_bytes()[..]].concat()
}

fn head(bytes: &mut &[u8]) -> Option<(Key, u8, TopicName)> {
    let key = take_key(bytes)?;
    let flags = bytes.try_get_u8().ok()?;
    (flags & !(RECURRING | PLACED) == 0).then_some(())?;
    Some((key, flags, TopicName::any(take_text(bytes)?).ok()?))
}

fn put_shot(out: &mut Vec<u8>, partition: u32, shot: Shot, count: usize) {
    out.put_u32_le(partition);
    out.put_u64_le(shot.producer);
    out.put_u16_le(shot.epoch);
    out.put_u32_le(u32::try_from(count).unwrap_or(u32::MAX));
}

fn take_shot(bytes: &mut &[u8]) -> Option<(u32, Shot, u32)> {
    let partition = bytes.try_get_u32_le().ok()?;
    let shot = Shot { producer: bytes.try_get_u64_le().ok()?, epoch: bytes.try_get_u16_le().ok()? };
    Some((partition, shot, bytes.try_get_u32_le().ok()?))
}

fn put_key(out: &mut Vec<u8>, (due, number): Key) {
    out.put_i64_le(due);
    out.put_u64_le(number);
}

fn take_key(bytes: &mut &[u8]) -> Option<Key> {
    Some((bytes.try_get_i64_le().ok()?, bytes.try_get_u64_le().ok()?))
}

/// Names and cron texts are far shorter than what the length can say.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::from(bytes.try_get_u16_le().ok()?);
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOPIC: TopicId = TopicId::from_bytes([7; 16]);

    fn stored() -> Stored {
        Stored {
            key: (5, 9),
            name: TopicName::new("t").unwrap(),
            partition: Some(PartitionId(258)),
            cron: "* *".to_owned(),
            batch: Bytes::from_static(b"batch"),
        }
    }

    /// The bytes are on disks: they may only change with a new version.
    #[test]
    fn golden_bytes() {
        let golden = [
            &[5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0][..],
            &[3, 1, 0, b't', 2, 1, 0, 0, 3, 0],
            b"* *batch",
        ];
        assert_eq!(stored().encode(), golden.concat());
        assert_eq!(Stored::decode(&golden.concat()), Some(stored()));
        let shot = Shot { producer: 3, epoch: 4 };
        let fired = Change::Fired { topic: TOPIC, partition: 1, shot, next: vec![((5, 9), None)] };
        let (key, value) = encode(&fired);
        assert_eq!(key, [&[1, 3][..], &[7; 16]].concat());
        let golden = [
            &[1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0][..],
            &[5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0x80],
        ];
        assert_eq!(value.unwrap(), golden.concat());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            partition: u32, producer: u64, epoch: u16,
            keys in prop::collection::vec(any::<(i64, u64)>(), 0..9), due in -5i64..5,
        ) {
            let shot = Shot { producer, epoch };
            let next = keys.iter().map(|key| (*key, (key.1 % 2 == 0).then_some(due))).collect();
            let mut all = vec![
                Change::Firing { topic: TOPIC, partition, shot, keys: keys.clone() },
                Change::Fired { topic: TOPIC, partition, shot, next },
            ];
            all.extend(keys.iter().map(|key| Change::Cancelled { topic: TOPIC, key: *key }));
            for change in all {
                let (key, value) = encode(&change);
                let value = value.unwrap();
                prop_assert_eq!(decode(&key, Some(&value)), Some(change));
                for cut in 0..value.len() {
                    prop_assert_eq!(decode(&key, Some(&value[..cut])), None);
                }
            }
        }

        #[test]
        fn garbage_never_panics(kind in 0u8..6, bytes: Vec<u8>) {
            let _ = decode(&record_key(kind, TOPIC), Some(&bytes));
            let _ = Stored::decode(&bytes);
        }
    }
}
