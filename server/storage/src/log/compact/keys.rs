//! The latest offset of each key in the part of a log that a pass looks at, in bounded memory.

use std::collections::HashMap;

/// What an entry takes beside its key, about: two words of the box, the offset, the table's share.
const ENTRY_BYTES: usize = 48;

/// Keys of the offsets `from..upto`, each with its latest offset there.
#[derive(Debug)]
pub(super) struct LatestKeys {
    latest: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    limit: usize,
}

impl LatestKeys {
    pub fn new(limit: usize) -> Self {
        Self { latest: HashMap::new(), bytes: 0, limit }
    }

    /// Notes a record; offsets rise. `false`: there is no room for this key any more. The first key always has room.
    pub fn note(&mut self, key: &[u8], offset: u64) -> bool {
        if let Some(latest) = self.latest.get_mut(key) {
            *latest = offset;
            return true;
        }
        let bytes = self.bytes + key.len() + ENTRY_BYTES;
        if bytes > self.limit && !self.latest.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.latest.insert(key.into(), offset);
        true
    }

    /// Whether a later record of this key was noted.
    pub fn supersedes(&self, key: &[u8], offset: u64) -> bool {
        self.latest.get(key).is_some_and(|latest| *latest > offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_first_key_always_fits() {
        let mut keys = LatestKeys::new(3 * (ENTRY_BYTES + 1));
        for (offset, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            assert!(keys.note(key, offset as u64));
        }
        assert!(!keys.note(b"d", 3), "full");
        assert!(keys.note(b"a", 4), "known keys have their place");
        assert!(keys.supersedes(b"a", 0) && !keys.supersedes(b"a", 4));
        assert!(!keys.supersedes(b"b", 1) && !keys.supersedes(b"d", 0));
        assert!(LatestKeys::new(0).note(&[7; 1000], 1));
    }
}
