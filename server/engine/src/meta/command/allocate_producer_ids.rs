//! A node gets ids for producers.

use super::{Effects, Rejection, Reply};
use crate::meta::MetaImage;

/// Takes a block of producer ids that nobody ever gets again
/// ([KIP-730](https://cwiki.apache.org/confluence/display/KAFKA/KIP-730%3A+Producer+ID+generation+in+KRaft+mode)). What a node
/// does not hand out before it stops is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocateProducerIds {
    /// How many; none only raises what was handed out.
    pub count: u32,
    /// Ids below were handed out before, as by a broker that had no cluster.
    pub at_least: u64,
}

impl AllocateProducerIds {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        // From 1, so that nobody takes a field that is not set for an id. It takes longer than there are nodes to get to the end.
        let first = image.next_producer_id.max(self.at_least).max(1);
        image.next_producer_id = first.saturating_add(self.count.into());
        Ok((Reply::ProducerIds { first, count: self.count }, Effects::new()))
    }
}
