//! How far a consumer has come, by partition.

use std::collections::BTreeMap;

use crate::{Message, pb};

#[derive(Debug)]
struct Place {
    /// Next offset to hand out.
    next: u64,
    /// Last committed value, if any of ours.
    committed: Option<u64>,
    /// Another one with every beginning, so that what an older fetcher brought is known.
    epoch: u64,
    moved: bool,
}

#[derive(Debug, Default)]
pub(super) struct Positions {
    places: BTreeMap<(String, i32), Place>,
    /// Of the next beginning.
    epoch: u64,
}

impl Positions {
    /// Sets the next offset; the epoch under which its fetcher works.
    pub(super) fn begin(&mut self, topic: &str, partition: i32, offset: u64) -> u64 {
        let key = (topic.to_owned(), partition);
        let epoch = self.epoch;
        self.epoch += 1;
        let moved = self.places.contains_key(&key);
        self.places.insert(key, Place { next: offset, committed: None, epoch, moved });
        epoch
    }

    pub(super) fn forget(&mut self, stays: impl Fn(&(String, i32)) -> bool) {
        self.places.retain(|place, _| stays(place));
    }

    pub(super) fn handed_out(&mut self, messages: &[Message]) {
        for message in messages {
            // Runs of one partition are the rule; the look-up is by a borrowed key of the same order.
            if let Some(place) = self.place_mut(&message.topic, message.partition) {
                place.next = message.offset + 1;
                place.moved = true;
            }
        }
    }

    /// It goes on there, where what was to be read next is gone.
    pub(super) fn moved(&mut self, topic: &str, partition: i32, offset: u64) {
        if let Some(place) = self.place_mut(topic, partition) {
            place.next = offset;
            place.moved = true;
        }
    }

    fn place_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Place> {
        self.places.get_mut(&(topic.to_owned(), partition))
    }

    pub(super) fn uncommitted(&self) -> Vec<pb::PartitionOffset> {
        let due = self.places.iter().filter(|(_, p)| p.moved && p.committed != Some(p.next));
        due.map(|(key, place)| offset_of(key, place)).collect()
    }

    pub(super) fn committed(&mut self, offsets: &[pb::PartitionOffset]) {
        for offset in offsets {
            if let Some(place) = self.place_mut(&offset.topic, offset.partition) {
                place.committed = Some(offset.offset);
            }
        }
    }

    pub(super) fn knows(&self, topic: &str, partition: i32) -> bool {
        self.places.contains_key(&(topic.to_owned(), partition))
    }

    pub(super) fn epoch(&self, topic: &str, partition: i32) -> Option<u64> {
        self.places.get(&(topic.to_owned(), partition)).map(|place| place.epoch)
    }

    pub(super) fn topics_with(&self, partition: i32) -> Vec<String> {
        self.places.keys().filter(|(_, p)| *p == partition).map(|(topic, _)| topic.clone()).collect()
    }

    pub(super) fn of(&self, partition: i32) -> Option<u64> {
        self.places.iter().find(|((_, p), _)| *p == partition).map(|(_, place)| place.next)
    }

    pub(super) fn all(&self) -> Vec<pb::PartitionOffset> {
        self.places.iter().map(|(key, place)| offset_of(key, place)).collect()
    }
}

fn offset_of((topic, partition): &(String, i32), place: &Place) -> pb::PartitionOffset {
    pb::PartitionOffset {
        topic: topic.clone(),
        partition: *partition,
        offset: place.next,
        metadata: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn message(offset: u64) -> Message {
        Message {
            topic: Arc::from("t"),
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: None,
            value: bytes::Bytes::new(),
            tombstone: false,
            headers: Vec::new(),
        }
    }

    #[test]
    fn only_what_moved_is_committed_and_only_once() {
        let mut positions = Positions::default();
        positions.begin("t", 0, 5);
        assert!(positions.uncommitted().is_empty(), "nothing was handed out");
        positions.handed_out(&[message(5), message(6)]);
        let due = positions.uncommitted();
        assert_eq!(due[0].offset, 7, "a commit is the next offset to read");
        positions.committed(&due);
        assert!(positions.uncommitted().is_empty());
    }

    #[test]
    fn a_seek_starts_a_new_epoch_and_is_committed() {
        let mut positions = Positions::default();
        assert_eq!(positions.begin("t", 0, 5), 0);
        assert_eq!(positions.begin("t", 0, 2), 1);
        assert_eq!(positions.uncommitted()[0].offset, 2);
    }
}
