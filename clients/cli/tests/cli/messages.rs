//! produce, consume, subscribe.

use crate::broker::{Broker, err, out, run};

#[test]
fn a_message_comes_back_with_its_key() {
    let broker = Broker::start();
    let stored = broker.ok(&["produce", "orders", r#"{"id": 1}"#, "--key", "user-123", "--acks", "leader"]);
    assert_eq!(stored, "orders partition 0 offset 0\n");
    assert_eq!(broker.ok(&["consume", "orders", "--show-key"]), "[0] key=user-123: {\"id\": 1}\n");
    assert_eq!(broker.ok(&["consume", "orders"]), "{\"id\": 1}\n");
    broker.ok(&["produce", "orders", "plain"]);
    assert_eq!(broker.ok(&["consume", "orders", "--offset", "1", "--show-key"]), "[1] key=null: plain\n");
}

#[test]
fn lines_come_from_standard_input_or_a_file() {
    let broker = Broker::start();
    let piped = run(broker.command(&["produce", "t"]), "one\ntwo\n\nthree");
    assert_eq!((out(&piped).as_str(), piped.status.code()), ("stored 3 messages in t\n", Some(0)));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lines");
    std::fs::write(&file, "four\r\nfive\n").expect("written");
    let path = file.to_str().expect("text");
    assert_eq!(broker.ok(&["produce", "t", "--file", path]), "stored 2 messages in t\n");
    assert_eq!(broker.ok(&["consume", "t"]), "one\ntwo\nthree\nfour\nfive\n");
    assert_eq!(broker.ok(&["consume", "t", "-n", "2"]), "one\ntwo\n");
    assert!(broker.fails(&["produce", "t", "--file", "/no/such/file"], 1).contains("/no/such/file"));
}

#[test]
fn a_filter_shows_what_matches() {
    let broker = Broker::start();
    for (key, value) in
        [("a", r#"{"total":5}"#), ("b", "an ERROR"), ("c", r#"{"total":500}"#), ("d", "an error")]
    {
        broker.ok(&["produce", "pay", value, "--key", key]);
    }
    let consumed = |filter: &str| broker.ok(&["consume", "pay", "--show-key", "--filter", filter]);
    assert_eq!(consumed("error"), "[1] key=b: an ERROR\n[3] key=d: an error\n");
    assert_eq!(consumed("^an E"), "[1] key=b: an ERROR\n");
    assert_eq!(consumed("$.total"), "[0] key=a: {\"total\":5}\n[2] key=c: {\"total\":500}\n");
    assert_eq!(consumed("cel:value.total > 100"), "[2] key=c: {\"total\":500}\n");
    assert_eq!(consumed("cel:false"), "");
    let subscribed =
        ["subscribe", "pay", "--from", "earliest", "-n", "1", "--filter", "cel:key > 'b' && value.total > 1"];
    assert_eq!(broker.ok(&subscribed), "{\"total\":500}\n");
    for topic in ["shop/eu", "shop/us/east"] {
        broker.ok(&["produce", topic, topic]);
    }
    let matched = broker.ok(&["subscribe", "shop/#", "--from", "earliest", "-n", "2"]);
    assert!(matched.contains("shop/eu\n") && matched.contains("shop/us/east\n"), "{matched}");
    let refused = broker.fails(&["subscribe", "#/shop", "-n", "1"], 2);
    assert!(refused.contains("no pattern"), "{refused}");
    for command in ["consume", "subscribe"] {
        let refused = broker.fails(&[command, "pay", "--filter", "cel:vale.total > 1"], 1);
        assert!(refused.contains("column 1") && refused.contains("no variable"), "{refused}");
        assert!(refused.contains("docs/filters.md"), "{refused}");
    }
}

#[test]
fn a_file_of_lines_takes_less_room_compressed() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let lines: String =
        (0..3_000).map(|n| format!("{{\"id\":{n},\"city\":\"Chicago\",\"country\":\"USA\"}}\n")).collect();
    let file = dir.path().join("lines.jsonl");
    std::fs::write(&file, &lines).expect("written");
    let path = file.to_str().expect("text");
    let stored = |topic: &str| -> u64 {
        let described = &broker.json(&["topic", "describe", topic])[0];
        described["topic"]["partitions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|p| p["bytes"].as_u64())
            .sum()
    };
    broker.ok(&["produce", "none", "--file", path]);
    for codec in ["gzip", "lz4", "zstd", "snappy"] {
        broker.ok(&["produce", codec, "--file", path, "--compression", codec, "--compression-level", "3"]);
        assert_eq!(broker.ok(&["consume", codec, "-n", "3000"]), lines, "{codec}");
        let (packed, plain) = (stored(codec), stored("none"));
        assert!(packed * 4 < plain, "{codec}: {packed} of {plain} bytes");
    }
    assert_eq!(
        broker.ok(&["produce", "zstd", "one", "--compression", "zstd"]),
        "zstd partition 0 offset 3000\n"
    );
    assert!(broker.fails(&["produce", "t", "x", "--compression", "brotli"], 2).contains("snappy"));
}

#[test]
fn keys_headers_and_encodings() {
    let broker = Broker::start();
    broker.ok(&["produce", "t", r#"{"user": "ann", "n": 1}"#, "--key-field", "user", "--encoder", "json"]);
    broker.ok(&["produce", "t", "0x6869", "--encoder", "binary", "--header", "trace=a=b", "--header", "x="]);
    let read = broker.json(&["consume", "t"]);
    assert_eq!(read[0]["key"], "ann");
    assert_eq!((&read[1]["value"], &read[1]["headers"]["trace"]), (&"hi".into(), &"a=b".into()));
    assert_eq!(read[1]["headers"]["x"], "");
    for (args, says) in [
        (&["produce", "t", "x", "--encoder", "json"][..], "no JSON"),
        (&["produce", "t", "0xzz", "--encoder", "binary"], "hex"),
        (&["produce", "t", "x", "--encoder", "yaml"], "possible values"),
        (&["produce", "t", "x", "--header", "bad"], "NAME=VALUE"),
        (&["produce", "t", "x", "--key-field", "k"], "--key-field"),
        (&["produce", "t", "{}", "--key-field", "k"], "no field"),
    ] {
        let error = broker.fails(args, 2);
        assert!(error.contains(says), "{args:?}: {error}");
    }
    let lines = run(broker.command(&["produce", "t", "--encoder", "json"]), "1\noops\n");
    assert_eq!(lines.status.code(), Some(2));
    assert!(err(&lines).contains("line 2"), "{}", err(&lines));
}

#[test]
fn a_tail_is_the_last_messages_of_each_partition() {
    let broker = Broker::start();
    broker.ok(&["create", "t", "-p", "2", "--index", "dense"]);
    for partition in ["0", "1"] {
        let lines: String = (0..9).map(|i| format!("{partition}-{i}\n")).collect();
        run(broker.command(&["produce", "t", "--partition", partition]), &lines);
    }
    assert_eq!(broker.ok(&["consume", "t", "--tail", "2"]), "0-7\n0-8\n1-7\n1-8\n");
    assert_eq!(broker.ok(&["consume", "t", "--tail", "1", "-p", "1"]), "1-8\n");
    assert_eq!(broker.ok(&["consume", "t", "--tail", "0"]), "");
    assert_eq!(broker.ok(&["consume", "t", "--tail", "99", "-p", "0"]).lines().count(), 9);
    assert!(broker.fails(&["consume", "t", "--tail", "1", "--offset", "1"], 2).contains("--offset"));
}

#[test]
fn subscribe_reads_a_count_and_commits() {
    let broker = Broker::start();
    for value in ["a", "b", "c"] {
        broker.ok(&["produce", "t", value]);
    }
    let subscribe = |group: &str, count: &str| {
        broker.ok(&["subscribe", "t", "--from", "earliest", "--group", group, "-n", count])
    };
    assert_eq!(subscribe("g", "2"), "a\nb\n");
    assert_eq!(broker.committed("g", "t"), Some(2));
    assert_eq!(subscribe("g", "1"), "c\n", "it goes on where it stopped");
    assert_eq!(
        broker.ok(&["subscribe", "t", "--from", "earliest", "-n", "1", "--show-key"]),
        "[0] key=null: a\n"
    );
    assert!(broker.fails(&["subscribe", "t", "--from", "commit"], 2).contains("--group"));
}
