//! Nodes, and the commands about them.

use std::sync::Arc;

use flymq_engine::meta::{
    ClusterMeta, DrainBroker, FenceBroker, FormCluster, NodeAddresses, NodeMeta, NodeRun, NodeState,
    RegisterBroker, RemoveBroker, UnfenceBroker,
};
use flymq_proto::internal as pb;
use flymq_types::{BrokerEpoch, ClusterId, DirectoryId, IncarnationId, Timestamp};

use super::field::{
    id_from_pb, id_to_pb, node_from_pb, optional_id_from_pb, optional_id_to_pb, text_from_pb, text_to_pb,
};
use super::{ConvertError, Result};

/// None on a broker without cluster, whose snapshot is as it was before there were clusters.
pub(super) fn cluster_to_pb(cluster: &ClusterMeta) -> Option<pb::Cluster> {
    cluster.id.map(|id| pb::Cluster {
        id: id_to_pb(id.as_bytes()),
        nodes: cluster.nodes.values().map(|node| node_to_pb(node)).collect(),
        last_broker_epoch: cluster.last_broker_epoch.get(),
        features: cluster.features,
        removed: cluster.removed.iter().map(|directory| id_to_pb(directory.as_bytes())).collect(),
    })
}

pub(super) fn cluster_from_pb(cluster: Option<pb::Cluster>) -> Result<ClusterMeta> {
    let Some(cluster) = cluster else { return Ok(ClusterMeta::default()) };
    let node = |node| full_node_from_pb(node).map(|node| (node.id.clone(), Arc::new(node)));
    let directory = |id: &bytes::Bytes| id_from_pb(id).map(DirectoryId::from_bytes);
    Ok(ClusterMeta {
        id: Some(cluster_id_from_pb(&cluster.id)?),
        nodes: cluster.nodes.into_iter().map(node).collect::<Result<_>>()?,
        last_broker_epoch: BrokerEpoch(cluster.last_broker_epoch),
        features: cluster.features,
        removed: cluster.removed.iter().map(directory).collect::<Result<_>>()?,
    })
}

fn node_to_pb(node: &NodeMeta) -> pb::Node {
    let state = match node.state {
        NodeState::Active => pb::NodeState::Active,
        NodeState::Fenced => pb::NodeState::Fenced,
        NodeState::Draining => pb::NodeState::Draining,
    };
    pb::Node {
        id: node.id.to_string(),
        directory: id_to_pb(node.directory.as_bytes()),
        incarnation: optional_id_to_pb(node.incarnation.as_ref().map(IncarnationId::as_bytes)),
        addresses: Some(addresses_to_pb(&node.addresses)),
        rack: text_to_pb(node.rack.as_ref()),
        state: state.into(),
        broker_epoch: node.broker_epoch.get(),
        feature_version: node.feature_version,
        run: Some(run_to_pb(&node.run)),
    }
}

fn full_node_from_pb(node: pb::Node) -> Result<NodeMeta> {
    let state = pb::NodeState::try_from(node.state).map_err(|_| ConvertError::Field("node state"))?;
    Ok(NodeMeta {
        id: node_from_pb(&node.id)?,
        directory: DirectoryId::from_bytes(id_from_pb(&node.directory)?),
        incarnation: optional_id_from_pb(&node.incarnation)?.map(IncarnationId::from_bytes),
        addresses: addresses_from_pb(&node.addresses.unwrap_or_default()),
        rack: text_from_pb(&node.rack),
        state: match state {
            pb::NodeState::Unspecified => return Err(ConvertError::Field("node state")),
            pb::NodeState::Active => NodeState::Active,
            pb::NodeState::Fenced => NodeState::Fenced,
            pb::NodeState::Draining => NodeState::Draining,
        },
        broker_epoch: BrokerEpoch(node.broker_epoch),
        feature_version: node.feature_version,
        run: run_from_pb(&node.run.unwrap_or_default()),
    })
}

fn run_to_pb(run: &NodeRun) -> pb::NodeRun {
    let (version, role) = (text_to_pb(run.version.as_ref()), text_to_pb(run.role.as_ref()));
    pb::NodeRun { version, role, started: run.started.0 }
}

fn run_from_pb(run: &pb::NodeRun) -> NodeRun {
    let (version, role) = (text_from_pb(&run.version), text_from_pb(&run.role));
    NodeRun { version, role, started: Timestamp(run.started) }
}

fn addresses_to_pb(addresses: &NodeAddresses) -> pb::NodeAddresses {
    pb::NodeAddresses {
        cluster: text_to_pb(addresses.cluster.as_ref()),
        native: text_to_pb(addresses.native.as_ref()),
        grpc: text_to_pb(addresses.grpc.as_ref()),
        rest: text_to_pb(addresses.rest.as_ref()),
    }
}

fn addresses_from_pb(addresses: &pb::NodeAddresses) -> NodeAddresses {
    NodeAddresses {
        cluster: text_from_pb(&addresses.cluster),
        native: text_from_pb(&addresses.native),
        grpc: text_from_pb(&addresses.grpc),
        rest: text_from_pb(&addresses.rest),
    }
}

fn cluster_id_from_pb(id: &[u8]) -> Result<ClusterId> {
    id_from_pb(id).map(ClusterId::from_bytes)
}

pub(super) fn form_to_pb(form: &FormCluster) -> pb::FormCluster {
    pb::FormCluster {
        cluster: id_to_pb(form.cluster.as_bytes()),
        founder: form.founder.to_string(),
        directory: id_to_pb(form.directory.as_bytes()),
        features: form.features,
    }
}

pub(super) fn form_from_pb(form: &pb::FormCluster) -> Result<FormCluster> {
    Ok(FormCluster {
        cluster: cluster_id_from_pb(&form.cluster)?,
        founder: node_from_pb(&form.founder)?,
        directory: DirectoryId::from_bytes(id_from_pb(&form.directory)?),
        features: form.features,
    })
}

pub(super) fn register_to_pb(register: &RegisterBroker) -> pb::RegisterBroker {
    pb::RegisterBroker {
        cluster: id_to_pb(register.cluster.as_bytes()),
        id: register.id.to_string(),
        incarnation: id_to_pb(register.incarnation.as_bytes()),
        directory: id_to_pb(register.directory.as_bytes()),
        clean: register.clean,
        addresses: Some(addresses_to_pb(&register.addresses)),
        rack: text_to_pb(register.rack.as_ref()),
        feature_version: register.feature_version,
        run: Some(run_to_pb(&register.run)),
    }
}

pub(super) fn register_from_pb(register: pb::RegisterBroker) -> Result<RegisterBroker> {
    Ok(RegisterBroker {
        cluster: cluster_id_from_pb(&register.cluster)?,
        id: node_from_pb(&register.id)?,
        incarnation: IncarnationId::from_bytes(id_from_pb(&register.incarnation)?),
        directory: DirectoryId::from_bytes(id_from_pb(&register.directory)?),
        clean: register.clean,
        addresses: addresses_from_pb(&register.addresses.unwrap_or_default()),
        rack: text_from_pb(&register.rack),
        feature_version: register.feature_version,
        run: run_from_pb(&register.run.unwrap_or_default()),
    })
}

pub(super) fn fence_to_pb(fence: &FenceBroker) -> pb::FenceBroker {
    pb::FenceBroker { id: fence.id.to_string(), broker_epoch: fence.broker_epoch.get() }
}

pub(super) fn fence_from_pb(fence: &pb::FenceBroker) -> Result<FenceBroker> {
    Ok(FenceBroker { id: node_from_pb(&fence.id)?, broker_epoch: BrokerEpoch(fence.broker_epoch) })
}

pub(super) fn unfence_to_pb(unfence: &UnfenceBroker) -> pb::UnfenceBroker {
    pb::UnfenceBroker { id: unfence.id.to_string(), broker_epoch: unfence.broker_epoch.get() }
}

pub(super) fn unfence_from_pb(unfence: &pb::UnfenceBroker) -> Result<UnfenceBroker> {
    Ok(UnfenceBroker { id: node_from_pb(&unfence.id)?, broker_epoch: BrokerEpoch(unfence.broker_epoch) })
}

pub(super) fn drain_to_pb(drain: &DrainBroker) -> pb::DrainBroker {
    pb::DrainBroker {
        id: drain.id.to_string(),
        broker_epoch: drain.broker_epoch.get(),
        hand_over: drain.hand_over,
    }
}

pub(super) fn drain_from_pb(drain: &pb::DrainBroker) -> Result<DrainBroker> {
    Ok(DrainBroker {
        id: node_from_pb(&drain.id)?,
        broker_epoch: BrokerEpoch(drain.broker_epoch),
        hand_over: drain.hand_over,
    })
}

pub(super) fn remove_to_pb(remove: &RemoveBroker) -> pb::RemoveBroker {
    pb::RemoveBroker { id: remove.id.to_string(), broker_epoch: remove.broker_epoch.get() }
}

pub(super) fn remove_from_pb(remove: &pb::RemoveBroker) -> Result<RemoveBroker> {
    Ok(RemoveBroker { id: node_from_pb(&remove.id)?, broker_epoch: BrokerEpoch(remove.broker_epoch) })
}
