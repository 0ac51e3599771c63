//! Keeps this node's session: heartbeats to the leader of the metadata group, and back to life where it was fenced.

use std::{sync::Arc, time::Duration};

use flymq_engine::meta::{Command, MetaVersion, NodeState, UnfenceBroker};
use flymq_replication::{PeerError, ReplicaSet};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::member::Member;

/// Between two heartbeats.
const EVERY: Duration = Duration::from_millis(250);
/// Heartbeats without an answer yet; one that hangs must not hold up the next.
const MAX_UNDER_WAY: usize = 4;

/// A session renewed by a heartbeat sent at that time, once the metadata of that version is here.
struct Renewal {
    version: MetaVersion,
    sent: Duration,
}

/// Runs until `stop`. `followed`: the metadata that the replicas of this node have been told.
pub(crate) async fn run(
    member: Arc<Member>,
    replicas: Arc<ReplicaSet>,
    mut followed: watch::Receiver<MetaVersion>,
    stop: CancellationToken,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut under_way, mut waiting) = (FuturesUnordered::new(), Vec::new());
    let mut unfencing = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                if let Some(reason) = member.dismissal() {
                    error!("{reason}");
                    member.dismissed.send_replace(Some(reason));
                    return;
                }
                if under_way.len() < MAX_UNDER_WAY {
                    under_way.push(beat(&member));
                }
            }
            Some((sent, answer)) = under_way.next() => match answer {
                Ok(version) => {
                    member.note_heard(sent);
                    waiting.push(Renewal { version: MetaVersion(version), sent });
                    if unfencing.is_none() && is_fenced(&member) {
                        unfencing = Some(Box::pin(unfence(member.clone())));
                    }
                }
                Err(error) => debug!(%error, "a heartbeat was not answered"),
            },
            _ = followed.changed() => {}
            () = async { unfencing.as_mut().expect("checked by the condition").await }, if unfencing.is_some() => {
                unfencing = None;
            }
        }
        for sent in renewed(&mut waiting, *followed.borrow()) {
            replicas.session_renewed(sent);
        }
    }
}

async fn beat(member: &Member) -> (Duration, Result<u64, PeerError>) {
    let sent = member.clock.monotonic();
    (sent, member.beat().await)
}

/// Takes out what the metadata here is new enough for: when those heartbeats were sent. A node that was replaced as a
/// leader meanwhile must know so before it trusts its session.
fn renewed(waiting: &mut Vec<Renewal>, followed: MetaVersion) -> Vec<Duration> {
    let ready = |renewal: &Renewal| {
        renewal.version <= followed || cfg!(mutant = "session_renewed_before_its_metadata")
    };
    let sent = waiting.extract_if(.., |renewal| ready(renewal)).map(|renewal| renewal.sent).collect();
    // Only the newest few can matter.
    let surplus = waiting.len().saturating_sub(MAX_UNDER_WAY);
    waiting.drain(..surplus);
    sent
}

fn is_fenced(member: &Member) -> bool {
    member.registration().is_some_and(|node| node.state == NodeState::Fenced)
}

/// A node that lives and has its metadata takes part again.
async fn unfence(member: Arc<Member>) {
    let Some(node) = member.registration() else { return };
    let unfence = UnfenceBroker { id: node.id.clone(), broker_epoch: node.broker_epoch };
    match member.propose(Command::UnfenceBroker(unfence)).await {
        Ok(()) => info!(node = %member.node, "this node takes part in the cluster"),
        Err(error) => warn!(%error, "this node cannot take part in the cluster yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_when_the_metadata_of_the_answer_is_here() {
        let at = Duration::from_millis;
        let renewal = |version, sent| Renewal { version: MetaVersion(version), sent: at(sent) };
        let mut waiting = vec![renewal(5, 1), renewal(7, 2), renewal(6, 3)];
        assert!(renewed(&mut waiting, MetaVersion(4)).is_empty());
        assert_eq!(renewed(&mut waiting, MetaVersion(6)), [at(1), at(3)]);
        assert_eq!(renewed(&mut waiting, MetaVersion(7)), [at(2)]);
        let mut many: Vec<_> = (0..10).map(|sent| renewal(9, sent)).collect();
        assert!(renewed(&mut many, MetaVersion(8)).is_empty());
        assert_eq!(renewed(&mut many, MetaVersion(9)), [6, 7, 8, 9].map(at), "the newest");
    }
}
