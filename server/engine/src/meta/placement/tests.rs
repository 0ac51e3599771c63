use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn node(n: usize, rack: Option<usize>) -> PlacementNode {
    let id = NodeId::new(&format!("n{n}")).unwrap();
    PlacementNode { id, rack: rack.map(|rack| format!("r{rack}").into()), leads: true }
}

/// `racks` of `size` nodes each; 0 racks: nodes without label.
fn nodes(racks: usize, size: usize) -> Vec<PlacementNode> {
    (0..racks.max(1) * size).map(|n| node(n, (racks > 0).then(|| n % racks))).collect()
}

fn place(nodes: &[PlacementNode], partitions: u32, factor: u32, seed: u64) -> Vec<Vec<NodeId>> {
    Placement { nodes, present: &[], partitions, factor, seed }.place().unwrap()
}

/// Smallest and largest count over all nodes.
fn range<'a>(nodes: &[PlacementNode], given: impl Iterator<Item = &'a NodeId>) -> (usize, usize) {
    let mut counts: BTreeMap<_, _> = nodes.iter().map(|node| (&node.id, 0)).collect();
    given.for_each(|id| *counts.get_mut(id).unwrap() += 1);
    (*counts.values().min().unwrap(), *counts.values().max().unwrap())
}

fn racks_of(nodes: &[PlacementNode], set: &[NodeId]) -> BTreeMap<Option<Arc<str>>, usize> {
    let mut racks = BTreeMap::new();
    for id in set {
        *racks.entry(nodes.iter().find(|node| node.id == *id).unwrap().rack.clone()).or_insert(0) += 1;
    }
    racks
}

proptest! {
    #[test]
    fn equal_racks_give_equal_shares(
        racks in 0_usize..5, size in 1_usize..5, factor in 1_u32..6, partitions in 1_u32..40, seed: u64,
    ) {
        let nodes = nodes(racks, size);
        let factor = factor.min(nodes.len() as u32);
        let sets = place(&nodes, partitions, factor, seed);
        prop_assert_eq!(sets.len(), partitions as usize);
        let (low, high) = range(&nodes, sets.iter().flatten());
        prop_assert!(high - low <= 1, "replicas {low}..{high} in {sets:?}");
        let (low, high) = range(&nodes, sets.iter().map(|set| &set[0]));
        prop_assert!(high - low <= 1, "leaders {low}..{high} in {sets:?}");
        for set in &sets {
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>().len(), factor as usize, "distinct nodes");
            let used = racks_of(&nodes, set);
            prop_assert_eq!(used.len(), (factor as usize).min(racks.max(1)));
            prop_assert!(used.values().max().unwrap() - used.values().min().unwrap() <= 1, "{used:?}");
        }
    }

    #[test]
    fn unequal_racks_still_spread_every_partition(
        racks in prop::collection::vec(0_usize..4, 1..12), factor in 1_u32..5, partitions in 1_u32..30, seed: u64,
    ) {
        let nodes: Vec<_> = racks.iter().enumerate().map(|(n, rack)| node(n, Some(*rack))).collect();
        let factor = factor.min(nodes.len() as u32);
        let distinct = racks.iter().collect::<BTreeSet<_>>().len();
        for set in place(&nodes, partitions, factor, seed) {
            prop_assert_eq!(racks_of(&nodes, &set).len(), distinct.min(factor as usize), "{:?}", set);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_in_any_order_of_nodes(seed: u64, partitions in 1_u32..20) {
        let mut nodes = nodes(3, 2);
        let first = place(&nodes, partitions, 3, seed);
        nodes.reverse();
        prop_assert_eq!(first, place(&nodes, partitions, 3, seed));
    }

    #[test]
    fn partitions_that_come_later_fill_what_is_uneven(
        before in 1_u32..20, added in 1_u32..20, count in 3_usize..7, seed: u64,
    ) {
        let nodes = nodes(0, count);
        let mut all = place(&nodes, before, 3, seed);
        let next = Placement { nodes: &nodes, present: &all, partitions: added, factor: 3, seed: seed ^ 1 };
        all.extend(next.place().unwrap());
        let (low, high) = range(&nodes, all.iter().flatten());
        prop_assert!(high - low <= 1, "replicas {low}..{high} in {all:?}");
    }

    #[test]
    fn who_may_not_lead_is_never_first(
        leads in prop::collection::vec(any::<bool>(), 3..7), partitions in 1_u32..20, seed: u64,
    ) {
        let mut nodes = nodes(0, leads.len());
        nodes.iter_mut().zip(&leads).for_each(|(node, leads)| node.leads = *leads);
        match (Placement { nodes: &nodes, present: &[], partitions, factor: 3, seed }).place() {
            Ok(sets) => for set in sets {
                prop_assert!(nodes.iter().any(|node| node.id == set[0] && node.leads));
            },
            Err(error) => {
                prop_assert_eq!(error, PlacementError::NoLeader);
                prop_assert!(!leads.contains(&true));
            }
        }
    }
}

#[test]
fn single_partitions_spread_by_their_seeds() {
    let nodes = nodes(0, 3);
    let leaders: Vec<_> = (0..300).map(|seed| place(&nodes, 1, 3, seed)[0][0].clone()).collect();
    let (low, high) = range(&nodes, leaders.iter());
    assert!(low > 60 && high < 140, "{low}..{high}");
}

#[test]
fn the_other_replicas_of_a_node_are_on_many_nodes() {
    let nodes = nodes(0, 6);
    let sets = place(&nodes, 60, 3, 1);
    let of =
        |id: &NodeId| sets.iter().filter(|set| set.contains(id)).flatten().cloned().collect::<BTreeSet<_>>();
    assert!(nodes.iter().all(|node| of(&node.id).len() == 6));
}

#[test]
fn too_few_nodes_are_refused() {
    let nodes = nodes(0, 2);
    let asked = Placement { nodes: &nodes, present: &[], partitions: 1, factor: 3, seed: 0 };
    assert_eq!(asked.place(), Err(PlacementError::TooFewNodes { factor: 3, nodes: 2 }));
}

/// The placement of a stored command must not change from build to build.
#[test]
fn a_placement_is_for_ever() {
    let ids = |sets: Vec<Vec<NodeId>>| {
        sets.iter()
            .map(|set| set.iter().map(NodeId::as_str).collect::<Vec<_>>().join(","))
            .collect::<Vec<_>>()
    };
    let sets = ids(place(&nodes(3, 2), 6, 3, 7));
    assert_eq!(sets, ["n5,n1,n0", "n4,n2,n3", "n3,n5,n1", "n0,n4,n2", "n2,n3,n4", "n1,n5,n0"]);
}

#[test]
fn partitions_with_too_few_replicas_get_further_ones_in_other_racks() {
    let mut nodes = nodes(3, 2);
    nodes[5].leads = false;
    let id = |n: usize| NodeId::new(&format!("n{n}")).unwrap();
    let present = vec![vec![id(0)], vec![id(0)], vec![id(1), id(2), id(3)], vec![id(5), id(0)]];
    let extend = |nodes: &[PlacementNode], factor| {
        Placement { nodes, present: &present, partitions: 0, factor, seed: 7 }.extend()
    };
    let extended = extend(&nodes, 3);
    let numbers: Vec<usize> = extended.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 3], "the third has enough");
    for (number, set) in &extended {
        assert_eq!(set.len(), 3);
        assert!(set.starts_with(&present[*number]), "those that there are stay, and stay first: {set:?}");
        assert_eq!(racks_of(&nodes, set).len(), 3, "{set:?}");
        assert!(
            set[present[*number].len()..].iter().all(|added| *added != id(5)),
            "it takes nothing: {set:?}"
        );
    }
    assert!(extend(&nodes, 1).is_empty(), "nothing is taken away");
    assert!(
        extend(&nodes[..1], 3).iter().all(|(number, _)| *number == 2 || *number == 3),
        "nobody else is there"
    );
}
