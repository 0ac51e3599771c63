//! A proposal's and a reader's way to the leader, from whichever member.
//!
//! What may be in some log is never sent again: it could take effect twice. Only who surely has not taken it is asked
//! again, or somebody else. The outcome comes from this member's own log, see [`super::pending`].

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::meta::{Applied, Command, MetaError, MetaVersion};
use openraft::RaftMetrics;
use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use prost::Message;
use tokio::sync::oneshot;

use super::pending::{Outcome, Ticket};
use super::store::Member;
use super::transport::{MetaRpc, MetaTransportError};
use super::types::{MetaPeer, Proposal, RaftId};
use super::wire::{Empty, Relayed};
use crate::convert::proposal_to_pb;
use crate::files::log::MAX_PAYLOAD_BYTES;

/// What a proposal may take, so that it fits an append with a piece of what stands before it.
const MAX_PROPOSAL_BYTES: usize = MAX_PAYLOAD_BYTES / 4;

fn unavailable(reason: impl Into<String>) -> MetaError {
    MetaError::Unavailable { reason: reason.into() }
}

impl Member {
    pub(super) async fn propose(&self, commands: &[Command]) -> Result<Applied, MetaError> {
        let commands = Bytes::from(proposal_to_pb(commands).encode_to_vec());
        if commands.len() > MAX_PROPOSAL_BYTES {
            let bytes = commands.len();
            return Err(unavailable(format!(
                "a proposal of {bytes} bytes is larger than {MAX_PROPOSAL_BYTES}"
            )));
        }
        let (ticket, mut outcome) = self.pending.begin();
        let proposal = Proposal { id: ticket.id(), commands };
        let outcome = self.in_time(self.submit(&ticket, proposal, &mut outcome)).await??;
        Ok(outcome?)
    }

    /// Waits until this member has applied all that was committed anywhere before the call.
    pub(super) async fn barrier(&self) -> Result<MetaVersion, MetaError> {
        let reached = async {
            loop {
                let index = self.read_index().await;
                // What a leader had in its log may be cut with it: then the next one is asked.
                let patience = 2 * self.settings.election.1;
                if tokio::time::timeout(patience, self.machine.wait_for(index)).await.is_ok() {
                    return;
                }
            }
        };
        self.in_time(reached).await?;
        Ok(self.machine.image().version)
    }

    /// Works until it is done, it took too long, or this member has stopped.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, MetaError> {
        let within = self.settings.request_timeout;
        tokio::select! {
            biased;
            done = work => Ok(done),
            reason = self.stopped() => Err(unavailable(reason)),
            () = tokio::time::sleep(within) => {
                let leader = self.leader().map_or("no leader is known".to_owned(), |id| format!("{id} leads"));
                let within = within.as_millis();
                Err(unavailable(format!("the metadata group did not agree within {within} ms ({leader})")))
            }
        }
    }

    /// Returns when this member takes part no longer, with the reason.
    async fn stopped(&self) -> String {
        let mut metrics = self.raft.metrics();
        // Without a sender openraft has ended.
        let _ended = metrics.wait_for(|metrics| metrics.running_state.is_err()).await;
        self.failure().unwrap_or_else(|| "the metadata store is closed".to_owned())
    }

    /// Brings the proposal to whoever leads until it is taken, then waits for its outcome.
    async fn submit(
        &self,
        ticket: &Ticket,
        proposal: Proposal,
        outcome: &mut oneshot::Receiver<Outcome>,
    ) -> Result<Outcome, MetaError> {
        loop {
            let term = self.raft.metrics().borrow().current_term;
            let relayed = match self.other_leader() {
                None => self.submit_here(ticket, proposal.clone()).await,
                Some((leader, peer)) => {
                    let within = self.settings.request_timeout;
                    let call = self.network.call((leader, &peer), MetaRpc::Forward, &proposal, within);
                    relayed(call.await)
                }
            };
            match relayed {
                Relayed::At(index) => {
                    self.machine.wait_for(index).await;
                    let gone = "it is committed, but came here in a snapshot: its outcome is not known";
                    return outcome.try_recv().map_err(|_| unavailable(gone));
                }
                Relayed::NotLeader => self.pause().await,
                // It is in the log or it is not; only the log can tell.
                Relayed::Unknown(reason) => {
                    tracing::debug!(%reason, "a metadata proposal went astray; waiting for it");
                    let lost = || unavailable("the metadata store was closed");
                    return tokio::select! {
                        biased;
                        outcome = outcome => outcome.map_err(|_| lost()),
                        () = self.superseded(term) => {
                            Err(unavailable("its leader was replaced before it was agreed upon; it may be lost"))
                        }
                    };
                }
            }
        }
    }

    /// Returns when this member has applied an entry of a later term: whatever a leader of `term` or before had in its log
    /// was applied before that, or is lost.
    async fn superseded(&self, term: u64) {
        let mut metrics = self.raft.metrics();
        let later = metrics
            .wait_for(|metrics| metrics.last_applied.is_some_and(|applied| applied.leader_id.term > term));
        if later.await.is_err() {
            // openraft has ended: whoever waits is told by that.
            std::future::pending::<()>().await;
        }
    }

    /// Puts the proposal into this member's log, if it leads; `At` when it is applied here.
    pub(super) async fn submit_here(&self, ticket: &Ticket, proposal: Proposal) -> Relayed {
        match self.raft.client_write(proposal).await {
            Ok(written) => Relayed::At(written.log_id.index),
            // openraft also says this of what it took and then lost the lead over: that can still be committed.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) if !ticket.entered_the_log() => {
                Relayed::NotLeader
            }
            Err(error) => Relayed::Unknown(error.to_string()),
        }
    }

    /// The index up to which a reader must have applied to see everything.
    async fn read_index(&self) -> u64 {
        loop {
            let relayed = match self.other_leader() {
                None => self.read_index_here().await,
                Some((leader, peer)) => {
                    let within = self.settings.request_timeout;
                    let call = self.network.call((leader, &peer), MetaRpc::ReadIndex, &Empty, within);
                    relayed(call.await)
                }
            };
            match relayed {
                Relayed::At(index) => return index,
                Relayed::NotLeader | Relayed::Unknown(_) => self.pause().await,
            }
        }
    }

    /// openraft's own index is not enough: a leader that was restarted leads on in its term without a new entry, and
    /// takes for committed what it has noted as such, which may be less than it has acknowledged. Its log has it all.
    pub(super) async fn read_index_here(&self) -> Relayed {
        let last = self.log.last_index();
        match self.raft.get_read_log_id().await {
            Ok((read, _)) => match read.map(|id| id.index).max(last) {
                Some(index) => Relayed::At(index),
                None => Relayed::NotLeader,
            },
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_))) => Relayed::NotLeader,
            Err(error) => Relayed::Unknown(error.to_string()),
        }
    }

    /// Waits until somebody else leads, or nobody, or a heartbeat long.
    async fn pause(&self) {
        let mut metrics = self.raft.metrics();
        // openraft tells of each request that it has looked at: were that news, whoever asks again would wake itself for ever, and
        // hold its thread with that.
        let seen = leadership(&metrics.borrow_and_update());
        let pause = self.settings.heartbeat.max(Duration::from_millis(1));
        let news = async { metrics.wait_for(|metrics| leadership(metrics) != seen).await.is_err() };
        // No news is no failure.
        if let Ok(true) = tokio::time::timeout(pause, news).await {
            // openraft has ended, and would say so again at once: whoever waits is told by that.
            std::future::pending::<()>().await;
        }
    }
}

fn leadership(metrics: &RaftMetrics<RaftId, MetaPeer>) -> (u64, Option<RaftId>) {
    (metrics.current_term, metrics.current_leader)
}

/// What the leader said, or what its silence means.
fn relayed(answer: Result<Relayed, MetaTransportError>) -> Relayed {
    answer.unwrap_or_else(|error| match error {
        MetaTransportError::Unreachable { .. } | MetaTransportError::Refused { .. } => Relayed::NotLeader,
        MetaTransportError::Lost { reason } => Relayed::Unknown(reason),
    })
}
