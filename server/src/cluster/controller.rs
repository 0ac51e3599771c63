//! What the leader of the metadata group does for all: fences nodes that are silent, keeps the group's voters, and brings
//! leaderships back to where they were placed. ([`internal`]: and it spreads the broker's own topics.)

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ::metrics::counter;
use flymq_engine::meta::{
    Command, ElectPreferred, FenceBroker, MetaError, MetaImage, MetaStore as _, NodeMeta, NodeState,
    PartitionMeta,
};
use flymq_replication::{MemberInfo, PeerLane, RaftId, member_id};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    features, internal,
    member::Member,
    metrics::FENCED,
    sessions::Signs,
    voters::{Candidate, voters},
};

/// Between two looks at the sessions.
const CHECK: Duration = Duration::from_millis(100);
/// Between two looks at the voters, if nothing changes.
const VOTERS: Duration = Duration::from_millis(500);
/// A voter that is away for so long makes room for another node.
const REPLACE_VOTER: Duration = Duration::from_secs(60);
/// A member of the group that never registered, or whose node has another directory by now, goes after so long.
const REMOVE_MEMBER: Duration = Duration::from_secs(30);
/// Between two looks at the leaderships.
const BALANCE: Duration = Duration::from_secs(1);
/// Leaderships have to be elsewhere than placed for so long before they are moved, with nothing else changing.
const SETTLED: Duration = Duration::from_secs(3);

/// Runs its tasks until `stop`.
pub(crate) fn start(member: &Arc<Member>, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(stop.clone().run_until_cancelled_owned(fence(member.clone())));
    let store = member.store.clone();
    let watched = async move { store.watch_leader().await };
    tasks.spawn(stop.clone().run_until_cancelled_owned(watched));
    tasks.spawn(stop.clone().run_until_cancelled_owned(keep_voters(member.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(balance(member.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(internal::spread(member.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(features::raise(member.clone())));
}

async fn fence(member: Arc<Member>) {
    let mut ticks = interval(CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Who led before this node did.
    let mut before = None;
    loop {
        ticks.tick().await;
        if !member.leads() {
            before = member.store.leader().or(before);
            member.sessions.lock().clear();
            continue;
        }
        let image = member.image();
        let now = member.clock.monotonic();
        let signs = |node: &NodeMeta| {
            let id = member_id(node.directory);
            let connected = id == member.id || member.network.hears(id, PeerLane::Heartbeat);
            Signs { connected, led_before: id != member.id && before == Some(id) }
        };
        let expired = member.sessions.lock().expired(&image.cluster, signs, now);
        if !expired.is_empty() {
            fence_all(&member, expired).await;
            member.sessions.lock().fenced();
        }
    }
}

/// All of them with one entry, so that one commit elects all new leaders; one by one where a node has come back meanwhile.
async fn fence_all(member: &Member, expired: Vec<FenceBroker>) {
    for fence in &expired {
        warn!(node = %fence.id, "a node is silent: its session is over, and others lead in its place");
        counter!(FENCED).increment(1);
    }
    let all = expired.iter().cloned().map(Command::FenceBroker).collect();
    match member.store.propose(all).await {
        Ok(_applied) => {}
        Err(MetaError::Rejected(_)) => {
            for fence in expired {
                if let Err(error) = member.propose(Command::FenceBroker(fence)).await {
                    debug!(%error, "a node is not fenced");
                }
            }
        }
        Err(error) => warn!(%error, "silent nodes are not fenced yet"),
    }
}

/// Since when members have been away, or in the group without a node, by the clock of this leader.
#[derive(Default)]
struct Absent(BTreeMap<RaftId, Duration>);

impl Absent {
    /// How long it has been so.
    fn note(&mut self, id: RaftId, absent: bool, now: Duration) -> Duration {
        if !absent {
            self.0.remove(&id);
            return Duration::ZERO;
        }
        now.saturating_sub(*self.0.entry(id).or_insert(now))
    }
}

async fn keep_voters(member: Arc<Member>) {
    let mut versions = member.store.watch();
    let (mut away, mut strangers) = (Absent::default(), Absent::default());
    loop {
        // A change of nodes is acted upon at once: the third node of a cluster is what makes it tolerate a failure.
        let _changed = tokio::time::timeout(VOTERS, versions.changed()).await;
        if !member.leads() {
            (away, strangers) = (Absent::default(), Absent::default());
            continue;
        }
        let (image, now) = (member.image(), member.clock.monotonic());
        let known = member.store.members();
        if let Err(error) = keep_voters_once(&member, &image, &known, now, (&mut away, &mut strangers)).await
        {
            debug!(%error, "the members of the metadata group stay as they are for now");
        }
    }
}

async fn keep_voters_once(
    member: &Member,
    image: &MetaImage,
    known: &[MemberInfo],
    now: Duration,
    (away, strangers): (&mut Absent, &mut Absent),
) -> Result<(), flymq_replication::MembershipError> {
    let nodes: BTreeMap<RaftId, bool> =
        image.cluster.nodes.values().map(|node| (member_id(node.directory), node.state.is_alive())).collect();
    let candidates = known.iter().filter_map(|info| {
        let alive = *nodes.get(&info.id)?;
        let reliable = away.note(info.id, !alive, now) < REPLACE_VOTER;
        // Who has never been seen alive takes no vote yet.
        (alive || info.voter).then_some(Candidate { id: info.id, votes: info.voter, reliable })
    });
    let wanted = voters(&candidates.collect::<Vec<_>>());
    let present: BTreeSet<RaftId> = known.iter().filter(|info| info.voter).map(|info| info.id).collect();
    // A leader that is gone may have left the last change half way: both majorities are needed until it is ended.
    if !wanted.is_empty() && (wanted != present || member.store.voters_change()) {
        member.store.set_voters(wanted.clone()).await?;
        info!(voters = wanted.len(), "the voters of the metadata group have changed");
    }
    let gone: BTreeSet<RaftId> = known
        .iter()
        .filter(|info| !wanted.contains(&info.id) && info.id != member.id)
        .filter(|info| strangers.note(info.id, !nodes.contains_key(&info.id), now) > REMOVE_MEMBER)
        .map(|info| info.id)
        .collect();
    if !gone.is_empty() {
        info!(members = gone.len(), "members without a node leave the metadata group");
        member.store.remove_learners(gone).await?;
    }
    Ok(())
}

async fn balance(member: Arc<Member>) {
    let mut ticks = interval(BALANCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since: Option<(usize, Duration)> = None;
    loop {
        ticks.tick().await;
        let (image, now) = (member.image(), member.clock.monotonic());
        let misplaced = if member.leads() { misplaced(&image) } else { 0 };
        match since {
            _ if misplaced == 0 => since = None,
            Some((before, at)) if before == misplaced => {
                if now.saturating_sub(at) >= SETTLED {
                    elect_preferred(&member).await;
                    since = None;
                }
            }
            Some(_) | None => since = Some((misplaced, now)),
        }
    }
}

/// Partitions that their first replica could lead, and does not.
fn misplaced(image: &MetaImage) -> usize {
    let could = |partition: &PartitionMeta| {
        partition.replicas.first().is_some_and(|first| {
            partition.leader.as_ref().is_some_and(|leader| leader != first)
                && partition.isr.contains(first)
                && image.cluster.state(first) == Some(NodeState::Active)
                && partition.successor.as_ref() != Some(first)
        })
    };
    let partitions = image.topics.values().flat_map(|topic| &topic.partitions);
    partitions.filter(|partition| could(partition)).count()
}

async fn elect_preferred(member: &Member) {
    let elect = Command::ElectPreferred(ElectPreferred { partitions: Vec::new(), hand_over: true });
    match member.propose(elect).await {
        Ok(()) => info!("leaderships go back to where they were placed"),
        Err(error) => warn!(%error, "leaderships stay where they are"),
    }
}
