//! Maps of the broker's own that are as durable as records: a compacted internal topic is their truth, and memory has what
//! replaying it gives. Committed offsets and the states of transactions are kept like this.
//!
//! On a cluster the leader of a partition of the topic has its part of the map: it reads it when its term begins, and forgets
//! it when that ends.

mod cleaning;
mod log;
mod logs;

use std::fmt::Debug;

use bytes::Bytes;
use flymq_types::Offset;

pub(crate) use log::{Appending, MAX_CHANGES, MapLog};
pub(crate) use logs::{DurableLogs, read_alone};

/// A map, and its changes as records.
pub(crate) trait DurableMap: Debug + Default + Send + Sync + 'static {
    /// What one record says.
    type Change: Debug + Send + 'static;

    /// What the map holds, for messages.
    const WHAT: &'static str;

    /// Whether what is damaged on the disk may be left out: else the partition's part of the map is refused.
    const SKIPS_DAMAGE: bool;

    /// Applies a record; later ones overwrite earlier ones.
    fn apply(&mut self, change: Self::Change);

    /// As [`DurableMap::apply`], for a map that says where its records stand instead of holding what they say.
    fn apply_at(&mut self, change: Self::Change, _at: Offset) {
        self.apply(change);
    }

    /// Key and value of its record; no value deletes the key.
    fn encode(change: &Self::Change) -> (Vec<u8>, Option<Bytes>);

    /// None: a record of another build, which is left out.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Self::Change>;

    /// Takes over what `other` has, and forgets everything else of partition `index` of `of`.
    fn replace(&mut self, index: usize, of: usize, other: Self);

    /// Everything of partition `index` of `of`, as changes that make it.
    fn changes_of(&self, index: usize, of: usize) -> Vec<Self::Change>;

    /// About how many bytes its record has beyond some hundred.
    fn extra_bytes(change: &Self::Change) -> usize;
}
