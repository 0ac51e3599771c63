//! Which nodes keep which partition: a pure function of nodes, what is there, and a seed.
//!
//! Each partition takes its replicas one by one: from the rack that it uses least, of those from the rack that has least for
//! its size, of that the node that has least, and among equals by ranks that the seed draws anew for each partition: so that
//! the partitions of one node have their other replicas on many nodes. The leader of a partition
//! is whichever of its replicas leads least; where that leaves a node with two more than another, leaderships are handed
//! along until none has.
//!
//! With all nodes active, and racks of equal size (or none), replicas and leaders of a new topic differ by at most one from
//! node to node. A partition stands in as many racks as it can. (Same aims as KIP-36 and KIP-631; those stripe at random.)

mod leaders;
mod set;

use std::sync::Arc;

use flymq_types::NodeId;

/// A node that may get replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementNode {
    pub id: NodeId,
    /// Nodes without one share a rack.
    pub rack: Option<Arc<str>>,
    /// Whether it may lead what is placed now.
    pub leads: bool,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// Each id once.
    pub nodes: &'a [PlacementNode],
    /// Replicas of the topic's partitions that are placed already, in preferred order.
    pub present: &'a [Vec<NodeId>],
    /// How many partitions to place.
    pub partitions: u32,
    /// Replicas of each, at least 1.
    pub factor: u32,
    /// Any value; the same one gives the same placement.
    pub seed: u64,
}

/// Why nothing can be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("{factor} replicas need {factor} nodes, there are {nodes}")]
    TooFewNodes { factor: u32, nodes: u32 },
    #[error("no node may lead")]
    NoLeader,
}

impl Placement<'_> {
    /// The replicas of each new partition in preferred order: the first may lead.
    ///
    /// # Errors
    /// `TooFewNodes`, `NoLeader`.
    pub fn place(&self) -> Result<Vec<Vec<NodeId>>, PlacementError> {
        let factor = self.factor.max(1) as usize;
        if factor > self.nodes.len() {
            let nodes = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            return Err(PlacementError::TooFewNodes { factor: self.factor, nodes });
        }
        if !self.nodes.iter().any(|node| node.leads) {
            return Err(PlacementError::NoLeader);
        }
        let mut nodes = self.nodes.to_vec();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let mut state = self.seed;
        let mut spread = set::Spread::new(&nodes, self.present);
        let mut sets = Vec::with_capacity(self.partitions as usize);
        for _ in 0..self.partitions {
            let ranks: Vec<u64> = nodes.iter().map(|_| split_mix(&mut state)).collect();
            sets.push(spread.take(factor, &ranks));
        }
        leaders::lead(&nodes, self.present, &mut sets);
        let ids = |set: Vec<usize>| set.into_iter().map(|at| nodes[at].id.clone()).collect();
        Ok(sets.into_iter().map(ids).collect())
    }

    /// The replicas of each partition in `present` that has fewer than `factor`, by its place there, with further ones behind
    /// those that it has: nodes that may lead, as many as there are.
    pub fn extend(&self) -> Vec<(usize, Vec<NodeId>)> {
        let mut nodes = self.nodes.to_vec();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let mut state = self.seed;
        let mut spread = set::Spread::new(&nodes, self.present);
        let at = |id: &NodeId| nodes.binary_search_by(|node| node.id.cmp(id)).ok();
        let mut extended = Vec::new();
        for (number, present) in self.present.iter().enumerate() {
            let ranks: Vec<u64> = nodes.iter().map(|_| split_mix(&mut state)).collect();
            let known: Vec<usize> = present.iter().filter_map(at).collect();
            let more = (self.factor as usize).saturating_sub(present.len());
            let set = spread.extend(known.clone(), known.len() + more, &ranks);
            if set.len() > known.len() {
                let added = set[known.len()..].iter().map(|at| nodes[*at].id.clone());
                extended.push((number, present.iter().cloned().chain(added).collect()));
            }
        }
        extended
    }
}

/// SplitMix64 by Sebastiano Vigna: its values are part of what commands mean and must never change.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
