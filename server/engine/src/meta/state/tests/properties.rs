//! Random commands, right and wrong ones, on a cluster: what always has to hold.

use std::collections::{BTreeMap, BTreeSet};

use flymq_types::{LeaderEpoch, NodeId};
use proptest::prelude::*;

use super::support::*;
use super::*;
use crate::meta::{
    AlterTopic, ElectPreferred, NodeMeta, PartitionMeta, RemoveBroker, TopicPartition, UnfenceBroker,
};
use crate::topic::TopicConfig;

const NODES: u8 = 5;
const TOPICS: u8 = 3;

/// A command in the making: who and where; the epochs come from the state, some of them wrong.
#[derive(Debug, Clone)]
enum Step {
    Create { topic: u8, partitions: u32, factor: Option<u32>, unclean: bool },
    Grow { topic: u8, by: u32, unclean: bool },
    Register { node: u8, run: u8, directory: u8, clean: bool },
    Fence { node: u8 },
    Unfence { node: u8 },
    Drain { node: u8, hand_over: bool },
    Remove { node: u8 },
    AlterIsr { pick: usize, isr: Vec<u8>, stale: bool },
    Reassign { pick: usize, replicas: Vec<u8> },
    Transfer { pick: usize, to: u8, unclean: bool },
    Prefer { pick: Option<usize>, hand_over: bool },
    Resign { pick: usize, corrupt: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 1..=NODES;
    let place = || any::<prop::sample::Index>().prop_map(|pick| pick.index(1000));
    let some =
        || prop::sample::subsequence((1..=NODES).collect::<Vec<u8>>(), 0..=NODES as usize).prop_shuffle();
    prop_oneof![
        2 => (1..=TOPICS, 1_u32..3, prop::option::of(1_u32..5), any::<bool>())
            .prop_map(|(topic, partitions, factor, unclean)| Step::Create { topic, partitions, factor, unclean }),
        1 => (1..=TOPICS, 0_u32..2, any::<bool>()).prop_map(|(topic, by, unclean)| Step::Grow { topic, by, unclean }),
        4 => (node(), 0_u8..9, 0_u8..2, any::<bool>())
            .prop_map(|(node, run, directory, clean)| Step::Register { node, run, directory, clean }),
        5 => node().prop_map(|node| Step::Fence { node }),
        8 => node().prop_map(|node| Step::Unfence { node }),
        2 => (node(), any::<bool>()).prop_map(|(node, hand_over)| Step::Drain { node, hand_over }),
        1 => node().prop_map(|node| Step::Remove { node }),
        12 => (place(), some(), prop::bool::weighted(0.1))
            .prop_map(|(pick, isr, stale)| Step::AlterIsr { pick, isr, stale }),
        4 => (place(), some()).prop_map(|(pick, replicas)| Step::Reassign { pick, replicas }),
        3 => (place(), node(), any::<bool>()).prop_map(|(pick, to, unclean)| Step::Transfer { pick, to, unclean }),
        2 => (prop::option::of(place()), any::<bool>())
            .prop_map(|(pick, hand_over)| Step::Prefer { pick, hand_over }),
        3 => (place(), any::<bool>()).prop_map(|(pick, corrupt)| Step::Resign { pick, corrupt }),
    ]
}

/// The command of a step, where the state has what it speaks of.
fn command(state: &State, step: &Step) -> Option<Command> {
    let image = state.image();
    let known =
        |n: u8| image.cluster.node(&node(n)).map(|node: &Arc<NodeMeta>| (node.id.clone(), node.broker_epoch));
    let all: Vec<_> =
        image.topics.values().flat_map(|t| (0..t.partitions.len()).map(|n| t.partition_id(n))).collect();
    let there = |pick: usize| all.get(pick % all.len().max(1)).cloned();
    Some(match step {
        Step::Create { topic, partitions, factor, unclean } => {
            let (replication_factor, unclean_election) = (*factor, *unclean);
            create(
                *topic,
                *partitions,
                TopicConfig { replication_factor, unclean_election, ..TopicConfig::default() },
            )
        }
        Step::Grow { topic, by, unclean } => {
            let TopicPartition { topic: id, name, .. } = at(*topic, 0);
            let topic = image.topic(&name)?;
            let config = TopicConfig { unclean_election: *unclean, ..topic.config.clone() };
            let partitions = u32::try_from(topic.partitions.len()).unwrap() + by;
            Command::AlterTopic(AlterTopic { id, name, revision: topic.revision, partitions, config })
        }
        Step::Register { node, run, directory, clean } => register(*node, *run, *directory, *clean),
        Step::Fence { node } => {
            let (id, broker_epoch) = known(*node)?;
            Command::FenceBroker(crate::meta::FenceBroker { id, broker_epoch })
        }
        Step::Unfence { node } => {
            let (id, broker_epoch) = known(*node)?;
            Command::UnfenceBroker(UnfenceBroker { id, broker_epoch })
        }
        Step::Drain { node, hand_over } => {
            let ((id, broker_epoch), hand_over) = (known(*node)?, *hand_over);
            Command::DrainBroker(crate::meta::DrainBroker { id, broker_epoch, hand_over })
        }
        Step::Remove { node } => {
            let (id, broker_epoch) = known(*node)?;
            Command::RemoveBroker(RemoveBroker { id, broker_epoch })
        }
        Step::AlterIsr { pick, isr, stale } => alter_isr(state, &there(*pick)?, isr, *stale),
        Step::Reassign { pick, replicas } => state.reassign(&there(*pick)?, replicas),
        Step::Transfer { pick, to, unclean } => state.transfer(&there(*pick)?, *to, *unclean),
        Step::Resign { pick, corrupt } => state.resign(&there(*pick)?, *corrupt),
        Step::Prefer { pick, hand_over } => {
            let partitions = pick.and_then(there).into_iter().collect();
            Command::ElectPreferred(ElectPreferred { partitions, hand_over: *hand_over })
        }
    })
}

/// What a leader would ask: itself with those of `isr` that are living replicas. A stale one does not know who lives, and
/// names an epoch of before.
fn alter_isr(state: &State, at: &TopicPartition, isr: &[u8], stale: bool) -> Command {
    let (image, partition) = (state.image(), state.partition(at));
    let asked = (1..=NODES).filter(|n| {
        let id = node(*n);
        let lives = image.cluster.is_alive(&id) || stale && image.cluster.node(&id).is_some();
        lives
            && (partition.leader.as_ref() == Some(&id) || isr.contains(n) && partition.replicas.contains(&id))
    });
    let mut command = state.alter_isr(at, &asked.collect::<Vec<_>>());
    if let Command::AlterIsr(alter) = &mut command
        && stale
    {
        alter.leader_epoch = LeaderEpoch(alter.leader_epoch.get().wrapping_sub(1));
    }
    command
}

fn is_part(part: &[NodeId], whole: &[NodeId]) -> bool {
    let distinct = part.iter().collect::<BTreeSet<_>>();
    distinct.len() == part.len() && part.iter().all(|node| whole.contains(node))
}

fn check_partition(at: &TopicPartition, partition: &PartitionMeta, image: &MetaImage) {
    let PartitionMeta { replicas, isr, elr, adding, removing, leader, successor, isr_lost, .. } = partition;
    let told = || format!("{at}: {partition:?}");
    assert!(!replicas.is_empty() && is_part(replicas, replicas), "{}", told());
    assert!(!isr.is_empty() && is_part(isr, replicas), "{}", told());
    let in_order: Vec<_> = replicas.iter().filter(|node| isr.contains(node)).cloned().collect();
    assert_eq!(*isr, in_order, "in the order of the replicas");
    let topic = image.topic(&at.name).expect("it has partitions");
    let eligible: Vec<_> = replicas.iter().filter(|node| elr.contains(node)).cloned().collect();
    assert_eq!(*elr, eligible, "in the order of the replicas");
    assert!(elr.iter().all(|node| !isr.contains(node)), "{}", told());
    assert!(
        elr.is_empty() || isr.len() < partition.min_insync(topic.config.min_insync_replicas),
        "{}",
        told()
    );
    assert!(is_part(adding, replicas) && is_part(removing, replicas), "{}", told());
    assert!(adding.iter().all(|node| !removing.contains(node)), "{}", told());
    assert!(partition.target().next().is_some(), "{}", told());
    assert!(partition.is_reassigning() || partition.throttle_bytes_per_s == 0, "{}", told());
    assert!(replicas.iter().all(|node| image.cluster.node(node).is_some()), "a removed node: {}", told());
    let alive = |node: &NodeId| image.cluster.is_alive(node);
    assert!(*isr_lost || partition.isr_directory.is_none(), "{}", told());
    assert!(
        successor.as_ref().is_none_or(|next| isr.contains(next) && leader.as_ref() != Some(next)),
        "{}",
        told()
    );
    assert!(successor.is_none() || leader.is_some(), "{}", told());
    match leader {
        Some(leader) => {
            assert!(isr.contains(leader) && !isr_lost, "{}", told());
            assert!(isr.iter().all(alive), "a fenced node is in sync or leads: {}", told());
        }
        None => {
            assert_eq!(isr.len(), 1, "{}", told());
            assert!(*isr_lost || !alive(&isr[0]), "somebody could lead: {}", told());
            assert!(!elr.iter().any(alive), "somebody eligible could lead: {}", told());
        }
    }
}

/// What was seen of the leaders so far, and how a partition may differ from what it was.
#[derive(Default)]
struct History {
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), Option<NodeId>>,
}

impl History {
    fn check(&mut self, before: &MetaImage, after: &MetaImage, unclean_allowed: bool, resigned: bool) {
        for topic in after.topics.values() {
            for (number, new) in topic.partitions.iter().enumerate() {
                let at = topic.partition_id(number);
                check_partition(&at, new, after);
                let known =
                    self.leaders.entry((at.clone(), new.leader_epoch)).or_insert_with(|| new.leader.clone());
                assert_eq!(*known, new.leader, "{at}: one leader for each epoch");
                if let Ok(old) = before.partition(&at) {
                    check_change(&at, old, new, unclean_allowed || topic.config.unclean_election, resigned);
                }
            }
        }
    }
}

fn check_change(
    at: &TopicPartition,
    old: &PartitionMeta,
    new: &PartitionMeta,
    unclean_allowed: bool,
    resigned: bool,
) {
    let (leaders, raised) =
        (u32::from(old.leader != new.leader), new.leader_epoch.get() - old.leader_epoch.get());
    let same_again = resigned && raised == 1 && leaders == 0;
    assert!(raised == leaders || same_again, "{at}: {old:?} {new:?}");
    let same = PartitionMeta { partition_epoch: new.partition_epoch, ..old.clone() } == *new;
    // An accepted wish of the leader counts where nothing is different, too.
    let raised = new.partition_epoch.get() - old.partition_epoch.get();
    assert!(raised == 1 || raised == 0 && same, "{at}: {old:?} {new:?}");
    if let Some(leader) = &new.leader
        && old.leader.as_ref() != Some(leader)
        && !unclean_allowed
    {
        // Where a leader ends a reassignment, it vouches for the next one.
        let vouched = old.leader.is_some() && old.is_reassigning() && !new.is_reassigning();
        let in_sync = old.isr.contains(leader) && !old.isr_lost;
        assert!(vouched || in_sync || old.elr.contains(leader), "{at}: unclean: {old:?} {new:?}");
    }
}

fn run(steps: &[Step]) -> (State, Vec<Command>, usize) {
    let (mut state, mut history) = (State::cluster(3), History::default());
    let (mut log, mut refused) = (Vec::new(), 0);
    for step in steps {
        let Some(command) = command(&state, step) else { continue };
        let before = state.image();
        let unclean = matches!(step, Step::Transfer { unclean: true, .. });
        if state.apply(&command).0.is_ok() {
            history.check(&before, &state.image(), unclean, matches!(step, Step::Resign { .. }));
            log.push(command);
        } else {
            assert_eq!(state.image(), before, "nothing of a refused command applies");
            refused += 1;
        }
    }
    (state, log, refused)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_commands_keep_what_has_to_hold(steps in prop::collection::vec(step(), 1..120)) {
        let (state, log, _) = run(&steps);
        // The same commands give the same image: one by one from the start, and from a snapshot half-way.
        let (mut again, mut resumed) = (State::cluster(3), None);
        for (number, command) in log.iter().enumerate() {
            if number == log.len() / 2 {
                resumed = Some(State::from_image(MetaImage::clone(&again.image())));
            }
            again.done(command);
            if let Some(resumed) = &mut resumed {
                resumed.done(command);
            }
        }
        prop_assert_eq!(again.image(), state.image());
        prop_assert_eq!(resumed.unwrap_or(again).image(), state.image());
    }
}

/// The property above is worth something only if most kinds of commands get through.
#[test]
fn random_commands_are_not_all_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut applied, mut refused) = (BTreeMap::new(), 0);
    for _ in 0..50 {
        let steps = prop::collection::vec(step(), 100).new_tree(&mut runner).unwrap().current();
        let (_, log, no) = run(&steps);
        refused += no;
        for command in log {
            let text = format!("{command:?}");
            *applied.entry(text.split('(').next().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    for kind in ["CreateTopic", "AlterTopic", "RegisterBroker", "FenceBroker", "UnfenceBroker", "DrainBroker"]
    {
        assert!(applied.get(kind).is_some_and(|count| *count > 20), "{kind}: {applied:?}");
    }
    for kind in ["AlterIsr", "Reassign", "TransferLeader", "ElectPreferred", "ResignLeader"] {
        assert!(applied.get(kind).is_some_and(|count| *count > 20), "{kind}: {applied:?}");
    }
    assert!(applied.contains_key("RemoveBroker") && refused > 100, "{applied:?}, {refused} refused");
}
