//! Any rpc with JSON in and JSON out, after the descriptors: what bindings use for control operations.

use flymq_proto::RpcInfo;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};

use crate::ClientError;

/// Encodes `json` as the rpc's request.
///
/// # Errors
/// `InvalidArgument` that names the field when the document does not fit the message.
pub(crate) fn encode_request(rpc: &RpcInfo, json: &str) -> Result<bytes::Bytes, ClientError> {
    let mut reader = serde_json::Deserializer::from_str(if json.is_empty() { "{}" } else { json });
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(rpc.method.input(), &mut reader, &options)
        .map_err(|e| ClientError::invalid(format!("{} request: {e}", rpc.name)))?;
    Ok(message.encode_to_vec().into())
}

/// Reads the rpc's reply into JSON: proto field names, every field present, 64-bit numbers as numbers.
pub(crate) fn decode_response(method: &MethodDescriptor, body: bytes::Bytes) -> Result<String, ClientError> {
    let unreadable = |e: String| ClientError::protocol(format!("the server's reply cannot be read: {e}"));
    let message = DynamicMessage::decode(method.output(), body).map_err(|e| unreadable(e.to_string()))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let mut out = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut out, &options).map_err(|e| unreadable(e.to_string()))?;
    String::from_utf8(out.into_inner()).map_err(|e| unreadable(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pb, transport::rpc_by_name};

    #[test]
    fn requests_are_checked_against_the_descriptor() {
        let rpc = rpc_by_name("CreateTopic").expect("an rpc");
        let body = encode_request(rpc, r#"{"name":"a","options":{"partitions":3}}"#).expect("fits");
        let request = pb::CreateTopicRequest::decode(body).expect("same message");
        assert_eq!((request.name.as_str(), request.options.expect("given").partitions), ("a", 3));
        let error = encode_request(rpc, r#"{"nmae":"a"}"#).expect_err("unknown field");
        assert!(error.message.contains("nmae"), "{error}");
    }

    #[test]
    fn replies_keep_numbers_and_show_defaults() {
        let rpc = rpc_by_name("FindOffset").expect("an rpc");
        let body = pb::FindOffsetResponse { offset: 1 << 40, ..Default::default() }.encode_to_vec().into();
        let json = decode_response(&rpc.method, body).expect("reads");
        assert_eq!(json, r#"{"offset":1099511627776,"offsets":[],"next_offset":0}"#);
    }
}
