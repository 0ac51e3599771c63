//! What a cluster's commands mean, case by case.

use std::collections::BTreeSet;

use flymq_types::{BrokerEpoch, ClusterId, LeaderEpoch, NodeId, PartitionEpoch};

use super::support::*;
use super::*;
use crate::meta::{
    AlterIsr, AlterTopic, ElectPreferred, FenceBroker, NodeRejection, NodeState, PartitionMeta,
    PartitionRejection, RaiseFeatures, RegisterBroker, RemoveBroker,
};
use crate::topic::TopicConfig;

fn default() -> TopicConfig {
    TopicConfig::default()
}

fn unclean() -> TopicConfig {
    TopicConfig { unclean_election: true, ..default() }
}

/// (leader, isr, leader epoch raised by, partition epoch raised by).
fn moved(before: &PartitionMeta, after: &PartitionMeta) -> (Option<NodeId>, Vec<NodeId>, u32, u32) {
    let leader_epochs = after.leader_epoch.get() - before.leader_epoch.get();
    let partition_epochs = after.partition_epoch.get() - before.partition_epoch.get();
    (after.leader.clone(), after.isr.clone(), leader_epochs, partition_epochs)
}

#[test]
fn without_cluster_partitions_have_no_replicas() {
    let mut state = State::default();
    state.done(&create(1, 2, TopicConfig { replication_factor: Some(1), ..default() }));
    assert!(state.image().topics["t1"].partitions.iter().all(|p| **p == PartitionMeta::default()));
    let refused = state.refused(&state.reassign(&at(1, 0), &[1]));
    assert_eq!(refused, PartitionRejection::NotReplicated { at: at(1, 0) }.into());
    assert_eq!(state.refused(&register(1, 0, 0, true)), NodeRejection::NoCluster.into());
}

#[test]
fn a_broker_grows_into_a_cluster_with_its_topics() {
    let mut state = State::default();
    state.done(&create(1, 2, default()));
    let Reply::Node { node: founder, partitions } = state.done(&form(1)) else { panic!("a node") };
    assert_eq!((founder.state, partitions), (NodeState::Fenced, 2));
    let adopted = state.partition(&at(1, 1));
    assert_eq!((adopted.replicas, adopted.leader), (nodes(&[1]), None));
    state.done(&register(1, 0, 0, true));
    state.unfence(1);
    let led = state.partition(&at(1, 1));
    assert_eq!((led.leader, led.isr), (Some(node(1)), nodes(&[1])));
    assert_eq!((led.leader_epoch, led.partition_epoch), (LeaderEpoch(1), PartitionEpoch(2)));
    state.done(&form(1));
    let other = NodeRejection::WrongCluster { cluster: CLUSTER, asked: CLUSTER };
    assert_eq!(state.refused(&form(2)), other.into(), "it has its founder");
}

#[test]
fn topics_are_placed_on_the_nodes() {
    let mut state = State::cluster(3);
    state.done(&create(1, 6, default()));
    let topic = state.image().topics["t1"].clone();
    for partition in &topic.partitions {
        assert_eq!(partition.replicas.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(
            (&partition.isr, &partition.leader),
            (&partition.replicas, &Some(partition.replicas[0].clone()))
        );
        assert_eq!(partition.min_insync(topic.config.min_insync_replicas), 2);
    }
    for n in 1..=3 {
        let led = topic.partitions.iter().filter(|p| p.leader == Some(node(n))).count();
        assert_eq!(led, 2, "node {n}");
    }
    let many = TopicConfig { replication_factor: Some(4), ..default() };
    let refused = state.refused(&create(2, 1, many));
    assert_eq!(refused.to_string(), "replication factor 4 needs 4 nodes, the cluster has 3");
    let strict = TopicConfig { replication_factor: Some(2), min_insync_replicas: Some(3), ..default() };
    let refused = state.refused(&create(2, 1, strict)).to_string();
    assert_eq!(refused, "min_insync_replicas must be 1 to the number of replicas 2, not 3");
}

#[test]
fn a_node_that_is_down_gets_replicas_only_where_the_others_are_too_few() {
    let mut state = State::cluster(4);
    state.fence(2);
    state.done(&create(1, 8, default()));
    assert!(state.image().topics["t1"].partitions.iter().all(|p| !p.replicas.contains(&node(2))));
    state.fence(3);
    state.done(&create(2, 8, default()));
    for partition in &state.image().topics["t2"].partitions {
        assert_eq!(partition.replicas.len(), 3, "as many as it is to have");
        assert!(partition.isr.iter().all(|n| state.image().cluster.is_alive(n)), "{partition:?}");
        assert_eq!(partition.leader, partition.isr.first().cloned());
    }
    state.fence(1);
    state.fence(4);
    assert_eq!(state.refused(&create(3, 1, default())), NodeRejection::NoneActive.into());
}

#[test]
fn partitions_that_are_added_are_placed_too() {
    let mut state = State::cluster(3);
    state.done(&create(1, 2, default()));
    let before = state.image().topics["t1"].partitions.clone();
    let alter = |partitions, revision, config| {
        Command::AlterTopic(AlterTopic { id: topic_id(1), name: at(1, 0).name, revision, partitions, config })
    };
    state.done(&alter(6, 0, default()));
    let after = state.image().topics["t1"].partitions.clone();
    assert_eq!((after.len(), &after[..2]), (6, &before[..]));
    for n in 1..=3 {
        assert_eq!(after.iter().filter(|p| p.leader == Some(node(n))).count(), 2, "node {n} leads two");
    }
    let strict = TopicConfig { min_insync_replicas: Some(4), ..default() };
    assert_eq!(state.refused(&alter(6, 1, strict)), Rejection::MinInsync { asked: 4, replicas: 3 });
}

#[test]
fn fencing_elects_the_first_living_in_sync_replica() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[2, 1, 3], one_is_enough());
    state.done(&state.alter_isr(&at, &[2, 3]));
    let before = state.partition(&at);
    state.fence(2);
    let after = state.partition(&at);
    assert_eq!(moved(&before, &after), (Some(node(3)), nodes(&[3]), 1, 1), "1 is preferred, but not in sync");
    state.fence(3);
    let last = state.partition(&at);
    assert_eq!(moved(&after, &last), (None, nodes(&[3]), 1, 1), "the last member stays, nobody leads");
    state.unfence(2);
    assert_eq!(state.partition(&at), last, "2 lives, but is not in sync");
    state.unfence(3);
    assert_eq!(moved(&last, &state.partition(&at)), (Some(node(3)), nodes(&[3]), 1, 1));
}

#[test]
fn fencing_a_follower_takes_it_out_of_the_set() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    let before = state.partition(&at);
    state.fence(3);
    assert_eq!(moved(&before, &state.partition(&at)), (Some(node(1)), nodes(&[1, 2]), 0, 1));
    let version = state.partition(&at);
    state.fence(3);
    assert_eq!(state.partition(&at), version, "once is enough");
    let old = Command::FenceBroker(FenceBroker { id: node(1), broker_epoch: BrokerEpoch(99) });
    let (asked, current) = (BrokerEpoch(99), state.epoch(1));
    assert_eq!(state.refused(&old), NodeRejection::StaleEpoch { id: node(1), asked, current }.into());
}

#[test]
fn an_unclean_election_happens_only_where_the_topic_allows_it() {
    let mut state = State::cluster(3);
    let risky = TopicConfig { min_insync_replicas: Some(1), ..unclean() };
    let clean = state.topic_on(1, &[1, 2, 3], one_is_enough());
    let risky = state.topic_on(2, &[1, 2, 3], risky);
    for at in [&clean, &risky] {
        state.done(&state.alter_isr(at, &[1]));
    }
    let before = state.partition(&risky);
    state.fence(1);
    assert_eq!(state.partition(&clean).leader, None);
    assert_eq!(moved(&before, &state.partition(&risky)), (Some(node(2)), nodes(&[2]), 1, 1));
    let allow = AlterTopic {
        id: clean.topic,
        name: clean.name.clone(),
        revision: 0,
        partitions: 1,
        config: TopicConfig { replication_factor: Some(3), ..unclean() },
    };
    state.done(&Command::AlterTopic(allow));
    assert_eq!(state.partition(&clean).leader, Some(node(2)), "allowed later");
}

#[test]
fn another_directory_or_an_unclean_return_is_a_new_replica() {
    for (run, directory, clean) in [(1, 1, true), (1, 0, false)] {
        let mut state = State::cluster(3);
        let at = state.topic_on(1, &[1, 2, 3], one_is_enough());
        state.done(&state.alter_isr(&at, &[1]));
        state.fence(1);
        state.done(&register(1, run, directory, clean));
        assert!(state.partition(&at).isr_lost);
        state.unfence(1);
        let lost = state.partition(&at);
        assert_eq!((lost.leader, lost.isr), (None, nodes(&[1])), "it is never elected");
        state.fence(1);
        state.done(&register(1, 2, directory, true));
        state.unfence(1);
        assert_eq!(state.partition(&at).leader, None, "nor after a clean restart with what it has now");
        let refused = state.refused(&state.transfer(&at, 1, false));
        assert_eq!(refused, PartitionRejection::NotInSync { at: at.clone(), node: node(1) }.into());
        state.done(&state.transfer(&at, 2, true));
        let chosen = state.partition(&at);
        assert_eq!((chosen.leader, chosen.isr, chosen.isr_lost), (Some(node(2)), nodes(&[2]), false));
    }
}

#[test]
fn a_clean_return_keeps_its_place() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], one_is_enough());
    state.done(&state.alter_isr(&at, &[1]));
    state.fence(1);
    state.done(&register(1, 1, 0, true));
    assert_eq!(state.partition(&at).leader, None, "fenced until it has caught up");
    state.unfence(1);
    assert_eq!(state.partition(&at).leader, Some(node(1)));
}

#[test]
fn the_right_directory_ends_what_a_wrong_one_began() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], one_is_enough());
    state.done(&state.alter_isr(&at, &[1]));
    let came = |state: &mut State, run, directory, clean| {
        state.fence(1);
        state.done(&register(1, run, directory, clean));
        state.unfence(1);
        state.partition(&at).leader
    };
    assert_eq!(came(&mut state, 1, 1, true), None, "an empty directory: the volume was not mounted");
    assert_eq!(came(&mut state, 2, 2, true), None, "and another one");
    assert_eq!(came(&mut state, 3, 0, true), Some(node(1)), "the one that has everything");
    assert!(!state.partition(&at).isr_lost);
    assert_eq!(came(&mut state, 4, 1, true), None);
    assert_eq!(came(&mut state, 5, 0, false), None, "it is back, but damaged");
    assert_eq!(came(&mut state, 6, 0, true), None, "and stays so");
}

#[test]
fn an_id_or_directory_in_use_and_another_cluster_are_refused() {
    let mut state = State::cluster(2);
    let refused = state.refused(&register(1, 1, 0, true));
    assert_eq!(refused, NodeRejection::IdInUse { id: node(1) }.into());
    let before = state.image();
    state.done(&register(1, 0, 0, true));
    assert_eq!(state.image().cluster, before.cluster, "the same run again changes nothing");
    let Command::RegisterBroker(valid) = register(3, 0, 0, true) else { unreachable!() };
    let directory = before.cluster.node(&node(2)).unwrap().directory;
    let stolen = Command::RegisterBroker(RegisterBroker { directory, ..valid.clone() });
    let owner = node(2);
    assert_eq!(
        state.refused(&stolen),
        NodeRejection::DirectoryInUse { id: node(3), directory, owner }.into()
    );
    let asked = ClusterId::from_bytes([1; 16]);
    let stray = Command::RegisterBroker(RegisterBroker { cluster: asked, ..valid.clone() });
    assert_eq!(state.refused(&stray), NodeRejection::WrongCluster { cluster: CLUSTER, asked }.into());
    let old = Command::RegisterBroker(RegisterBroker { feature_version: 0, ..valid });
    assert!(matches!(state.refused(&old), Rejection::Node(NodeRejection::TooOld { needed: 1, .. })));
    let raise = |version| Command::RaiseFeatures(RaiseFeatures { version });
    assert!(matches!(state.refused(&raise(2)), Rejection::Node(NodeRejection::TooOld { .. })));
    assert!(matches!(state.refused(&raise(0)), Rejection::Node(NodeRejection::FeaturesGoBack { .. })));
}

#[test]
fn a_leader_alters_the_set_only_from_what_is_current() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    let stale = state.alter_isr(&at, &[1, 3]);
    state.done(&state.alter_isr(&at, &[1, 2]));
    let refused = state.refused(&stale);
    assert!(matches!(refused, Rejection::Partition(PartitionRejection::StalePartitionEpoch { .. })));
    let deposed = state.alter_isr(&at, &[1]);
    state.fence(1);
    let refused = state.refused(&deposed);
    assert!(
        matches!(refused, Rejection::Partition(PartitionRejection::StaleLeaderEpoch { .. })),
        "{refused}"
    );
    let refused = state.refused(&state.alter_isr(&at, &[3]));
    let leader = node(2);
    assert_eq!(refused, PartitionRejection::LeaderMissing { at: at.clone(), leader }.into());
    let refused = state.refused(&state.alter_isr(&at, &[2, 1]));
    assert_eq!(refused, NodeRejection::WrongState { id: node(1), state: NodeState::Fenced }.into());
    let refused = state.refused(&state.alter_isr(&at, &[2, 2]));
    assert_eq!(refused, PartitionRejection::Twice { at: at.clone(), node: node(2) }.into());
    let before_restart = state.alter_isr(&at, &[2, 3]);
    state.fence(3);
    state.done(&register(3, 1, 0, true));
    state.unfence(3);
    let refused = state.refused(&before_restart);
    assert!(
        matches!(refused, Rejection::Node(NodeRejection::StaleEpoch { .. })),
        "caught up in another life"
    );
}

#[test]
fn only_the_leader_alters_the_set_and_every_wish_counts() {
    let mut state = State::cluster(4);
    let at = state.topic_on(1, &[1, 2, 3], default());
    let before = state.partition(&at);
    let Command::AlterIsr(wish) = state.alter_isr(&at, &[1, 2, 3]) else { unreachable!() };
    let usurped = AlterIsr { leader: node(2), broker_epoch: state.epoch(2), ..wish.clone() };
    let (usurper, leader) = (node(2), node(1));
    assert_eq!(
        state.refused(&Command::AlterIsr(usurped)),
        PartitionRejection::NotLeader { at: at.clone(), node: usurper, leader }.into()
    );
    let earlier_life = AlterIsr { broker_epoch: BrokerEpoch(0), ..wish.clone() };
    assert!(matches!(
        state.refused(&Command::AlterIsr(earlier_life)),
        Rejection::Node(NodeRejection::StaleEpoch { .. })
    ));
    state.done(&Command::AlterIsr(wish));
    let after = state.partition(&at);
    assert_eq!(moved(&before, &after), (Some(node(1)), nodes(&[1, 2, 3]), 0, 1), "nothing but the epoch");
    let unknown = |state: &State, isr: &[u8], n: u8| {
        let Command::AlterIsr(mut wish) = state.alter_isr(&at, isr) else { unreachable!() };
        let member = wish.new_isr.iter_mut().find(|member| member.node == node(n));
        member.unwrap().broker_epoch = None;
        Command::AlterIsr(wish)
    };
    state.done(&unknown(&state, &[1, 3], 3));
    assert_eq!(state.partition(&at).isr, nodes(&[1, 3]), "a member may stay without its epoch");
    let refused = state.refused(&unknown(&state, &[1, 2, 3], 2));
    assert_eq!(refused, NodeRejection::NoEpoch { id: node(2) }.into(), "but not come in");
}

#[test]
fn a_leader_that_cannot_lead_on_gives_way() {
    let mut state = State::cluster(3);
    let (shared, alone) = (state.topic_on(1, &[1, 2, 3], default()), state.topic_on(2, &[1], default()));
    let before = state.partition(&shared);
    let late = state.resign(&shared, false);
    state.done(&late);
    let after = state.partition(&shared);
    assert_eq!(moved(&before, &after), (Some(node(2)), nodes(&[1, 2, 3]), 1, 1));
    assert!(matches!(state.refused(&late), Rejection::Partition(PartitionRejection::NotLeader { .. })));
    state.done(&state.resign(&shared, true));
    assert_eq!(
        moved(&after, &state.partition(&shared)),
        (Some(node(1)), nodes(&[1, 3]), 1, 1),
        "damaged: out"
    );
    let before = state.partition(&alone);
    state.done(&state.resign(&alone, true));
    assert_eq!(state.partition(&alone), before, "nobody has more");
    state.done(&state.resign(&alone, false));
    assert_eq!(moved(&before, &state.partition(&alone)), (Some(node(1)), nodes(&[1]), 1, 1), "a new epoch");
}

#[test]
fn a_reassignment_ends_when_every_new_replica_is_in_sync() {
    let mut state = State::cluster(5);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.done(&state.reassign(&at, &[4, 5, 3]));
    let begun = state.partition(&at);
    assert_eq!((&begun.replicas, &begun.adding), (&nodes(&[4, 5, 3, 1, 2]), &nodes(&[4, 5])));
    assert_eq!((&begun.removing, &begun.leader), (&nodes(&[1, 2]), &Some(node(1))));
    assert_eq!(begun.throttle_bytes_per_s, 7_000, "as long as it goes on");
    state.done(&state.alter_isr(&at, &[1, 2, 3, 4]));
    assert!(state.partition(&at).is_reassigning());
    let before = state.partition(&at);
    state.done(&state.alter_isr(&at, &[1, 2, 3, 4, 5]));
    let waiting = state.partition(&at);
    assert_eq!(
        moved(&before, &waiting),
        (Some(node(1)), nodes(&[4, 5, 3, 1, 2]), 0, 1),
        "the leader goes last"
    );
    assert_eq!((waiting.is_reassigning(), &waiting.successor), (true, &Some(node(4))));
    state.done(&state.transfer(&at, 4, false));
    let done = state.partition(&at);
    assert_eq!(moved(&waiting, &done), (Some(node(4)), nodes(&[4, 5, 3]), 1, 1));
    assert_eq!(done.successor, None);
    assert_eq!((done.is_reassigning(), done.replicas), (false, nodes(&[4, 5, 3])));
}

#[test]
fn a_reassignment_can_be_replaced_and_called_off() {
    let mut state = State::cluster(5);
    let at = state.topic_on(1, &[1, 2, 3], default());
    let before = state.partition(&at);
    state.done(&state.reassign(&at, &[1, 2, 4]));
    state.done(&state.reassign(&at, &[1, 2, 5]));
    let second = state.partition(&at);
    assert_eq!((second.adding, second.removing), (nodes(&[5]), nodes(&[4, 3])));
    state.done(&state.reassign(&at, &[1, 2, 3]));
    let after = state.partition(&at);
    assert_eq!((&after.replicas, after.is_reassigning(), after.isr), (&before.replicas, false, before.isr));
}

#[test]
fn a_reassignment_does_not_go_below_what_acks_all_needs() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.done(&state.alter_isr(&at, &[1, 3]));
    state.done(&state.reassign(&at, &[1, 2]));
    let waiting = state.partition(&at);
    assert_eq!((waiting.is_reassigning(), &waiting.isr), (true, &nodes(&[1, 3])), "1 alone would be too few");
    state.done(&state.alter_isr(&at, &[1, 2, 3]));
    assert_eq!(state.partition(&at).replicas, nodes(&[1, 2]));
    let few = TopicConfig { min_insync_replicas: Some(2), ..default() };
    let strict = state.topic_on(2, &[1, 2, 3], few);
    let refused = state.refused(&state.reassign(&strict, &[1]));
    assert_eq!(refused, Rejection::MinInsync { asked: 2, replicas: 1 });
    let unknown = state.refused(&state.reassign(&strict, &[1, 8]));
    assert_eq!(unknown, NodeRejection::Unknown { id: node(8) }.into());
    let none = state.refused(&state.reassign(&strict, &[]));
    assert_eq!(none, PartitionRejection::NoReplicas { at: strict }.into());
}

#[test]
fn draining_moves_leaders_where_others_can_lead() {
    let mut state = State::cluster(3);
    let (shared, alone) = (state.topic_on(1, &[1, 2, 3], default()), state.topic_on(2, &[1], default()));
    let before = state.partition(&shared);
    let Reply::Node { node: drained, partitions } = state.drain(1, false) else { panic!("a node") };
    assert_eq!((drained.state, partitions), (NodeState::Draining, 1));
    assert_eq!(moved(&before, &state.partition(&shared)), (Some(node(2)), nodes(&[1, 2, 3]), 1, 1));
    assert_eq!(state.partition(&alone).leader, Some(node(1)), "nobody else has it");
    state.done(&create(3, 4, TopicConfig { replication_factor: Some(2), ..default() }));
    assert!(state.image().topics["t3"].partitions.iter().all(|p| !p.replicas.contains(&node(1))));
    state.fence(2);
    assert_eq!(state.partition(&shared).leader, Some(node(3)));
    state.fence(3);
    assert_eq!(state.partition(&shared).leader, Some(node(1)), "a draining leader is better than none");
    state.unfence(1);
    assert_eq!(state.image().cluster.state(&node(1)), Some(NodeState::Active));
}

#[test]
fn a_leader_that_is_to_hand_over_leads_until_it_has() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    let before = state.partition(&at);
    let Reply::Node { partitions, .. } = state.drain(1, true) else { panic!("a node") };
    let asked = state.partition(&at);
    assert_eq!((partitions, moved(&before, &asked)), (1, (Some(node(1)), nodes(&[1, 2, 3]), 0, 1)));
    assert_eq!((&asked.successor, state.image().handing_over(Some(&node(1)))), (&Some(node(2)), 1));
    // Whoever is to lead is drained as well, and then leaves the in-sync set: another one, and nobody.
    state.drain(2, true);
    assert_eq!(state.partition(&at).successor, None);
    state.drain(1, true);
    assert_eq!(state.partition(&at).successor, Some(node(3)));
    state.done(&state.alter_isr(&at, &[1, 2]));
    assert_eq!(state.partition(&at).successor, None);
    state.unfence(1);
    state.unfence(2);
    state.done(&state.alter_isr(&at, &[1, 2, 3]));
    // It goes back to the first, which hears of it from the leader.
    state.done(&state.transfer(&at, 2, false));
    let elect = Command::ElectPreferred(ElectPreferred { partitions: Vec::new(), hand_over: true });
    assert_eq!(state.done(&elect), Reply::LeadersMoved { partitions: 1 });
    assert_eq!(state.done(&elect), Reply::LeadersMoved { partitions: 0 }, "it knows");
    let waiting = state.partition(&at);
    assert_eq!((&waiting.leader, &waiting.successor), (&Some(node(2)), &Some(node(1))));
    state.done(&state.transfer(&at, 1, false));
    let done = state.partition(&at);
    assert_eq!((done.leader, done.successor, state.image().handing_over(None)), (Some(node(1)), None, 0));
}

#[test]
fn a_leader_that_dies_has_nothing_to_hand_over() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.drain(1, true);
    state.fence(1);
    let after = state.partition(&at);
    assert_eq!((after.leader, after.successor), (Some(node(2)), None));
}

#[test]
fn leaderships_go_back_to_the_preferred_replicas() {
    let mut state = State::cluster(3);
    let (one, two) = (state.topic_on(1, &[1, 2, 3], default()), state.topic_on(2, &[1, 2, 3], default()));
    state.done(&state.transfer(&one, 2, false));
    state.done(&state.transfer(&two, 3, false));
    let elect = |partitions| Command::ElectPreferred(ElectPreferred { partitions, hand_over: false });
    let reply = state.done(&elect(vec![one.clone()]));
    assert_eq!(reply, Reply::LeadersMoved { partitions: 1 });
    assert_eq!(state.partition(&one).leader, Some(node(1)));
    assert_eq!(state.done(&elect(Vec::new())), Reply::LeadersMoved { partitions: 1 });
    assert_eq!(state.done(&elect(Vec::new())), Reply::LeadersMoved { partitions: 0 });
    state.done(&state.alter_isr(&two, &[1, 2]));
    let refused = state.refused(&state.transfer(&two, 3, false));
    assert_eq!(refused, PartitionRejection::NotInSync { at: two.clone(), node: node(3) }.into());
    let refused = state.refused(&state.transfer(&two, 3, true));
    assert_eq!(refused, PartitionRejection::NotInSync { at: two, node: node(3) }.into(), "somebody leads");
}

#[test]
fn a_node_leaves_only_without_replicas() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2], default());
    let remove =
        |state: &State, n| Command::RemoveBroker(RemoveBroker { id: node(n), broker_epoch: state.epoch(n) });
    let alive = NodeRejection::WrongState { id: node(2), state: NodeState::Active };
    assert_eq!(state.refused(&remove(&state, 2)), alive.into());
    state.fence(2);
    let refused = state.refused(&remove(&state, 2));
    assert_eq!(refused.to_string(), "node n2 still keeps replicas of 1 partitions: reassign them first");
    state.done(&state.reassign(&at, &[1, 3]));
    state.done(&state.alter_isr(&at, &[1, 3]));
    state.done(&remove(&state, 2));
    assert!(state.image().cluster.node(&node(2)).is_none());
    // Whoever has its directory was not let in again: not by any name, not by any process.
    let removed = |n| NodeRejection::Removed { id: node(n) };
    assert_eq!(state.refused(&register(2, 5, 0, true)), removed(2).into());
    let Command::RegisterBroker(own) = register(2, 6, 0, true) else { unreachable!() };
    let renamed = RegisterBroker { id: node(4), ..own };
    assert_eq!(state.refused(&Command::RegisterBroker(renamed)), removed(4).into());
    state.done(&register(2, 5, 5, false));
    let mut single = State::cluster(1);
    single.fence(1);
    assert_eq!(single.refused(&remove(&single, 1)), NodeRejection::LastNode { id: node(1) }.into());
}
