//! Who is in the group. Changes go through the leader, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};

use super::store::{Member, RaftMetaStore};
use super::types::{MetaPeer, RaftId};

/// A member as the group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    pub id: RaftId,
    pub peer: MetaPeer,
    /// It votes and counts for every majority; others only get the log.
    pub voter: bool,
}

/// Why the group was not changed, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Ask the leader.
    #[error("this member does not lead the metadata group (leader: {leader:?})")]
    NotLeader { leader: Option<RaftId> },
    /// Another change is under way.
    #[error("the metadata group is being changed already")]
    InProgress,
    /// A voter has to be a member first.
    #[error("{id} is no member of the metadata group")]
    Unknown { id: RaftId },
    /// A group without voters agrees on nothing.
    #[error("the metadata group needs a voter")]
    Empty,
    #[error("the first members of the group must include this one ({id})")]
    NotIncluded { id: RaftId },
    /// The change may have been made or not.
    #[error("{reason}")]
    Unavailable { reason: String },
}

type Result<T> = std::result::Result<T, MembershipError>;

impl RaftMetaStore {
    /// Makes the group's first voters known to it. Each of them may be told, with the same members; a group that
    /// exists is not changed, and then the answer is `false`.
    pub async fn bootstrap(&self, voters: BTreeMap<RaftId, MetaPeer>) -> Result<bool> {
        match self.0.raft.initialize(voters).await {
            Ok(()) => Ok(true),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(false),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                Err(MembershipError::NotIncluded { id: self.0.id })
            }
            Err(RaftError::Fatal(error)) => Err(MembershipError::Unavailable { reason: error.to_string() }),
        }
    }

    /// The members as this one knows them. While the voters change, those of before and those to come vote, each for
    /// themselves: only who is among both counts as a voter.
    pub fn members(&self) -> Vec<MemberInfo> {
        let metrics = self.0.raft.metrics();
        let config = metrics.borrow().membership_config.clone();
        let sets = config.membership().get_joint_config();
        let votes = |id: &RaftId| sets.iter().all(|set| set.contains(id));
        let members = config.nodes();
        members.map(|(id, peer)| MemberInfo { id: *id, peer: peer.clone(), voter: votes(id) }).collect()
    }

    /// Whether a change of the voters is under way, or was left half way by a leader that is gone; or one is done that
    /// this member does not know yet to be agreed upon.
    pub fn voters_change(&self) -> bool {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let config = &metrics.membership_config;
        let joint = config.membership().get_joint_config().len() > 1;
        (joint && !cfg!(mutant = "raft_half_way_not_seen")) || *config.log_id() > metrics.last_applied
    }

    /// Whether that member may speak: it is in the group, or this one is not up to date enough to tell.
    pub async fn knows(&self, id: RaftId) -> bool {
        let known = {
            let metrics = self.0.raft.metrics();
            let metrics = metrics.borrow();
            let mut nodes = metrics.membership_config.nodes();
            let none = metrics.membership_config.log_id().is_none();
            // Whom it follows may have come after all that it has of the log, and is who brings it the rest.
            let leads = metrics.current_leader == Some(id) && !cfg!(mutant = "raft_leader_not_known");
            none || leads || nodes.any(|(member, _)| *member == id)
        };
        // Without a leader it may have missed who has come since.
        known || self.0.silence().await.0 > self.0.settings.election.1
    }

    /// Lets a member get the log; it does not vote. Returns when the group has agreed to it.
    pub async fn add_learner(&self, id: RaftId, peer: MetaPeer) -> Result<()> {
        let added = self.0.raft.add_learner(id, peer, false).await;
        added.map(|_| ()).map_err(|error| self.0.refusal(error))
    }

    /// Makes these members the voters, when each of them has what the leader has now; those who were, stay learners.
    pub async fn set_voters(&self, voters: BTreeSet<RaftId>) -> Result<()> {
        self.0.wait_until_caught_up(&voters).await?;
        let changed = self.0.raft.change_membership(voters, true).await;
        changed.map(|_| ()).map_err(|error| self.0.refusal(error))
    }

    /// Takes learners out of the group.
    pub async fn remove_learners(&self, ids: BTreeSet<RaftId>) -> Result<()> {
        let changed = self.0.raft.change_membership(ChangeMembers::RemoveNodes(ids), true).await;
        changed.map(|_| ()).map_err(|error| self.0.refusal(error))
    }
}

impl Member {
    /// openraft's own wait takes a lag of thousands of entries for none: a voter with an empty log would make a
    /// majority that has lost what was acknowledged.
    async fn wait_until_caught_up(&self, members: &BTreeSet<RaftId>) -> Result<()> {
        let mut metrics = self.raft.metrics();
        let target = metrics.borrow().last_log_index;
        let caught_up = metrics.wait_for(|metrics| {
            let Some(replication) = &metrics.replication else { return true };
            members.iter().all(|id| {
                *id == self.id
                    || replication.get(id).is_none_or(|at| at.map(|matched| matched.index) >= target)
            })
        });
        let within = self.settings.request_timeout;
        let late = || format!("not all new voters have caught up within {} ms", within.as_millis());
        let waited = tokio::time::timeout(within, caught_up).await;
        let state = waited.map_err(|_| MembershipError::Unavailable { reason: late() })?.map_err(|_| {
            MembershipError::Unavailable { reason: "the metadata store is closed".to_owned() }
        })?;
        match &state.replication {
            None => Err(MembershipError::NotLeader { leader: state.current_leader }),
            Some(known) => {
                let unknown = members.iter().find(|id| **id != self.id && !known.contains_key(id));
                unknown.map_or(Ok(()), |id| Err(MembershipError::Unknown { id: *id }))
            }
        }
    }

    fn refusal(&self, error: RaftError<RaftId, ClientWriteError<RaftId, MetaPeer>>) -> MembershipError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(leader)) => {
                MembershipError::NotLeader { leader: leader.leader_id }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                ChangeMembershipError::InProgress(_) => MembershipError::InProgress,
                ChangeMembershipError::EmptyMembership(_) => MembershipError::Empty,
                ChangeMembershipError::LearnerNotFound(missing) => {
                    MembershipError::Unknown { id: missing.node_id }
                }
            },
            RaftError::Fatal(error) => MembershipError::Unavailable { reason: error.to_string() },
        }
    }
}
