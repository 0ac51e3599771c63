//! How a group's membership stands in `__consumer_offsets`, as the value of its record. All integers little-endian.
//!
//! ```text
//! u8 version = 1 · u64 generation · u64 newest member epoch
//! u32 topics, each:   text name · u8 subscribed · u32 partitions
//! u32 members, each:  text id · text instance id (empty: none) · text client id · text host
//!                     u8 assignor (0 cooperative, 1 sticky, 2 range) · u32 session ms · u32 patience ms · u64 epoch
//!                     u32 filters, each: text · u32 replaced member ids, each: text
//!                     u32 target, each:   u32 topic · u32 partition
//!                     u32 assigned, each: u32 topic · u32 partition · u64 generation in which it was given
//!                     u32 revoking, each: u32 topic · u32 partition · u64 generation in which it was given · u64 epoch
//! ```
//!
//! A text is its u16 length in bytes, and UTF-8. A topic is its place in the list above.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut};
use flymq_types::{PartitionId, TopicName};

use super::assignor::Assignor;
use super::filters::TopicFilters;
use super::member::{Member, Revoking};
use super::{Group, MemberId, Place};
use crate::groups::record::{UnknownRecord, put_text, take_text, take_u8};

const VERSION: u8 = 1;

impl Group {
    /// Everything that has to outlive this node.
    pub fn encode(&self) -> Vec<u8> {
        let mut topics: BTreeSet<&TopicName> = self.topics.keys().collect();
        for member in self.members.values() {
            topics.extend(member.assigned.keys().chain(member.revoking.keys()).map(|(topic, _)| topic));
        }
        let index: HashMap<&TopicName, u32> = topics.iter().copied().zip(0..).collect();
        let mut out = Vec::with_capacity(64 + 32 * topics.len() + 40 * self.owners.len());
        out.put_u8(VERSION);
        out.put_u64_le(self.generation);
        out.put_u64_le(self.epochs);
        put_count(&mut out, topics.len());
        for topic in topics {
            put_text(&mut out, topic.as_str().as_bytes());
            out.put_u8(u8::from(self.topics.contains_key(topic)));
            out.put_u32_le(self.topics.get(topic).copied().unwrap_or(0));
        }
        put_count(&mut out, self.members.len());
        for (id, member) in &self.members {
            put_member(&mut out, id, member, &index);
        }
        out
    }

    /// The group as it was written, each member with a full session from `now` on.
    ///
    /// # Errors
    /// `UnknownRecord` for bytes that this build did not write.
    pub fn decode(mut bytes: &[u8], now: Duration) -> Result<Self, UnknownRecord> {
        let bytes = &mut bytes;
        if take_u8(bytes)? != VERSION {
            return Err(UnknownRecord);
        }
        let (generation, epochs) = (take_u64(bytes)?, take_u64(bytes)?);
        let mut group = Self { generation, epochs, looked: now, ..Self::default() };
        let mut topics = Vec::new();
        for _ in 0..take_u32(bytes)? {
            let topic = TopicName::any(take_text(bytes)?).map_err(|_| UnknownRecord)?;
            let (subscribed, count) = (take_u8(bytes)?, take_u32(bytes)?);
            if subscribed != 0 {
                group.topics.insert(topic.clone(), count);
            }
            topics.push(topic);
        }
        for _ in 0..take_u32(bytes)? {
            let (id, member) = take_member(bytes, &topics, now)?;
            for place in member.assigned.keys().chain(member.revoking.keys()) {
                if group.owners.insert(place.clone(), id.clone()).is_some() {
                    return Err(UnknownRecord);
                }
            }
            let topics = Arc::new(member.filters.resolve(&group.topics));
            group.members.insert(id, Member { topics, ..member });
        }
        if bytes.is_empty() { Ok(group) } else { Err(UnknownRecord) }
    }
}

fn put_member(out: &mut Vec<u8>, id: &MemberId, member: &Member, topics: &HashMap<&TopicName, u32>) {
    put_text(out, id.as_bytes());
    put_text(out, member.instance.as_deref().unwrap_or("").as_bytes());
    put_text(out, member.client_id.as_bytes());
    put_text(out, member.host.as_bytes());
    out.put_u8(match member.assignor {
        Assignor::Cooperative => 0,
        Assignor::Sticky => 1,
        Assignor::Range => 2,
    });
    put_millis(out, member.session);
    put_millis(out, member.patience);
    out.put_u64_le(member.epoch);
    put_count(out, member.filters.filters().len());
    member.filters.filters().for_each(|filter| put_text(out, filter.as_bytes()));
    put_count(out, member.replaced.len());
    member.replaced.iter().for_each(|id| put_text(out, id.as_bytes()));
    // A target names only topics that are subscribed to, an assignment was added to the list.
    let put_place = |out: &mut Vec<u8>, (topic, partition): &Place| {
        out.put_u32_le(topics.get(topic).copied().unwrap_or(u32::MAX));
        out.put_u32_le(partition.get());
    };
    put_count(out, member.target.len());
    member.target.iter().for_each(|place| put_place(out, place));
    put_count(out, member.assigned.len());
    for (place, given) in &member.assigned {
        put_place(out, place);
        out.put_u64_le(*given);
    }
    put_count(out, member.revoking.len());
    for (place, revoking) in &member.revoking {
        put_place(out, place);
        out.put_u64_le(revoking.given);
        out.put_u64_le(revoking.epoch);
    }
}

fn take_member(
    bytes: &mut &[u8],
    topics: &[TopicName],
    now: Duration,
) -> Result<(MemberId, Member), UnknownRecord> {
    let id: MemberId = take_text(bytes)?.into();
    let instance = Some(take_text(bytes)?).filter(|text| !text.is_empty()).map(Arc::from);
    let (client_id, host) = (take_text(bytes)?.to_owned(), take_text(bytes)?.to_owned());
    let assignor = match take_u8(bytes)? {
        0 => Assignor::Cooperative,
        1 => Assignor::Sticky,
        2 => Assignor::Range,
        _ => return Err(UnknownRecord),
    };
    let (session, patience) = (take_millis(bytes)?, take_millis(bytes)?);
    let epoch = take_u64(bytes)?;
    let filters = (0..take_u32(bytes)?).map(|_| take_text(bytes)).collect::<Result<Vec<_>, _>>()?;
    let filters = TopicFilters::new(filters).map_err(|_| UnknownRecord)?;
    let replaced = (0..take_u32(bytes)?).map(|_| take_text(bytes).map(MemberId::from));
    let replaced = replaced.collect::<Result<Vec<_>, _>>()?;
    let mut target = BTreeSet::new();
    for _ in 0..take_u32(bytes)? {
        target.insert(take_place(bytes, topics)?);
    }
    let mut assigned = BTreeMap::new();
    for _ in 0..take_u32(bytes)? {
        assigned.insert(take_place(bytes, topics)?, take_u64(bytes)?);
    }
    let mut revoking = BTreeMap::new();
    for _ in 0..take_u32(bytes)? {
        let place = take_place(bytes, topics)?;
        let (given, epoch, until) = (take_u64(bytes)?, take_u64(bytes)?, now + patience);
        revoking.insert(place, Revoking { given, epoch, until });
    }
    let expires = now + session;
    let member = Member {
        instance,
        client_id,
        host,
        filters,
        assignor,
        session,
        patience,
        epoch,
        target,
        assigned,
        revoking,
        replaced,
        expires,
        // What it has applied is told by its next heartbeat.
        ..Member::default()
    };
    Ok((id, member))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32_le(u32::try_from(count).unwrap_or(u32::MAX));
}

fn put_millis(out: &mut Vec<u8>, time: Duration) {
    out.put_u32_le(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
}

fn take_millis(bytes: &mut &[u8]) -> Result<Duration, UnknownRecord> {
    take_u32(bytes).map(|millis| Duration::from_millis(millis.into()))
}

fn take_place(bytes: &mut &[u8], topics: &[TopicName]) -> Result<Place, UnknownRecord> {
    let topic = topics.get(take_u32(bytes)? as usize).ok_or(UnknownRecord)?;
    Ok((topic.clone(), PartitionId(take_u32(bytes)?)))
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, UnknownRecord> {
    bytes.try_get_u32_le().map_err(|_| UnknownRecord)
}

fn take_u64(bytes: &mut &[u8]) -> Result<u64, UnknownRecord> {
    bytes.try_get_u64_le().map_err(|_| UnknownRecord)
}
