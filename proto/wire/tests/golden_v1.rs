//! Frames captured between the original clients and server: every request decodes to the struct that it means and
//! encodes to the same bytes; replies likewise, but for those that we lay out differently on purpose.

#![allow(clippy::unwrap_used)] // clippy's own exception does not reach the functions beside the tests

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use flymq_wire::frame::{Frame, FrameDecoder};
use flymq_wire::v1::*;

const FIXTURE: &str = include_str!("fixtures/wire-v1.hex");
const TXN: &str = "txn-producer-1795248623654183265-1795248623654186021";

/// The frame with this number, its bytes, and whether it is a request.
fn captured(number: usize) -> (Frame, Bytes, bool) {
    let line = FIXTURE.lines().find(|line| line.starts_with(&format!("{number} | "))).unwrap();
    let fields: Vec<&str> = line.split(" | ").collect();
    let hex = fields.last().unwrap();
    let bytes: Bytes =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let mut buf = BytesMut::from(&bytes[..]);
    let frame = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert!(buf.is_empty(), "frame {number} is one frame");
    (frame, bytes, fields[1] == ">")
}

/// The captured request means `expected`, and `expected` is sent as captured.
fn request(number: usize, expected: &Request) {
    let (frame, bytes, is_request) = captured(number);
    assert!(is_request, "frame {number}");
    assert_eq!(Request::from_frame(frame, &InflateLimits::REQUEST).as_ref(), Ok(expected), "frame {number}");
    assert_eq!(expected.encode().unwrap().into_bytes(), bytes, "frame {number}");
}

/// The captured reply to `request_op` means `expected`, and `expected` is sent as captured.
fn reply<T: Layout + PartialEq + Debug>(number: usize, request_op: u8, expected: &T) {
    let (frame, bytes, is_request) = captured(number);
    assert!(!is_request, "frame {number}");
    assert_eq!(read_reply::<T>(request_op, &frame).as_ref(), Ok(expected), "frame {number}");
    assert_eq!(reply_frame(request_op, expected).unwrap().into_bytes(), bytes, "frame {number}");
}

/// The captured error frame of the bare kind means `text`, which we send coded.
fn bare_error(number: usize, text: &str) {
    let (frame, bytes, _) = captured(number);
    let error = ErrorReply::read(&frame.payload);
    assert_eq!((error.code, error.text.as_str()), (None, text), "frame {number}");
    let sent = error.into_frame().into_bytes();
    assert_ne!(sent, bytes, "frame {number} differs on purpose");
    assert_eq!(sent[..8], [0xaf, 1, 0xff, 1, 0, 0, 0, 6 + text.len() as u8]);
    assert_eq!(ErrorReply::read(&sent.slice(8..)), ErrorReply::new(text));
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn bytes(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

#[test]
fn all_captured_frames_are_there() {
    let numbers: Vec<usize> = FIXTURE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(" | ").next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=48).collect::<Vec<_>>());
}

#[test]
fn topics() {
    request(1, &Request::CreateTopic(CreateTopic { topic: text("t1"), partitions: 1 }));
    reply(2, op::CREATE_TOPIC, &Done);
    request(11, &Request::ListTopics(Empty));
    reply(12, op::LIST_TOPICS, &TopicList { topics: vec![text("t1"), text("t3")] });
}

#[test]
fn produce_and_fetch() {
    let produce = |key, value| Produce { topic: text("t1"), key, value, partition: -1 };
    let metadata = |offset, timestamp_ms, key_size, value_size| RecordMetadata {
        topic: text("t1"),
        partition: 0,
        offset,
        timestamp_ms,
        key_size,
        value_size,
    };
    request(3, &Request::Produce(produce(Bytes::new(), bytes(b"hello"))));
    reply(4, op::PRODUCE, &metadata(0, 0x01a1_fd28_0fa4, -1, 5));
    request(5, &Request::Produce(produce(bytes(b"k1"), bytes(b"world"))));
    reply(6, op::PRODUCE, &metadata(1, 0x01a1_fd28_0fad, 2, 5));
    let fetch = Fetch { topic: text("t1"), partition: 0, offset: 0, max: 5, filter: Some(String::new()) };
    request(7, &Request::Fetch(fetch));
    let messages = vec![
        Message { offset: 0, key: Bytes::new(), value: bytes(b"hello") },
        Message { offset: 1, key: bytes(b"k1"), value: bytes(b"world") },
    ];
    reply(8, op::FETCH, &FetchReply { next_offset: 2, messages });
    reply(9, op::FETCH, &FetchReply { next_offset: 99, messages: Vec::new() });
    bare_error(10, "topic not found: nosuch");
    bare_error(44, "EOF");
}

#[test]
fn a_gzip_request_inflates_to_the_same_produce() {
    let (frame, _, _) = captured(47);
    assert_eq!(frame.flags, flag::BINARY | flag::GZIP);
    let request = Request::from_frame(frame, &InflateLimits::REQUEST).unwrap();
    let Request::Produce(produce) = &request else { panic!("{request:?}") };
    assert_eq!((produce.value.len(), produce.partition), (15_000, -1));
    // Compressors differ, so the captured bytes cannot be made again; what goes in must come out.
    let payload = request.encode_payload().unwrap();
    let again = inflate(flag::GZIP, deflate(&payload), &InflateLimits::REQUEST).unwrap();
    assert_eq!(again, payload);
}

#[test]
fn delayed_and_ttl() {
    let value = bytes(b"later");
    request(13, &Request::ProduceDelayed(ProduceDelayed { topic: text("t1"), value, delay_ms: 500 }));
    let value = bytes(b"ephemeral");
    request(14, &Request::ProduceWithTtl(ProduceWithTtl { topic: text("t1"), value, ttl_ms: 300 }));
    let metadata = RecordMetadata {
        topic: text("t1"),
        partition: 0,
        offset: 2,
        timestamp_ms: 0x01a1_fd28_101e,
        key_size: -1,
        value_size: 9,
    };
    reply(15, op::PRODUCE_WITH_TTL, &metadata);
}

#[test]
fn transactions() {
    request(16, &Request::TxnBegin(Empty));
    reply(17, op::TXN_BEGIN, &TxnReply { txn_id: text(TXN), ok: true });
    let produce = TxnProduce { txn_id: text(TXN), topic: text("t1"), value: bytes(b"a1") };
    request(18, &Request::TxnProduce(produce));
    request(19, &Request::TxnCommit(TxnRef { txn_id: text(TXN) }));
    reply(20, op::TXN_COMMIT, &TxnReply { txn_id: text(TXN), ok: true });
}

#[test]
fn schemas() {
    let item = SchemaItem { id: text("s1-v1"), kind: "json".into(), version: 1 };
    reply(21, op::LIST_SCHEMAS, &SchemaList { schemas: vec![item] });
    let validate = ValidateSchema { name: text("s1"), message: bytes(b"{\"x\":1}") };
    request(22, &Request::ValidateSchema(validate));
    let errors = vec![text("missing required field: id")];
    reply(23, op::VALIDATE_SCHEMA, &ValidateReply { valid: false, errors });
    let produce = ProduceWithSchema {
        topic: text("t1"),
        schema: text("s1"),
        value: bytes(b"{\"id\":5}"),
        order: FieldOrder::SchemaFirst,
    };
    request(24, &Request::ProduceWithSchema(produce));
    bare_error(25, "schema validation failed: [missing required field: id]");
    request(26, &Request::DeleteSchema(SchemaRef { name: text("s1"), version: 0 }));
    let info = SchemaInfo {
        id: text("s-v1"),
        name: text("s"),
        version: 1,
        kind: "json".into(),
        definition: bytes(b"{}"),
        compatibility: "backward".into(),
    };
    reply(48, op::GET_SCHEMA, &info);
}

#[test]
fn login() {
    let login = Login { user: text("admin"), password: text("secret123") };
    request(27, &Request::Auth(login));
    let (frame, captured_bytes, _) = captured(28);
    let ok = LoginReply { ok: true, user: text("admin"), roles: vec![text("admin")], error: String::new() };
    assert_eq!(read_reply::<LoginReply>(op::AUTH, &frame).as_ref(), Ok(&ok));
    assert_ne!(reply_frame(op::AUTH, &ok).unwrap().into_bytes(), captured_bytes, "ours suits Java as well");
    reply(29, op::WHOAMI, &LoginReply::default());
}

#[test]
fn users() {
    let spec = UserSpec {
        user: text("bob"),
        password: text("bobpw123"),
        old_password: String::new(),
        roles: vec![text("producer")],
        enabled: Some(true),
    };
    request(30, &Request::UserCreate(spec));
    let created = UserInfo {
        user: text("bob"),
        roles: vec![text("producer")],
        permissions: Vec::new(),
        enabled: true,
        created_s: 0,
        updated_s: 0,
    };
    reply(31, op::USER_CREATE, &created);
    let at = 0x6b01_5226;
    let permissions = vec![text("write")];
    reply(32, op::USER_GET, &UserInfo { permissions, created_s: at, updated_s: at, ..created });
    let (frame, bytes, _) = captured(33);
    let error = ErrorReply::new("user \"nosuch\" not found");
    assert_eq!(read_reply::<UserInfo>(op::USER_GET, &frame), Err(ReplyError::Server(error.clone())));
    assert_eq!(error.into_frame().into_bytes(), bytes);
}

#[test]
fn access_lists() {
    let (users, roles) = (vec![text("bob")], vec![text("consumer")]);
    let topic = || text("pub1");
    let set = AclSet { topic: topic(), public: false, users: users.clone(), roles: roles.clone() };
    request(34, &Request::AclSet(set));
    let info = AclInfo {
        topic: topic(),
        exists: true,
        public: false,
        default_public: false,
        users: users.clone(),
        roles: roles.clone(),
    };
    reply(35, op::ACL_GET, &info);
    let entry = AclEntry { topic: topic(), exists: true, public: false, users, roles };
    reply(36, op::ACL_LIST, &AclList { entries: vec![entry], default_public: true });
}

#[test]
fn audit() {
    request(37, &Request::AuditQuery(AuditQuery { limit: 100, ..Default::default() }));
}

#[test]
fn groups_and_offsets() {
    let (topic, group) = (text("t"), text("g"));
    let subscribe =
        Subscribe { topic: topic.clone(), group: group.clone(), partition: 0, mode: "earliest".into() };
    assert_eq!(subscribe.start(), Some(StartPosition::Earliest));
    request(38, &Request::Subscribe(subscribe));
    reply(39, op::SUBSCRIBE, &OffsetReply { offset: 0 });
    let commit = Commit { topic: topic.clone(), group: group.clone(), partition: 0, offset: 1 };
    request(40, &Request::Commit(commit));
    let reset = ResetOffset {
        topic: topic.clone(),
        group: group.clone(),
        partition: 0,
        mode: "offset".into(),
        offset: Some(1),
    };
    assert_eq!(reset.target(), Some(ResetPosition::Offset(1)));
    request(41, &Request::ResetOffset(reset));
    reply(42, op::GET_LAG, &LagReply::new(1, 2));
    let offsets = vec![PartitionOffset { partition: 0, offset: 1 }];
    reply(43, op::LIST_GROUPS, &GroupList { groups: vec![Group { topic, group, members: 1, offsets }] });
}

#[test]
fn dead_letters() {
    let entry = DlqEntry { id: text("m1"), data: bytes(&[1, 2]), error: text("boom"), retries: 2 };
    reply(45, op::FETCH_DLQ, &DlqList { entries: vec![entry] });
}

#[test]
fn cluster_metadata() {
    let partition = |partition| PartitionInfo {
        partition,
        leader_id: text("node-c"),
        leader_addr: text("127.0.0.1:19292"),
        epoch: 1,
        state: text("online"),
        replicas: vec![text("node-c")],
        isr: vec![text("node-c")],
    };
    let topics = vec![TopicInfo { topic: text("t"), partitions: vec![partition(0), partition(1)] }];
    reply(46, op::CLUSTER_METADATA, &ClusterInfo { cluster_id: text("node-c"), topics });
}
