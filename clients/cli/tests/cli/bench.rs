//! The line that the benchmark reads (tests/bench/README.md).

use crate::broker::{Broker, err, run};

/// Its fields, in its order.
const FIELDS: [&str; 14] = [
    "peer",
    "work",
    "messages",
    "bytes",
    "seconds",
    "msgs_per_s",
    "p50_us",
    "p99_us",
    "p999_us",
    "max_us",
    "errors",
    "acks",
    "version",
    "flags",
];

#[test]
fn each_work_prints_one_line_with_all_fields() {
    let broker = Broker::start();
    let produce = ["bench", "produce", "--topic", "b", "--messages", "100", "--size", "64", "--warmup", "10"];
    let single = ["bench", "produce", "--topic", "b", "--messages", "5", "--in-flight", "1", "--no-batch"];
    let consume = ["bench", "consume", "--topic", "b", "--messages", "100"];
    let e2e = ["bench", "e2e", "--rate", "50", "--seconds", "1", "--size", "64", "--acks", "all"];
    for (args, work, messages, timed) in [
        (&produce[..], "produce", 100, true),
        (&single, "produce", 5, true),
        (&consume, "consume", 100, false),
        (&e2e, "e2e", 50, true),
    ] {
        let lines = broker.json(args);
        assert_eq!(lines.len(), 1, "{work}");
        let line = lines[0].as_object().expect("an object");
        assert!(line.keys().eq(FIELDS), "{work}: {:?}", line.keys());
        assert_eq!((&line["peer"], &line["work"]), (&"flymq".into(), &work.into()));
        assert_eq!((&line["messages"], &line["errors"]), (&messages.into(), &0.into()), "{work}");
        assert_eq!(line["p50_us"].is_number(), timed, "{work}");
        assert!(
            line["seconds"].as_f64().is_some_and(|s| s > 0.0) && line["msgs_per_s"].is_number(),
            "{work}"
        );
    }
}

#[test]
fn a_window_that_is_not_reached_is_told() {
    let broker = Broker::start();
    let single = ["bench", "produce", "--messages", "20", "--in-flight", "16", "--no-batch", "--acks", "all"];
    let told = |more: &[&str]| err(&run(broker.command(&[&single[..], more].concat()), ""));
    let said = told(&[]);
    assert!(said.contains("at most 5 batches") && said.contains("--no-idempotence"), "{said}");
    assert!(!told(&["--no-idempotence"]).contains("at most 5"));
}
