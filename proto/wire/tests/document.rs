//! `docs/native-protocol.md` says what the code does: every offset, size, op code, bit and the example are compared.

#![allow(clippy::unwrap_used)] // clippy's own exception does not reach the functions beside the tests

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flymq_wire::batch::*;
use flymq_wire::frame::{FrameHeader, FrameParts, LIMIT_BEFORE_LOGIN, MAX_PAYLOAD, Version};
use flymq_wire::v1;
use flymq_wire::v2::*;

const DOCUMENT: &str = include_str!("../../../docs/native-protocol.md");

/// The text under a heading of the third level, up to the next heading.
fn section(heading: &str) -> &'static str {
    let start =
        DOCUMENT.find(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let text = &DOCUMENT[start + 1..];
    let end = ["\n### ", "\n## "].iter().filter_map(|next| text.find(next)).min().unwrap_or(text.len());
    &text[..end]
}

/// The cells of a section's tables, without heads and rulers, code marks taken off.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let lines: Vec<&str> = section(heading).lines().filter(|line| line.starts_with('|')).collect();
    assert!(lines.len() > 2, "no table under {heading}");
    let cells = |line: &'static str| -> Vec<&str> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    lines[2..].iter().map(|line| cells(line)).collect()
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

/// Each field's value stands at the offset of its row, and the rows follow each other without a gap. `fixed` are the
/// fields with a numeric offset and size, in order, as bytes.
fn check_layout(heading: &str, bytes: &[u8], fixed: &[(&str, &[u8])]) {
    let rows: Vec<_> = rows(heading).into_iter().filter(|row| row[1].parse::<usize>().is_ok()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[3]).collect();
    let expected: Vec<&str> = fixed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected, "fields of {heading}");
    let mut end = 0;
    for (row, (name, value)) in rows.iter().zip(fixed) {
        let (at, size) = (number(row[0]) as usize, number(row[1]) as usize);
        assert_eq!(at, end, "{heading}: offset of {name}");
        assert_eq!(size, value.len(), "{heading}: size of {name}");
        assert_eq!(&bytes[at..at + size], *value, "{heading}: {name}");
        end = at + size;
    }
}

/// The body of an encoded version 2 frame.
fn body(parts: FrameParts) -> Bytes {
    parts.into_bytes().slice(12..)
}

#[test]
fn frame() {
    let header = FrameHeader { version: Version::V2, op: 7, flags: 4, len: 0x0102_0304 }.encode();
    let length = 0x0102_0304u32.to_be_bytes();
    let fields: [(&str, &[u8]); 5] =
        [("magic", &[0xaf]), ("version", &[2]), ("op", &[7]), ("flags", &[4]), ("length", &length)];
    check_layout("Frame header", &header, &fields);
    let limits = section("Frame header");
    assert!(limits.contains(&format!("The largest payload is {MAX_PAYLOAD} bytes")));
    assert!(limits.contains(&format!("it is {LIMIT_BEFORE_LOGIN} bytes")));
}

#[test]
fn produce_bodies() {
    let batch = Bytes::from_static(b"batch");
    let request = ProduceBody { acks: Acks::All, partition: 9, timeout_ms: 8, topic: "abc".into(), batch };
    let (nine, eight) = (9u32.to_be_bytes(), 8u32.to_be_bytes());
    let fields: [(&str, &[u8]); 4] =
        [("acks", &[3]), ("reserved", &[0]), ("partition", &nine), ("timeout_ms", &eight)];
    let bytes = body(request.encode(1).unwrap());
    check_layout("PRODUCE request", &bytes, &fields);
    check_tail("PRODUCE request", &bytes, "abc", b"batch");

    let reply = ProduceReply { partition: 9, base_offset: 1, append_time: 2 };
    let (one, two) = (1u64.to_be_bytes(), 2u64.to_be_bytes());
    let fields: [(&str, &[u8]); 3] = [("partition", &nine), ("base_offset", &one), ("append_time", &two)];
    check_layout("PRODUCE reply", &body(reply.encode(1).unwrap()), &fields);
    let codes = rows("PRODUCE request")[0][4];
    assert!(codes.ends_with("0 as the server is configured, 1 none, 2 leader, 3 all"), "{codes}");
    let acks = [Acks::Default, Acks::None, Acks::Leader, Acks::All].map(|acks| acks as u8);
    assert_eq!(acks, [0, 1, 2, 3]);
}

#[test]
fn fetch_bodies() {
    let request = FetchBody {
        partition: 1,
        offset: 2,
        max_bytes: 3,
        min_bytes: 4,
        max_wait_ms: 5,
        isolation: Isolation::ReadUncommitted,
        topic: "abc".into(),
    };
    let small = [1u32, 3, 4, 5].map(u32::to_be_bytes);
    let large = [2u64, 3, 4, 5].map(u64::to_be_bytes);
    let fields: [(&str, &[u8]); 6] = [
        ("partition", &small[0]),
        ("offset", &large[0]),
        ("max_bytes", &small[1]),
        ("min_bytes", &small[2]),
        ("max_wait_ms", &small[3]),
        ("isolation", &[1]),
    ];
    let bytes = body(request.encode(1).unwrap());
    check_layout("FETCH request", &bytes, &fields);
    check_tail("FETCH request", &bytes, "abc", b"");

    let runs = vec![Bytes::from_static(b"run")];
    let reply = FetchReply { high_watermark: 2, log_start: 3, log_end: 4, next_offset: 5, runs };
    let fields: [(&str, &[u8]); 4] = [
        ("high_watermark", &large[0]),
        ("log_start", &large[1]),
        ("log_end", &large[2]),
        ("next_offset", &large[3]),
    ];
    let bytes = body(reply.encode(1).unwrap());
    check_layout("FETCH reply", &bytes, &fields);
    let at = number(rows("FETCH reply").last().unwrap()[0]) as usize;
    assert_eq!(&bytes[at..], b"run");
}

#[test]
fn stream_bodies() {
    let runs = vec![Bytes::from_static(b"run")];
    let push = PushBody { partition: 1, high_watermark: 2, next_offset: 3, topic: "abc".into(), runs };
    let (one, two, three) = (1u32.to_be_bytes(), 2u64.to_be_bytes(), 3u64.to_be_bytes());
    let fields: [(&str, &[u8]); 3] = [("partition", &one), ("high_watermark", &two), ("next_offset", &three)];
    let bytes = body(push.encode(1).unwrap());
    check_layout("Push", &bytes, &fields);
    check_tail("Push", &bytes, "abc", b"run");

    let (five, six) = (5u32.to_be_bytes(), 6u32.to_be_bytes());
    let credit = body(CreditBody { stream: 5, bytes: 6 }.encode(1).unwrap());
    check_layout("CREDIT", &credit, &[("stream", &five), ("bytes", &six)]);
    let cancel = body(CancelBody { stream: 5 }.encode(1).unwrap());
    check_layout("CANCEL", &cancel, &[("stream", &five)]);
}

/// The topic's row, and that of the batches after it ("K + n", n being the topic's length).
fn check_tail(heading: &str, bytes: &[u8], topic: &str, batches: &[u8]) {
    let rows = rows(heading);
    let row = rows.iter().find(|row| row[3] == "topic").unwrap();
    assert_eq!((row[1], row[2]), ("2 + n", "str16"));
    let at = number(row[0]) as usize;
    assert_eq!(bytes[at..at + 2], (topic.len() as u16).to_be_bytes());
    assert_eq!(&bytes[at + 2..at + 2 + topic.len()], topic.as_bytes());
    let end = at + 2 + topic.len();
    assert_eq!(&bytes[end..], batches);
    if let Some(row) = rows.iter().find(|row| row[0].ends_with(" + n")) {
        assert_eq!(number(row[0].trim_end_matches(" + n")) as usize + topic.len(), end, "{heading}: batches");
    }
}

#[test]
fn ops_of_version_2() {
    let named: Vec<(u64, &str)> = rows("Ops").iter().map(|row| (number(row[0]), row[1])).collect();
    let ops = [
        (op::PRODUCE, "PRODUCE"),
        (op::FETCH, "FETCH"),
        (op::HELLO, "HELLO"),
        (op::SUBSCRIBE_STREAM, "SUBSCRIBE_STREAM"),
        (op::CREDIT, "CREDIT"),
        (op::CANCEL, "CANCEL"),
    ];
    assert_eq!(named, ops.map(|(code, name)| (u64::from(code), name)));
    assert_eq!((op::PRODUCE, op::FETCH), (v1::op::PRODUCE, v1::op::FETCH));
    let flags: Vec<(u64, &str)> = rows("Flags").iter().map(|row| (number(row[0]), row[1])).collect();
    let bits =
        [(flag::ERROR, "ERROR"), (flag::MORE, "MORE"), (flag::END, "END"), (flag::PROTOBUF, "PROTOBUF")];
    assert_eq!(flags, bits.map(|(bit, name)| (u64::from(bit), name)));
}

/// The pairs of code and name in a table of three pairs a row.
fn paired(heading: &str) -> Vec<(u64, String)> {
    let mut pairs: Vec<(u64, String)> = rows(heading)
        .iter()
        .flat_map(|row| row.chunks(2).filter(|pair| !pair[0].is_empty()).collect::<Vec<_>>())
        .map(|pair| (number(pair[0]), pair[1].to_owned()))
        .collect();
    pairs.sort();
    pairs
}

#[test]
fn ops_of_version_1() {
    let table: Vec<(u64, String)> =
        v1::op::TABLE.iter().map(|(code, name)| (u64::from(*code), (*name).to_owned())).collect();
    assert_eq!(paired("Op codes of version 1"), table);
}

/// `rpc NAME(` and the `code: N` of its option, of all services.
fn rpcs_of_the_contract() -> Vec<(u64, String)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flymq/v1");
    let mut rpcs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut rpc = None;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("rpc ") {
                rpc = rest.split('(').next();
            } else if let Some(code) = line.strip_prefix("code: ")
                && let Some(name) = rpc.take()
            {
                rpcs.push((number(code), name.to_owned()));
            }
        }
    }
    rpcs.sort();
    rpcs
}

#[test]
fn op_codes_of_the_rpcs() {
    let (document, contract) = (paired("Op codes of the rpcs"), rpcs_of_the_contract());
    assert!(contract.len() > 50, "the contract was found");
    for rpc in &contract {
        assert!(document.contains(rpc), "missing in the document: | 0x{:02X} | {} |", rpc.0, rpc.1);
    }
    for rpc in &document {
        assert!(contract.contains(rpc), "not in the contract: {rpc:?}");
    }
    let native = [op::HELLO, op::CREDIT, op::CANCEL];
    assert!(native.iter().all(|op| contract.iter().all(|(code, _)| *code != u64::from(*op))));
    for code in [op::PRODUCE, op::FETCH, op::SUBSCRIBE_STREAM] {
        assert!(contract.iter().any(|(rpc, _)| *rpc == u64::from(code)));
    }
}

#[test]
fn batch_header() {
    let header = BatchHeader {
        compression: Compression::Zstd,
        flags: BatchFlags::HAS_TTL,
        payload_len: 1,
        payload_crc: 2,
        record_count: 3,
        header_crc: 4,
        first_timestamp: 8,
        max_timestamp: 9,
        producer_id: 10,
        producer_epoch: 11,
        base_sequence: 12,
        server: ServerFields { base_offset: 5, leader_epoch: 6, chain: 7, incarnation: 13, append_time: 14 },
        write_counter: 0,
    };
    let word = |value: u32| value.to_le_bytes();
    let long = |value: u64| value.to_le_bytes();
    let fields: [(&str, &[u8]); 20] = [
        ("magic", b"FQB1"),
        ("version", &[1]),
        ("compression", &[3]),
        ("flags", &[16, 0]),
        ("payload_len", &word(1)),
        ("payload_crc", &word(2)),
        ("record_count", &word(3)),
        ("header_crc", &word(4)),
        ("base_offset", &long(5)),
        ("leader_epoch", &word(6)),
        ("chain", &word(7)),
        ("first_timestamp", &long(8)),
        ("max_timestamp", &long(9)),
        ("producer_id", &long(10)),
        ("producer_epoch", &[11, 0]),
        ("reserved", &[0, 0]),
        ("base_sequence", &word(12)),
        ("incarnation", &long(13)),
        ("append_time", &long(14)),
        ("reserved", &long(0)),
    ];
    let bytes = header.encode();
    check_layout("Batch header", &bytes, &fields);
    let last = rows("Batch header").last().map(|row| number(row[0]) + number(row[1])).unwrap();
    assert_eq!(last as usize, HEADER_LEN);
    check_server_fields(&header);
}

/// The rows marked S are what `encode_stamped` changes, and only they.
fn check_server_fields(header: &BatchHeader) {
    let other = ServerFields {
        base_offset: u64::MAX,
        leader_epoch: u32::MAX,
        chain: u32::MAX,
        incarnation: u64::MAX,
        append_time: -1,
    };
    let (before, after) = (header.encode(), header.encode_stamped(&other));
    for row in rows("Batch header") {
        let (at, size) = (number(row[0]) as usize, number(row[1]) as usize);
        let changed = before[at..at + size] != after[at..at + size];
        assert_eq!(changed, row[4] == "S", "{} is by {}", row[3], row[4]);
    }
}

#[test]
fn batch_bits_and_codes() {
    let flags: Vec<(u64, &str)> = rows("Batch flags").iter().map(|row| (number(row[0]), row[1])).collect();
    let bits = [
        (BatchFlags::TRANSACTIONAL, "TRANSACTIONAL"),
        (BatchFlags::CONTROL, "CONTROL"),
        (BatchFlags::ENCRYPTED, "ENCRYPTED"),
        (BatchFlags::CLIENT_ENCRYPTED, "CLIENT_ENCRYPTED"),
        (BatchFlags::HAS_TTL, "HAS_TTL"),
        (BatchFlags::COMPACTED, "COMPACTED"),
    ];
    assert_eq!(flags, bits.map(|(flag, name)| (u64::from(flag.bits()), name)));
    let compression = rows("Batch header")[2][5];
    for (code, name) in ["none", "gzip", "lz4", "zstd", "snappy"].iter().enumerate() {
        assert!(compression.contains(&format!("{code} {name}")), "{compression}");
        let parsed = Compression::from_code(code as u8).unwrap();
        assert_eq!(format!("{parsed:?}").to_lowercase(), *name);
    }
}

#[test]
fn record_attributes() {
    let bit = |name: &str| {
        let row = rows("Record attributes").into_iter().find(|row| row[1] == name).unwrap();
        number(row[0]) as u8
    };
    let attributes = |new: &NewRecord<'_>, header: bool| {
        let mut builder = BatchBuilder::new();
        builder.push(&NewRecord::default()).unwrap();
        let second = builder.size();
        builder.push_with_headers(new, header.then_some(("name", &b""[..]))).unwrap();
        builder.build().unwrap()[second + 4]
    };
    let plain = NewRecord { value: Some(b""), ..Default::default() };
    assert_eq!(attributes(&plain, false), 0);
    assert_eq!(attributes(&plain, true), bit("HEADERS"));
    assert_eq!(attributes(&NewRecord { key: Some(b""), ..plain }, false), bit("KEY"));
    assert_eq!(attributes(&NewRecord { value: None, ..plain }, false), bit("NULL_VALUE"));
    assert_eq!(attributes(&NewRecord { expires_at: Some(1), ..plain }, false), bit("EXPIRY"));
    assert_eq!(attributes(&NewRecord { timestamp: 1, ..plain }, false), bit("OWN_TIMESTAMP"));
    let mut compacted = BatchBuilder::compacted(1, 0);
    compacted.push_at(0, &plain, []).unwrap();
    assert_eq!(compacted.build().unwrap()[HEADER_LEN + 4], bit("OFFSET_DELTA"));
}

#[test]
fn example() {
    let block = section("Example").split("```hex\n").nth(1).unwrap().split("```").next().unwrap();
    let bytes: Vec<u8> = block.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut builder = BatchBuilder::new();
    let record =
        NewRecord { key: Some(b"k1"), value: Some(b"hello"), timestamp: 1_795_248_000_000, expires_at: None };
    builder.push(&record).unwrap();
    let produce = ProduceBody {
        acks: Acks::All,
        partition: 0,
        timeout_ms: 0,
        topic: "t1".into(),
        batch: builder.build().unwrap(),
    };
    assert_eq!(produce.encode(7).unwrap().into_bytes(), bytes);
    assert!(section("Example").contains("1795248000000 ms"));
}
