//! Who has a session, as the leader of the metadata group keeps it: in memory, by its own clock.
//!
//! A node that is not heard of for the length of a session is fenced. A leader that is new, or has itself not run for a
//! while, has heard of nobody: it grants everyone a full session first.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use flymq_engine::meta::{ClusterMeta, FenceBroker};
use flymq_types::{BrokerEpoch, NodeId};

/// A node that is silent for so long is fenced.
pub(crate) const SESSION: Duration = Duration::from_millis(1_500);
/// A leader whose own check comes so late was itself asleep.
const PAUSE: Duration = Duration::from_millis(500);

/// The sessions of one term of leadership.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    heard: HashMap<NodeId, Heard>,
    /// Registrations that are being fenced: their sessions are not renewed any more.
    ending: HashSet<(NodeId, BrokerEpoch)>,
    /// When they were last checked; none before the first time.
    checked: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    epoch: BrokerEpoch,
    at: Duration,
}

impl Sessions {
    /// A node has sent a heartbeat of that registration. False: it comes too late.
    pub fn heard(&mut self, node: &NodeId, epoch: BrokerEpoch, now: Duration) -> bool {
        if self.ending.contains(&(node.clone(), epoch)) {
            return false;
        }
        self.heard.insert(node.clone(), Heard { epoch, at: now });
        true
    }

    /// The fencing of what [`Self::expired`] named is decided, or has failed.
    pub fn fenced(&mut self) {
        self.ending.clear();
    }

    /// Forgets everything: another node leads now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whose session is over, of those that the metadata has for alive.
    pub fn expired(&mut self, cluster: &ClusterMeta, now: Duration) -> Vec<FenceBroker> {
        let asleep = self.checked.is_none_or(|checked| now.saturating_sub(checked) > PAUSE);
        self.checked = Some(now);
        if asleep {
            self.heard.values_mut().for_each(|heard| heard.at = now);
        }
        self.heard.retain(|id, _| cluster.node(id).is_some());
        let mut expired = Vec::new();
        for node in cluster.nodes.values().filter(|node| node.state.is_alive()) {
            let known = self.heard.get(&node.id).filter(|heard| heard.epoch == node.broker_epoch);
            match known {
                Some(heard) if now.saturating_sub(heard.at) > SESSION => {
                    expired.push(FenceBroker { id: node.id.clone(), broker_epoch: node.broker_epoch });
                }
                Some(_) => {}
                None => {
                    self.heard(&node.id, node.broker_epoch, now);
                }
            }
        }
        self.ending = expired.iter().map(|fence| (fence.id.clone(), fence.broker_epoch)).collect();
        expired
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flymq_engine::meta::{NodeAddresses, NodeMeta, NodeState};
    use flymq_types::DirectoryId;

    use super::*;

    fn cluster(nodes: &[(&str, u64, NodeState)]) -> ClusterMeta {
        let nodes = nodes.iter().map(|(id, epoch, state)| {
            let id = NodeId::new(id).expect("an id");
            let node = NodeMeta {
                id: id.clone(),
                directory: DirectoryId::from_bytes([1; 16]),
                incarnation: None,
                addresses: NodeAddresses::default(),
                rack: None,
                state: *state,
                broker_epoch: BrokerEpoch(*epoch),
                feature_version: 1,
            };
            (id, Arc::new(node))
        });
        ClusterMeta { nodes: nodes.collect(), ..ClusterMeta::default() }
    }

    fn names(fences: &[FenceBroker]) -> Vec<&str> {
        fences.iter().map(|fence| fence.id.as_str()).collect()
    }

    /// Checks every 100 ms from `from` to `to`, and says who expired at the end.
    fn run(sessions: &mut Sessions, cluster: &ClusterMeta, from: u64, to: u64) -> Vec<FenceBroker> {
        let checks = (from..=to).step_by(100).map(Duration::from_millis);
        checks.map(|now| sessions.expired(cluster, now)).last().unwrap_or_default()
    }

    #[test]
    fn a_silent_node_is_fenced_and_one_that_speaks_is_not() {
        let cluster = cluster(&[("a", 1, NodeState::Active), ("b", 2, NodeState::Draining)]);
        let mut sessions = Sessions::default();
        assert!(run(&mut sessions, &cluster, 0, 1_000).is_empty());
        sessions.heard(&NodeId::new("b").expect("an id"), BrokerEpoch(2), Duration::from_millis(1_000));
        assert!(run(&mut sessions, &cluster, 1_100, 1_500).is_empty());
        assert_eq!(names(&run(&mut sessions, &cluster, 1_600, 1_600)), ["a"]);
        assert_eq!(names(&run(&mut sessions, &cluster, 1_700, 2_600)), ["a", "b"]);
    }

    #[test]
    fn a_leader_that_was_asleep_grants_a_full_session() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let mut sessions = Sessions::default();
        assert!(run(&mut sessions, &cluster, 0, 400).is_empty());
        assert!(run(&mut sessions, &cluster, 60_000, 61_500).is_empty());
        assert_eq!(names(&run(&mut sessions, &cluster, 61_600, 61_600)), ["a"]);
    }

    #[test]
    fn heartbeats_of_an_earlier_registration_do_not_count() {
        let mut sessions = Sessions::default();
        let now = cluster(&[("a", 2, NodeState::Active)]);
        assert!(run(&mut sessions, &now, 0, 1_000).is_empty());
        sessions.heard(&NodeId::new("a").expect("an id"), BrokerEpoch(1), Duration::from_millis(1_000));
        // The registration was not heard of: it has a session from here.
        assert!(run(&mut sessions, &now, 1_100, 2_500).is_empty());
        assert_eq!(names(&run(&mut sessions, &now, 2_600, 2_700)), ["a"]);
    }

    #[test]
    fn a_node_that_is_being_fenced_renews_nothing() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let (mut sessions, a) = (Sessions::default(), NodeId::new("a").expect("an id"));
        assert_eq!(names(&run(&mut sessions, &cluster, 0, 1_600)), ["a"]);
        let now = Duration::from_millis(1_650);
        assert!(!sessions.heard(&a, BrokerEpoch(1), now));
        assert!(sessions.heard(&a, BrokerEpoch(2), now), "another registration may");
        sessions.fenced();
        assert!(sessions.heard(&a, BrokerEpoch(1), now));
    }

    #[test]
    fn a_fenced_node_is_not_fenced_again() {
        let cluster = cluster(&[("a", 1, NodeState::Fenced)]);
        assert!(run(&mut Sessions::default(), &cluster, 0, 5_000).is_empty());
    }
}
