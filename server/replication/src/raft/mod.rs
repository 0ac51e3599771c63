//! Metadata agreed upon by a Raft group.
//!
//! ```text
//! <dir>/log        every step of the group's log, fdatasynced before it counts
//! <dir>/vote       whom this node voted for, fdatasynced before it answers
//! <dir>/committed  how far the group was, as far as this node knew; a hint
//! <dir>/snapshot   the metadata at some entry; the log before it is purged
//! ```
//! openraft decides, this module keeps and carries: nothing outside of it sees openraft's types.

mod campaign;
mod codec;
mod covered;
mod heard;
mod log;
mod machine;
mod members;
mod memory;
mod network;
mod options;
mod pending;
mod propose;
mod runtime;
mod serve;
mod simulation;
mod slots;
mod store;
mod transport;
mod types;
mod vote;
mod wire;

pub use members::{MemberInfo, MembershipError};
pub use memory::{MemoryNetwork, MemoryTransport};
pub use options::{RaftMetaError, RaftMetaOptions, RaftMetaSettings};
pub(crate) use simulation::is_simulated;
pub use simulation::{Aborted, SimulatedTask, Simulation};
pub use store::RaftMetaStore;
pub use transport::{MetaRequest, MetaRpc, MetaTransport, MetaTransportError};
pub use types::{MetaPeer, RaftId};

#[cfg(test)]
mod tests;
