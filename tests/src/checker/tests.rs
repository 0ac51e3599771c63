//! A checker that finds nothing proves nothing: broken histories, and what must be found in each.

use super::{Checker, Fault, Violation};
use crate::history::Event;

/// Two records of client 1 acknowledged at 0 and 1 of partition 0 and read back.
const GOOD: &str = r#"
{"client":1,"phase":"invoke","op":"produce","value":"1/0/0","acks":"all"}
{"client":1,"phase":"ok","op":"produce","value":"1/0/0","acks":"all","at":[0,0]}
{"client":1,"phase":"invoke","op":"produce","value":"1/0/1","acks":"leader"}
{"client":1,"phase":"ok","op":"produce","value":"1/0/1","acks":"leader","at":[0,1]}
{"client":2,"phase":"invoke","op":"produce","value":"2/0/0","acks":"all"}
{"client":2,"phase":"info","op":"produce","value":"2/0/0","acks":"all"}
{"client":3,"phase":"invoke","op":"produce","value":"3/0/0","acks":"all"}
{"client":3,"phase":"fail","op":"produce","value":"3/0/0","acks":"all"}
{"client":4,"phase":"invoke","op":"commit","group":"g","partition":0,"offset":7}
{"client":4,"phase":"ok","op":"commit","group":"g","partition":0,"offset":7}
{"client":4,"phase":"invoke","op":"commit","group":"g","partition":0,"offset":9}
{"client":4,"phase":"info","op":"commit","group":"g","partition":0,"offset":9}
{"client":5,"phase":"invoke","op":"create_topic","topic":"a"}
{"client":5,"phase":"ok","op":"create_topic","topic":"a"}
{"client":5,"phase":"invoke","op":"create_topic","topic":"b"}
{"client":5,"phase":"info","op":"create_topic","topic":"b"}
{"client":5,"phase":"invoke","op":"create_topic","topic":"c"}
{"client":5,"phase":"ok","op":"create_topic","topic":"c"}
{"client":5,"phase":"invoke","op":"delete_topic","topic":"c"}
{"client":5,"phase":"ok","op":"delete_topic","topic":"c"}
{"client":0,"phase":"ok","op":"read","partition":0,"offset":0,"value":"1/0/0"}
{"client":0,"phase":"ok","op":"read","partition":0,"offset":1,"value":"1/0/1"}
{"client":0,"phase":"ok","op":"end","partition":0,"offset":2}
{"client":0,"phase":"ok","op":"committed","group":"g","partition":0,"offset":9}
{"client":0,"phase":"ok","op":"topics","topics":["a","b"]}
"#;

fn check(history: &str) -> Checker {
    check_after(Fault::Kill, history)
}

fn check_after(fault: Fault, history: &str) -> Checker {
    let mut checker = Checker::after(fault);
    for (line, at_ns) in history.lines().filter(|line| !line.is_empty()).zip(0_u64..) {
        let stamped = line.replacen('{', &format!("{{\"at_ns\":{at_ns},"), 1);
        let event: Event = serde_json::from_str(&stamped).unwrap_or_else(|e| panic!("{line}: {e}"));
        checker.apply(&event);
    }
    checker
}

fn found(history: &str) -> Vec<Violation> {
    let mut found: Vec<Violation> = check(history).violations.into_iter().map(|(kind, _)| kind).collect();
    found.sort();
    found
}

/// The good history with one piece of text exchanged.
fn broken(from: &str, to: &str) -> Vec<Violation> {
    assert!(GOOD.contains(from), "{from} is no part of the good history");
    found(&GOOD.replace(from, to))
}

/// The good history, and then this.
fn followed_by(line: &str) -> Vec<Violation> {
    found(&format!("{GOOD}{line}\n"))
}

#[test]
fn a_good_history_passes_and_is_counted() {
    let checker = check(GOOD);
    assert_eq!(checker.violations, []);
    let counts = checker.counts;
    assert_eq!((counts.all, counts.leader, counts.open, counts.read), (1, 1, 1, 2));
    assert_eq!((counts.commits, counts.topics), (1, 3));
}

#[test]
fn a_lost_record_is_seen() {
    let unread = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":1,"value":"1/0/1"}"#;
    let shorter = GOOD
        .replace(unread, "")
        .replace(r#""op":"end","partition":0,"offset":2"#, r#""op":"end","partition":0,"offset":1"#);
    assert_eq!(found(&shorter), [Violation::Lost], "acknowledged");
    let read_before = r#"{"client":0,"phase":"ok","op":"end","partition":0,"offset":1}"#;
    assert_eq!(followed_by(read_before), [Violation::Lost], "read, then gone");
}

#[test]
fn a_reused_offset_is_seen() {
    let twice = broken(r#""at":[0,1]"#, r#""at":[0,0]"#);
    assert_eq!(twice, [Violation::Reused, Violation::Overtaken], "acknowledged twice");
    let changed = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":1,"value":"2/0/0"}"#;
    assert_eq!(followed_by(changed), [Violation::Reused], "read twice, differently");
    let late = r#"{"client":2,"phase":"ok","op":"produce","value":"2/0/0","acks":"all","at":[0,1]}"#;
    assert_eq!(followed_by(late), [Violation::Reused], "acknowledged after it was read");
}

#[test]
fn a_phantom_is_seen() {
    for value in ["9/9/9", "3/0/0", "1/0/0|cut"] {
        let line =
            format!(r#"{{"client":0,"phase":"ok","op":"read","partition":0,"offset":2,"value":"{value}"}}"#);
        assert!(followed_by(&line).contains(&Violation::Phantom), "{value}");
    }
    let unanswered = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":2,"value":"2/0/0"}"#;
    assert_eq!(followed_by(unanswered), [], "without an answer it may be there");
}

#[test]
fn a_wrong_order_a_duplicate_and_a_hole_are_seen() {
    let again = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":2,"value":"1/0/0"}"#;
    assert_eq!(followed_by(again), [Violation::Duplicate, Violation::OutOfOrder]);
    let hole = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":3,"value":"2/0/0"}"#;
    assert_eq!(followed_by(hole), [Violation::Hole]);
    let swapped = GOOD
        .replace(r#""value":"1/0/0","acks":"all","at":[0,0]"#, r#""value":"1/0/0","acks":"all","at":[0,1]"#)
        .replace(
            r#""value":"1/0/1","acks":"leader","at":[0,1]"#,
            r#""value":"1/0/1","acks":"leader","at":[0,0]"#,
        )
        .replace(r#""offset":0,"value":"1/0/0""#, r#""offset":0,"value":"1/0/1""#)
        .replace(r#""offset":1,"value":"1/0/1"}"#, r#""offset":1,"value":"1/0/0"}"#);
    assert_eq!(found(&swapped), [Violation::OutOfOrder, Violation::Overtaken]);
}

#[test]
fn a_lost_commit_and_an_invented_one_are_seen() {
    let committed = r#""op":"committed","group":"g","partition":0,"offset":9"#;
    assert_eq!(broken(committed, &committed.replace('9', "7")), [], "the last one had no answer");
    for wrong in ["6", "10", "0"] {
        assert_eq!(broken(committed, &committed.replace('9', wrong)), [Violation::Commit], "{wrong}");
    }
}

#[test]
fn a_lost_topic_and_a_risen_one_are_seen() {
    let all = r#""topics":["a","b"]"#;
    assert_eq!(broken(all, r#""topics":["a"]"#), [], "b had no answer");
    assert_eq!(broken(all, r#""topics":["b"]"#), [Violation::Topic], "a is gone");
    assert_eq!(broken(all, r#""topics":["a","c"]"#), [Violation::Topic], "c is back");
    assert_eq!(broken(all, r#""topics":["a","x"]"#), [Violation::Topic], "x is nobody's");
}

#[test]
fn bytes_that_nobody_makes_are_seen() {
    let line = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":2,"value":"damaged: 2/0"}"#;
    assert_eq!(followed_by(line), [Violation::WrongBytes]);
}

/// The good history without the reads, and then this.
fn unread_after(fault: Fault, lines: &str) -> Vec<Violation> {
    let unread: Vec<&str> = GOOD.lines().filter(|line| !line.contains(r#""client":0"#)).collect();
    let history = format!("{}\n{lines}", unread.join("\n"));
    check_after(fault, &history).violations.into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn a_power_cut_may_take_what_was_acknowledged_for_leader_only() {
    let short = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":0,"value":"1/0/0"}
{"client":0,"phase":"ok","op":"end","partition":0,"offset":1}"#;
    assert_eq!(unread_after(Fault::PowerCut, short), []);
    assert_eq!(unread_after(Fault::Kill, short), [Violation::Lost]);
    let empty = r#"{"client":0,"phase":"ok","op":"end","partition":0,"offset":0}"#;
    assert_eq!(unread_after(Fault::PowerCut, empty), [Violation::Lost]);
}

#[test]
fn a_refused_range_counts_by_what_was_done() {
    let refused = |from: u64, to: u64| {
        format!(
            r#"{{"client":0,"phase":"ok","op":"refused","partition":0,"from":{from},"to":{to}}}
{{"client":0,"phase":"ok","op":"end","partition":0,"offset":2}}"#
        )
    };
    assert_eq!(unread_after(Fault::Damage, &refused(0, 2)), []);
    assert_eq!(unread_after(Fault::PowerCut, &refused(1, 2)), [Violation::Lost], "0 is not there either");
    assert_eq!(unread_after(Fault::Kill, &refused(0, 2)), [Violation::Refused]);
    let cut = r#"{"client":0,"phase":"ok","op":"end","partition":0,"offset":0}"#;
    assert_eq!(unread_after(Fault::Damage, cut), [Violation::Lost, Violation::Lost], "damage cuts nothing");
}

#[test]
fn retention_takes_what_is_before_the_start() {
    let rest = r#"{"client":0,"phase":"ok","op":"start","partition":0,"offset":1}
{"client":0,"phase":"ok","op":"read","partition":0,"offset":1,"value":"1/0/1"}
{"client":0,"phase":"ok","op":"end","partition":0,"offset":2}"#;
    assert_eq!(unread_after(Fault::Kill, rest), []);
}

#[test]
fn an_answer_older_than_an_acknowledgement_is_stale() {
    let with = |end: u64, asked_first: bool| {
        let ack = r#"{"client":1,"phase":"invoke","op":"produce","value":"1/0/0","acks":"all"}
{"client":1,"phase":"ok","op":"produce","value":"1/0/0","acks":"all","at":[0,0]}"#;
        let ask = r#"{"client":7,"phase":"invoke","op":"latest","partition":0,"offset":0}"#;
        let answer = format!(r#"{{"client":7,"phase":"ok","op":"latest","partition":0,"offset":{end}}}"#);
        let order = if asked_first { [ask, ack, &answer] } else { [ack, ask, &answer] };
        check(&order.join("\n")).violations.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
    };
    assert_eq!(with(1, false), []);
    assert_eq!(with(0, false), [Violation::Stale]);
    assert_eq!(with(0, true), [], "asked before the acknowledgement, either answer is right");
}

#[test]
fn a_record_before_one_that_was_told_when_its_sending_began_is_seen() {
    let first = r#"{"client":1,"phase":"invoke","op":"produce","value":"1/0/0","acks":"all"}
{"client":1,"phase":"ok","op":"produce","value":"1/0/0","acks":"all","at":[0,1]}"#;
    let begins = r#"{"client":2,"phase":"invoke","op":"produce","value":"2/0/0","acks":"all"}"#;
    let acked = r#"{"client":2,"phase":"ok","op":"produce","value":"2/0/0","acks":"all","at":[0,0]}"#;
    let read = r#"{"client":0,"phase":"ok","op":"read","partition":0,"offset":0,"value":"2/0/0"}"#;
    for end in [acked, read] {
        let with = |lines: [&str; 3]| check(&lines.join("\n")).count(Violation::Overtaken);
        assert_eq!(with([first, begins, end]), 1);
        assert_eq!(with([begins, first, end]), 0, "sent at the same time");
    }
}

#[test]
fn a_lost_leader_may_take_what_only_it_had_acknowledged() {
    let other = r#"{"client":2,"phase":"invoke","op":"produce","value":"2/0/1","acks":"all"}
{"client":0,"phase":"ok","op":"read","partition":0,"offset":0,"value":"1/0/0"}
{"client":0,"phase":"ok","op":"read","partition":0,"offset":1,"value":"2/0/1"}
{"client":0,"phase":"ok","op":"end","partition":0,"offset":2}"#;
    assert_eq!(unread_after(Fault::Failover, other), []);
    assert_eq!(unread_after(Fault::Kill, other), [Violation::Reused]);
    let empty = r#"{"client":0,"phase":"ok","op":"end","partition":0,"offset":0}"#;
    assert_eq!(unread_after(Fault::Failover, empty), [Violation::Lost], "`all` is promised");
}
