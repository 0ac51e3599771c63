//! What goes wrong: on standard error, with what to do next, and an exit code that tells whose turn it is.

use serde_json::Value;

use crate::broker::{Broker, cli, err, out, run};

#[test]
fn the_servers_errors_carry_a_hint_and_exit_1() {
    let broker = Broker::start();
    let error = broker.fails(&["info", "nope"], 1);
    assert!(error.starts_with("error: topic not found: nope\n  hint: Create it first"), "{error}");
    let error = broker.fails(&["-o", "json", "info", "nope"], 1);
    let error: Value = serde_json::from_str(&error).expect("JSON on standard error");
    assert_eq!(error["error"]["code"], "TOPIC_NOT_FOUND");
    assert!(error["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    broker.ok(&["create", "t"]);
    assert!(broker.fails(&["create", "t"], 1).contains("hint: "));
    assert!(broker.fails(&["consume", "t", "-p", "9"], 1).contains("hint: "));
}

#[test]
fn what_was_typed_wrong_exits_2() {
    let broker = Broker::start();
    for args in
        [&["nonsense"][..], &["create"], &["create", "t", "-p", "many"], &["--timeout", "soon", "topics"]]
    {
        assert!(broker.fails(args, 2).contains("--help"), "{args:?}");
    }
    assert!(broker.fails(&["--server", "a:b", "topics"], 2).contains("host:port"));
}

#[test]
fn the_server_is_named_by_option_or_variable() {
    let broker = Broker::start();
    let addr = broker.addr();
    for option in ["--server", "--servers", "--addr"] {
        assert_eq!(run(cli(&[option, &addr, "health", "live"]), "").status.code(), Some(0), "{option}");
    }
    let after = run(cli(&["health", "live", "--server", &addr]), "");
    assert_eq!(after.status.code(), Some(0), "{}", err(&after));
    // The option counts, not the variable.
    let refused = broker.fails(&["--server", "127.0.0.1:1", "topics"], 1);
    assert!(refused.contains("127.0.0.1:1") && refused.contains("hint: "), "{refused}");
}

#[test]
fn help_and_version_need_no_server() {
    for args in
        [&["--help"][..], &["--version"], &["help", "bench", "produce"], &["audit", "export", "--help"]]
    {
        let output = run(cli(args), "");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        assert!(!out(&output).is_empty());
    }
}
