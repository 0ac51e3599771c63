use bytes::Bytes;

use super::*;

fn decode<T: Layout>(body: &[u8]) -> Result<T, DecodeError> {
    Reader::new(Bytes::copy_from_slice(body)).get()
}

fn encode<T: Layout>(value: &T) -> Bytes {
    let mut writer = Writer::default();
    writer.put(value);
    writer.into_payload().unwrap()
}

#[test]
fn op_codes_are_unique_and_only_unserved_ones_do_not_decode() {
    let mut codes: Vec<u8> = op::TABLE.iter().map(|(code, _)| *code).collect();
    assert!(codes.is_sorted());
    codes.dedup();
    assert_eq!(codes.len(), op::TABLE.len());
    let unserved: Vec<&str> = op::TABLE
        .iter()
        .filter(|(code, _)| Request::decode(*code, Bytes::new()) == Err(DecodeError::UnknownOp(*code)))
        .map(|(_, name)| *name)
        .collect();
    let expected = [
        "METADATA",
        "CANCEL_DELAYED",
        "CLUSTER_JOIN",
        "CLUSTER_LEAVE",
        "CLUSTER_STATUS",
        "SEEK_TO_TIMESTAMP",
        "AUTH_RESPONSE",
        "ERROR",
    ];
    assert_eq!(unserved, expected);
    assert_eq!(DecodeError::UnknownOp(0x66).to_string(), "unknown opcode: 102");
}

#[test]
fn bytes_after_the_last_field_are_ignored() {
    let plain = Request::decode(op::CREATE_TOPIC, Bytes::from_static(b"\0\x01t\0\0\0\x02")).unwrap();
    let longer = Request::decode(op::CREATE_TOPIC, Bytes::from_static(b"\0\x01t\0\0\0\x02more")).unwrap();
    assert_eq!(plain, longer);
    let spec = decode::<UserSpec>(b"\0\x01u\0\0\0\0\0\0\0\0\x01more").unwrap();
    assert_eq!(spec.enabled, Some(true));
}

#[test]
fn optional_last_fields_may_be_missing() {
    let java = decode::<Fetch>(b"\0\x01t\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff").unwrap();
    assert_eq!((java.filter(), java.max_records()), (None, DEFAULT_FETCH_MAX));
    let go = decode::<Fetch>(b"\0\x01t\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\x01x").unwrap();
    assert_eq!((go.filter(), go.max_records()), (Some("x"), 7));
    assert_eq!(decode::<ListSchemas>(b"").unwrap().name, None);
    assert_eq!(decode::<ClusterMetadata>(b"\0\0").unwrap().topic, Some(String::new()));
}

#[test]
fn produce_with_schema_is_understood_in_both_orders() {
    for order in [FieldOrder::SchemaFirst, FieldOrder::ValueFirst] {
        for value in [&b"{\"id\":5}"[..], b""] {
            let value = Bytes::from_static(value);
            let request = ProduceWithSchema { topic: "t1".into(), schema: "s1".into(), value, order };
            assert_eq!(decode(&encode(&request)), Ok(request));
        }
    }
    let with_rest = decode::<ProduceWithSchema>(b"\0\x01t\0\x01s\0\0\0\x01v!").unwrap();
    assert_eq!((with_rest.schema.as_str(), &with_rest.value[..]), ("s", &b"v"[..]));
    assert_eq!(decode::<ProduceWithSchema>(b"\0\x01t\xff"), Err(DecodeError::Truncated));
}

#[test]
fn replay_is_understood_by_id_and_by_offset() {
    let by_offset = decode::<ReplayDlq>(b"\0\x01t\0\0\0\0\0\0\0\x05").unwrap();
    assert_eq!(by_offset.target, ReplayTarget::Offset(5));
    let by_id = decode::<ReplayDlq>(b"\0\x01t\0\x06abcdef").unwrap();
    assert_eq!(by_id.target, ReplayTarget::Id("abcdef".into()));
    let longer_id = decode::<ReplayDlq>(b"\0\x01t\0\x07abcdefg").unwrap();
    assert_eq!(longer_id.target, ReplayTarget::Id("abcdefg".into()));
    for request in [&by_offset, &by_id, &longer_id] {
        assert_eq!(decode(&encode(request)).as_ref(), Ok(request));
    }
    let done = by_offset.reply(true, "").into_frame().unwrap().into_bytes();
    assert_eq!(done[8..], [1, 0, 0, 0, 0]);
    let refused = by_id.reply(false, "message not found").into_frame().unwrap().into_bytes();
    assert_eq!(refused[8..], b"\0\0\x11message not found"[..]);
}

#[test]
fn a_group_is_named_with_or_without_topic() {
    let java = decode::<GroupRef>(b"\0\x01g").unwrap();
    assert_eq!(java, GroupRef::GroupOnly { group: "g".into() });
    let go = decode::<GroupRef>(b"\0\0\0\x01g").unwrap();
    assert_eq!(go, GroupRef::Named { topic: String::new(), group: "g".into() });
    assert_eq!((encode(&java), encode(&go)), (Bytes::from("\0\x01g"), Bytes::from("\0\0\0\x01g")));
}

#[test]
fn reset_carries_an_offset_in_mode_offset_or_from_java() {
    let with = |mode: &str, tail: &[u8]| {
        let head = [b"\0\x01t\0\x01g\0\0\0\0", &[mode.len() as u8][..], mode.as_bytes(), tail].concat();
        decode::<ResetOffset>(&head)
    };
    let java = with("earliest", &7u64.to_be_bytes()).unwrap();
    assert_eq!((java.offset, java.target()), (Some(7), Some(ResetPosition::Earliest)));
    assert_eq!(with("latest", b"").unwrap().target(), Some(ResetPosition::Latest));
    assert_eq!(with("latest", b"abc").unwrap().offset, None);
    assert_eq!(with("offset", b"abc"), Err(DecodeError::Truncated));
    assert_eq!(with("newest", b"").unwrap().target(), None);
}

#[test]
fn subscribe_modes() {
    let start = |mode: &str| Subscribe { mode: mode.into(), ..Default::default() }.start();
    assert_eq!(start("earliest"), Some(StartPosition::Earliest));
    assert_eq!((start("latest"), start("")), (Some(StartPosition::Latest), Some(StartPosition::Latest)));
    assert_eq!((start("commit"), start("committed")), (start("commit"), Some(StartPosition::Committed)));
    assert_eq!(start("Earliest"), None);
}

/// The login reply as Java reads it: roles and permissions as str16.
fn read_as_java(body: Bytes) -> (bool, String, Vec<String>, Vec<String>) {
    let mut reader = Reader::new(body);
    (reader.get().unwrap(), reader.get().unwrap(), reader.get().unwrap(), reader.get().unwrap())
}

#[test]
fn the_login_reply_suits_every_client() {
    let reply = LoginReply {
        ok: true,
        user: "ann".into(),
        roles: vec!["admin".into(), "producer".into()],
        error: String::new(),
    };
    let body = encode(&reply);
    assert_eq!(decode(&body), Ok(reply));
    let (ok, user, roles, permissions) = read_as_java(body);
    assert_eq!((ok, user.as_str()), (true, "ann"));
    assert_eq!(roles, ["admin", "producer", "", ""]);
    assert_eq!(permissions, [""; 0]);

    let refused = LoginReply { error: "invalid username or password".into(), ..Default::default() };
    assert_eq!(decode(&encode(&refused)), Ok(refused.clone()));
    assert_eq!(encode(&LoginReply::default()), Bytes::from_static(&[0; 9]));
}

#[test]
fn errors_are_read_in_every_shape() {
    let read = |body: &'static [u8]| ErrorReply::read(&Bytes::from_static(body));
    assert_eq!(read(b"\0\0\0\x01\0\x02no"), ErrorReply::new("no"));
    assert_eq!(read(b"EOF"), ErrorReply { code: None, text: "EOF".into() });
    assert_eq!(read(b"topic not found").text, "topic not found");
    assert_eq!(read(b"").text, "");
    assert_eq!(
        ErrorReply::not_leader("n2", "10.0.0.2:9092").text,
        "not leader: leader_id=n2 leader_addr=10.0.0.2:9092"
    );
}

#[test]
fn a_long_error_text_is_cut_between_characters() {
    let frame = ErrorReply::new("ä".repeat(40_000)).into_frame().into_bytes();
    let text = ErrorReply::read(&frame.slice(8..)).text;
    assert_eq!(text.len(), 65_534);
    assert!(text.chars().all(|c| c == 'ä'));
}

#[test]
fn replies_of_another_op_are_refused() {
    let frame = |op| crate::frame::Frame {
        version: crate::frame::Version::V1,
        op,
        flags: 1,
        payload: Bytes::from_static(b"\x01"),
    };
    assert_eq!(read_reply::<Done>(op::COMMIT, &frame(op::COMMIT)), Ok(Done));
    let wrong = ReplyError::WrongOp { expected: op::AUTH_RESPONSE, found: op::AUTH };
    assert_eq!(read_reply::<Done>(op::AUTH, &frame(op::AUTH)), Err(wrong));
}

#[test]
fn inflation_is_bounded_by_size_and_ratio() {
    let limits = InflateLimits { max_len: 1 << 20, max_ratio: 100, free_len: 1 << 10 };
    let zeros = |len: usize| deflate(&vec![0; len]);
    assert_eq!(inflate(flag::GZIP, zeros(1024), &limits).unwrap().len(), 1024);
    let bomb = zeros(1 << 20);
    let limit = bomb.len() * 100;
    assert_eq!(inflate(flag::GZIP, bomb, &limits), Err(InflateError::TooLarge { limit }));
    let big = zeros(8 << 20);
    let by_size = InflateLimits { max_ratio: usize::MAX, ..limits };
    assert_eq!(inflate(flag::GZIP, big, &by_size), Err(InflateError::TooLarge { limit: 1 << 20 }));
}

#[test]
fn only_the_gzip_bit_means_compressed() {
    let limits = InflateLimits::REQUEST;
    let plain = Bytes::from_static(b"plain");
    for flags in [0x00, 0x01, 0x04, 0x05, 0x08, 0x09] {
        assert_eq!(inflate(flags, plain.clone(), &limits), Ok(plain.clone()), "flags {flags:#x}");
    }
    for flags in [0x02, 0x03, 0x06] {
        assert_eq!(inflate(flags, plain.clone(), &limits), Err(InflateError::Invalid), "flags {flags:#x}");
    }
    let whole = deflate(b"payload");
    let mut damaged = whole.to_vec();
    damaged[12] ^= 0xff;
    assert_eq!(inflate(flag::GZIP, damaged.into(), &limits), Err(InflateError::Invalid));
    // What is cut may end with bytes that pass for any length, too large ones as well.
    let cut = whole.slice(..whole.len() - 5);
    assert!(inflate(flag::GZIP, cut, &limits).is_err());
}

#[test]
fn the_java_audit_layout_differs_where_it_should() {
    let event = AuditEvent {
        id: "1".into(),
        node_id: "n".into(),
        details: vec![AuditDetail { key: "k".into(), value: "v".into() }],
        ..Default::default()
    };
    let page = AuditPage { events: vec![Framed(event.clone())], total: 1, more: false };
    assert_eq!(decode(&encode(&page)), Ok(page));
    let java = JavaAuditPage { total: 1, more: false, events: vec![event.into()] };
    let body = encode(&java);
    assert!(body.ends_with(b"\0\x01\0\x01k\0\x01v\0\x01n"));
    assert_eq!(decode(&body), Ok(java));
    let query = Request::JavaAuditQuery(JavaAuditQuery::default()).encode().unwrap().into_bytes();
    assert_eq!(query[..8], [0xaf, 1, 0xa0, 0, 0, 0, 0, 34]);
}

#[test]
fn a_count_is_not_believed() {
    let huge = b"\xff\xff\xff\xff\0\0";
    assert_eq!(decode::<TopicList>(huge), Err(DecodeError::Truncated));
    let many = [&(1_100_000u32).to_be_bytes()[..], &vec![0; 2_200_000]].concat();
    assert_eq!(decode::<TopicList>(&many), Err(DecodeError::BadValue("list: too many items")));
}

#[test]
fn text_must_be_utf8_and_fit() {
    assert_eq!(decode::<TopicRef>(b"\0\x01\xff"), Err(DecodeError::InvalidUtf8));
    let long = Request::DeleteTopic(TopicRef { topic: "t".repeat(65_536) });
    assert_eq!(long.encode().err(), Some(EncodeError::FieldTooLong { len: 65_536, max: 65_535 }));
    let role = LoginReply { ok: true, roles: vec!["r".repeat(256)], ..Default::default() };
    assert_eq!(reply_frame(op::AUTH, &role).err(), Some(EncodeError::FieldTooLong { len: 256, max: 255 }));
}
