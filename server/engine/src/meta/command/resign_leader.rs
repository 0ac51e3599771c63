//! A leader cannot lead on.

use flymq_types::{BrokerEpoch, LeaderEpoch, NodeId};

use super::{Effects, PartitionRejection, Rejection, Reply};
use crate::meta::change::change_one;
use crate::meta::election::elect;
use crate::meta::{ClusterMeta, MetaImage, PartitionMeta, TopicPartition};

/// Lets another in-sync replica lead.
///
/// `corrupt` says why: parts of its log are damaged, or its disk is slow. Then it leaves the in-sync set, and where it is the last member it leads
/// on: nobody has more. Otherwise it has led in this epoch before and may have lost batches of it, and where nobody else can
/// lead, it gets a new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResignLeader {
    pub at: TopicPartition,
    /// The leader that asks, by its name and its registration.
    pub leader: NodeId,
    pub broker_epoch: BrokerEpoch,
    /// The epoch that it gives up.
    pub leader_epoch: LeaderEpoch,
    pub corrupt: bool,
}

impl ResignLeader {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let partition = image.replicated(&self.at)?;
        image.registered(&self.leader, self.broker_epoch)?;
        partition.check_leader(&self.at, &self.leader)?;
        let (asked, current) = (self.leader_epoch, partition.leader_epoch);
        if asked != current {
            return Err(PartitionRejection::StaleLeaderEpoch { at: self.at.clone(), asked, current }.into());
        }
        let mut effects = Effects::new();
        let partition = change_one(image, &self.at, &mut effects, |partition, context| {
            self.resign(partition, context.cluster);
        })?;
        Ok((Reply::PartitionChanged { at: self.at.clone(), partition }, effects))
    }

    fn resign(&self, partition: &mut PartitionMeta, cluster: &ClusterMeta) {
        // While somebody leads, all of the set live.
        let others = partition.isr.iter().any(|node| *node != self.leader);
        if !others {
            if !self.corrupt {
                partition.leader_epoch = partition.leader_epoch.next();
            }
            return;
        }
        let all = partition.isr.clone();
        partition.isr.retain(|node| *node != self.leader);
        elect(partition, cluster, false);
        if !self.corrupt {
            partition.isr = all;
        }
    }
}
