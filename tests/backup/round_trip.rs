//! There and back: records, offsets, groups, names, keys.

use std::fs;

use flymq_client::{NewMessage, pb};

use crate::world::{World, renamed, text};

const KEY: &str = "0f0e0d0c0b0a09080706050403020100000102030405060708090a0b0c0d0e0f";
const OTHER_KEY: &str = "ff0e0d0c0b0a09080706050403020100000102030405060708090a0b0c0d0e0f";

fn at(topic: &str, partition: i32, offset: u64) -> pb::PartitionOffset {
    pb::PartitionOffset { topic: topic.to_owned(), partition, offset, metadata: "m".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_comes_back_with_its_offsets_and_groups() {
    let world = World::start().await;
    // A name that would be a path, partitions that do not begin at 0, and one without records.
    let topic = "a/b:c";
    world.create(topic, &[1_000, 0, 77]).await;
    world.create("other", &[5]).await;
    world.fill(topic, 2, 60).await;
    let compact =
        format!(r#"{{"name": "{topic}", "options": {{"cleanup_policy": "CLEANUP_POLICY_COMPACT"}}}}"#);
    world.client.call_json("AlterTopic", &compact).await.unwrap();
    world.client.commit("g/1", vec![at(topic, 0, 1_010), at(topic, 1, 7), at("other", 0, 5)]).await.unwrap();
    // Into the middle of the second batch.
    let request = pb::DeleteRecordsRequest { topic: topic.to_owned(), partition: 0, before_offset: 1_002 };
    let _: pb::DeleteRecordsResponse = world.client.call("DeleteRecords", &request).await.unwrap();
    let before = world.contents(topic).await;
    assert!(before[&0].first().is_some_and(|first| first.offset == 1_002) && before[&2].is_empty());
    let created = world.run(&["create", "--topic", topic, "--include-groups", "--chunk-bytes", "3000"], None);
    assert!(text(&created.stderr).contains("not encrypted"), "{}", text(&created.stderr));
    assert!(world.files("chunk-").len() > 4, "several chunks");
    assert!(world.ok(&["verify"], None).contains("is whole: 1 topic"));
    assert!(world.ok(&["inspect"], None).contains("g/1"));
    assert!(world.fails(&["restore"], None).contains("topic a/b:c exists already"), "never mixed");

    world.client.delete_topic(topic).await.unwrap();
    let restored = world.ok(&["restore"], None);
    assert!(restored.contains("restored topic a/b:c") && restored.contains("1 group"), "{restored}");
    assert_eq!(world.contents(topic).await, before);
    let about = world.client.topic(topic).await.unwrap();
    assert_eq!(about.options.as_ref().unwrap().cleanup_policy(), pb::CleanupPolicy::Compact);
    assert_eq!(about.options.as_ref().unwrap().retention_ms, 86_400_000);
    assert_eq!((about.partitions[2].low_watermark, about.partitions[2].high_watermark), (77, 77));
    let mut committed = world.client.committed("g/1", topic).await.unwrap();
    committed.sort_by_key(|offset| offset.partition);
    assert_eq!(committed, [at(topic, 0, 1_010), at(topic, 1, 7)]);
    let next = NewMessage::keyed("k", "next").to_partition(0);
    let stored = world.client.produce(topic, next).await.unwrap();
    assert_eq!(stored.offset, before[&0].last().unwrap().offset + 1, "offsets go on where they were");

    // The same backup under a name of its own, beside the topic that goes on.
    world.ok(&["restore", "--topic", "a/b:c:copy", "--no-groups"], None);
    assert_eq!(world.contents("copy").await, renamed(before, "copy"));
    assert!(world.client.committed("g/1", "copy").await.unwrap().is_empty());
    assert!(
        world.ok(&["restore", "--topic", "a/b:c:copy", "--skip-existing"], None).contains("passed over copy")
    );
    assert!(world.run(&["restore", "--topic", "nope"], None).status.code() == Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_sends_only_what_is_new_and_both_can_be_restored() {
    let world = World::start().await;
    world.create("t", &[0, 0]).await;
    world.fill("t", 2, 40).await;
    let first = world.contents("t").await;
    world.ok(&["create", "--all"], None);
    let chunks = world.files("chunk-").len();
    world.fill("t", 1, 10).await;
    let second = world.contents("t").await;
    assert!(world.ok(&["create", "--all"], None).contains("was there already"));
    assert_eq!(world.files("chunk-").len(), chunks + 1, "one partition has news");
    let ids: Vec<String> = world
        .files("backup-")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().trim_start_matches("backup-").to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    let listed = world.ok(&["list"], None);
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    for (id, expected, target) in [(&ids[0], first, "old"), (&ids[1], second, "new")] {
        world.ok(&["verify", "--id", id], None);
        world.ok(&["restore", "--id", id, "--topic", &format!("t:{target}")], None);
        assert!(world.contents(target).await == renamed(expected, target), "{target} differs");
    }
    assert!(
        world.fails(&["verify", "--id", "20200101T000000000Z-00000000"], None).contains("holds no backup")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_shows_no_record_and_needs_its_key() {
    let world = World::start().await;
    world.create("t", &[0]).await;
    world.fill("t", 1, 40).await;
    let before = world.contents("t").await;
    let created = world.run(&["create", "--all", "--chunk-bytes", "2000"], Some(KEY));
    assert_eq!((created.status.code(), text(&created.stderr).contains("warning")), (Some(0), false));
    for file in world.files("") {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"secret"), "{}", file.display());
    }
    assert!(world.fails(&["verify"], None).contains("FLYMQ_BACKUP_KEY is not set"));
    assert!(world.fails(&["restore", "--topic", "t:u"], Some(OTHER_KEY)).contains("was encrypted with key"));
    assert!(!world.exists("u").await);
    world.ok(&["restore", "--topic", "t:u"], Some(KEY));
    assert_eq!(world.contents("u").await, renamed(before.clone(), "u"));
    // A plain backup beside it takes nothing over from it, nor the other way round.
    assert!(!world.ok(&["create", "--all"], None).contains("there already"));
    assert!(world.ok(&["create", "--topic", "t"], Some(KEY)).contains("there already"));
    world.ok(&["restore", "--topic", "t:v"], Some(KEY));
    assert_eq!(world.contents("v").await, renamed(before, "v"));
    assert_eq!(world.run(&["list"], Some("0b")).status.code(), Some(2));
}
