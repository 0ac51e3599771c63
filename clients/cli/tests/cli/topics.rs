//! create, topics, info, delete, in both spellings.

use crate::broker::Broker;

#[test]
fn a_topic_lives_and_dies_in_both_spellings() {
    let broker = Broker::start();
    assert_eq!(broker.ok(&["topics"]), "no topics yet; create one: flymq-cli create <topic>\n");
    assert_eq!(broker.ok(&["create", "a", "--partitions", "3"]), "created topic a with 3 partitions\n");
    assert_eq!(broker.ok(&["topic", "create", "b", "-p", "1"]), "created topic b with 1 partition\n");
    for list in [broker.ok(&["topics"]), broker.ok(&["topic", "list"])] {
        let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["TOPIC", "a", "b"]);
    }
    for info in [broker.ok(&["info", "a"]), broker.ok(&["topic", "info", "a"])] {
        assert!(info.contains("Topic:       a\n") && info.contains("Partitions:  3\n"), "{info}");
    }
    assert_eq!(broker.ok(&["delete", "a"]), "deleted topic a\n");
    assert_eq!(broker.ok(&["topic", "delete", "b"]), "deleted topic b\n");
    assert!(broker.fails(&["info", "a"], 1).contains("topic not found: a"));
}

#[test]
fn an_index_is_chosen_shown_and_refused() {
    let broker = Broker::start();
    broker.ok(&[
        "create",
        "a",
        "--index",
        "time",
        "--index-interval-bytes",
        "8192",
        "--index-header",
        "order-id",
    ]);
    let info = broker.ok(&["topic", "describe", "a"]);
    assert!(info.contains("Index:       time, every 8.00 KiB, headers order-id\n"), "{info}");
    let refused = broker.fails(&["create", "b", "--index", "dense", "--index-interval-bytes", "8192"], 2);
    assert!(refused.contains("leave interval_bytes out"), "{refused}");
    let refused = broker.fails(&["create", "b", "--index-interval-bytes", "5"], 2);
    assert!(refused.contains("must be 512 to 16777216, not 5"), "{refused}");
}

#[test]
fn messages_are_found_by_an_indexed_header() {
    let broker = Broker::start();
    broker.ok(&["create", "t", "--index-header", "order"]);
    for order in ["7", "8", "7"] {
        broker.ok(&[
            "produce",
            "t",
            "x",
            "--header",
            &format!("order={order}"),
            "--header",
            "a=7",
            "--acks",
            "all",
        ]);
    }
    let found = broker.json(&["index", "find", "t", "--header", "order=7"]);
    let offsets: Vec<_> = found.iter().map(|line| line["offset"].as_u64()).collect();
    assert_eq!(offsets, [Some(0), Some(2)]);
    assert_eq!(broker.ok(&["index", "find", "t", "--header", "order=9"]), "no message has it\n");
    let refused = broker.fails(&["index", "find", "t", "--header", "a=7"], 2);
    assert!(refused.contains("not indexed in topic t") && refused.contains("now: order"), "{refused}");
}

#[test]
fn partition_health_is_a_table() {
    let broker = Broker::start();
    broker.ok(&["produce", "a", "x", "--acks", "all"]);
    let table = broker.ok(&["partition", "health"]);
    let row: Vec<&str> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..6], ["a", "0", "0", "1", "1", "1"], "{table}");
    assert!(table.contains("online") && table.contains("good"), "{table}");
    assert_eq!(broker.ok(&["partition", "health", "a", "--unwell"]), "every partition is well\n");
}

#[test]
fn json_is_for_machines() {
    let broker = Broker::start();
    assert_eq!(broker.json(&["create", "a", "-p", "2"])[0]["partitions"], 2);
    assert_eq!(broker.json(&["topics"])[0]["topics"][0]["name"], "a");
    let info = &broker.json(&["info", "a"])[0];
    assert_eq!(info["topic"]["partitions"].as_array().map(Vec::len), Some(2), "{info}");
    assert_eq!(broker.json(&["delete", "a"])[0]["deleted"], true);
}

#[test]
fn old_records_can_be_deleted() {
    let broker = Broker::start();
    for value in ["a", "b", "c"] {
        broker.ok(&["produce", "t", value]);
    }
    let gone = broker.ok(&["topic", "delete-records", "t", "--before", "2"]);
    assert_eq!(gone, "t partition 0 begins at offset 2\n");
    assert!(broker.ok(&["consume", "t", "--count", "1"]).contains('c'));
    assert!(broker.fails(&["topic", "delete-records", "t", "--before", "4"], 1).contains("out of range"));
    assert!(
        broker
            .fails(&["topic", "delete-records", "t", "--before", "x"], 2)
            .contains("use an offset or latest")
    );
    let all = broker.json(&["topic", "delete-records", "t", "--before", "latest"]);
    assert_eq!(all[0]["low_watermark"], 3);
    assert!(broker.ok(&["produce", "t", "d"]).contains('3'));
}

#[test]
fn what_becomes_of_failures_is_said_for_a_topic_and_a_group() {
    let broker = Broker::start();
    broker.ok(&["create", "pay"]);
    assert!(broker.ok(&["info", "pay"]).contains("Failures:    after 3 retries to pay.dlq\n"));
    let set = broker.ok(&[
        "dlq",
        "policy",
        "pay",
        "--max-retries",
        "7",
        "--backoff-factor",
        "1.5",
        "--to",
        "graves",
    ]);
    assert!(set.starts_with("Dead letters of pay go to graves.\n"), "{set}");
    broker.ok(&["dlq", "policy", "pay", "--group", "fast", "--retry-delay-ms", "50"]);
    let shown = broker.ok(&["dlq", "policy", "pay"]);
    let rows: Vec<Vec<&str>> = shown.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][2..], ["true", "7", "1000", "ms", "1.5", "600000", "ms"], "{shown}");
    assert_eq!(rows[1], ["fast", "-", "-", "50", "ms", "-", "-"], "{shown}");
    assert!(broker.ok(&["info", "pay"]).contains("Failures:    after 7 retries to graves\n"));
    let json = broker.ok(&["-o", "json", "dlq", "policy", "pay", "--reset"]);
    assert!(json.contains(r#""max_retries":3"#) && json.contains(r#""retry_delay_ms":50"#), "{json}");
    let refused = broker.fails(&["dlq", "policy", "pay", "--backoff-factor", "11"], 2);
    assert!(refused.contains("backoff_factor") && refused.contains("1 to 10"), "{refused}");
}
