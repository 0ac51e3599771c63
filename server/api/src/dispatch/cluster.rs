//! The cluster, which is one node for now.

use flymq_engine::TopicInfo;
use flymq_proto::pb;

use super::EngineBroker;
use crate::{BrokerError, Phase, convert};

impl EngineBroker {
    pub(super) fn get_cluster(&self, _request: pb::GetClusterRequest) -> pb::GetClusterResponse {
        let stats = self.engine.stats();
        pb::GetClusterResponse {
            cluster_id: self.node.cluster_id.clone(),
            node_id: self.node.node_id.clone(),
            leader: self.node.node_id.clone(),
            version: self.node.version.to_owned(),
            role: self.node.role.clone(),
            uptime_ms: self.node.uptime_ms(),
            topics: convert::count(stats.topics),
            partitions: convert::count(stats.partitions),
            members: vec![self.member()],
        }
    }

    pub(super) fn get_metadata(
        &self,
        request: &pb::GetMetadataRequest,
    ) -> Result<pb::GetMetadataResponse, BrokerError> {
        let topics = if request.topics.is_empty() {
            self.engine.list_topics(false)
        } else {
            let named = request.topics.iter().map(|name| {
                let name = convert::topic("topics", name)?;
                Ok(self.engine.topic(&name)?)
            });
            named.collect::<Result<Vec<_>, BrokerError>>()?
        };
        Ok(pb::GetMetadataResponse {
            cluster_id: self.node.cluster_id.clone(),
            members: vec![self.member()],
            topics: topics.iter().map(|topic| self.topic_metadata(topic)).collect(),
        })
    }

    pub(super) fn list_members(&self, _request: pb::ListMembersRequest) -> pb::ListMembersResponse {
        pb::ListMembersResponse { members: vec![self.member()] }
    }

    fn member(&self) -> pb::ClusterMember {
        pb::ClusterMember {
            node_id: self.node.node_id.clone(),
            client_addr: self.node.client_addr.clone(),
            cluster_addr: self.node.cluster_addr.clone(),
            role: self.node.role.clone(),
            state: match self.node.phase() {
                Phase::Starting => "starting",
                Phase::Ready => "online",
                Phase::Stopping => "stopping",
            }
            .to_owned(),
            version: self.node.version.to_owned(),
            rack: String::new(),
            uptime_ms: self.node.uptime_ms(),
        }
    }

    fn topic_metadata(&self, topic: &TopicInfo) -> pb::TopicMetadata {
        let partitions = topic.partitions.iter().map(|info| pb::PartitionMetadata {
            partition: convert::count(info.partition.get() as usize),
            leader: self.node.node_id.clone(),
            leader_addr: self.node.client_addr.clone(),
            leader_epoch: info.leader_epoch.get(),
            replicas: vec![self.node.node_id.clone()],
            isr: vec![self.node.node_id.clone()],
            state: convert::partition_state(info).into(),
        });
        pb::TopicMetadata { name: topic.name.to_string(), partitions: partitions.collect() }
    }
}
