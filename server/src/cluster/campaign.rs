//! A leader of the metadata group that has died is replaced as soon as that can be: the group's own timers wait for
//! somewhat longer, by chance.

use std::{sync::Arc, time::Duration};

use flymq_replication::{PeerLane, RaftId};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::member::Member;

/// Between two looks at the connection that the leader keeps to this node.
const CHECK: Duration = Duration::from_millis(50);
/// Others wait for each other by their place among the voters, so that they do not divide the votes.
const STAGGER: Duration = Duration::from_millis(150);

/// Watches the leader's connection. `lease`: for so long after the leader was heard of last, nobody votes for another.
pub(super) async fn run(member: Arc<Member>, lease: Duration) {
    let mut ticks = interval(CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The leader that was last connected, and since when it is not.
    let mut lost: Option<(RaftId, Duration)> = None;
    let mut heard: Option<RaftId> = None;
    loop {
        ticks.tick().await;
        let leader = member.store.leader().filter(|leader| *leader != member.id);
        let Some(leader) = leader else {
            (lost, heard) = (None, None);
            continue;
        };
        if member.network.hears(leader, PeerLane::Meta) {
            (lost, heard) = (None, Some(leader));
            continue;
        }
        let now = member.clock.monotonic();
        // One that has never connected says nothing by not being connected.
        if heard != Some(leader) {
            continue;
        }
        let (_, since) = *lost.get_or_insert((leader, now));
        let Some(place) = place(&member, leader) else { continue };
        if now.saturating_sub(since) > lease + STAGGER * place {
            info!("the leader of the metadata group is gone: this node wants to lead");
            member.store.campaign().await;
            (lost, heard) = (None, None);
        }
    }
}

/// This node's place among the voters without the leader; none where it does not vote.
fn place(member: &Member, leader: RaftId) -> Option<u32> {
    let members = member.store.members();
    let voters = members.iter().filter(|info| info.voter && info.id != leader).map(|info| info.id);
    let place = voters.filter(|id| *id <= member.id).collect::<Vec<_>>();
    let place = place.last().filter(|last| **last == member.id).map(|_| place.len())?;
    u32::try_from(place - 1).ok()
}
