//! Whoever is killed on the way: half a backup is none, half a topic is none, and the next run goes on.

use std::process::Child;

use flymq_client::{ErrorCode, FetchSpec, NewMessage};

use crate::world::{World, renamed, text, until};

const TOPIC_BATCHES: usize = 150;

fn kill(mut child: Child) {
    child.kill().expect("it was started");
    child.wait().expect("it was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_killed_is_none_and_the_next_run_goes_on_with_it() {
    let world = World::start().await;
    world.create("t", &[0, 3]).await;
    world.fill("t", 2, TOPIC_BATCHES).await;
    let before = world.contents("t").await;
    for chunks in [1, 20, 60] {
        let child = world.spawn(&["create", "--all", "--chunk-bytes", "1500"]);
        until("chunks are written", || world.files("chunk-").len() >= chunks);
        kill(child);
        if world.files("backup-").is_empty() {
            assert!(world.fails(&["restore", "--topic", "t:u"], None).contains("holds no whole backup"));
        }
    }
    let found = world.files("chunk-").len();
    let said = world.ok(&["create", "--all", "--chunk-bytes", "1500"], None);
    assert!(said.contains("was there already"), "{said}");
    assert!(world.files("chunk-").len() >= found);
    world.ok(&["restore", "--topic", "t:u"], None);
    assert_eq!(world.contents("u").await, renamed(before, "u"));
}

/// The end of the log of partition 0, also while the topic shows no records.
async fn end(world: &World, topic: &str) -> u64 {
    world.client.topic(topic).await.map_or(0, |topic| topic.partitions[0].log_end_offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_killed_shows_nothing_and_goes_on() {
    let mut world = World::start().await;
    world.create("t", &[500, 0]).await;
    world.fill("t", 2, TOPIC_BATCHES).await;
    let before = world.contents("t").await;
    world.ok(&["create", "--all", "--chunk-bytes", "1000"], None);
    let high = end(&world, "t").await;
    for round in 0..4 {
        let child = world.spawn(&["restore", "--topic", "t:u"]);
        let begun = end(&world, "u").await.max(500);
        let give_up = std::time::Instant::now() + crate::world::DEADLINE;
        while end(&world, "u").await <= begun.min(high - 1) {
            assert!(std::time::Instant::now() < give_up, "the restore goes on");
        }
        if round % 2 == 0 {
            kill(child);
        } else {
            world.kill_broker();
            let ended = child.wait_with_output().expect("it was started");
            assert!(!ended.status.success(), "{}", text(&ended.stdout));
            world.restart().await;
        }
        let about = world.client.topic("u").await.expect("it was begun");
        if about.restoring.is_empty() {
            break; // it was quicker than the kill
        }
        let read = world.client.fetch(&FetchSpec::new("u", 0, 500)).await.map(drop).unwrap_err();
        let write =
            world.client.produce("u", NewMessage::value("x").to_partition(0)).await.map(drop).unwrap_err();
        assert_eq!((read.code, write.code), (ErrorCode::Unavailable, ErrorCode::Unavailable));
        assert!(read.message.contains("being restored"), "{read}");
    }
    if !world.client.topic("u").await.expect("it is there").restoring.is_empty() {
        world.ok(&["restore", "--topic", "t:u"], None);
    }
    assert_eq!(world.contents("u").await, renamed(before, "u"));
}
