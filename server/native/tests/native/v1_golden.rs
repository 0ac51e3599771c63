//! The captured frames of the clients in the field, as whole sessions. Dots stand for times and the like.

use super::support::{Broker, Client, error_text};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Sends `request`; the reply must be `expected` but for the dots.
async fn exchange(client: &mut Client, what: &str, request: &str, expected: &str) {
    client.send_raw(&bytes(request)).await;
    let frame = client.frame().await;
    let mut got = format!("af01{:02x}{:02x}{:08x}", frame.op, frame.flags, frame.payload.len());
    frame.payload.iter().for_each(|byte| got.push_str(&format!("{byte:02x}")));
    let got: String = got
        .chars()
        .zip(expected.chars().chain(std::iter::repeat('?')))
        .map(|(g, e)| if e == '.' { '.' } else { g })
        .collect();
    assert_eq!(got, expected, "{what}");
}

const CREATE: &str = "af010301000000080002743100000001";
const CREATED: &str = "af0103010000000101";
const HELLO_0: &str = "af0101010000001500027431000000000000000568656c6c6fffffffff";

#[tokio::test]
async fn go_creates_produces_and_fetches() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let go = &mut client;
    exchange(go, "create", CREATE, CREATED).await;
    exchange(go, "create again", CREATE, CREATED).await;
    let stored = "af0101010000002000027431000000000000000000000000................ffffffff00000005";
    exchange(go, "produce", HELLO_0, stored).await;
    let keyed = "af0101010000001700027431000000026b3100000005776f726c64ffffffff";
    let stored = "af0101010000002000027431000000000000000000000001................0000000200000005";
    exchange(go, "produce with key", keyed, stored).await;
    let fetch = "af0107010000001600027431000000000000000000000000000000050000";
    let two = "af010701000000380000000200000000000000020000000000000000000000000000000568656c6c6f0000000000000001000000026b3100000005776f726c64";
    exchange(go, "fetch", fetch, two).await;
    let past = "af0107010000001600027431000000000000000000000063000000050000";
    exchange(go, "fetch past the end", past, "af0107010000000c000000000000000000000063").await;
    let without_filter = "af0107010000001400027431000000000000000000000001000000ff";
    let one = "af010701000000230000000100000000000000020000000000000001000000026b3100000005776f726c64";
    exchange(go, "fetch of Java 1.26.9", without_filter, one).await;
    let nosuch = "af010701000000190006 6e6f73756368 00000000 0000000000000000 00000005 0000".replace(' ', "");
    let nosuch = nosuch.replace("00000019", "0000001a");
    let coded = "af01ff010000001d000000010017746f706963206e6f7420666f756e643a206e6f73756368";
    exchange(go, "fetch of an unknown topic, coded", &nosuch, coded).await;
}

#[tokio::test]
async fn go_lists_consumes_and_deletes() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let go = &mut client;
    exchange(go, "create t3", "af010301000000080002743300000001", CREATED).await;
    exchange(go, "create t1", CREATE, CREATED).await;
    let names = "af0108010000000c000000020002743100027433";
    exchange(go, "list", "af01080100000000", names).await;
    let consume = "af0102010000001000027431000000000000000000000000";
    let eof = "af01ff0100000009000000010003454f46";
    exchange(go, "consume past the end, coded", consume, eof).await;
    let stored = "af0101010000002000027431000000000000000000000000................ffffffff00000005";
    exchange(go, "produce", HELLO_0, stored).await;
    let hello = "af0102010000000d000000000000000568656c6c6f";
    exchange(go, "consume", consume, hello).await;
    let zero_copy = consume.replacen("af0102", "af010a", 1);
    exchange(go, "consume zero copy", &zero_copy, &hello.replacen("af0102", "af010a", 1)).await;
    let delete = "af010901000000040002 7431".replace(' ', "");
    let deleted = "af0109010000000101";
    exchange(go, "delete", &delete, deleted).await;
    exchange(go, "delete again", &delete, deleted).await;
    exchange(
        go,
        "list",
        "af01080100000000",
        "af0108010000000a0000000100027433".replace("0000000a", "00000008").as_str(),
    )
    .await;
    exchange(go, "whoami", "af01720100000000", "af01720100000009000000000000000000").await;
}

#[tokio::test]
async fn python_reads_as_a_group() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let python = &mut client;
    exchange(python, "create t", "af01030100000007000174 00000001".replace(' ', "").as_str(), CREATED).await;
    for offset in 0..2 {
        let stored = format!(
            "af0101010000001f000174000000000000000000000{offset:03x}................ffffffff00000001"
        );
        exchange(
            python,
            "produce",
            "af010101000000100001740000000000000001 61ffffffff".replace(' ', "").as_str(),
            &stored,
        )
        .await;
    }
    let subscribe = "af0105010000001300017400016700000000086561726c69657374";
    exchange(python, "subscribe", subscribe, "af010501000000080000000000000000").await;
    let commit = "af01060100000012000174000167000000000000000000000001";
    exchange(python, "commit", commit, "af0106010000000101").await;
    let reset = "af0161010000001900017400016700000000066f66667365740000000000000001";
    exchange(python, "reset", reset, "af0161010000000101").await;
    let lag = "af0164010000000a00017400016700000000";
    exchange(
        python,
        "lag",
        lag,
        "af016401000000200000000000000001000000000000000100000000000000020000000000000001",
    )
    .await;
    exchange(python, "offset", &lag.replacen("af0164", "af0160", 1), "af016001000000080000000000000001")
        .await;
    let groups = "af0162010000001e000000010001740001670000000100000001000000000000000000000001";
    exchange(python, "groups", "af01620100000000", groups).await;
}

#[tokio::test]
async fn go_sends_gzip() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let frame = "af0101030000005a1f8b08000000000000ffecc25b0d84301000c03d05a7a569ca076ecaab243840096e1709189864e27f8ed2cbb1d5bdb6a98d3b227e57c4fcf4650500000000000000000000000000804f99996f000000ffff6943f238b63a0000";
    client.send_raw(&bytes(frame)).await;
    let reply = client.frame().await;
    assert_eq!((reply.op, &reply.payload[reply.payload.len() - 4..]), (1, &15_000u32.to_be_bytes()[..]));
}

#[tokio::test]
async fn go_asks_for_what_is_not_built() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let requests = [
        ("user create", "af017301000000200003626f620008626f627077313233000000000001000870726f647563657201"),
        ("acl set", "af0178010000001e00047075623100000000010003626f62000000010008636f6e73756d6572"),
        (
            "audit query",
            "af01800100000024000000000000000000000000000000000000000000000000000000000000006400000000",
        ),
    ];
    for (what, request) in requests {
        client.send_raw(&bytes(request)).await;
        let text = error_text(&client.frame().await);
        assert!(text.contains("not built yet") || text.contains("not implemented"), "{what}: {text}");
    }
    exchange(&mut client, "create", CREATE, CREATED).await;
}

/// Frames 16 to 20, but for the id, which the server makes up; those that are not in the captures, beside them.
#[tokio::test]
async fn go_commits_a_transaction() {
    let broker = Broker::start().await;
    let (mut client, mut reader) = (broker.v1().await, broker.v1().await);
    let go = &mut client;
    exchange(&mut reader, "create", CREATE, CREATED).await;
    let id = begin(go).await;
    let with_id = |op: &str, rest: &str| format!("af01{op}01{:08x}0034{id}{rest}", 54 + rest.len() / 2);
    assert_eq!(with_id("43", "00027431000000026131").len(), 2 * (8 + 0x40), "as long as the captured one");
    let kept = "af0143010000002000027431000000000000000000000000................ffffffff00000002";
    exchange(go, "produce", &with_id("43", "00027431000000026131"), kept).await;
    let fetch = "af0107010000001600027431000000000000000000000000000000050000";
    exchange(&mut reader, "nothing before the commit", fetch, "af0107010000000c000000000000000000000000")
        .await;
    exchange(go, "commit", &with_id("41", ""), &with_id("41", "01")).await;
    exchange(go, "commit again: not known any more", &with_id("41", ""), &with_id("41", "00")).await;
    exchange(go, "roll back: not known", &with_id("42", ""), &with_id("42", "00")).await;
    // The marker of the commit takes an offset of its own.
    let one = "af0107010000001e000000010000000000000002000000000000000000000000000000026131";
    exchange(&mut reader, "read", fetch, one).await;
    go.send_raw(&bytes(&with_id("43", "00027431000000026131"))).await;
    assert!(error_text(&go.frame().await).starts_with("transaction not found: txn-producer-"));
    let id = begin(&mut reader).await;
    let with_id = |op: &str, rest: &str| format!("af01{op}01{:08x}0034{id}{rest}", 54 + rest.len() / 2);
    exchange(go, "produce from another connection", &with_id("43", "00027431000000026131"), kept).await;
    exchange(go, "roll back", &with_id("42", ""), &with_id("42", "01")).await;
    exchange(&mut reader, "commit of what was rolled back", &with_id("41", ""), &with_id("41", "00")).await;
}

/// TXN_BEGIN; the id in the reply, as hexadecimal digits.
async fn begin(client: &mut Client) -> String {
    client.send_raw(&bytes("af01400100000000")).await;
    let frame = client.frame().await;
    assert_eq!((frame.op, frame.flags, frame.payload.len()), (0x40, 1, 0x37));
    assert_eq!((&frame.payload[..2], frame.payload[0x36]), (&[0, 0x34][..], 1));
    frame.payload[2..0x36].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Frames 21 to 26 and 48.
#[tokio::test]
async fn go_uses_schemas() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let go = &mut client;
    exchange(go, "create", CREATE, CREATED).await;
    exchange(
        go,
        "validate without schema",
        "af0113010000000f00027331000000077b2278223a317d",
        "af011301000000050100000000",
    )
    .await;
    let unknown = "af011401000000140002743100027331000000087b226964223a357d";
    go.send_raw(&bytes(unknown)).await;
    assert_eq!(error_text(&go.frame().await), "no schema found for topic: s1");
    let text = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}"#;
    let register = |kind: &str, name: &str, text: &str| {
        let mut body = frame_text(name, 2) + &frame_text(kind, 1);
        body += &frame_text(text, 4);
        format!("af011001{:08x}{body}", body.len() / 2)
    };
    exchange(go, "register", &register("json", "s1", text), "af0110010000000d00027331046a736f6e00000001")
        .await;
    let listed = "af0112010000001400000001000573312d7631046a736f6e00000001";
    exchange(go, "list", "af01120100000000", listed).await;
    exchange(go, "list of one", "af0112010000000400027331", listed).await;
    let invalid = "af011301000000210000000001001a6d697373696e67207265717569726564206669656c643a206964";
    exchange(go, "validate", "af0113010000000f00027331000000077b2278223a317d", invalid).await;
    go.send_raw(&bytes("af011401000000130002743100027331000000077b2278223a317d")).await;
    assert_eq!(error_text(&go.frame().await), "schema validation failed: [missing required field: id]");
    // {"id":"5"}, in the order of Go, and in that of Python and Java.
    let stored =
        |offset: u8| format!("af011401000000200002743100000000{offset:016x}................ffffffff0000000a");
    exchange(go, "produce", "af0114010000001600027431000273310000000a7b226964223a2235227d", &stored(0)).await;
    exchange(go, "produce", "af01140100000016000274310000000a7b226964223a2235227d00027331", &stored(1)).await;
    exchange(
        go,
        "register an empty one",
        &register("json", "s", "{}"),
        "af0110010000000c000173046a736f6e00000001",
    )
    .await;
    let got = "af011101000000210004732d763100017300000001046a736f6e000000027b7d086261636b77617264";
    exchange(go, "get", "af0111010000000700017300000000", got).await;
    go.send_raw(&bytes(&register("xml", "s", "{}"))).await;
    assert_eq!(error_text(&go.frame().await), "unsupported schema type: xml");
    exchange(go, "delete all", "af011501000000080002733100000000", "af011501000000050100024f4b").await;
    go.send_raw(&bytes("af011101000000080002733100000001")).await;
    assert_eq!(error_text(&go.frame().await), "schema not found: s1 v1");
}

/// A text behind its length in so many bytes, as hexadecimal digits.
fn frame_text(text: &str, width: usize) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{:0width$x}{digits}", text.len(), width = 2 * width)
}

#[tokio::test]
async fn go_produces_with_time_to_live() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let ephemeral = "af013501000000190002743100000009657068656d6572616c000000000000012c";
    let stored = "af0135010000002000027431000000000000000000000000................ffffffff00000009";
    exchange(&mut client, "create", CREATE, CREATED).await;
    exchange(&mut client, "ttl", ephemeral, stored).await;
}

/// Where it will be is not known yet: 0 and 0.
#[tokio::test]
async fn go_produces_delayed() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    exchange(&mut client, "create", CREATE, CREATED).await;
    let later = "af0130010000001500027431000000056c6174657200000000000001f4";
    let kept = "af0130010000002000027431000000000000000000000000................ffffffff00000005";
    exchange(&mut client, "delayed", later, kept).await;
    // A week and a second.
    let too_late = "af0130010000001500027431000000056c6174657200000000240c87e8";
    client.send_raw(&bytes(too_late)).await;
    let text = error_text(&client.frame().await);
    assert_eq!(text, "delay 168h0m1s exceeds maximum allowed delay 168h0m0s");
}

#[tokio::test]
async fn go_logs_in_where_nobody_has_to() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let auth = "af01700100000012000561646d696e0009736563726574313233";
    // Both kinds of reader see the user, no roles, and no error or permissions.
    let reply = "af0171010000001001000561646d696e0000000000000000";
    exchange(&mut client, "auth", auth, reply).await;
}

#[tokio::test]
async fn go_looks_for_leaders() {
    let broker = Broker::named("node-c", "127.0.0.1:19292").await;
    let mut client = broker.v1().await;
    exchange(&mut client, "create t", "af010301000000070001 7400000002".replace(' ', "").as_str(), CREATED)
        .await;
    let epoch = "................";
    let partition = |n: u8| {
        format!(
            "0000000{n}00066e6f64652d63000f3132372e302e302e313a3139323932{epoch}00066f6e6c696e650000000100066e6f64652d630000000100066e6f64652d63"
        )
    };
    let reply = format!(
        "af0153010000009d00066e6f64652d6300000001000174000000{:02x}{}{}",
        2,
        partition(0),
        partition(1)
    );
    exchange(&mut client, "cluster metadata", "af01530100000003000174", &reply).await;
    exchange(&mut client, "of all topics", "af01530100000000", &reply).await;
}
