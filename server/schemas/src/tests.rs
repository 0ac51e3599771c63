use super::*;
use proptest::prelude::*;

fn compiled(kind: SchemaKind, text: &str) -> Compiled {
    Compiled::new(kind, text, &[]).expect("a schema")
}

fn refused(kind: SchemaKind, text: &str) -> String {
    Compiled::new(kind, text, &[]).expect_err("no schema").reason
}

const PERSON: &str = r#"{"type":"object","properties":{"id":{"type":"integer"},"home":{"type":"object","required":["city"],
    "properties":{"city":{"type":"string"}},"additionalProperties":false}},"required":["id"]}"#;

#[test]
fn json_errors_name_the_place() {
    let schema = compiled(SchemaKind::Json, PERSON);
    assert!(schema.check(br#"{"id":1,"home":{"city":"x"}}"#).is_empty());
    assert_eq!(schema.check(b"{}"), ["missing required field: id"]);
    assert_eq!(schema.check(br#"{"id":1,"home":{}}"#), ["missing required field: home.city"]);
    assert_eq!(schema.check(br#"{"id":1,"home":{"city":"x","b":1}}"#), ["unexpected field: home.b"]);
    let [wrong] = &schema.check(br#"{"id":1,"home":{"city":5}}"#)[..] else { panic!("one") };
    assert!(wrong.starts_with("/home/city: "), "{wrong}");
    assert!(schema.check(b"{").first().unwrap().starts_with("invalid JSON message: "));
    assert!(schema.check(&[0xff]).first().unwrap().starts_with("invalid JSON message: "));
}

#[test]
fn json_schemas_that_cost_too_much_are_refused() {
    let refused = |text: &str| refused(SchemaKind::Json, text);
    assert!(refused("7").contains("an object"));
    assert!(refused("{").contains("not JSON"));
    assert!(refused(r#"{"type":"nothing"}"#).starts_with("/type: "));
    assert!(refused(r##"{"$ref":"#"}"##).contains("refers to itself"));
    assert!(refused(r##"{"properties":{"next":{"$ref":"#"}}}"##).contains("refers to itself"));
    assert!(refused(r#"{"$ref":"http://127.0.0.1/x.json"}"#).contains("nothing is fetched"));
    assert!(refused(r#"{"$ref":"file:///etc/passwd"}"#).contains("nothing is fetched"));
    assert!(refused(r##"{"$ref":"#/$defs/x"}"##).contains("points to nothing"));
    assert!(refused(r#"{"pattern":"(?=a)b"}"#).contains("looks around"));
    assert!(refused(r#"{"pattern":"((a{1000}){1000}){1000}"}"#).contains("memory"));
    assert!(
        refused(&format!("{}1{}", r#"{"not":"#.repeat(200), "}".repeat(200))).contains("recursion limit")
    );
    let mut bomb = String::from(r##"{"allOf":[{"$ref":"#/$defs/a30"}],"$defs":{"a0":{}"##);
    for level in 1..=30 {
        let below = level - 1;
        bomb += &format!(
            r##","a{level}":{{"allOf":[{{"$ref":"#/$defs/a{below}"}},{{"$ref":"#/$defs/a{below}"}}]}}"##
        );
    }
    bomb += "}}";
    assert!(refused(&bomb).contains("10000 parts"), "{}", refused(&bomb));
    assert!(refused(&"x".repeat(MAX_TEXT + 1)).contains("longer"));
}

#[test]
fn json_references_are_those_given() {
    let home: Arc<str> =
        r##"{"$id":"http://x/home.json","type":"object","properties":{"city":{"$ref":"#/$defs/city"}},
        "$defs":{"city":{"type":"string"}}}"##
            .into();
    let references = [Referred { name: "home.json".into(), text: home }];
    let text = r#"{"$id":"http://x/p.json","properties":{"home":{"$ref":"home.json"},"city":{"$ref":"home.json#/$defs/city"}}}"#;
    let schema = Compiled::new(SchemaKind::Json, text, &references).expect("a schema");
    assert!(schema.check(br#"{"home":{"city":"x"},"city":"y"}"#).is_empty());
    assert_eq!(schema.check(br#"{"home":{"city":1},"city":2}"#).len(), 2);
}

fn against(kind: SchemaKind, rule: Compatibility, old: &str, new: &str) -> Vec<String> {
    incompatibilities(rule, &compiled(kind, new), &[(1, Arc::new(compiled(kind, old)))])
}

#[test]
fn json_compatibility_goes_by_direction() {
    let closed = r#"{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}"#;
    let wider =
        r#"{"type":"object","properties":{"a":{"type":"number"},"b":{}},"additionalProperties":false}"#;
    let stricter = r#"{"type":"object","properties":{"a":{"type":"integer","maximum":5}},"required":["a"]}"#;
    let check = |rule, old, new| against(SchemaKind::Json, rule, old, new);
    assert!(check(Compatibility::Backward, closed, wider).is_empty());
    let told = check(Compatibility::Forward, closed, wider);
    assert!(told.iter().any(|why| why.contains("/properties/a: number")), "{told:?}");
    assert!(told.iter().any(|why| why.contains("/properties/b: the field is not accepted")), "{told:?}");
    let told = check(Compatibility::Backward, closed, stricter);
    assert!(told.iter().any(|why| why.contains("the field a is required now")), "{told:?}");
    assert!(told.iter().any(|why| why.contains("maximum")), "{told:?}");
    assert!(check(Compatibility::None, closed, stricter).is_empty());
    assert!(check(Compatibility::Full, closed, closed).is_empty());
    let mixed = incompatibilities(
        Compatibility::Backward,
        &compiled(SchemaKind::Avro, r#""int""#),
        &[(1, Arc::new(compiled(SchemaKind::Json, closed)))],
    );
    assert!(mixed[0].contains("avro schema cannot follow a json schema"), "{mixed:?}");
}

#[test]
fn transitive_rules_look_at_every_version() {
    let (old, middle, new) = (r#"{"type":"string"}"#, r#"{}"#, r#"{"type":"number"}"#);
    let [old, middle] = [old, middle].map(|text| Arc::new(compiled(SchemaKind::Json, text)));
    let new = compiled(SchemaKind::Json, new);
    let earlier = [(2, middle), (1, old)];
    assert!(incompatibilities(Compatibility::Forward, &new, &earlier).is_empty());
    let told = incompatibilities(Compatibility::ForwardTransitive, &new, &earlier);
    assert!(told.len() == 1 && told[0].starts_with("version 1 does not read it"), "{told:?}");
}

const USER: &str = r#"{"type":"record","name":"User","namespace":"a.b","fields":[{"name":"id","type":"long"},
    {"name":"tags","type":{"type":"array","items":"string"}},{"name":"boss","type":["null","User"]}]}"#;

#[test]
fn avro_errors_name_the_place() {
    let schema = compiled(SchemaKind::Avro, USER);
    assert_eq!(schema.record_name(), Some("a.b.User"));
    assert!(schema.check(&[2, 2, 2, b'x', 0, 0]).is_empty());
    assert!(schema.check(&[2, 0, 2, 4, 0, 0]).is_empty(), "with a boss");
    assert_eq!(schema.check(&[2, 2, 2, 0xff, 0, 0]), ["tags[0]: a string is not UTF-8"]);
    assert_eq!(schema.check(&[2, 0, 6]), ["boss: the union has no branch 3"]);
    assert_eq!(schema.check(&[2, 0, 2, 4]), ["boss.tags: the value ends too early"]);
    assert_eq!(schema.check(&[2, 0, 0, 9]), ["1 bytes follow the value"]);
    assert_eq!(schema.check(&[]), ["id: the value ends too early"]);
}

#[test]
fn avro_bombs_are_refused() {
    let itself =
        compiled(SchemaKind::Avro, r#"{"type":"record","name":"N","fields":[{"name":"n","type":"N"}]}"#);
    assert!(itself.check(&[])[0].contains("nested too deeply"));
    let nulls = compiled(SchemaKind::Avro, r#"{"type":"array","items":"null"}"#);
    assert!(
        nulls.check(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0])[0].contains("too many parts")
    );
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(120), "}".repeat(120));
    let deep = Compiled::new(SchemaKind::Avro, &deep, &[]);
    assert!(deep.is_err() || !deep.unwrap().check(&[2; 200]).is_empty());
    assert!(refused(SchemaKind::Avro, "nothing").contains("not JSON"));
    assert!(!refused(SchemaKind::Avro, r#"{"type":"record","name":"N"}"#).is_empty());
}

#[test]
fn avro_compatibility_is_that_of_the_specification() {
    let old = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let added = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"int","default":1}]}"#;
    let bare =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#;
    let check = |rule, old, new| against(SchemaKind::Avro, rule, old, new);
    assert!(check(Compatibility::Backward, old, added).is_empty());
    assert!(!check(Compatibility::Forward, old, added).is_empty(), "a long is no int");
    assert!(!check(Compatibility::Backward, old, bare).is_empty(), "no default");
    assert!(check(Compatibility::Forward, old, bare).is_empty());
}

const ORDER: &str = r#"syntax = "proto3"; package shop; import "google/protobuf/timestamp.proto";
    message Order { string id = 1; repeated int32 counts = 2; Item item = 3; google.protobuf.Timestamp at = 4;
    message Item { double price = 1; } }"#;

#[test]
fn protobuf_errors_name_the_place() {
    let schema = compiled(SchemaKind::Protobuf, ORDER);
    assert_eq!(schema.record_name(), Some("shop.Order"));
    assert!(schema.check(&[10, 1, b'x', 18, 2, 1, 2, 16, 5]).is_empty());
    assert!(schema.check(&[]).is_empty());
    assert!(schema.check(&[0x9a, 6, 1, 0]).is_empty(), "an unknown field");
    assert_eq!(schema.check(&[10, 1, 0xff]), ["id: a string is not UTF-8"]);
    assert_eq!(schema.check(&[26, 2, 9, 0]), ["item.price: the value ends too early"]);
    assert!(schema.check(&[26, 2, 8, 0])[0].starts_with("item.price: "));
    assert!(schema.check(&[0, 0])[0].contains("no field 0"));
    assert!(schema.check_framed(&[0, 10, 1, b'x']).is_empty());
    assert!(schema.check_framed(&[4, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]).is_empty(), "the item");
    assert!(schema.check_framed(&[4, 0, 2])[0].contains("does not have"));
    let two = compiled(
        SchemaKind::Protobuf,
        r#"syntax="proto2"; message M { required int32 a = 1; optional M m = 2; }"#,
    );
    assert_eq!(two.check(&[8, 1, 18, 0]), ["missing required field: m.a"]);
}

#[test]
fn protobuf_text_that_is_none_is_refused() {
    let refused = |text: &str| refused(SchemaKind::Protobuf, text);
    assert!(refused(r#"syntax = "proto3"; message M { string a = ; }"#).contains("expected"));
    let passwd = refused(r#"syntax = "proto3"; import "passwd.proto"; message M {}"#);
    assert!(passwd.contains("passwd"), "{passwd}");
    assert!(refused(r#"syntax = "proto3";"#).contains("no message"));
    assert!(refused(&format!("syntax = \"proto3\"; {} ", "message M {".repeat(100))).contains("levels deep"));
    let other =
        Referred { name: "o.proto".into(), text: r#"syntax = "proto3"; message O { int32 a = 1; }"#.into() };
    let text = r#"syntax = "proto3"; import "o.proto"; message M { O o = 1; }"#;
    let schema = Compiled::new(SchemaKind::Protobuf, text, &[other]).expect("a schema");
    assert_eq!(schema.check(&[10, 1, 8]), ["o.a: the value ends too early"]);
}

#[test]
fn protobuf_compatibility() {
    let file = |fields: &str| format!(r#"syntax = "proto3"; message M {{ {fields} }}"#);
    let check = |rule, old: &str, new: &str| against(SchemaKind::Protobuf, rule, &file(old), &file(new));
    assert!(check(Compatibility::FullTransitive, "int32 a = 1;", "int64 b = 1; string c = 2;").is_empty());
    assert!(check(Compatibility::Backward, "int32 a = 1;", "string a = 1;")[0].contains("type"));
    assert!(check(Compatibility::Backward, "int32 a = 1;", "repeated int32 a = 1;")[0].contains("repeated"));
    assert!(
        check(Compatibility::Backward, "int32 a = 1; int32 b = 2;", "oneof x { int32 a = 1; int32 b = 2; }")
            [0]
        .contains("apart")
    );
    assert!(check(Compatibility::Backward, "} message N {", "")[0].contains("N is missing"));
}

#[test]
fn frames_name_their_schema() {
    assert_eq!(unframe(&frame(7, b"x")), Some((7, &b"x"[..])));
    assert_eq!((unframe(b"\0\0\0\0"), unframe(b"{\"a\":1}")), (None, None));
}

fn kinds() -> impl Strategy<Value = SchemaKind> {
    prop_oneof![Just(SchemaKind::Json), Just(SchemaKind::Avro), Just(SchemaKind::Protobuf)]
}

/// Pieces that schemas are made of, in any order.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("\""),
        Just(":"),
        Just(","),
        Just("\"type\":"),
        Just("\"record\""),
        Just("\"$ref\":\"#\""),
        Just("\"allOf\":"),
        Just("\"fields\":"),
        Just("\"name\":\"N\""),
        Just("\"fixed\""),
        Just("\"size\":-1"),
        Just("syntax = \"proto3\";"),
        Just("message M {"),
        Just("int32 a = 1;"),
        Just("oneof"),
        Just("map<"),
        Just("extend"),
        Just("option"),
        Just("\"pattern\":\"(\""),
        Just("enum E { A = 0; }"),
        Just("99999999999999999999"),
        Just("\u{0}"),
    ];
    prop_oneof![".{0,80}", proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_text_and_no_value_makes_it_panic(kind in kinds(), text in text(), value in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(schema) = Compiled::new(kind, &text, &[]) {
            schema.check(&value);
            schema.check_framed(&value);
            schema.cannot_read(&schema);
        }
    }

    #[test]
    fn values_are_checked_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (kind, text) in [(SchemaKind::Json, PERSON), (SchemaKind::Avro, USER), (SchemaKind::Protobuf, ORDER)] {
            let schema = compiled(kind, text);
            schema.check(&value);
            schema.check_framed(&value);
        }
    }

    /// What the library's own decoder takes to the last byte is taken here too, and its errors are errors here.
    #[test]
    fn avro_values_are_those_of_the_library(value in proptest::collection::vec(0_u8..8, 0..24)) {
        let schema = compiled(SchemaKind::Avro, USER);
        let other = apache_avro::Schema::parse_str(USER).unwrap();
        let mut rest = &value[..];
        let decoded = apache_avro::reader::datum::GenericDatumReader::builder(&other).build().unwrap().read_value(&mut rest);
        if decoded.is_err() {
            prop_assert!(!schema.check(&value).is_empty());
        }
        if schema.check(&value).is_empty() {
            prop_assert!(decoded.is_ok() && rest.is_empty());
        }
    }

    #[test]
    fn protobuf_values_are_those_of_the_library(value in proptest::collection::vec(0_u8..40, 0..24)) {
        let schema = compiled(SchemaKind::Protobuf, ORDER);
        let Inner::Protobuf(inner) = &schema.0 else { unreachable!() };
        let decoded = inner.decodes(&value);
        prop_assert_eq!(schema.check(&value).is_empty(), decoded);
    }
}

#[test]
fn what_avro_cannot_read_is_told_in_words() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#);
    let inner = |kind: &str| {
        let part = format!(r#"{{"type":"record","name":"Part","fields":[{{"name":"n","type":"{kind}"}}]}}"#);
        record(&format!(r#"{{"name":"part","type":{part}}}"#))
    };
    let told = |new: &str, old: &str| against(SchemaKind::Avro, Compatibility::Backward, old, new).join("; ");
    let id = r#"{"name":"id","type":"long"}"#;
    let other = r#"{"name":"to","type":"string"}"#;
    let missing = told(&record(other), &record(id));
    assert!(missing.contains("field to: it was not written"), "{missing}");
    let deep = told(&inner("string"), &inner("long"));
    assert!(deep.contains("field part: field n: ") && deep.len() < 200 && !deep.contains('{'), "{deep}");
    let whole = told(r#""string""#, &record(id));
    assert!(whole.contains("record") && whole.contains("string") && whole.len() < 200, "{whole}");
}
