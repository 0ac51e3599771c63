//! Scheduled messages: never early, in order, once, whatever dies meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{Engine, EngineError, NewSchedule, ScheduleId, Scheduled, TopicChange, When};
use flymq_types::{Acks, PartitionId, SeededRng, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use crate::support::*;

const NODE_SYNC: Duration = Duration::from_millis(2);

fn node() -> Node {
    Node::simulated().sync_interval(NODE_SYNC)
}

fn one(key: Option<&str>, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
    builder.push(&NewRecord { key, value, ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

async fn schedule(engine: &Engine, value: &str, when: When) -> Result<Scheduled, EngineError> {
    let (topic, batch) = (topic("t"), one(Some("k"), value));
    soon(engine.schedule(NewSchedule { topic, partition: None, when, batch })).await
}

async fn after(engine: &Engine, value: &str, ms: i64) -> ScheduleId {
    schedule(engine, value, When::After(ms)).await.unwrap().id
}

async fn delivered(engine: &Engine) -> Vec<String> {
    read_all(engine, "t", 0).await.into_iter().map(|(_, value)| value).collect()
}

async fn until_delivered(engine: &Engine, count: usize) -> Vec<String> {
    let wait = async {
        loop {
            let there = delivered(engine).await;
            if there.len() >= count {
                return there;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(wait).await
}

/// Several looks at the clock long: whatever is going to happen by mistake has happened.
async fn looks() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

async fn listed(engine: &Engine) -> Vec<ScheduleId> {
    let (all, next) = engine.list_schedules(&topic("t"), None, 1_000).await.unwrap();
    assert_eq!(next, None);
    all.into_iter().map(|one| one.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_when_it_is_due_and_not_before() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    for (value, ms) in [("c", 3_000), ("a", 1_000), ("b", 2_000), ("b2", 2_000)] {
        after(&engine, value, ms).await;
    }
    let at = engine.clock().wall().as_millis() + 2_500;
    schedule(&engine, "at", When::At(at)).await.unwrap();
    looks().await;
    assert!(delivered(&engine).await.is_empty());
    node.clock.advance(Duration::from_millis(1_000));
    looks().await;
    assert!(delivered(&engine).await.is_empty(), "the millisecond in which it was scheduled had begun");
    node.clock.advance(Duration::from_millis(1));
    assert_eq!(until_delivered(&engine, 1).await, ["a"]);
    looks().await;
    assert_eq!(delivered(&engine).await.len(), 1);
    node.clock.advance(Duration::from_secs(10));
    assert_eq!(until_delivered(&engine, 5).await, ["a", "b", "b2", "at", "c"]);
    until("nothing is left", || engine.pending_schedules() == 0).await;
    // Without a time that counts: at once.
    after(&engine, "now", 0).await;
    schedule(&engine, "past", When::At(5)).await.unwrap();
    assert_eq!(until_delivered(&engine, 7).await[5..], ["now", "past"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_survives_restarts_and_is_listed_by_due_time() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let later = after(&engine, "later", 60_000).await;
    let soon_due = after(&engine, "soon", 5_000).await;
    let cancelled = after(&engine, "never", 5_000).await;
    engine.cancel_schedule(&topic("t"), cancelled).await.unwrap();
    assert_eq!(listed(&engine).await, [soon_due, later]);
    engine.shutdown().await;
    drop(engine);
    // Due while nobody was there.
    node.clock.advance(Duration::from_secs(6));
    let engine = node.open().await;
    assert_eq!(until_delivered(&engine, 1).await, ["soon"]);
    until("one is left", || engine.pending_schedules() == 1).await;
    assert_eq!(listed(&engine).await, [later]);
    for gone in [cancelled, soon_due] {
        let refused = engine.cancel_schedule(&topic("t"), gone).await.unwrap_err();
        assert!(matches!(refused, EngineError::ScheduleNotFound { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_list_ends_where_the_next_one_begins() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(after(&engine, "v", 1_000 * n + 1).await);
    }
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let (page, more) = engine.list_schedules(&topic("t"), next, 2).await.unwrap();
        assert!(page.iter().all(|one| one.value_size == 1 && one.cron.is_empty()));
        found.extend(page.into_iter().map(|one| one.id));
        next = more;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, ids);
    let refused = engine.list_schedules(&topic("nope"), None, 1).await.unwrap_err();
    assert!(matches!(refused, EngineError::TopicNotFound { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_demand_a_message_goes_at_once_and_only_then() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let id = after(&engine, "v", 60_000).await;
    let at = soon(engine.deliver_schedule(&topic("t"), id)).await.unwrap();
    let place = (at.appended.partition, at.appended.base_offset.get());
    assert_eq!((place, delivered(&engine).await.len()), ((PartitionId(0), 0), 1));
    assert_eq!((at.key_size, at.value_size), (Some(1), 1));
    let refused = engine.deliver_schedule(&topic("t"), id).await.unwrap_err();
    assert!(matches!(refused, EngineError::ScheduleNotFound { .. }), "{refused}");
    node.clock.advance(Duration::from_secs(61));
    looks().await;
    assert_eq!(delivered(&engine).await, ["v"]);
}

/// They wait for each other, since one batch of a partition is on its way at a time; whoever comes first, the batches' numbers rise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_on_demand_at_once_all_come() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(after(&engine, &format!("v{number}"), 60_000).await);
    }
    let name = topic("t");
    let demands = ids.iter().map(|id| engine.deliver_schedule(&name, *id));
    for demanded in soon(futures::future::join_all(demands)).await {
        demanded.unwrap();
    }
    let mut there = delivered(&engine).await;
    there.sort_unstable();
    there.dedup();
    assert_eq!(there.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recurring_message_comes_again_until_it_is_cancelled() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    // The clock stands at 1970-01-01T00:16:40.
    let recurring = schedule(&engine, "v", When::Cron("* * * * *".to_owned())).await.unwrap();
    assert_eq!(recurring.due, Timestamp(1_020_000));
    node.clock.advance(Duration::from_secs(20));
    assert_eq!(until_delivered(&engine, 1).await, ["v"]);
    soon(engine.deliver_schedule(&topic("t"), recurring.id)).await.unwrap();
    engine.shutdown().await;
    drop(engine);
    // What was missed is not made up for.
    node.clock.advance(Duration::from_secs(600));
    let engine = node.open().await;
    assert_eq!(until_delivered(&engine, 3).await.len(), 3);
    let due = || async { engine.list_schedules(&topic("t"), None, 9).await.unwrap().0 };
    soon(async { while due().await.is_empty() {} }).await;
    let again = due().await.remove(0);
    assert_eq!((again.id, again.due, &*again.cron), (recurring.id, Timestamp(1_680_000), "* * * * *"));
    engine.cancel_schedule(&topic("t"), recurring.id).await.unwrap();
    node.clock.advance(Duration::from_secs(600));
    looks().await;
    assert_eq!((delivered(&engine).await.len(), engine.pending_schedules()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_makes_nothing_early() {
    const HOUR: i64 = 3_600_000;
    for jump in [HOUR, -HOUR, 365 * 24 * HOUR, -365 * 24 * HOUR] {
        let node = node();
        node.clock.set_wall(Timestamp(1_800_000_000_000));
        let engine = node.open().await;
        engine.create_topic(new_topic("t", 1)).await.unwrap();
        after(&engine, "v", 5_000).await;
        node.clock.set_wall(Timestamp(1_800_000_000_000 + jump));
        looks().await;
        node.clock.advance(Duration::from_millis(5_000));
        looks().await;
        assert!(delivered(&engine).await.is_empty(), "jump {jump}");
        // Scheduled while the clock is wrong, as well.
        after(&engine, "w", 1_000).await;
        node.clock.advance(Duration::from_millis(1));
        assert_eq!(until_delivered(&engine, 1).await, ["v"], "jump {jump}");
        node.clock.advance(Duration::from_millis(1_000));
        assert_eq!(until_delivered(&engine, 2).await, ["v", "w"], "jump {jump}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_and_keeps_nothing() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let week = 7 * 24 * 3_600_000;
    after(&engine, "v", week).await;
    let refused = schedule(&engine, "v", When::After(week + 1)).await.unwrap_err();
    let EngineError::DelayTooLong { delay_ms, limit_ms } = refused else { panic!("{refused}") };
    assert_eq!((delay_ms, limit_ms), (week + 1, 604_800_000));
    for when in [When::At(i64::MAX), When::After(i64::MAX)] {
        assert!(matches!(schedule(&engine, "v", when).await, Err(EngineError::DelayTooLong { .. })));
    }
    let cron = schedule(&engine, "v", When::Cron("0 0 30 2 *".to_owned())).await;
    assert!(matches!(cron, Err(EngineError::InvalidArgument { field: "cron", .. })));
    let (name, when) = (topic("t"), When::After(1_000));
    let new = |batch| NewSchedule { topic: name.clone(), partition: None, when: when.clone(), batch };
    let two = engine.schedule(new(batch(&["a", "b"]))).await;
    assert!(matches!(two, Err(EngineError::InvalidArgument { field: "record", .. })));
    let nowhere = NewSchedule { partition: Some(PartitionId(1)), ..new(one(None, "v")) };
    assert!(matches!(engine.schedule(nowhere).await, Err(EngineError::PartitionNotFound { .. })));
    let internal = NewSchedule { topic: topic("__schedules"), ..new(one(None, "v")) };
    assert!(matches!(engine.schedule(internal).await, Err(EngineError::InternalTopic { .. })));
    assert_eq!(engine.pending_schedules(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_takes_its_messages_with_it() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    after(&engine, "old", 1_000).await;
    engine.delete_topic(&topic("t")).await.unwrap();
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    assert!(listed(&engine).await.is_empty());
    after(&engine, "new", 1_000).await;
    node.clock.advance(Duration::from_secs(2));
    assert_eq!(until_delivered(&engine, 1).await, ["new"]);
    until("the old one is forgotten", || engine.pending_schedules() == 0).await;
}

/// A topic that becomes compacted takes no message without a key any more: those with one are not to suffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_refused_holds_up_no_other() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    for n in 0..6 {
        let key = (n != 2).then_some("k");
        let batch = one(key, &n.to_string());
        let new = NewSchedule { topic: topic("t"), partition: None, when: When::After(1_000 + n), batch };
        engine.schedule(new).await.unwrap();
    }
    let cleanup_policy = Some(flymq_engine::CleanupPolicy::Compact);
    engine.alter_topic(&topic("t"), TopicChange { cleanup_policy, ..TopicChange::default() }).await.unwrap();
    node.clock.advance(Duration::from_secs(2));
    assert_eq!(until_delivered(&engine, 5).await, ["0", "1", "3", "4", "5"]);
    until("none is left", || engine.pending_schedules() == 0).await;
}

/// The disk stops after each number of operations, the machine loses its power, and starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_every_message_comes_exactly_once() {
    let (mut kills, mut whole) = (0, 0);
    for steps in 0..60 {
        let node = node();
        let engine = node.open().await;
        engine.create_topic(new_topic("t", 1)).await.unwrap();
        // The first append makes files.
        append(&engine, "t", 0, "first", Acks::All).await;
        for n in 0..3 {
            after(&engine, &n.to_string(), 1_000 + n).await;
        }
        node.sim.stop_after(steps);
        node.clock.advance(Duration::from_secs(2));
        let dying = engine.clone();
        until("it stops, or is done", || node.sim.stopped() || dying.pending_schedules() == 0).await;
        if node.sim.stopped() {
            kills += 1;
        } else {
            whole += 1;
        }
        match steps % 2 {
            0 => node.sim.crash_losing_all(),
            _ => node.sim.crash(&SeededRng::new(steps)),
        }
        engine.shutdown().await;
        drop((engine, dying));
        // It is some time later; what was on its way is tried again as it was.
        node.clock.advance(Duration::from_millis(7));
        let engine = node.open().await;
        let there = until_delivered(&engine, 4).await;
        assert_eq!(there, ["first", "0", "1", "2"], "after {steps} operations");
        until("nothing is on its way", || engine.pending_schedules() == 0).await;
        looks().await;
        assert_eq!(delivered(&engine).await.len(), 4, "after {steps} operations");
    }
    assert!(kills > 10 && whole > 0, "{kills} kills, {whole} without");
}

/// Cancelled is cancelled; what was not acknowledged is one or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_cancelling_it_is_cancelled_or_comes_once() {
    for steps in 0..20 {
        let node = node();
        let engine = node.open().await;
        engine.create_topic(new_topic("t", 1)).await.unwrap();
        append(&engine, "t", 0, "first", Acks::All).await;
        let id = after(&engine, "v", 1_000).await;
        node.sim.stop_after(steps);
        let acknowledged = soon(engine.cancel_schedule(&topic("t"), id)).await.is_ok();
        node.sim.crash(&SeededRng::new(steps));
        engine.shutdown().await;
        drop(engine);
        node.clock.advance(Duration::from_secs(2));
        let engine = node.open().await;
        until("it is over", || engine.pending_schedules() == 0).await;
        let there = delivered(&engine).await.len() - 1;
        assert!(if acknowledged { there == 0 } else { there <= 1 }, "{acknowledged}: {there} times");
    }
}

/// The log is cut although one message stands at its very beginning, and that one is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_what_was_delivered_goes_off_the_disk() {
    let node = node();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let far = after(&engine, "far", 3_600_000).await;
    let again = schedule(&engine, "again", When::Cron("0 0 1 1 *".to_owned())).await.unwrap();
    let large = "x".repeat(256 << 10);
    let internal = || engine.topic(&topic("__schedules")).unwrap().partitions[0].clone();
    for _ in 0..100 {
        let id = after(&engine, &large, 1_000).await;
        engine.cancel_schedule(&topic("t"), id).await.unwrap();
    }
    until("its beginning is cut", || internal().low.get() > 2).await;
    until("segments go", || internal().bytes < 24 << 20).await;
    engine.shutdown().await;
    drop(engine);
    let engine: Arc<Engine> = node.open().await;
    assert_eq!(listed(&engine).await, [far, again.id]);
    node.clock.advance(Duration::from_secs(3_601));
    assert_eq!(until_delivered(&engine, 1).await, ["far"]);
}
