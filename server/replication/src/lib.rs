//! What makes metadata durable and agreed upon: one node keeps it on its own disk ([`LocalMetaStore`]), the nodes of a
//! cluster in a Raft group ([`RaftMetaStore`], behind the same trait).
//!
//! ```text
//! local: propose ─► State::apply on a copy ─► entry in <dir>/log, fdatasync ─► image and watch ─► reply
//!                                                └─ now and then: <dir>/snapshot, new <dir>/log
//! raft:  propose ─► leader ─► log of a majority, fdatasync ─► State::apply on every node ─► image and watch ─► reply
//! ```

mod convert;
mod driver;
mod files;
mod link;
mod local;
mod member;
mod net;
mod peer;
mod raft;
pub mod replica;
mod task;

pub use driver::{Behind, FrameSlot, ReplicaSet, ReplicaSetOptions, ReplicaSetSettings, ReplicaStatus};
pub use files::LocalMetaError;
pub use link::{FrameSink, NodeLink, ReplicaKey, Sent};
pub use local::{LocalMetaOptions, LocalMetaStore};
pub use member::{broker_of, member_id, node_of};
pub use net::{
    ClusterSecret, GroupCheck, PeerAddress, PeerLane, PeerMembership, PeerNetwork, PeerOptions, PeerSettings,
    PeerStats, RaftAnswer, Refusal, Side,
};
pub use peer::{PeerCall, PeerCaller, PeerError, PeerService};
pub use raft::{
    Aborted, MemberInfo, MembershipError, MemoryNetwork, MemoryTransport, MetaPeer, MetaRequest, MetaRpc,
    MetaTransport, MetaTransportError, RaftId, RaftMetaError, RaftMetaOptions, RaftMetaSettings,
    RaftMetaStore, SimulatedTask, Simulation,
};
