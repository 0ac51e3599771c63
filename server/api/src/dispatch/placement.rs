//! Where partitions are: who leads, who keeps them, and the address at which clients of a door reach a node.

use std::sync::Arc;

use flymq_engine::{
    DeadLetterOptions, Engine, PartitionInfo,
    meta::{MetaImage, NodeMeta, NodeState, PartitionMeta},
};
use flymq_proto::pb;
use flymq_types::{NodeId, Timestamp};

use super::EngineBroker;
use crate::{BrokerError, Door, ErrorCode, Node, Phase, convert};

/// The nodes and partitions at one moment, as clients of `door` are told.
pub(crate) struct Map<'a> {
    pub(crate) image: Arc<MetaImage>,
    pub(crate) node: &'a Node,
    pub(crate) dead_letters: &'a DeadLetterOptions,
    pub(crate) door: Door,
    pub(crate) now: Timestamp,
}

/// Where one partition is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Empty where nobody leads.
    pub(crate) leader: String,
    /// Empty where nobody leads, or the leader has no such door.
    pub(crate) leader_addr: String,
    pub(crate) leader_epoch: u32,
    pub(crate) replicas: Vec<String>,
    pub(crate) isr: Vec<String>,
    /// The state that the metadata give it; none on a broker without cluster.
    pub(crate) state: Option<pb::PartitionState>,
}

impl Map<'_> {
    /// Whether the node is a member of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.image.cluster.id.is_some()
    }

    /// Every node; on a broker without cluster itself alone.
    pub(crate) fn members(&self) -> Vec<pb::ClusterMember> {
        if self.is_cluster() {
            self.image.cluster.nodes.values().map(|node| self.member(node)).collect()
        } else {
            vec![self.own_member()]
        }
    }

    fn own_member(&self) -> pb::ClusterMember {
        let node = self.node;
        pb::ClusterMember {
            node_id: node.node_id.clone(),
            client_addr: node.client_addr.clone(),
            cluster_addr: node.cluster_addr.clone(),
            role: node.role.clone(),
            state: phase(node.phase()).to_owned(),
            version: node.version.to_owned(),
            rack: String::new(),
            uptime_ms: node.uptime_ms(),
        }
    }

    /// Role, version and start of other nodes are those of their last registration.
    fn member(&self, meta: &NodeMeta) -> pb::ClusterMember {
        let state = match meta.state {
            NodeState::Active => "online",
            NodeState::Draining => "draining",
            NodeState::Fenced => "fenced",
        };
        let text = |part: &Option<Arc<str>>| part.as_deref().unwrap_or_default().to_owned();
        let known = pb::ClusterMember {
            node_id: meta.id.to_string(),
            client_addr: address(meta, self.door).unwrap_or_default().to_owned(),
            cluster_addr: text(&meta.addresses.cluster),
            state: state.to_owned(),
            role: text(&meta.run.role),
            version: text(&meta.run.version),
            rack: text(&meta.rack),
            uptime_ms: self.uptime_ms(meta),
        };
        if meta.id.as_str() != self.node.node_id {
            return known;
        }
        let own = self.own_member();
        pb::ClusterMember { role: own.role, version: own.version, uptime_ms: own.uptime_ms, ..known }
    }

    /// By the clocks of two nodes, which may differ: about as long as it has been up, and 0 where it is not known to be.
    fn uptime_ms(&self, meta: &NodeMeta) -> i64 {
        let known = meta.state.is_alive() && meta.run.started != Timestamp::default();
        if known { self.now.0.saturating_sub(meta.run.started.0).max(0) } else { 0 }
    }

    /// The place of a partition; `meta` is none, or without replicas, on a broker without cluster.
    pub(crate) fn place(&self, meta: Option<&PartitionMeta>, info: Option<&PartitionInfo>) -> Place {
        let Some(meta) = meta.filter(|meta| meta.is_replicated()) else {
            let own = self.node.node_id.clone();
            return Place {
                leader: own.clone(),
                leader_addr: self.node.client_addr.clone(),
                leader_epoch: info.map_or(0, |info| info.leader_epoch.get()),
                replicas: vec![own.clone()],
                isr: vec![own],
                state: None,
            };
        };
        let names = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect();
        let leader = meta.leader.as_ref();
        Place {
            leader: leader.map(NodeId::to_string).unwrap_or_default(),
            leader_addr: leader.and_then(|leader| self.address(leader)).unwrap_or_default().to_owned(),
            leader_epoch: meta.leader_epoch.get(),
            replicas: names(&meta.replicas),
            isr: names(&meta.isr),
            state: Some(self.state(meta, info)),
        }
    }

    fn state(&self, meta: &PartitionMeta, info: Option<&PartitionInfo>) -> pb::PartitionState {
        let Some(leader) = &meta.leader else { return pb::PartitionState::Offline };
        match info.filter(|_| leader.as_str() == self.node.node_id).map(convert::partition_state) {
            Some(pb::PartitionState::Online) | None if meta.is_reassigning() => {
                pb::PartitionState::Reassigning
            }
            Some(own) => own,
            None => pb::PartitionState::Online,
        }
    }

    /// Where clients of the door reach that node.
    pub(crate) fn address(&self, node: &NodeId) -> Option<&str> {
        address(self.image.cluster.node(node)?, self.door)
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "online",
        Phase::Stopping => "stopping",
    }
}

fn address(node: &NodeMeta, door: Door) -> Option<&str> {
    let addresses = &node.addresses;
    match door {
        Door::Grpc => addresses.grpc.as_deref(),
        Door::Rest => addresses.rest.as_deref(),
        Door::NativeV1 | Door::NativeV2 | Door::InProcess => addresses.native.as_deref(),
    }
}

/// Adds to a `NotLeader` the address at which clients of `door` reach the leader.
pub(super) fn located(engine: &Engine, door: Door, error: BrokerError) -> BrokerError {
    if error.code != ErrorCode::NotLeader || error.metadata.contains_key("leader_addr") {
        return error;
    }
    let leader = error.metadata.get("leader").and_then(|leader| NodeId::new(leader).ok());
    let image = engine.metadata();
    match leader.and_then(|leader| address(image.cluster.node(&leader)?, door).map(str::to_owned)) {
        Some(address) => error.with("leader_addr", address),
        None => error,
    }
}

impl EngineBroker {
    /// The map for clients of `door`.
    pub(super) fn map(&self, door: Door) -> Map<'_> {
        let (image, now) = (self.engine.metadata(), self.clock.wall());
        Map { image, node: &self.node, dead_letters: self.engine.dead_letters(), door, now }
    }

    /// The error as clients of `door` are told it: with the leader's address, and in a cluster with the metadata that could
    /// not be agreed upon as what it is there: an election that took too long, and no broken disk.
    pub(super) fn located(&self, door: Door, error: BrokerError) -> BrokerError {
        let metadata = error.metadata.get("what").is_some_and(|what| what == "metadata");
        if metadata && error.code == ErrorCode::StorageFailed && self.map(door).is_cluster() {
            return BrokerError { code: ErrorCode::Timeout, ..error };
        }
        located(&self.engine, door, error)
    }
}
