//! Replicas that are out of sync and have every committed record all the same (KIP-966).

use flymq_types::NodeId;

use super::support::*;
use super::*;
use crate::meta::{AlterTopic, PartitionMeta, TopicPartition};
use crate::topic::TopicConfig;

fn default() -> TopicConfig {
    TopicConfig::default()
}

fn eligible(state: &State, at: &TopicPartition) -> (Option<NodeId>, Vec<NodeId>, Vec<NodeId>) {
    let PartitionMeta { leader, isr, elr, .. } = state.partition(at);
    (leader, isr, elr)
}

/// After `kill -9` of all three, two come back: each ends the session of its last run first.
#[test]
fn two_of_three_lead_on_after_all_were_killed() {
    for away in 1..=3 {
        let mut state = State::cluster(3);
        let at = state.topic_on(1, &[1, 2, 3], default());
        let back: Vec<u8> = (1..=3).filter(|n| *n != away).collect();
        for n in &back {
            state.fence(*n);
            state.done(&register(*n, 1, 0, true));
        }
        state.fence(away);
        let second = back[1];
        assert_eq!(eligible(&state, &at), (None, nodes(&[away]), nodes(&[second])), "without {away}");
        for n in &back {
            state.unfence(*n);
        }
        assert_eq!(eligible(&state, &at), (Some(node(second)), nodes(&[second]), nodes(&[away])));
        state.done(&state.alter_isr(&at, &back));
        let all = (Some(node(second)), nodes(&back), nodes(&[]));
        assert_eq!(eligible(&state, &at), all, "from here on something may be committed without {away}");
    }
}

#[test]
fn an_eligible_replica_leads_at_once_where_it_lives() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.done(&state.alter_isr(&at, &[1, 2]));
    assert_eq!(eligible(&state, &at).2, nodes(&[]), "two commit without 3");
    state.done(&state.alter_isr(&at, &[1]));
    assert_eq!(eligible(&state, &at).2, nodes(&[2]));
    state.fence(1);
    assert_eq!(eligible(&state, &at), (Some(node(2)), nodes(&[2]), nodes(&[1])));
}

#[test]
fn whoever_comes_back_without_its_records_is_not_eligible() {
    for (directory, clean) in [(1, true), (0, false)] {
        let mut state = State::cluster(3);
        let at = state.topic_on(1, &[1, 2, 3], default());
        state.done(&state.alter_isr(&at, &[1, 2]));
        state.fence(2);
        state.done(&register(2, 1, directory, clean));
        state.unfence(2);
        state.fence(1);
        assert_eq!(eligible(&state, &at), (None, nodes(&[1]), nodes(&[])));
    }
}

/// What the last one in sync has lost, the eligible ones still have.
#[test]
fn an_eligible_replica_leads_where_the_last_in_sync_one_lost_its_records() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.done(&state.alter_isr(&at, &[1, 2]));
    state.fence(2);
    state.fence(1);
    state.done(&register(1, 1, 1, true));
    state.unfence(1);
    assert_eq!(eligible(&state, &at), (None, nodes(&[1]), nodes(&[2])));
    state.unfence(2);
    assert_eq!(eligible(&state, &at), (Some(node(2)), nodes(&[2]), nodes(&[])), "1 has nothing");
    assert!(!state.partition(&at).isr_lost);
}

#[test]
fn with_fewer_needed_in_sync_nobody_is_eligible() {
    let mut state = State::cluster(3);
    let at = state.topic_on(1, &[1, 2, 3], default());
    state.done(&state.alter_isr(&at, &[1]));
    assert_eq!(eligible(&state, &at).2, nodes(&[2, 3]));
    let config = TopicConfig { replication_factor: Some(3), ..one_is_enough() };
    let (id, name) = (at.topic, at.name.clone());
    state.done(&Command::AlterTopic(AlterTopic { id, name, revision: 0, partitions: 1, config }));
    assert_eq!(eligible(&state, &at).2, nodes(&[]), "1 commits alone from here on");
}
