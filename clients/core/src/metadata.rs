//! What the client remembers of topics: how many partitions each has, and who leads them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{ClientError, pb};

/// Partitions may be added to a topic; an older answer is asked for again.
const MAX_AGE: Duration = Duration::from_secs(30);
/// An answer this young is not asked for again, whatever has failed meanwhile: many readers may fail at once.
const MIN_AGE: Duration = Duration::from_millis(50);

/// The node that leads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub node: Arc<str>,
    /// For clients of this transport, `host:port`; empty where the node has no such door.
    pub addr: Arc<str>,
    pub epoch: u32,
}

/// What is known of a partition's leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Leader(Leader),
    /// The metadata say that nobody leads.
    Nobody,
    /// It has to be asked for.
    Unknown,
}

#[derive(Debug)]
struct Topic {
    /// By number; none where nobody leads.
    leaders: Vec<Option<Leader>>,
    at: Instant,
    /// A request failed that went where this says.
    doubted: bool,
}

impl Topic {
    fn is_new(&self) -> bool {
        self.at.elapsed() < MIN_AGE && !self.doubted
    }

    /// A failure says nothing of an answer that is younger than the request that failed; that is not known here, so the
    /// youngest ones are not doubted at all.
    fn doubt(&mut self) {
        self.doubted |= !self.is_new();
    }
}

/// Topics by name.
#[derive(Debug, Default)]
pub(crate) struct TopicCache {
    topics: Mutex<HashMap<Arc<str>, Topic>>,
    /// Held by the one who asks; the others find the answer.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl TopicCache {
    /// How many partitions the topic has, if a fresh answer is remembered.
    pub(crate) fn count(&self, topic: &str) -> Option<u32> {
        let topics = self.topics.lock();
        let found = topics.get(topic).filter(|topic| topic.at.elapsed() < MAX_AGE)?;
        u32::try_from(found.leaders.len()).ok()
    }

    /// Who leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Known {
        let topics = self.topics.lock();
        let Some(found) = topics.get(topic).filter(|topic| !topic.doubted && topic.at.elapsed() < MAX_AGE)
        else {
            return Known::Unknown;
        };
        let place = usize::try_from(partition).ok().and_then(|number| found.leaders.get(number));
        match place {
            None => Known::Unknown,
            Some(None) => Known::Nobody,
            Some(Some(leader)) => Known::Leader(leader.clone()),
        }
    }

    /// Partitions that have a leader.
    pub(crate) fn led(&self, topic: &str) -> Vec<i32> {
        let topics = self.topics.lock();
        let leaders = topics.get(topic).map(|topic| topic.leaders.as_slice()).unwrap_or_default();
        let led = leaders.iter().enumerate().filter(|(_, leader)| leader.is_some());
        led.filter_map(|(number, _)| i32::try_from(number).ok()).collect()
    }

    /// Whether the answer is so young that asking again would bring the same.
    pub(crate) fn is_new(&self, topic: &str) -> bool {
        self.topics.lock().get(topic).is_some_and(Topic::is_new)
    }

    pub(crate) fn put(&self, topic: &pb::TopicMetadata) {
        let leader = |p: &pb::PartitionMetadata| {
            (!p.leader.is_empty()).then(|| Leader {
                node: p.leader.as_str().into(),
                addr: p.leader_addr.as_str().into(),
                epoch: p.leader_epoch,
            })
        };
        let leaders = topic.partitions.iter().map(leader).collect();
        let known = Topic { leaders, at: Instant::now(), doubted: false };
        self.topics.lock().insert(topic.name.as_str().into(), known);
    }

    /// Takes over what a `NotLeader` says of the new leader; without that, the topic is asked for again.
    pub(crate) fn moved(&self, topic: &str, partition: i32, error: &ClientError) {
        let fact = |key: &str| error.metadata.get(key).filter(|value| !value.is_empty());
        let told = || {
            Some(Leader {
                node: fact("leader")?.as_str().into(),
                addr: fact("leader_addr")?.as_str().into(),
                epoch: fact("leader_epoch")?.parse().ok()?,
            })
        };
        let mut topics = self.topics.lock();
        let Some(known) = topics.get_mut(topic) else { return };
        let place = usize::try_from(partition).ok().and_then(|number| known.leaders.get_mut(number));
        match (place, told()) {
            // The same epoch: the node that leads has not heard of it yet, or has given it up already.
            (Some(place), Some(told)) if place.as_ref().is_none_or(|old| old.epoch < told.epoch) => {
                *place = Some(told);
                known.doubted = false;
            }
            (_, _) => known.doubt(),
        }
    }

    /// The topic's leaders are asked for again before the next request.
    pub(crate) fn doubt(&self, topic: &str) {
        if let Some(known) = self.topics.lock().get_mut(topic) {
            known.doubt();
        }
    }

    /// Forgets a topic whose answer proved wrong.
    pub(crate) fn forget(&self, topic: &str) {
        self.topics.lock().remove(topic);
    }
}

/// FNV-1a, 32 bit, modulo the partitions: the server and every client agree on it.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> i32 {
    let hash =
        key.iter().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619));
    i32::try_from(hash % partitions.max(1)).expect("a partition count is an i32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn fnv_1a_matches_the_published_vectors() {
        // From the FNV reference vectors: "" 0x811c9dc5, "a" 0xe40c292c, "foobar" 0xbf9cf968.
        for (key, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(
                partition_of(key.as_bytes(), 1_000_003),
                i32::try_from(hash % 1_000_003).expect("small"),
                "{key}"
            );
        }
    }

    fn partition(number: i32, leader: &str, epoch: u32) -> pb::PartitionMetadata {
        pb::PartitionMetadata {
            partition: number,
            leader: leader.to_owned(),
            leader_addr: if leader.is_empty() { String::new() } else { format!("{leader}:9092") },
            leader_epoch: epoch,
            ..Default::default()
        }
    }

    /// With an answer that is no longer new.
    fn cache() -> TopicCache {
        let cache = fresh();
        cache.topics.lock().get_mut("t").expect("just put").at -= MIN_AGE;
        cache
    }

    fn fresh() -> TopicCache {
        let cache = TopicCache::default();
        let partitions = vec![partition(0, "n1", 3), partition(1, "", 4)];
        cache.put(&pb::TopicMetadata { name: "t".to_owned(), partitions });
        cache
    }

    fn node(known: &Known) -> &str {
        match known {
            Known::Leader(leader) => &leader.node,
            Known::Nobody => "nobody",
            Known::Unknown => "unknown",
        }
    }

    #[test]
    fn leaders_are_known_by_partition() {
        let cache = cache();
        assert_eq!(cache.count("t"), Some(2));
        assert_eq!(node(&cache.leader("t", 0)), "n1");
        assert_eq!(node(&cache.leader("t", 1)), "nobody");
        assert_eq!(node(&cache.leader("t", 2)), "unknown");
        assert_eq!(node(&cache.leader("u", 0)), "unknown");
        assert_eq!(cache.led("t"), [0]);
        cache.doubt("t");
        assert_eq!((node(&cache.leader("t", 0)), cache.count("t")), ("unknown", Some(2)));
    }

    #[test]
    fn many_failures_at_once_ask_once() {
        let cache = fresh();
        cache.doubt("t");
        assert!(cache.is_new("t") && node(&cache.leader("t", 0)) == "n1");
    }

    #[test]
    fn only_a_newer_leader_is_taken_over() {
        let cache = cache();
        let told = |epoch: u32| {
            ClientError::new(ErrorCode::NotLeader, "moved")
                .with("leader", "n2")
                .with("leader_addr", "n2:9092")
                .with("leader_epoch", epoch)
        };
        cache.moved("t", 0, &told(4));
        assert_eq!(node(&cache.leader("t", 0)), "n2");
        cache.moved("t", 0, &told(3));
        assert_eq!(
            node(&cache.leader("t", 0)),
            "unknown",
            "an older word says no more than that it has to be asked"
        );
        let bare = self::cache();
        bare.moved("t", 1, &ClientError::new(ErrorCode::NotLeader, "no leader"));
        assert_eq!(node(&bare.leader("t", 1)), "unknown");
    }
}
