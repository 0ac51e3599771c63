//! How replicas reach each other: what the driver of a replica needs of the network.

use std::fmt;

use flymq_types::{PartitionId, TopicId};

use crate::replica::{BrokerEpoch, BrokerId, Frame, Lane};

/// Names a partition between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaKey {
    pub topic: TopicId,
    pub partition: PartitionId,
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Called once: the frame is on its way (handed to the socket), or was dropped. It must not block.
pub type Sent = Box<dyn FnOnce() + Send>;

/// Sends frames to the replicas of other nodes.
///
/// # Contract
/// - Frames of one lane to one node arrive in the order in which they were given, or not at all: a connection that breaks
///   loses those under way, and a later one may then arrive. The replicas ask again for what they miss.
/// - One sender for each pair of nodes and lane: frames of many partitions go out together. Large frames of
///   [`Lane::CatchUp`] never hold up [`Lane::Live`], and neither holds up heartbeats or metadata.
/// - `send` never waits. Who sends large frames waits for `sent` before the next one to the same replica, which bounds
///   what is queued.
pub trait NodeLink: Send + Sync + fmt::Debug {
    /// Queues `frame` for the replica `at` on node `to`; without a connection it is dropped.
    fn send(&self, to: BrokerId, at: ReplicaKey, frame: Frame, lane: Lane, sent: Option<Sent>);
}

/// Takes the frames that other nodes send.
///
/// # Contract
/// Called from the connection's task, in the order of arrival. It does not wait: the next frame is read when it returns.
pub trait FrameSink: Send + Sync + fmt::Debug {
    /// A frame from `from`, meant for the registration `to_epoch` of this node; one of an earlier registration is dropped here.
    fn frame(&self, from: BrokerId, to_epoch: BrokerEpoch, at: ReplicaKey, frame: Frame);
}
