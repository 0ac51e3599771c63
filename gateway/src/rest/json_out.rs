//! Message to JSON: proto field names, 64-bit integers as numbers, zero values shown, so that a person sees every field.

use bytes::Bytes;
use flymq_api::{BrokerError, ErrorCode};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};

/// The JSON text of an encoded message of type `desc`.
pub(crate) fn json(desc: &MessageDescriptor, encoded: Bytes) -> Result<Vec<u8>, BrokerError> {
    let broken =
        |why: String| BrokerError::new(ErrorCode::Internal, format!("{} to JSON: {why}", desc.name()));
    let message = DynamicMessage::decode(desc.clone(), encoded).map_err(|e| broken(e.to_string()))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let mut text = Vec::with_capacity(256);
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options)
        .map_err(|e| broken(e.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use flymq_proto::{descriptor_pool, pb};
    use serde_json::{Value, json};

    use super::*;

    fn shown(name: &str, message: &impl prost::Message) -> Value {
        let desc = descriptor_pool().get_message_by_name(&format!("flymq.v1.{name}")).expect("declared");
        serde_json::from_slice(&json(&desc, message.encode_to_vec().into()).expect("valid")).expect("JSON")
    }

    #[test]
    fn zeros_are_shown_and_absent_optionals_are_not() {
        let record = pb::Record { offset: u64::MAX, value: Bytes::from_static(b"v"), ..Default::default() };
        let json = shown("Record", &record);
        assert_eq!(json["offset"], json!(u64::MAX));
        assert_eq!(json["timestamp_ms"], json!(0));
        assert_eq!(json["value"], json!("dg=="));
        assert_eq!(json["headers"], json!([]));
        assert!(json.get("key").is_none(), "{json}");
    }

    #[test]
    fn enums_are_named() {
        let partition = pb::Partition { state: pb::PartitionState::Online.into(), ..Default::default() };
        assert_eq!(shown("Partition", &partition)["state"], json!("PARTITION_STATE_ONLINE"));
    }
}
