//! Who has a session, as the leader of the metadata group keeps it: in memory, by its own clock.
//!
//! A node that is not heard of for the length of a session is fenced; one whose connection is gone as well, as that of a
//! process that has died, once it no longer trusts itself, which is after half a session. A leader that has itself not run
//! for a while has heard of nobody: it grants everyone a full session first. One that is new grants less: it was elected
//! after about the time that anyone trusts what an earlier leader has answered. Whoever led before has been silent for so
//! long that it was replaced: it gets no time but what is missing of that.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use flymq_engine::meta::{ClusterMeta, FenceBroker, NodeMeta};
use flymq_types::{BrokerEpoch, NodeId};

/// A node that is silent for so long is fenced.
pub(crate) const SESSION: Duration = Duration::from_millis(1_500);
/// A node of which a new leader has heard nothing yet.
const GRACE: Duration = Duration::from_secs(1);
/// The one that led before the new leader, if that has heard nothing of it. No session that it has renewed is trusted any
/// more by then: it renewed them for 0.9 s ([`super::member`]) after it was last heard by a majority, they are trusted for
/// half a session, and nobody is elected in the first 1.5 s (the lease, [`super::group_settings`]).
const DEPOSED: Duration = Duration::from_millis(250);
/// A node that was heard of, and whose connection is gone.
const LOST: Duration = Duration::from_millis(850);
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
    /// Whether it has sent a heartbeat to this leader.
    beats: bool,
}

/// What else is known of a node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signs {
    /// Heartbeats of it could come in.
    pub connected: bool,
    /// It led the metadata group until this node did.
    pub led_before: bool,
}

impl Heard {
    /// How long the node may be silent.
    fn limit(&self, signs: Signs) -> Duration {
        match (self.beats, signs) {
            (true, Signs { connected: true, .. }) => SESSION,
            (true, Signs { connected: false, .. }) => LOST,
            (false, Signs { led_before: true, .. }) => DEPOSED,
            (false, Signs { led_before: false, .. }) => GRACE,
        }
    }
}

impl Sessions {
    /// A node has sent a heartbeat of that registration. False: it comes too late.
    pub fn heard(&mut self, node: &NodeId, epoch: BrokerEpoch, now: Duration) -> bool {
        let ends = self.ending.contains(&(node.clone(), epoch));
        if ends && !cfg!(mutant = "session_renewed_while_it_ends") {
            return false;
        }
        self.heard.insert(node.clone(), Heard { epoch, at: now, beats: true });
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
    pub fn expired(
        &mut self,
        cluster: &ClusterMeta,
        signs: impl Fn(&NodeMeta) -> Signs,
        now: Duration,
    ) -> Vec<FenceBroker> {
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
                Some(heard) if now.saturating_sub(heard.at) > heard.limit(signs(node)) => {
                    expired.push(FenceBroker { id: node.id.clone(), broker_epoch: node.broker_epoch });
                }
                Some(_) => {}
                None => {
                    let heard = Heard { epoch: node.broker_epoch, at: now, beats: false };
                    self.heard.insert(node.id.clone(), heard);
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

    use flymq_engine::meta::{NodeAddresses, NodeMeta, NodeRun, NodeState};
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
                run: NodeRun::default(),
            };
            (id, Arc::new(node))
        });
        ClusterMeta { nodes: nodes.collect(), ..ClusterMeta::default() }
    }

    const CONNECTED: Signs = Signs { connected: true, led_before: false };

    fn names(fences: &[FenceBroker]) -> Vec<&str> {
        fences.iter().map(|fence| fence.id.as_str()).collect()
    }

    /// Checks every 100 ms from `from` to `to`, and says who expired at the end.
    fn run(sessions: &mut Sessions, cluster: &ClusterMeta, from: u64, to: u64) -> Vec<FenceBroker> {
        let checks = (from..=to).step_by(100).map(Duration::from_millis);
        checks.map(|now| sessions.expired(cluster, |_| CONNECTED, now)).last().unwrap_or_default()
    }

    fn beat(sessions: &mut Sessions, node: &str, epoch: u64, at: u64) -> bool {
        let node = NodeId::new(node).expect("an id");
        sessions.heard(&node, BrokerEpoch(epoch), Duration::from_millis(at))
    }

    #[test]
    fn a_silent_node_is_fenced_and_one_that_speaks_is_not() {
        let cluster = cluster(&[("a", 1, NodeState::Active), ("b", 2, NodeState::Draining)]);
        let mut sessions = Sessions::default();
        assert!(beat(&mut sessions, "a", 1, 0) && beat(&mut sessions, "b", 2, 0));
        assert!(run(&mut sessions, &cluster, 0, 1_000).is_empty());
        assert!(beat(&mut sessions, "b", 2, 1_000));
        assert!(run(&mut sessions, &cluster, 1_100, 1_500).is_empty());
        assert_eq!(names(&run(&mut sessions, &cluster, 1_600, 1_600)), ["a"]);
        assert_eq!(names(&run(&mut sessions, &cluster, 1_700, 2_600)), ["a", "b"]);
    }

    #[test]
    fn a_node_whose_connection_is_gone_is_fenced_when_it_no_longer_trusts_itself() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let mut sessions = Sessions::default();
        assert!(run(&mut sessions, &cluster, 0, 400).is_empty());
        assert!(beat(&mut sessions, "a", 1, 400));
        let mut gone = |at| sessions.expired(&cluster, |_| Signs::default(), Duration::from_millis(at));
        assert!((500..=1_200).step_by(100).all(|at| gone(at).is_empty()));
        assert_eq!(names(&gone(1_300)), ["a"]);
        assert!(LOST > SESSION / 2, "it trusts itself for half a session");
    }

    #[test]
    fn whoever_led_before_is_known_to_be_silent() {
        let cluster = cluster(&[("a", 1, NodeState::Active), ("b", 2, NodeState::Active)]);
        let signs = |node: &NodeMeta| Signs { connected: true, led_before: node.id.as_str() == "a" };
        let fenced = |sessions: &mut Sessions, at| {
            names(&sessions.expired(&cluster, signs, Duration::from_millis(at))).join(" ")
        };
        let mut sessions = Sessions::default();
        assert!((0..=200).step_by(100).all(|at| fenced(&mut sessions, at).is_empty()));
        assert_eq!(fenced(&mut sessions, 300), "a");
        let mut awake = Sessions::default();
        assert_eq!(fenced(&mut awake, 0), "");
        assert!(beat(&mut awake, "a", 1, 100) && beat(&mut awake, "b", 2, 100));
        assert!((100..=500).step_by(100).all(|at| fenced(&mut awake, at).is_empty()), "it has beaten since");
    }

    #[test]
    fn a_new_leader_gives_time_to_find_it() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let mut sessions = Sessions::default();
        assert!(run(&mut sessions, &cluster, 0, 1_000).is_empty());
        assert_eq!(names(&run(&mut sessions, &cluster, 1_100, 1_100)), ["a"]);
    }

    #[test]
    fn a_leader_that_was_asleep_grants_a_full_session() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let mut sessions = Sessions::default();
        assert!(beat(&mut sessions, "a", 1, 0));
        assert!(run(&mut sessions, &cluster, 0, 400).is_empty());
        assert!(run(&mut sessions, &cluster, 60_000, 61_500).is_empty());
        assert_eq!(names(&run(&mut sessions, &cluster, 61_600, 61_600)), ["a"]);
    }

    #[test]
    fn heartbeats_of_an_earlier_registration_do_not_count() {
        let mut sessions = Sessions::default();
        let now = cluster(&[("a", 2, NodeState::Active)]);
        assert!(beat(&mut sessions, "a", 2, 0));
        assert!(run(&mut sessions, &now, 0, 500).is_empty());
        assert!(beat(&mut sessions, "a", 1, 500));
        // The registration was not heard of: its time begins here.
        assert!(run(&mut sessions, &now, 600, 1_600).is_empty());
        assert_eq!(names(&run(&mut sessions, &now, 1_700, 1_700)), ["a"]);
    }

    #[test]
    fn a_node_that_is_being_fenced_renews_nothing() {
        let cluster = cluster(&[("a", 1, NodeState::Active)]);
        let mut sessions = Sessions::default();
        assert_eq!(names(&run(&mut sessions, &cluster, 0, 1_600)), ["a"]);
        assert!(!beat(&mut sessions, "a", 1, 1_650));
        assert!(beat(&mut sessions, "a", 2, 1_650), "another registration may");
        sessions.fenced();
        assert!(beat(&mut sessions, "a", 1, 1_650));
    }

    #[test]
    fn a_fenced_node_is_not_fenced_again() {
        let cluster = cluster(&[("a", 1, NodeState::Fenced)]);
        assert!(run(&mut Sessions::default(), &cluster, 0, 5_000).is_empty());
    }
}
