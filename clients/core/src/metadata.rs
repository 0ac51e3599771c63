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
/// One node that has said the same for so long while requests failed is not the only one that is asked.
const STUCK: Duration = Duration::from_millis(1_000);

/// The node that leads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub node: Arc<str>,
    /// For clients of this transport, `host:port`; empty where the node has no such door.
    pub addr: Arc<str>,
    pub epoch: u32,
}

/// What an answer says beside what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Something newer, or of a topic that was not known.
    Newer,
    Same,
    /// Of some partition less than is known: who says so is behind, or cut off from the others.
    Older,
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
    /// Another one for each topic of a name; empty where the server tells none.
    id: Arc<str>,
    partitions: Vec<Partition>,
    at: Instant,
    /// The node that said so; empty where it has no name.
    by: Arc<str>,
    /// A request failed that went where this says.
    doubted: bool,
    /// Since when it has been doubted without an answer that says anything newer.
    stuck: Option<Instant>,
}

#[derive(Debug)]
struct Partition {
    epoch: u32,
    /// None where nobody leads.
    leader: Option<Leader>,
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

    /// Keeps of each partition what is known in a later epoch than this topic tells.
    fn keep_newer(&mut self, known: Vec<Partition>) -> News {
        let mut news = if self.partitions.len() > known.len() { News::Newer } else { News::Same };
        for (number, known) in known.into_iter().enumerate() {
            match self.partitions.get_mut(number) {
                Some(told) if told.epoch >= known.epoch => {
                    if news == News::Same && (told.epoch > known.epoch || told.leader != known.leader) {
                        news = News::Newer;
                    }
                    continue;
                }
                Some(told) => *told = known,
                // Partitions are never taken away.
                None => self.partitions.push(known),
            }
            news = News::Older;
        }
        news
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
        u32::try_from(found.partitions.len()).ok()
    }

    /// Who leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Known {
        let topics = self.topics.lock();
        let Some(found) = topics.get(topic).filter(|topic| !topic.doubted && topic.at.elapsed() < MAX_AGE)
        else {
            return Known::Unknown;
        };
        let place = usize::try_from(partition).ok().and_then(|number| found.partitions.get(number));
        match place.map(|partition| &partition.leader) {
            None => Known::Unknown,
            Some(None) => Known::Nobody,
            Some(Some(leader)) => Known::Leader(leader.clone()),
        }
    }

    /// Partitions that have a leader.
    pub(crate) fn led(&self, topic: &str) -> Vec<i32> {
        let topics = self.topics.lock();
        let partitions = topics.get(topic).map(|topic| topic.partitions.as_slice()).unwrap_or_default();
        let led = partitions.iter().enumerate().filter(|(_, partition)| partition.leader.is_some());
        led.filter_map(|(number, _)| i32::try_from(number).ok()).collect()
    }

    /// Whether the answer is so young that asking again would bring the same.
    pub(crate) fn is_new(&self, topic: &str) -> bool {
        self.topics.lock().get(topic).is_some_and(Topic::is_new)
    }

    /// Whether a node other than `asked` has said within `age` who leads the topic.
    pub(crate) fn told_by_another(&self, topic: &str, asked: &str, age: Duration) -> bool {
        let topics = self.topics.lock();
        let another = |by: &str| !by.is_empty() && by != asked;
        topics.get(topic).is_some_and(|topic| another(&topic.by) && topic.at.elapsed() < age)
    }

    /// Whether somebody else had better be asked, after an answer that is doubted brought nothing newer: who gave it says of
    /// itself that it leads, or has said the same for some time.
    pub(crate) fn wants_another_word(&self, topic: &str) -> bool {
        let topics = self.topics.lock();
        let Some(topic) = topics.get(topic) else { return false };
        let of_itself =
            |partition: &Partition| partition.leader.as_ref().is_some_and(|leader| leader.node == topic.by);
        let Some(stuck) = topic.stuck else { return false };
        stuck.elapsed() >= STUCK || topic.partitions.iter().any(of_itself)
    }

    /// Remembers what the node `by` says. A partition of which more is known keeps it: an answer may have been under way for
    /// long, and a node that is cut off from the others goes on saying what was.
    pub(crate) fn put(&self, topic: &pb::TopicMetadata, by: &str) -> News {
        let leader = |p: &pb::PartitionMetadata| {
            (!p.leader.is_empty()).then(|| Leader {
                node: p.leader.as_str().into(),
                addr: p.leader_addr.as_str().into(),
                epoch: p.leader_epoch,
            })
        };
        let partition = |p: &pb::PartitionMetadata| Partition { epoch: p.leader_epoch, leader: leader(p) };
        let mut told = Topic {
            id: topic.topic_id.as_str().into(),
            partitions: topic.partitions.iter().map(partition).collect(),
            at: Instant::now(),
            by: by.into(),
            doubted: false,
            stuck: None,
        };
        let mut topics = self.topics.lock();
        // Under another id it is another topic, and its epochs begin anew.
        let known =
            topics.remove(topic.name.as_str()).filter(|known| known.id == told.id && !told.id.is_empty());
        let news = known.map_or(News::Newer, |known| {
            let news = told.keep_newer(known.partitions);
            if known.doubted && news != News::Newer {
                told.stuck = known.stuck.or(Some(told.at));
            }
            news
        });
        topics.insert(topic.name.as_str().into(), told);
        news
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
        let place = usize::try_from(partition).ok().and_then(|number| known.partitions.get_mut(number));
        match (place, told()) {
            // The same epoch: the node that leads has not heard of it yet, or has given it up already.
            (Some(place), Some(told))
                if place.epoch < told.epoch || (place.leader.is_none() && place.epoch == told.epoch) =>
            {
                *place = Partition { epoch: told.epoch, leader: Some(told) };
                (known.doubted, known.stuck) = (false, None);
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
mod tests;
