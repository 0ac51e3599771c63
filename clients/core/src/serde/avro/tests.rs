use super::*;

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "user", "type": ["null", "string"], "default": null},
    {"name": "total", "type": "double"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "counts", "type": {"type": "map", "values": "int"}},
    {"name": "sum", "type": {"type": "fixed", "name": "Sum", "size": 2}},
    {"name": "raw", "type": "bytes"},
    {"name": "next", "type": ["null", "Order"], "default": null}]}"#;

fn order() -> Value {
    json!({"id": -7, "user": "ann", "total": 12.5, "state": "PAID", "tags": ["a", "b"], "counts": {"x": 1},
        "sum": "\u{0}\u{ff}", "raw": "\u{1}\u{80}", "next": null})
}

#[test]
#[expect(deprecated, reason = "the call that reads one value and leaves the rest")]
fn a_document_comes_back_and_others_read_it() {
    let avro = Avro::compile(ORDER, &[]).unwrap();
    let mut nested = order();
    nested["next"] = order();
    for document in [order(), nested] {
        let bytes = avro.encode(&document).unwrap();
        assert_eq!(avro.decode(&bytes).unwrap(), document);
        // The library's own reader takes what we wrote, to the last byte.
        let mut rest = &bytes[..];
        apache_avro::from_avro_datum(&avro.schema, &mut rest, None).unwrap();
        assert!(rest.is_empty());
    }
    let mut short = order();
    short.as_object_mut().unwrap().remove("user");
    assert_eq!(avro.decode(&avro.encode(&short).unwrap()).unwrap()["user"], Value::Null, "the default");
    // The example of the specification: {"a": 27, "b": "foo"}.
    let example = r#"{"type": "record", "name": "test", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}"#;
    let example = Avro::compile(example, &[]).unwrap();
    assert_eq!(example.encode(&json!({"a": 27, "b": "foo"})).unwrap(), [0x36, 0x06, 0x66, 0x6f, 0x6f]);
}

#[test]
fn what_does_not_fit_says_where() {
    let avro = Avro::compile(ORDER, &[]).unwrap();
    let refused = |field: &str, value: Value| {
        let mut document = order();
        document[field] = value;
        avro.encode(&document).unwrap_err()
    };
    for (field, value, why) in [
        ("id", json!("x"), "$.id: the schema wants Long"),
        ("state", json!("LOST"), "$.state: the enum has no symbol"),
        ("tags", json!(["a", 1]), "$.tags[1]"),
        ("counts", json!({"x": 1_u64 << 40}), "$.counts[\"x\"]"),
        ("sum", json!("abc"), "$.sum: it wants 2 bytes"),
        ("raw", json!("ł"), "$.raw: bytes are text"),
        ("more", json!(1), "no field \"more\""),
        ("next", json!({"id": 1}), "$.next: the field"),
    ] {
        let error = refused(field, value);
        assert!(error.contains(why), "{error}");
    }
    assert!(avro.encode(&json!({})).unwrap_err().contains("\"id\" is missing"));
}

#[test]
fn no_bytes_take_the_process_down() {
    let avro = Avro::compile(ORDER, &[]).unwrap();
    let bytes = avro.encode(&order()).unwrap();
    for end in 0..bytes.len() {
        assert!(avro.decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let _ = avro.decode(&changed);
        }
    }
    let loops = r#"{"type": "record", "name": "L", "fields": [{"name": "l", "type": ["L", "null"]}]}"#;
    let loops = Avro::compile(loops, &[]).unwrap();
    assert!(loops.decode(&[0; 10_000]).unwrap_err().contains("nested"));
    let nothing = Avro::compile(r#"{"type": "array", "items": "null"}"#, &[]).unwrap();
    let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    assert!(nothing.decode(&endless).unwrap_err().contains("too many parts"));
}
