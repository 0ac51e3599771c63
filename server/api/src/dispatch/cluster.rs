//! What the cluster looks like: nodes, leaders, replicas.

use std::collections::BTreeSet;

use flymq_engine::{PartitionInfo, meta::TopicMeta};
use flymq_proto::pb;
use flymq_types::{NodeId, TopicName};

use super::{EngineBroker, placement::Map};
use crate::{BrokerError, CallContext, Door, convert, layers::Served};

impl EngineBroker {
    pub(super) fn get_cluster(&self, door: Door, _request: pb::GetClusterRequest) -> pb::GetClusterResponse {
        let map = self.map(door);
        let own = || self.node.node_id.clone();
        let leader = match &self.control {
            Some(control) => control.metadata_leader().map(|leader| leader.to_string()).unwrap_or_default(),
            None => own(),
        };
        let (topics, partitions) = self.counts(&map);
        pb::GetClusterResponse {
            cluster_id: self.cluster_id(&map),
            node_id: own(),
            leader,
            version: self.node.version.to_owned(),
            role: self.node.role.clone(),
            uptime_ms: self.node.uptime_ms(),
            topics: convert::count(topics),
            partitions: convert::count(partitions),
            members: map.members(),
            stale_ms: self.stale_ms(),
        }
    }

    /// How old what this node knows of its cluster is; 0: it is current.
    fn stale_ms(&self) -> i64 {
        let silence = self.control.as_ref().and_then(|control| control.out_of_touch()).unwrap_or_default();
        i64::try_from(silence.as_millis()).unwrap_or(i64::MAX)
    }

    /// Topics and partitions, without internal ones.
    fn counts(&self, map: &Map<'_>) -> (usize, usize) {
        if map.is_cluster() {
            let topics = map.image.topics.values().filter(|topic| !topic.name.is_internal());
            topics
                .fold((0, 0), |(topics, partitions), topic| (topics + 1, partitions + topic.partitions.len()))
        } else {
            let stats = self.engine.stats();
            (stats.topics, stats.partitions)
        }
    }

    fn cluster_id(&self, map: &Map<'_>) -> String {
        let id = map.image.cluster.id.as_ref();
        id.map_or_else(|| self.node.cluster_id.clone(), ToString::to_string)
    }

    pub(super) fn get_metadata(
        &self,
        door: Door,
        request: &pb::GetMetadataRequest,
    ) -> Result<pb::GetMetadataResponse, BrokerError> {
        let map = self.map(door);
        let names = if request.topics.is_empty() {
            self.engine.list_topics(request.internal).into_iter().map(|topic| topic.name).collect()
        } else {
            let named = request.topics.iter().map(|name| convert::topic("topics", name));
            named.collect::<Result<Vec<_>, BrokerError>>()?
        };
        let topics = names.iter().map(|name| self.topic_metadata(&map, name));
        Ok(pb::GetMetadataResponse {
            cluster_id: self.cluster_id(&map),
            members: map.members(),
            topics: topics.collect::<Result<_, BrokerError>>()?,
        })
    }

    pub(super) fn list_members(
        &self,
        door: Door,
        _request: pb::ListMembersRequest,
    ) -> pb::ListMembersResponse {
        pb::ListMembersResponse { members: self.map(door).members(), stale_ms: self.stale_ms() }
    }

    fn topic_metadata(&self, map: &Map<'_>, name: &TopicName) -> Result<pb::TopicMetadata, BrokerError> {
        let topic = self.engine.topic(name)?;
        let meta = map.image.topic(name);
        let partitions = topic.partitions.iter().map(|info| partition(map, meta.map(|meta| &**meta), info));
        let (name, topic_id) = (topic.name.to_string(), topic.id.to_string());
        Ok(pb::TopicMetadata { name, partitions: partitions.collect(), topic_id })
    }

    /// Asks all other nodes that live: what they answered, and the names of those that did not. Nobody where this is the question of
    /// another node.
    pub(super) async fn ask_all_others(
        &self,
        ctx: &CallContext,
        request: &crate::Request,
    ) -> (Vec<crate::Response>, Vec<String>) {
        if self.forwarder.is_none() || ctx.forwarded {
            return (Vec::new(), Vec::new());
        }
        let nodes = self.engine.metadata();
        let alive = nodes.cluster.nodes.values().filter(|node| node.state.is_alive());
        let others = alive.filter(|node| node.id.as_str() != self.node.node_id);
        let mut missing: BTreeSet<NodeId> = others.map(|node| node.id.clone()).collect();
        let mut answers = Vec::new();
        for (node, served) in self.ask_others(ctx, missing.clone(), request).await {
            missing.remove(&node);
            answers.push(served.response);
        }
        (answers, missing.iter().map(NodeId::to_string).collect())
    }

    /// Asks each of `nodes` but this one the same request, at once; the answers of those that gave one.
    pub(super) async fn ask_others(
        &self,
        ctx: &CallContext,
        nodes: BTreeSet<NodeId>,
        request: &crate::Request,
    ) -> Vec<(NodeId, Served)> {
        let Some(forwarder) = self.forwarder.as_ref().filter(|_| !ctx.forwarded) else { return Vec::new() };
        let asked =
            nodes.into_iter().filter(|node| node.as_str() != self.node.node_id).map(|node| async move {
                let served = forwarder.send(&node, ctx, request.clone()).await;
                served.ok().map(|served| (node, served))
            });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }
}

fn partition(map: &Map<'_>, topic: Option<&TopicMeta>, info: &PartitionInfo) -> pb::PartitionMetadata {
    let meta = topic.and_then(|topic| topic.partitions.get(info.partition.get() as usize));
    let place = map.place(meta.map(|meta| &**meta), Some(info));
    pb::PartitionMetadata {
        partition: convert::count(info.partition.get() as usize),
        leader: place.leader,
        leader_addr: place.leader_addr,
        leader_epoch: place.leader_epoch,
        replicas: place.replicas,
        isr: place.isr,
        state: place.state.unwrap_or_else(|| convert::partition_state(info)).into(),
    }
}
