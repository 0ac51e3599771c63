//! How a transactional id stands in `__transactions`: one record with its whole state. All integers little-endian.
//!
//! | key | value |
//! |---|---|
//! | u8 version = 1 | u8 version = 1 |
//! | u8 kind = 1 (transactional id) | u8 phase: 1 empty, 2 ongoing, 3 prepare commit, 4 prepare abort, 5 complete commit, 6 complete abort |
//! | the id, UTF-8 | u64 producer id, u16 epoch, u32 timeout, ms |
//! | | i64 begun, i64 changed: Unix ms |
//! | | u8 how the one before ended: 0 nothing, else 1 + (2: committed) + (4: without its producer), then its u64 producer id, u16 epoch |
//! | | u32 partitions, each 16 bytes topic id, u16 name length, name, u32 partition |
//! | | u32 groups, each u16 length, name |
//!
//! A record without value deletes its key.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes};
use flymq_types::{GroupId, PartitionId, Timestamp, TopicId, TopicName, TransactionalId};

use super::Outcome;
use super::state::{Ended, Phase, Place, Transaction};

const VERSION: u8 = 1;
const KIND_ID: u8 = 1;

/// Of the byte that says how the transaction before ended.
const ENDED: u8 = 1;
const COMMITTED: u8 = 2;
const BY_FORCE: u8 = 4;

/// A record that this build cannot read: a later one has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of a transactional id of version {VERSION}")]
pub(super) struct UnknownRecord;

pub(super) fn encode_key(id: &TransactionalId) -> Vec<u8> {
    [&[VERSION, KIND_ID], id.as_str().as_bytes()].concat()
}

pub(super) fn decode_key(key: &[u8]) -> Result<TransactionalId, UnknownRecord> {
    let [VERSION, KIND_ID, id @ ..] = key else { return Err(UnknownRecord) };
    let id = std::str::from_utf8(id).map_err(|_| UnknownRecord)?;
    TransactionalId::any(id).map_err(|_| UnknownRecord)
}

pub(super) fn encode(state: &Transaction) -> Bytes {
    let mut out = Vec::with_capacity(64 + state.places.len() * 48);
    out.put_u8(VERSION);
    out.put_u8(phase_code(state.phase));
    out.put_u64_le(state.producer_id);
    out.put_u16_le(state.epoch);
    out.put_u32_le(state.timeout_ms);
    out.put_i64_le(state.started.as_millis());
    out.put_i64_le(state.changed.as_millis());
    match state.ended {
        None => out.put_u8(0),
        Some(ended) => {
            let committed = if ended.outcome == Outcome::Commit { COMMITTED } else { 0 };
            out.put_u8(ENDED | committed | if ended.by_force { BY_FORCE } else { 0 });
            out.put_u64_le(ended.producer_id);
            out.put_u16_le(ended.epoch);
        }
    }
    put_places(&mut out, &state.places);
    out.into()
}

fn put_places(out: &mut Vec<u8>, places: &BTreeSet<Place>) {
    let groups = places.iter().filter(|place| matches!(place, Place::Group(_))).count();
    out.put_u32_le(count(places.len() - groups));
    for place in places {
        if let Place::Partition { topic, name, partition } = place {
            out.put_slice(topic.as_bytes());
            put_text(out, name.as_str());
            out.put_u32_le(partition.get());
        }
    }
    out.put_u32_le(count(groups));
    for place in places {
        if let Place::Group(group) = place {
            put_text(out, group.as_str());
        }
    }
}

pub(super) fn decode(mut value: &[u8]) -> Result<Transaction, UnknownRecord> {
    let bytes = &mut value;
    if take(bytes, Buf::try_get_u8)? != VERSION {
        return Err(UnknownRecord);
    }
    let phase = phase_of(take(bytes, Buf::try_get_u8)?)?;
    let producer_id = take(bytes, Buf::try_get_u64_le)?;
    let epoch = take(bytes, Buf::try_get_u16_le)?;
    let timeout_ms = take(bytes, Buf::try_get_u32_le)?;
    let started = Timestamp(take(bytes, Buf::try_get_i64_le)?);
    let changed = Timestamp(take(bytes, Buf::try_get_i64_le)?);
    let ended = match take(bytes, Buf::try_get_u8)? {
        0 => None,
        bits if bits & ENDED != 0 && bits & !(ENDED | COMMITTED | BY_FORCE) == 0 => Some(Ended {
            producer_id: take(bytes, Buf::try_get_u64_le)?,
            epoch: take(bytes, Buf::try_get_u16_le)?,
            outcome: if bits & COMMITTED == 0 { Outcome::Abort } else { Outcome::Commit },
            by_force: bits & BY_FORCE != 0,
        }),
        _ => return Err(UnknownRecord),
    };
    let places = take_places(bytes)?;
    if !bytes.is_empty() {
        return Err(UnknownRecord);
    }
    Ok(Transaction { producer_id, epoch, phase, timeout_ms, started, changed, places, ended })
}

fn take_places(bytes: &mut &[u8]) -> Result<BTreeSet<Place>, UnknownRecord> {
    let mut places = BTreeSet::new();
    for _ in 0..take(bytes, Buf::try_get_u32_le)? {
        let mut topic = [0; 16];
        bytes.try_copy_to_slice(&mut topic).map_err(|_| UnknownRecord)?;
        let name = TopicName::any(take_text(bytes)?).map_err(|_| UnknownRecord)?;
        let partition = PartitionId(take(bytes, Buf::try_get_u32_le)?);
        places.insert(Place::Partition { topic: TopicId::from_bytes(topic), name, partition });
    }
    for _ in 0..take(bytes, Buf::try_get_u32_le)? {
        places.insert(Place::Group(GroupId::any(take_text(bytes)?).map_err(|_| UnknownRecord)?));
    }
    Ok(places)
}

fn phase_code(phase: Phase) -> u8 {
    match phase {
        Phase::Empty => 1,
        Phase::Ongoing => 2,
        Phase::Prepare(Outcome::Commit) => 3,
        Phase::Prepare(Outcome::Abort) => 4,
        Phase::Complete(Outcome::Commit) => 5,
        Phase::Complete(Outcome::Abort) => 6,
    }
}

fn phase_of(code: u8) -> Result<Phase, UnknownRecord> {
    Ok(match code {
        1 => Phase::Empty,
        2 => Phase::Ongoing,
        3 => Phase::Prepare(Outcome::Commit),
        4 => Phase::Prepare(Outcome::Abort),
        5 => Phase::Complete(Outcome::Commit),
        6 => Phase::Complete(Outcome::Abort),
        _ => return Err(UnknownRecord),
    })
}

fn count(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}

/// Names have at most 249 bytes, so the length always fits.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, UnknownRecord> {
    let len = usize::from(take(bytes, Buf::try_get_u16_le)?);
    let (text, rest) = bytes.split_at_checked(len).ok_or(UnknownRecord)?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(|_| UnknownRecord)
}

fn take<'a, T, E>(
    bytes: &mut &'a [u8],
    get: impl FnOnce(&mut &'a [u8]) -> Result<T, E>,
) -> Result<T, UnknownRecord> {
    get(bytes).map_err(|_| UnknownRecord)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> Transaction {
        let topic = TopicId::from_bytes([7; 16]);
        let partition =
            Place::Partition { topic, name: TopicName::new("t").unwrap(), partition: PartitionId(258) };
        Transaction {
            producer_id: 9,
            epoch: 4,
            phase: Phase::Prepare(Outcome::Commit),
            timeout_ms: 60_000,
            started: Timestamp(5),
            changed: Timestamp(-1),
            places: [partition, Place::Group(GroupId::new("g").unwrap())].into(),
            ended: Some(Ended { producer_id: 9, epoch: 3, outcome: Outcome::Commit, by_force: false }),
        }
    }

    /// The bytes are on disks: they may only change with a new version.
    #[test]
    fn golden_bytes() {
        let id = TransactionalId::new("tx").unwrap();
        assert_eq!(encode_key(&id), [1, 1, b't', b'x']);
        let golden = [
            &[1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0x60, 0xea, 0, 0][..],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[0xff; 8],
            &[3, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0],
            &[1, 0, 0, 0],
            &[7; 16],
            &[1, 0, b't', 2, 1, 0, 0],
            &[1, 0, 0, 0, 1, 0, b'g'],
        ];
        assert_eq!(encode(&state()), golden.concat());
    }

    #[test]
    fn every_cut_or_later_record_is_refused() {
        let bytes = encode(&state());
        assert_eq!(decode(&bytes), Ok(state()));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Err(UnknownRecord), "cut at {cut}");
        }
        for (at, value) in [(0, 2), (1, 7), (32, 8), (32, 2)] {
            let mut later = bytes.to_vec();
            later[at] = value;
            assert_eq!(decode(&later), Err(UnknownRecord), "byte {at}");
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(UnknownRecord));
        assert_eq!(decode_key(&[1, 2, b'x']), Err(UnknownRecord));
        assert_eq!(decode_key(&[2, 1, b'x']), Err(UnknownRecord));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            producer_id: u64, epoch: u16, phase in 1u8..=6, timeout_ms: u32, started: i64, changed: i64,
            ended: Option<(u64, u16, bool, bool)>, names in prop::collection::vec("[a-zé]{1,80}", 0..5),
        ) {
            let ended = ended.map(|(producer_id, epoch, commit, by_force)| {
                let outcome = if commit { Outcome::Commit } else { Outcome::Abort };
                Ended { producer_id, epoch, outcome, by_force }
            });
            let place = |(index, name): (usize, &String)| match index % 2 {
                0 => Place::Group(GroupId::new(name).unwrap()),
                _ => Place::Partition {
                    topic: TopicId::from_bytes([index as u8; 16]),
                    name: TopicName::new(name).unwrap(),
                    partition: PartitionId(index as u32),
                },
            };
            let places = names.iter().enumerate().map(place).collect();
            let (phase, started, changed) = (phase_of(phase).unwrap(), Timestamp(started), Timestamp(changed));
            let state = Transaction { producer_id, epoch, phase, timeout_ms, started, changed, places, ended };
            prop_assert_eq!(decode(&encode(&state)), Ok(state));
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode_key(&bytes);
        }
    }
}
