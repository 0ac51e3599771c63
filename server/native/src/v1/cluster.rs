//! CLUSTER_METADATA.

use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{ClusterInfo, ClusterMetadata, PartitionInfo, TopicInfo, op, reply_frame},
};

use super::{
    error::{About, Failure},
    session::Session,
};

pub(super) async fn metadata(session: &Session<'_>, body: ClusterMetadata) -> Result<FrameParts, Failure> {
    let topic = body.topic.unwrap_or_default();
    let topics = if topic.is_empty() { Vec::new() } else { vec![topic.clone()] };
    let known: pb::GetMetadataResponse = session
        .call(pb::GetMetadataRequest { topics, internal: false })
        .await
        .map_err(|error| About::topic(&topic).failure(&error))?;
    let topics = known.topics.into_iter().map(topic_info).collect();
    Ok(reply_frame(op::CLUSTER_METADATA, &ClusterInfo { cluster_id: known.cluster_id, topics })?)
}

fn topic_info(topic: pb::TopicMetadata) -> TopicInfo {
    TopicInfo { topic: topic.name, partitions: topic.partitions.into_iter().map(partition_info).collect() }
}

fn partition_info(partition: pb::PartitionMetadata) -> PartitionInfo {
    PartitionInfo {
        partition: partition.partition,
        state: state(partition.state()).to_owned(),
        leader_id: partition.leader,
        leader_addr: partition.leader_addr,
        epoch: partition.leader_epoch.into(),
        replicas: partition.replicas,
        isr: partition.isr,
    }
}

fn state(state: pb::PartitionState) -> &'static str {
    match state {
        // Version 1 has no word for one that can only be read.
        pb::PartitionState::Online | pb::PartitionState::Failed => "online",
        pb::PartitionState::Unspecified | pb::PartitionState::Offline => "offline",
        pb::PartitionState::Reassigning => "reassigning",
        pb::PartitionState::Syncing => "syncing",
    }
}
