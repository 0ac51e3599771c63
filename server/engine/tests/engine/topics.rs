//! Topics come, change, go, and are there again after a restart.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flymq_engine::{
    CleanupPolicy, DeadLetterConfig, EngineError, NewTopic, OFFSETS_TOPIC, OffsetCommit, StartFrom, Target,
    TopicChange, TopicConfig,
};
use flymq_types::{Acks, Isolation, Offset, PartitionId};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use crate::support::*;

#[tokio::test]
async fn created_topics_survive_a_crash() {
    let node = Node::simulated();
    let engine = node.open().await;
    let config = TopicConfig { retention_ms: Some(5), ..TopicConfig::default() };
    let made = engine
        .create_topic(NewTopic { name: topic("a/b"), partitions: Some(3), config, restore: None })
        .await
        .unwrap();
    assert_eq!((made.partitions.len(), made.settings.min_insync_replicas), (3, 1));
    assert_eq!(engine.create_topic(new_topic("z", 1)).await.unwrap().config, TopicConfig::default());
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(engine.topic(&topic("a/b")).unwrap(), made);
    let names: Vec<_> = engine.list_topics(false).into_iter().map(|topic| topic.name).collect();
    assert_eq!(names, [topic("a/b"), topic("z")]);
}

#[tokio::test]
async fn bad_topics_are_refused() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("a", 1)).await.unwrap();
    let again = engine.create_topic(new_topic("a", 1)).await;
    assert!(matches!(again, Err(EngineError::TopicAlreadyExists { .. })));
    let long = "x".repeat(246);
    for name in ["w/+", "#", "a/+/b", " lead", "trail ", &long] {
        let refused = engine.create_topic(new_topic(name, 1)).await;
        assert!(
            matches!(refused, Err(EngineError::InvalidArgument { field: "topic", .. })),
            "{name}: {refused:?}"
        );
        let refused = engine.ensure_topic(&topic(name), 1).await;
        assert!(
            matches!(refused, Err(EngineError::InvalidArgument { field: "topic", .. })),
            "{name}: {refused:?}"
        );
    }
    // Its dead letters still have a name; these are nobody's source.
    engine.create_topic(new_topic(&long[1..], 1)).await.unwrap();
    engine.create_topic(new_topic(&format!("{}.dlq", &long[1..]), 1)).await.unwrap();
    engine.create_topic(new_topic("a+b/#c", 1)).await.unwrap();
    // So has what a policy names, of any length.
    let letters = |name: &str| {
        let letters = DeadLetterConfig { topic: Some(topic(name)), ..DeadLetterConfig::default() };
        TopicConfig { dead_letters: Some(Arc::new(letters)), ..TopicConfig::default() }
    };
    engine.create_topic(NewTopic { config: letters(&long), ..new_topic("p", 1) }).await.unwrap();
    engine.ensure_topic(&topic(&long), 1).await.unwrap();
    let refused = engine.create_topic(NewTopic { config: letters("w/+"), ..new_topic("q", 1) }).await;
    assert!(matches!(refused, Err(EngineError::InvalidArgument { .. })), "{refused:?}");
    for partitions in [0, 10_001] {
        let result = engine.create_topic(new_topic("b", partitions)).await;
        assert!(matches!(result, Err(EngineError::InvalidArgument { field: "partitions", .. })));
    }
    let config = TopicConfig { replication_factor: Some(3), ..TopicConfig::default() };
    let result = engine.create_topic(NewTopic { config, ..new_topic("b", 1) }).await;
    assert!(matches!(result, Err(EngineError::ReplicationFactor { asked: 3, nodes: 1 })));
    let result = engine.create_topic(new_topic("__mine", 1)).await;
    assert!(matches!(result, Err(EngineError::InternalTopic { .. })));
    assert!(not_found(engine.delete_topic(&topic("b")).await));
    assert_eq!(engine.list_topics(true).len(), 6);
}

#[tokio::test]
async fn a_deleted_topic_leaves_nothing() {
    let node = Node::simulated();
    let engine = node.open().await;
    let files = node.sim.files().len();
    append(&engine, "t", 0, "old", Acks::All).await;
    assert!(node.sim.files().len() > files);
    engine.delete_topic(&topic("t")).await.unwrap();
    assert!(not_found(engine.topic(&topic("t"))));
    assert!(not_found(engine.fetch(spec("t", 0, 0)).await));
    assert_eq!(node.sim.files().len(), files, "{:?}", node.sim.files());
    let new = append(&engine, "t", 0, "new", Acks::All).await;
    assert_eq!(new.base_offset, Offset(0));
    assert_eq!(read_all(&engine, "t", 0).await, [(0, "new".to_owned())]);
}

/// Stops the disk at every step of a deletion; after the crash the topic is whole or gone.
#[tokio::test]
async fn a_deletion_cut_by_a_crash_is_all_or_nothing() {
    for step in 0..40 {
        let node = Node::simulated();
        let engine = node.open().await;
        append(&engine, "t", 0, "v", Acks::All).await;
        append(&engine, "u", 0, "v", Acks::All).await;
        node.sim.stop_after(step);
        let deleted = engine.delete_topic(&topic("t")).await;
        let finished = !node.sim.stopped();
        drop(engine);
        node.sim.crash_losing_all();
        let engine = node.open().await;
        assert!(deleted.is_ok() && not_found(engine.topic(&topic("t"))), "step {step}");
        assert_eq!(read_all(&engine, "u", 0).await.len(), 1);
        engine.delete_topic(&topic("u")).await.unwrap();
        let left: Vec<_> = node.sim.files().into_iter().filter(|f| f.starts_with("/data/topics")).collect();
        assert!(left.is_empty(), "step {step}: {left:?}");
        if finished {
            return;
        }
    }
    panic!("the deletion never ended");
}

#[tokio::test]
async fn partitions_only_grow() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 2)).await.unwrap();
    append(&engine, "t", 1, "kept", Acks::All).await;
    let grow = |partitions| TopicChange { partitions: Some(partitions), ..TopicChange::default() };
    let grown = engine.alter_topic(&topic("t"), grow(4)).await.unwrap();
    assert_eq!(grown.partitions.len(), 4);
    append(&engine, "t", 3, "new", Acks::All).await;
    let shrunk = engine.alter_topic(&topic("t"), grow(3)).await;
    assert!(matches!(shrunk, Err(EngineError::PartitionsShrink { current: 4, asked: 3, .. })));
    let keep = TopicChange { retention_bytes: Some(9), ..TopicChange::default() };
    let kept = engine.alter_topic(&topic("t"), keep).await.unwrap();
    assert_eq!((kept.partitions.len(), kept.settings.retention_bytes), (4, 9));
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(engine.topic(&topic("t")).unwrap().settings, kept.settings);
    assert_eq!(read_all(&engine, "t", 1).await, [(0, "kept".to_owned())]);
    assert_eq!(read_all(&engine, "t", 3).await, [(0, "new".to_owned())]);
}

#[tokio::test]
async fn internal_topics_are_hidden_and_locked() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let commit = OffsetCommit {
        topic: topic("t"),
        partition: PartitionId(0),
        offset: Offset(0),
        metadata: String::new(),
    };
    engine.commit_offsets(&group("g"), vec![commit]).await.unwrap();
    let names = |internal| engine.list_topics(internal).into_iter().map(|t| t.name).collect::<Vec<_>>();
    assert_eq!(names(false), [topic("t")]);
    assert_eq!(names(true), [topic(OFFSETS_TOPIC), topic("t")]);
    let internal = topic(OFFSETS_TOPIC);
    assert_eq!(engine.topic(&internal).unwrap().partitions[0].high, Offset(1));
    let refused = |result: EngineError| matches!(result, EngineError::InternalTopic { .. });
    assert!(refused(engine.delete_topic(&internal).await.unwrap_err()));
    assert!(refused(engine.alter_topic(&internal, TopicChange::default()).await.unwrap_err()));
    let target = Target::RoundRobin;
    assert!(refused(engine.append(&internal, target, batch(&["x"]), Acks::All).await.unwrap_err()));
}

#[tokio::test]
async fn damage_stays_in_its_partition() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 2)).await.unwrap();
    append(&engine, "t", 0, "lost", Acks::All).await;
    append(&engine, "t", 1, "kept", Acks::All).await;
    let id = engine.topic(&topic("t")).unwrap().id;
    drop(engine);
    let dir = format!("/data/topics/{id}/0");
    let segments = node.sim.files().into_iter().filter(|f| f.starts_with(&dir));
    for file in segments.filter(|f| f.extension().is_some_and(|e| e == "log")).collect::<Vec<_>>() {
        let damage = |bytes: &mut Vec<u8>| {
            let at = bytes.windows(4).position(|window| window == b"lost").expect("the record is there");
            bytes[at] ^= 1;
        };
        node.sim.tamper(&file, damage).unwrap();
    }
    let engine = node.open().await;
    assert_eq!(read_all(&engine, "t", 1).await, [(0, "kept".to_owned())]);
    let lost = engine.fetch(spec("t", 0, 0)).await;
    assert!(
        matches!(lost, Err(EngineError::CorruptData { start: Offset(0), end: Offset(1), .. })),
        "{lost:?}"
    );
}

#[tokio::test]
async fn retention_removes_old_segments_and_names_the_new_start() {
    let node = Node::simulated();
    let engine = node.open().await;
    let config = TopicConfig {
        retention_bytes: Some(2 << 20),
        segment_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    engine.create_topic(NewTopic { config, ..new_topic("t", 1) }).await.unwrap();
    engine.create_topic(new_topic("kept", 1)).await.unwrap();
    let large = "x".repeat(300 << 10);
    for _ in 0..20 {
        append(&engine, "t", 0, &large, Acks::All).await;
    }
    // Some went already when segments were filled.
    engine.enforce_retention().await.unwrap();
    let info = engine.topic(&topic("t")).unwrap().partitions.remove(0);
    assert!(info.low > Offset(0) && info.high == Offset(20) && info.bytes <= 3 << 20, "{info:?}");
    let before = engine.fetch(spec("t", 0, 0)).await;
    assert!(matches!(before, Err(EngineError::OffsetOutOfRange { start, .. }) if start == info.low));
    let read = engine.fetch(spec("t", 0, info.low.get())).await.unwrap();
    assert_eq!(values(&read, 0)[0].0, info.low.get());
    assert_eq!(engine.enforce_retention().await.unwrap(), 0);
}

/// Nobody calls `enforce_retention`: a fast producer must not fill the disk until somebody does.
#[tokio::test]
async fn a_filled_segment_lets_the_oldest_go_by_size() {
    let node = Node::simulated();
    let engine = node.open().await;
    let config = TopicConfig {
        retention_bytes: Some(2 << 20),
        segment_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    engine.create_topic(NewTopic { config, ..new_topic("t", 1) }).await.unwrap();
    let large = "x".repeat(300 << 10);
    for _ in 0..400 {
        append(&engine, "t", 0, &large, Acks::All).await;
        if engine.topic(&topic("t")).unwrap().partitions.remove(0).low > Offset(0) {
            return;
        }
    }
    panic!("400 records of 300 KiB, and none of the 2 MiB that are to be kept was exceeded");
}

/// Polls the future `polls` times, letting other tasks run in between, and drops it.
async fn drop_after(polls: usize, future: impl Future) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        if futures::poll!(future.as_mut()).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A client that hangs up at any moment leaves a topic that works, or none.
#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_topic() {
    let node = Node::simulated();
    let engine = node.open().await;
    for polls in 0..30 {
        let name = format!("t{}", polls % 3);
        drop_after(polls, engine.create_topic(new_topic(&name, 1))).await;
        soon(append(&engine, &name, 0, "v", Acks::All)).await;
        let grow = TopicChange { partitions: Some(3), ..TopicChange::default() };
        drop_after(polls, engine.alter_topic(&topic(&name), grow)).await;
        drop_after(polls, engine.delete_topic(&topic(&name))).await;
        // Either still there or created anew; a half-deleted one would refuse for ever.
        let target = Target::RoundRobin;
        let appended = soon(engine.append(&topic(&name), target, batch(&["w"]), Acks::All)).await;
        assert!(appended.is_ok() || not_found(appended), "polls {polls}");
        soon(engine.delete_topic(&topic(&name))).await.ok();
        assert!(not_found(engine.topic(&topic(&name))), "polls {polls}");
    }
    drop(engine);
    node.sim.crash_losing_all();
    assert!(node.open().await.list_topics(true).is_empty());
}

#[tokio::test]
async fn deleted_records_are_gone_for_good_and_the_low_watermark_moves() {
    let node = Node::simulated();
    let engine = node.open().await;
    for i in 0..10 {
        append(&engine, "t", 0, &format!("v{i}"), Acks::Leader).await;
    }
    let t = topic("t");
    let delete =
        async |engine: &flymq_engine::Engine, before| engine.delete_records(&t, PartitionId(0), before).await;
    assert_eq!(delete(&engine, Offset(4)).await.unwrap(), Offset(4), "waits for what is appended");
    assert_eq!(delete(&engine, Offset(2)).await.unwrap(), Offset(4), "never back");
    let above = delete(&engine, Offset(11)).await;
    assert!(
        matches!(above, Err(EngineError::OffsetOutOfRange { start: Offset(4), end: Offset(10), .. })),
        "{above:?}"
    );
    let below = engine.fetch(spec("t", 0, 3)).await;
    assert!(matches!(below, Err(EngineError::OffsetOutOfRange { start: Offset(4), .. })), "{below:?}");
    let commit = OffsetCommit {
        topic: t.clone(),
        partition: PartitionId(0),
        offset: Offset(1),
        metadata: String::new(),
    };
    engine.commit_offsets(&group("g"), vec![commit]).await.unwrap();
    node.sim.crash_losing_all();
    drop(engine);
    let engine = node.open().await;
    let info = engine.topic(&topic("t")).unwrap().partitions.remove(0);
    assert_eq!((info.low, info.high), (Offset(4), Offset(10)));
    let kept = engine.fetch(spec("t", 0, 4)).await.unwrap();
    assert_eq!(values(&kept, 4)[0], (4, "v4".to_owned()));
    let start = engine
        .start_offset(
            Some(&group("g")),
            &topic("t"),
            PartitionId(0),
            StartFrom::Committed,
            Isolation::ReadCommitted,
        )
        .await;
    assert_eq!(start.unwrap(), Offset(4), "a group whose place is gone goes on at the first record");
    assert_eq!(delete(&engine, Offset::MAX).await.unwrap(), Offset(10));
    assert_eq!(append(&engine, "t", 0, "next", Acks::All).await.base_offset, Offset(10));
    let internal = engine.delete_records(&topic("__consumer_offsets"), PartitionId(0), Offset(1)).await;
    assert!(matches!(internal, Err(EngineError::InternalTopic { .. })), "{internal:?}");
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_latest_of_each_key_and_needs_keys() {
    let node = Node::simulated();
    let engine = node.open().await;
    let config = TopicConfig {
        cleanup_policy: CleanupPolicy::Compact,
        segment_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    engine.create_topic(NewTopic { config, ..new_topic("t", 1) }).await.unwrap();
    let target = || Target::Partition(PartitionId(0));
    let refused = engine.append(&topic("t"), target(), batch(&["no key"]), Acks::All).await;
    assert!(matches!(refused, Err(EngineError::KeyRequired { .. })), "{refused:?}");
    for i in 0..40_u8 {
        let mut builder = BatchBuilder::new();
        let (key, value) = ([b'k', i % 4], vec![b'a' + i % 26; 100 << 10]);
        builder.push(&NewRecord { key: Some(&key), value: Some(&value), ..NewRecord::default() }).unwrap();
        engine.append(&topic("t"), target(), builder.build().unwrap(), Acks::All).await.unwrap();
    }
    let before = engine.topic(&topic("t")).unwrap().partitions.remove(0);
    let done = engine.clean_logs().await.unwrap();
    assert!(done.removed >= 30 && done.passes == 1, "{done:?}");
    let after = engine.topic(&topic("t")).unwrap().partitions.remove(0);
    assert!(
        after.bytes < before.bytes / 3 && (after.low, after.high) == (before.low, before.high),
        "{after:?}"
    );
    drop(engine);
    node.sim.crash_losing_all();
    // From the beginning, through the holes, to the end; no longer out of memory.
    let engine = node.open().await;
    let read: Vec<u64> = read_all(&engine, "t", 0).await.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(read, [36, 37, 38, 39]);
    assert_eq!(engine.fetch(spec("t", 0, 5)).await.unwrap().next_offset, Offset(40));
}

/// Whoever reads, from wherever: nothing that has expired, and its bytes leave the disk.
#[tokio::test]
async fn records_of_a_topic_with_ttl_are_gone_in_time() {
    let node = Node::simulated();
    let engine = node.open().await;
    let config = TopicConfig { ttl_ms: Some(10_000), segment_bytes: Some(1 << 20), ..TopicConfig::default() };
    engine.create_topic(NewTopic { config, ..new_topic("t", 1) }).await.unwrap();
    let large = "x".repeat(100 << 10);
    for _ in 0..30 {
        append(&engine, "t", 0, &large, Acks::All).await;
    }
    assert_eq!(engine.fetch(spec("t", 0, 0)).await.unwrap().batches[0].base_offset(), Offset(0));
    node.clock.advance(Duration::from_millis(10_001));
    append(&engine, "t", 0, "fresh", Acks::All).await;
    let read = engine.fetch(spec("t", 0, 0)).await.unwrap();
    assert_eq!(values(&read, 0), [(30, "fresh".to_owned())]);
    let bytes = |engine: &flymq_engine::Engine| engine.topic(&topic("t")).unwrap().partitions.remove(0).bytes;
    let before = bytes(&engine);
    let done = engine.clean_logs().await.unwrap();
    assert!(done.removed >= 20 && bytes(&engine) < before / 2, "{done:?}");
    node.clock.advance(Duration::from_millis(10_001));
    let none = engine.fetch(spec("t", 0, 0)).await.unwrap();
    assert_eq!((none.batches.len(), none.next_offset), (0, Offset(31)));
}
