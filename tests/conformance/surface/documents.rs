//! JSON documents to protobuf bodies and back, after the descriptors.

use bytes::Bytes;
use flymq_proto::{RpcInfo, rpcs};
use prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use super::Failure;

pub fn rpc(name: &str) -> Result<&'static RpcInfo, Failure> {
    rpcs().iter().find(|r| r.name == name).ok_or_else(|| Failure::broken(format!("no rpc {name}")))
}

pub fn encode(rpc: &RpcInfo, request: &Value) -> Result<Bytes, Failure> {
    let message = DynamicMessage::deserialize(rpc.method.input(), request).map_err(Failure::broken)?;
    Ok(message.encode_to_vec().into())
}

/// Proto field names, defaults included, 64-bit numbers as numbers.
pub fn decode(rpc: &RpcInfo, body: Bytes) -> Result<Value, Failure> {
    let message = DynamicMessage::decode(rpc.method.output(), body).map_err(Failure::broken)?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(Failure::broken)
}
