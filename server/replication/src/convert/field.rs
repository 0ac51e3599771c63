//! Ids, names and optional text, as fields.

use std::sync::Arc;

use bytes::Bytes;
use flymq_types::{NodeId, TopicName};

use super::{ConvertError, Result};

/// The 16 bytes of an id.
pub(super) fn id_to_pb(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}

pub(super) fn id_from_pb(id: &[u8]) -> Result<[u8; 16]> {
    id.try_into().map_err(|_| ConvertError::Field("id"))
}

/// Empty for none.
pub(super) fn optional_id_to_pb(id: Option<&[u8; 16]>) -> Bytes {
    id.map(id_to_pb).unwrap_or_default()
}

pub(super) fn optional_id_from_pb(id: &[u8]) -> Result<Option<[u8; 16]>> {
    if id.is_empty() { Ok(None) } else { id_from_pb(id).map(Some) }
}

pub(super) fn name_from_pb(name: &str) -> Result<TopicName> {
    TopicName::any(name).map_err(|_| ConvertError::Field("name"))
}

pub(super) fn node_from_pb(id: &str) -> Result<NodeId> {
    NodeId::new(id).map_err(|_| ConvertError::Field("node id"))
}

pub(super) fn nodes_to_pb(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(ToString::to_string).collect()
}

pub(super) fn nodes_from_pb(nodes: &[String]) -> Result<Vec<NodeId>> {
    nodes.iter().map(|id| node_from_pb(id)).collect()
}

/// Empty for none.
pub(super) fn optional_node_to_pb(node: Option<&NodeId>) -> String {
    node.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn optional_node_from_pb(id: &str) -> Result<Option<NodeId>> {
    if id.is_empty() { Ok(None) } else { node_from_pb(id).map(Some) }
}

/// Empty for none.
pub(super) fn text_to_pb(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn text_from_pb(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
