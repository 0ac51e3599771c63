//! Partitions, and the commands about them.

use flymq_engine::meta::{
    AlterIsr, ElectPreferred, IsrMember, PartitionMeta, Reassign, ResignLeader, TopicPartition,
    TransferLeader,
};
use flymq_proto::internal as pb;
use flymq_types::{BrokerEpoch, DirectoryId, LeaderEpoch, PartitionEpoch, PartitionId};

use super::field::{
    id_to_pb, name_from_pb, node_from_pb, nodes_from_pb, nodes_to_pb, optional_id_from_pb, optional_id_to_pb,
    optional_node_from_pb, optional_node_to_pb,
};
use super::topic::topic_id_from_pb;
use super::{ConvertError, Result};

pub(super) fn partition_to_pb(partition: &PartitionMeta) -> pb::Partition {
    pb::Partition {
        leader_epoch: partition.leader_epoch.get(),
        replicas: nodes_to_pb(&partition.replicas),
        isr: nodes_to_pb(&partition.isr),
        elr: nodes_to_pb(&partition.elr),
        adding: nodes_to_pb(&partition.adding),
        removing: nodes_to_pb(&partition.removing),
        leader: optional_node_to_pb(partition.leader.as_ref()),
        successor: optional_node_to_pb(partition.successor.as_ref()),
        partition_epoch: partition.partition_epoch.get(),
        throttle_bytes_per_s: partition.throttle_bytes_per_s,
        isr_lost: partition.isr_lost,
        isr_directory: optional_id_to_pb(partition.isr_directory.as_ref().map(DirectoryId::as_bytes)),
    }
}

pub(super) fn partition_from_pb(partition: &pb::Partition) -> Result<PartitionMeta> {
    Ok(PartitionMeta {
        replicas: nodes_from_pb(&partition.replicas)?,
        isr: nodes_from_pb(&partition.isr)?,
        elr: nodes_from_pb(&partition.elr)?,
        adding: nodes_from_pb(&partition.adding)?,
        removing: nodes_from_pb(&partition.removing)?,
        leader: optional_node_from_pb(&partition.leader)?,
        successor: optional_node_from_pb(&partition.successor)?,
        throttle_bytes_per_s: partition.throttle_bytes_per_s,
        isr_lost: partition.isr_lost,
        isr_directory: optional_id_from_pb(&partition.isr_directory)?.map(DirectoryId::from_bytes),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        partition_epoch: PartitionEpoch(partition.partition_epoch),
    })
}

fn at_to_pb(at: &TopicPartition) -> pb::TopicPartition {
    pb::TopicPartition {
        topic: id_to_pb(at.topic.as_bytes()),
        name: at.name.to_string(),
        partition: at.partition.get(),
    }
}

fn at_from_pb(at: Option<pb::TopicPartition>) -> Result<TopicPartition> {
    let at = at.ok_or(ConvertError::Field("partition"))?;
    Ok(TopicPartition {
        topic: topic_id_from_pb(&at.topic)?,
        name: name_from_pb(&at.name)?,
        partition: PartitionId(at.partition),
    })
}

pub(super) fn alter_to_pb(alter: &AlterIsr) -> pb::AlterIsr {
    let member = |member: &IsrMember| pb::IsrMember {
        node: member.node.to_string(),
        broker_epoch: member.broker_epoch.map(BrokerEpoch::get),
    };
    pb::AlterIsr {
        at: Some(at_to_pb(&alter.at)),
        leader_epoch: alter.leader_epoch.get(),
        partition_epoch: alter.partition_epoch.get(),
        new_isr: alter.new_isr.iter().map(member).collect(),
        leader: alter.leader.to_string(),
        broker_epoch: alter.broker_epoch.get(),
    }
}

pub(super) fn alter_from_pb(alter: pb::AlterIsr) -> Result<AlterIsr> {
    let member = |member: &pb::IsrMember| {
        Ok(IsrMember {
            node: node_from_pb(&member.node)?,
            broker_epoch: member.broker_epoch.map(BrokerEpoch),
        })
    };
    Ok(AlterIsr {
        at: at_from_pb(alter.at)?,
        leader_epoch: LeaderEpoch(alter.leader_epoch),
        partition_epoch: PartitionEpoch(alter.partition_epoch),
        new_isr: alter.new_isr.iter().map(member).collect::<Result<_>>()?,
        leader: node_from_pb(&alter.leader)?,
        broker_epoch: BrokerEpoch(alter.broker_epoch),
    })
}

pub(super) fn reassign_to_pb(reassign: &Reassign) -> pb::Reassign {
    pb::Reassign {
        at: Some(at_to_pb(&reassign.at)),
        partition_epoch: reassign.partition_epoch.get(),
        replicas: nodes_to_pb(&reassign.replicas),
        throttle_bytes_per_s: reassign.throttle_bytes_per_s,
    }
}

pub(super) fn reassign_from_pb(reassign: pb::Reassign) -> Result<Reassign> {
    Ok(Reassign {
        at: at_from_pb(reassign.at)?,
        partition_epoch: PartitionEpoch(reassign.partition_epoch),
        replicas: nodes_from_pb(&reassign.replicas)?,
        throttle_bytes_per_s: reassign.throttle_bytes_per_s,
    })
}

pub(super) fn elect_to_pb(elect: &ElectPreferred) -> pb::ElectPreferred {
    pb::ElectPreferred {
        partitions: elect.partitions.iter().map(at_to_pb).collect(),
        hand_over: elect.hand_over,
    }
}

pub(super) fn elect_from_pb(elect: pb::ElectPreferred) -> Result<ElectPreferred> {
    let partitions = elect.partitions.into_iter().map(|at| at_from_pb(Some(at)));
    Ok(ElectPreferred { partitions: partitions.collect::<Result<_>>()?, hand_over: elect.hand_over })
}

pub(super) fn transfer_to_pb(transfer: &TransferLeader) -> pb::TransferLeader {
    pb::TransferLeader {
        at: Some(at_to_pb(&transfer.at)),
        partition_epoch: transfer.partition_epoch.get(),
        to: transfer.to.to_string(),
        unclean: transfer.unclean,
    }
}

pub(super) fn transfer_from_pb(transfer: pb::TransferLeader) -> Result<TransferLeader> {
    Ok(TransferLeader {
        at: at_from_pb(transfer.at)?,
        partition_epoch: PartitionEpoch(transfer.partition_epoch),
        to: node_from_pb(&transfer.to)?,
        unclean: transfer.unclean,
    })
}

pub(super) fn resign_to_pb(resign: &ResignLeader) -> pb::ResignLeader {
    pb::ResignLeader {
        at: Some(at_to_pb(&resign.at)),
        leader: resign.leader.to_string(),
        broker_epoch: resign.broker_epoch.get(),
        leader_epoch: resign.leader_epoch.get(),
        corrupt: resign.corrupt,
    }
}

pub(super) fn resign_from_pb(resign: pb::ResignLeader) -> Result<ResignLeader> {
    Ok(ResignLeader {
        at: at_from_pb(resign.at)?,
        leader: node_from_pb(&resign.leader)?,
        broker_epoch: BrokerEpoch(resign.broker_epoch),
        leader_epoch: LeaderEpoch(resign.leader_epoch),
        corrupt: resign.corrupt,
    })
}
