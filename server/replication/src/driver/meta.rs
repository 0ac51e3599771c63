//! Metadata between the names of nodes (in the metadata group) and their numbers (between replicas).

use flymq_engine::meta::{
    AlterIsr, Command, IsrMember, MetaImage, PartitionMeta as Described, ResignLeader, TopicPartition,
    TransferLeader,
};
use flymq_types::{BrokerEpoch, NodeId, PartitionEpoch};

use crate::member::{broker_of, node_of};
use crate::replica::{BrokerId, IsrChange, PartitionMeta, ResignReason};

/// The partition as a replica sees it. Nodes that the image does not know (any more) are left out.
pub(super) fn partition_meta(meta: &Described, image: &MetaImage) -> PartitionMeta {
    let number = |node: &NodeId| broker_of(&image.cluster, node);
    let numbers = |nodes: &[NodeId]| nodes.iter().filter_map(number).collect();
    PartitionMeta {
        replicas: numbers(&meta.replicas),
        isr: numbers(&meta.isr),
        adding: numbers(&meta.adding),
        leader: meta.leader.as_ref().and_then(number),
        successor: meta.successor.as_ref().and_then(number),
        leader_epoch: meta.leader_epoch,
        partition_epoch: meta.partition_epoch.get(),
    }
}

/// Who asks: a node by its name and registration.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub node: NodeId,
    pub broker_epoch: BrokerEpoch,
}

impl Asker {
    /// This broker; none where another registration has taken its place.
    pub(super) fn find(me: BrokerId, broker_epoch: u64, image: &MetaImage) -> Option<Self> {
        let node = node_of(&image.cluster, me)?;
        Some(Self { node: node.id.clone(), broker_epoch: BrokerEpoch(broker_epoch) })
    }
}

/// The leader's wish as a command; none where it names a node that is not known.
pub(super) fn alter_isr(
    at: &TopicPartition,
    asker: Asker,
    change: &IsrChange,
    image: &MetaImage,
) -> Option<Command> {
    let member = |(id, epoch): &(BrokerId, Option<crate::replica::BrokerEpoch>)| {
        let node = node_of(&image.cluster, *id)?.id.clone();
        Some(IsrMember { node, broker_epoch: epoch.map(|epoch| BrokerEpoch(epoch.0)) })
    };
    Some(Command::AlterIsr(AlterIsr {
        at: at.clone(),
        leader: asker.node,
        broker_epoch: asker.broker_epoch,
        leader_epoch: change.leader_epoch,
        partition_epoch: PartitionEpoch(change.partition_epoch),
        new_isr: change.isr.iter().map(member).collect::<Option<_>>()?,
    }))
}

/// A leadership handed over; none where its next holder is not known.
pub(super) fn transfer(
    at: &TopicPartition,
    partition_epoch: u32,
    to: BrokerId,
    image: &MetaImage,
) -> Option<Command> {
    let to = node_of(&image.cluster, to)?.id.clone();
    let partition_epoch = PartitionEpoch(partition_epoch);
    Some(Command::TransferLeader(TransferLeader { at: at.clone(), partition_epoch, to, unclean: false }))
}

/// A leadership given up.
pub(super) fn resign(
    at: &TopicPartition,
    asker: Asker,
    leader_epoch: flymq_types::LeaderEpoch,
    reason: ResignReason,
) -> Command {
    // In either case it leaves the in-sync set.
    let corrupt = match reason {
        ResignReason::Corrupt | ResignReason::Slow => true,
        ResignReason::EpochUsed => false,
    };
    let Asker { node: leader, broker_epoch } = asker;
    Command::ResignLeader(ResignLeader { at: at.clone(), leader, broker_epoch, leader_epoch, corrupt })
}
