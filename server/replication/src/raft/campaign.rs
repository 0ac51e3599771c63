//! A leader that is gone is replaced as soon as the others may vote for another, and only where a majority misses it.
//!
//! openraft's own timers wait for the leader's lease and then, by chance, for as long again; and whoever they wake raises the
//! term, though all others may hear the leader well. A member that asks first need do neither: it wants to lead when the
//! lease is over for a majority, and where only its own link is broken it stays quiet. The timers remain for what this
//! does not see.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::codec::{CodecError, Reader};
use super::store::{Member, RaftMetaStore};
use super::transport::MetaRpc;
use super::types::{MetaPeer, RaftId};
use super::wire::{Empty, Wire};

/// Between two looks at how long the leader has been silent.
const CHECK: Duration = Duration::from_millis(50);
/// Members wait for each other by their place among the voters, so that they do not divide the votes.
const STAGGER: Duration = Duration::from_millis(150);

/// For how long a member has not heard of a leader, nor voted for one: milliseconds, as `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence(pub(crate) Duration);

impl Wire for Silence {
    fn put(&self, to: &mut Vec<u8>) {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        to.extend_from_slice(&millis.to_le_bytes());
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        Ok(Self(Duration::from_millis(from.u64()?)))
    }
}

impl RaftMetaStore {
    /// Watches the leader for as long as it is polled, and wants to lead where a majority has lost it. Each voter runs
    /// this.
    pub async fn watch_leader(&self) {
        let lease = self.0.settings.election.1;
        loop {
            tokio::time::sleep(CHECK).await;
            let Some(place) = self.0.place() else { continue };
            if self.0.silence().await.0 <= lease + STAGGER * place || !self.0.is_leader_lost(lease).await {
                continue;
            }
            // Somebody may have been elected while the others were asked.
            if self.0.silence().await.0 > lease {
                tracing::info!("the leader of the metadata group is gone: this node wants to lead");
                self.campaign().await;
            }
        }
    }
}

impl Member {
    /// None for a leader's own silence, and for whoever has stopped.
    pub(super) async fn silence(&self) -> Silence {
        let own = self.id;
        let silence = self.raft.with_raft_state(move |state| {
            let leads = state.vote_ref().is_committed() && state.vote_ref().leader_id.node_id == own;
            match state.vote_last_modified() {
                _ if leads => Duration::ZERO,
                Some(heard) => heard.elapsed(),
                None => Duration::MAX,
            }
        });
        Silence(silence.await.unwrap_or_default())
    }

    /// How many voters without the leader come before this member; none where it does not vote.
    fn place(&self) -> Option<u32> {
        let voters = self.voters_beside_the_leader();
        let place = voters.iter().position(|(id, _)| *id == self.id)?;
        u32::try_from(place).ok()
    }

    fn voters_beside_the_leader(&self) -> Vec<(RaftId, MetaPeer)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let others = membership.voter_ids().filter(|id| Some(*id) != metrics.current_leader);
        others.filter_map(|id| Some((id, membership.get_node(&id)?.clone()))).collect()
    }

    /// Whether a majority of the voters, this member among them, has not heard of a leader for longer than `lease`.
    async fn is_leader_lost(&self, lease: Duration) -> bool {
        let voters = self.raft.metrics().borrow().membership_config.membership().voter_ids().count();
        let others = self.voters_beside_the_leader().into_iter().filter(|(id, _)| *id != self.id);
        let asked: FuturesUnordered<_> = others.map(|(id, peer)| self.silence_of(id, peer)).collect();
        let agree = asked.filter(|silence| std::future::ready(silence.is_some_and(|one| one.0 > lease)));
        // This member is one of them.
        let needed = voters / 2;
        needed == 0 || cfg!(mutant = "raft_stands_alone") || agree.take(needed).count().await >= needed
    }

    async fn silence_of(&self, id: RaftId, peer: MetaPeer) -> Option<Silence> {
        let within = self.settings.heartbeat;
        self.network.call((id, &peer), MetaRpc::Silence, &Empty, within).await.ok()
    }
}
