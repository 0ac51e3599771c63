//! Who of its replicas leads each partition.

use std::collections::{BTreeMap, VecDeque};

use flymq_types::NodeId;

use super::PlacementNode;

/// Moves one node of each set to its front, so that nodes lead equally often. `present` counts, and stays.
pub(super) fn lead(nodes: &[PlacementNode], present: &[Vec<NodeId>], sets: &mut [Vec<usize>]) {
    let at: BTreeMap<_, _> = nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
    let mut led = vec![0_u64; nodes.len()];
    present.iter().filter_map(|set| set.first().and_then(|id| at.get(id))).for_each(|at| led[*at] += 1);
    for set in sets.iter_mut() {
        let may = (0..set.len()).filter(|place| nodes[set[*place]].leads);
        let least = may.min_by_key(|place| led[set[*place]]).unwrap_or(0);
        set[..=least].rotate_right(1);
        led[set[0]] += 1;
    }
    while hand_along(nodes, sets, &mut led) {}
}

/// Hands leaderships along from a node that has two more than another, to that one. False where no node has.
///
/// The way is a path of sets: each set's leader gives way to the next node on it, so that only the two ends change. Every
/// step lowers the sum of squares, so that this comes to an end.
fn hand_along(nodes: &[PlacementNode], sets: &mut [Vec<usize>], led: &mut [u64]) -> bool {
    let mut from: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].leads).collect();
    from.sort_by_key(|node| std::cmp::Reverse(led[*node]));
    from.into_iter().any(|start| {
        let Some(path) = path_to_less(nodes, sets, led, start) else { return false };
        for (set, next) in path {
            let place = sets[set].iter().position(|node| *node == next).unwrap_or(0);
            led[sets[set][0]] -= 1;
            led[next] += 1;
            sets[set].swap(0, place);
        }
        true
    })
}

/// The shortest such path from `start`, as (set, its next leader).
fn path_to_less(
    nodes: &[PlacementNode],
    sets: &[Vec<usize>],
    led: &[u64],
    start: usize,
) -> Option<Vec<(usize, usize)>> {
    let mut came: BTreeMap<usize, Option<(usize, usize)>> = BTreeMap::from([(start, None)]);
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        if led[node] + 2 <= led[start] {
            return Some(walk_back(&came, node));
        }
        for (number, set) in sets.iter().enumerate().filter(|(_, set)| set[0] == node) {
            for next in set[1..].iter().filter(|next| nodes[**next].leads) {
                came.entry(*next).or_insert_with(|| {
                    queue.push_back(*next);
                    Some((node, number))
                });
            }
        }
    }
    None
}

fn walk_back(came: &BTreeMap<usize, Option<(usize, usize)>>, end: usize) -> Vec<(usize, usize)> {
    let (mut path, mut node) = (Vec::new(), end);
    while let Some((before, set)) = came.get(&node).copied().flatten() {
        path.push((set, node));
        node = before;
    }
    path
}
