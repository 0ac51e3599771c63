//! The replicas of a partition, spread over racks and nodes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use flymq_types::NodeId;

use super::PlacementNode;

/// What each node and rack has so far. Nodes and racks are numbers here.
pub(super) struct Spread {
    /// By node.
    rack: Vec<usize>,
    leads: Vec<bool>,
    replicas: Vec<u64>,
    /// By rack.
    rack_nodes: Vec<u64>,
    rack_replicas: Vec<u64>,
}

impl Spread {
    pub(super) fn new(nodes: &[PlacementNode], present: &[Vec<NodeId>]) -> Self {
        let mut numbers = BTreeMap::new();
        let mut rack_nodes = Vec::new();
        let rack: Vec<usize> = nodes
            .iter()
            .map(|node| {
                let number = *numbers.entry(&node.rack).or_insert(rack_nodes.len());
                if number == rack_nodes.len() {
                    rack_nodes.push(0);
                }
                rack_nodes[number] += 1;
                number
            })
            .collect();
        let mut spread = Self {
            leads: nodes.iter().map(|node| node.leads).collect(),
            replicas: vec![0; nodes.len()],
            rack_replicas: vec![0; rack_nodes.len()],
            rack,
            rack_nodes,
        };
        let at: BTreeMap<_, _> = nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
        present.iter().flatten().filter_map(|id| at.get(id)).for_each(|at| spread.give(*at));
        spread
    }

    fn give(&mut self, node: usize) {
        self.replicas[node] += 1;
        self.rack_replicas[self.rack[node]] += 1;
    }

    /// The nodes of one partition; one that may lead is first. Among equal ones the least of `ranks`.
    pub(super) fn take(&mut self, factor: usize, ranks: &[u64]) -> Vec<usize> {
        self.fill(Vec::with_capacity(factor), factor, ranks, |spread, set, node| {
            !set.is_empty() || spread.leads[node]
        })
    }

    /// Adds nodes that may lead to those that a partition has.
    pub(super) fn extend(&mut self, present: Vec<usize>, factor: usize, ranks: &[u64]) -> Vec<usize> {
        self.fill(present, factor, ranks, |spread, _, node| spread.leads[node])
    }

    fn fill(
        &mut self,
        mut set: Vec<usize>,
        factor: usize,
        ranks: &[u64],
        is_fit: impl Fn(&Self, &[usize], usize) -> bool,
    ) -> Vec<usize> {
        let mut used = vec![0_u64; self.rack_nodes.len()];
        set.iter().for_each(|node| used[self.rack[*node]] += 1);
        while set.len() < factor {
            let free = (0..self.rack.len()).filter(|node| !set.contains(node));
            let fit = free.filter(|node| is_fit(self, &set, *node));
            let Some(best) = fit.min_by(|a, b| self.compare(&used, ranks, *a, *b)) else { break };
            used[self.rack[best]] += 1;
            self.give(best);
            set.push(best);
        }
        set
    }

    fn compare(&self, used: &[u64], ranks: &[u64], a: usize, b: usize) -> Ordering {
        let (in_a, in_b) = (self.rack[a], self.rack[b]);
        let load_a = self.rack_replicas[in_a] * self.rack_nodes[in_b];
        let load_b = self.rack_replicas[in_b] * self.rack_nodes[in_a];
        let racks = used[in_a].cmp(&used[in_b]).then(load_a.cmp(&load_b));
        racks.then(self.replicas[a].cmp(&self.replicas[b])).then(ranks[a].cmp(&ranks[b]))
    }
}
