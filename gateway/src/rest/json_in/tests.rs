use flymq_proto::{descriptor_pool, pb};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;

fn parse(name: &str, json: &Json) -> Result<DynamicMessage> {
    let desc = descriptor_pool().get_message_by_name(&format!("flymq.v1.{name}")).expect("declared");
    message(&desc, json, "")
}

fn produce(json: &Json) -> Result<pb::ProduceRequest> {
    parse("ProduceRequest", json).map(|m| m.transcode_to().expect("the same type"))
}

fn field_of(json: &Json) -> String {
    let error = produce(json).expect_err("must be refused");
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    error.metadata.get("field").cloned().unwrap_or_default()
}

#[test]
fn both_spellings_short_enums_and_base64_are_understood() {
    let request = produce(&json!({
        "topic": "orders", "acks": "all", "timeoutMs": 250, "ttl_ms": "9007199254740993", "partition": 2.0,
        "records": [{"key": "a2V5", "value": "dmFsdWU", "headers": [{"name": "n", "value": "-_8="}], "value_text": null}],
    }));
    let request = request.expect("valid");
    assert_eq!(request.acks, pb::Acks::All as i32);
    assert_eq!((request.timeout_ms, request.ttl_ms), (250, 9_007_199_254_740_993));
    assert_eq!(request.partition, Some(2));
    assert_eq!(request.records[0].key.as_deref(), Some(b"key".as_slice()));
    assert_eq!(&request.records[0].value[..], b"value");
    assert_eq!(&request.records[0].headers[0].value[..], [0xfb, 0xff]);
    assert_eq!(request.records[0].value_text, None);
}

#[test]
fn enum_values_in_every_form() {
    for form in [json!("ACKS_LEADER"), json!("leader"), json!("Leader"), json!(2), json!("2")] {
        assert_eq!(produce(&json!({"acks": form})).expect("valid").acks, 2);
    }
    for wrong in [json!("most"), json!(99), json!(true), json!("")] {
        assert_eq!(field_of(&json!({"acks": wrong})), "acks");
    }
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_a_guess() {
    let error = produce(&json!({"records": [{}, {"valeu": ""}]})).expect_err("unknown");
    assert_eq!(error.metadata["field"], "records[1].valeu");
    assert!(error.message.contains("did you mean `value`"), "{error}");
}

#[test]
fn wrong_types_and_ranges_are_refused_by_place() {
    for (json, field) in [
        (json!({"topic": 3}), "topic"),
        (json!({"records": {}}), "records"),
        (json!({"records": [3]}), "records[0]"),
        (json!({"records": [{"value": "***"}]}), "records[0].value"),
        (json!({"records": [{"tombstone": "yes"}]}), "records[0].tombstone"),
        (json!({"records": [{"offset": -1}]}), "records[0].offset"),
        (
            json!({"records": [{"offset": 18_446_744_073_709_551_615_u64}, {"offset": 1e30}]}),
            "records[1].offset",
        ),
        (json!({"partition": 2_147_483_648_u32}), "partition"),
        (json!({"partition": 1.5}), "partition"),
        (json!({"timeout_ms": "12x"}), "timeout_ms"),
        (json!({"timeout_ms": 1, "timeoutMs": 2}), "timeout_ms"),
        (json!([]), ""),
        (json!("text"), ""),
    ] {
        assert_eq!(field_of(&json), field, "{json}");
    }
}

#[test]
fn maps_take_text_keys() {
    let detail = parse("ErrorDetail", &json!({"metadata": {"topic": "a/b"}})).expect("valid");
    let detail: pb::ErrorDetail = detail.transcode_to().expect("the same type");
    assert_eq!(detail.metadata["topic"], "a/b");
    assert!(parse("ErrorDetail", &json!({"metadata": {"topic": 1}})).is_err());
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    let name = prop_oneof![
        Just("topic"),
        Just("records"),
        Just("value"),
        Just("key"),
        Just("acks"),
        Just("headers"),
        Just("offset"),
        Just("partition"),
        Just("x")
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|members| Json::Object(
                members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_message_or_a_named_refusal(json in any_json()) {
        match produce(&json) {
            Ok(request) => prop_assert!(pb::ProduceRequest::decode(request.encode_to_vec().as_slice()).is_ok()),
            Err(error) => prop_assert_eq!(error.code, ErrorCode::InvalidArgument),
        }
    }

    #[test]
    fn bytes_come_back(value in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = BASE64.encode(&value);
        let request = produce(&json!({"records": [{"value": text}]})).expect("valid");
        prop_assert_eq!(&request.records[0].value[..], &value[..]);
    }
}
