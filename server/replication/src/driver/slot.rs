//! The network comes before the replicas: it is needed to register, and they are of that registration.

use std::sync::{Arc, OnceLock, Weak};

use super::ReplicaSet;
use crate::link::{FrameSink, ReplicaKey};
use crate::replica::{BrokerEpoch, BrokerId, Frame};

/// A place for a [`ReplicaSet`] that is yet to be made. Frames that come before it are dropped, which the replicas of other
/// nodes put up with. It holds the set weakly, so that the network and the set do not keep each other alive.
#[derive(Debug, Default)]
pub struct FrameSlot(OnceLock<Weak<ReplicaSet>>);

impl FrameSlot {
    /// From now on frames go there. Only the first call counts.
    pub fn set(&self, replicas: &Arc<ReplicaSet>) {
        self.0.get_or_init(|| Arc::downgrade(replicas));
    }
}

impl FrameSink for FrameSlot {
    fn frame(&self, from: BrokerId, to_epoch: BrokerEpoch, at: ReplicaKey, frame: Frame) {
        if let Some(replicas) = self.0.get().and_then(Weak::upgrade) {
            replicas.frame(from, to_epoch, at, frame);
        }
    }
}
