//! What the client remembers of topics: how many partitions each has.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Partitions may be added to a topic; an older answer is asked for again.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Partition counts by topic.
#[derive(Debug, Default)]
pub(crate) struct TopicCache {
    counts: Mutex<HashMap<Arc<str>, (u32, Instant)>>,
}

impl TopicCache {
    /// The remembered count, if it is fresh.
    pub(crate) fn get(&self, topic: &str) -> Option<u32> {
        let counts = self.counts.lock();
        counts.get(topic).filter(|(_, at)| at.elapsed() < MAX_AGE).map(|(count, _)| *count)
    }

    pub(crate) fn put(&self, topic: &str, count: u32) {
        self.counts.lock().insert(topic.into(), (count, Instant::now()));
    }

    /// Forgets a topic whose answer proved wrong.
    pub(crate) fn forget(&self, topic: &str) {
        self.counts.lock().remove(topic);
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
}
