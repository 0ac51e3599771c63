//! What openraft is told about our group.

use std::fmt;
use std::io::Cursor;

use bytes::Bytes;

/// Names a member of the metadata group, voter or learner. Never used again for another node.
pub type RaftId = u64;

openraft::declare_raft_types!(
    /// The metadata group. An entry answers nothing: whoever proposed it learns the outcome where it applies.
    pub(crate) Types:
        D = Proposal,
        R = (),
        NodeId = RaftId,
        Node = MetaPeer,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = super::runtime::MetaRuntime,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<RaftId>;
pub(crate) type Vote = openraft::Vote<RaftId>;
pub(crate) type Membership = openraft::Membership<RaftId, MetaPeer>;
pub(crate) type StoredMembership = openraft::StoredMembership<RaftId, MetaPeer>;
pub(crate) type StorageError = openraft::StorageError<RaftId>;
pub(crate) type StorageIOError = openraft::StorageIOError<RaftId>;

/// Where a member is found; kept in the group's own log, so that it needs no other directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaPeer {
    /// The broker's node id.
    pub node: String,
    /// What the transport connects to, such as `host:port`.
    pub address: String,
}

/// Tells proposals apart: who made it, in which run of its process, and the how-manieth there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProposalId {
    pub(crate) origin: RaftId,
    /// Random, anew at each start.
    pub(crate) run: u64,
    pub(crate) number: u64,
}

/// One entry's worth of commands.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) id: ProposalId,
    /// A `flymq.internal.v1.Proposal`.
    pub(crate) commands: Bytes,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({:?}, {} bytes)", self.id, self.commands.len())
    }
}
