use super::*;
use crate::ErrorCode;

#[test]
fn fnv_1a_matches_the_published_vectors() {
    // From the FNV reference vectors: "" 0x811c9dc5, "a" 0xe40c292c, "foobar" 0xbf9cf968.
    for (key, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
        assert_eq!(
            partition_of(key.as_bytes(), 1_000_003),
            i32::try_from(hash % 1_000_003).expect("small"),
            "{key}"
        );
    }
}

fn partition(number: i32, leader: &str, epoch: u32) -> pb::PartitionMetadata {
    pb::PartitionMetadata {
        partition: number,
        leader: leader.to_owned(),
        leader_addr: if leader.is_empty() { String::new() } else { format!("{leader}:9092") },
        leader_epoch: epoch,
        ..Default::default()
    }
}

fn topic(id: &str, partitions: Vec<pb::PartitionMetadata>) -> pb::TopicMetadata {
    pb::TopicMetadata { name: "t".to_owned(), topic_id: id.to_owned(), partitions }
}

/// With an answer that is no longer new.
fn cache() -> TopicCache {
    let cache = fresh();
    cache.topics.lock().get_mut("t").expect("just put").at -= MIN_AGE;
    cache
}

fn fresh() -> TopicCache {
    let cache = TopicCache::default();
    let partitions = vec![partition(0, "n1", 3), partition(1, "", 4)];
    assert_eq!(cache.put(&topic("id", partitions), "n3"), News::Newer);
    cache
}

fn node(known: &Known) -> &str {
    match known {
        Known::Leader(leader) => &leader.node,
        Known::Nobody => "nobody",
        Known::Unknown => "unknown",
    }
}

#[test]
fn leaders_are_known_by_partition() {
    let cache = cache();
    assert_eq!(cache.count("t"), Some(2));
    assert_eq!(node(&cache.leader("t", 0)), "n1");
    assert_eq!(node(&cache.leader("t", 1)), "nobody");
    assert_eq!(node(&cache.leader("t", 2)), "unknown");
    assert_eq!(node(&cache.leader("u", 0)), "unknown");
    assert_eq!(cache.led("t"), [0]);
    cache.doubt("t");
    assert_eq!((node(&cache.leader("t", 0)), cache.count("t")), ("unknown", Some(2)));
}

#[test]
fn many_failures_at_once_ask_once() {
    let cache = fresh();
    cache.doubt("t");
    assert!(cache.is_new("t") && node(&cache.leader("t", 0)) == "n1");
}

#[test]
fn only_a_newer_leader_is_taken_over() {
    let cache = cache();
    let told = |epoch: u32| {
        ClientError::new(ErrorCode::NotLeader, "moved")
            .with("leader", "n2")
            .with("leader_addr", "n2:9092")
            .with("leader_epoch", epoch)
    };
    cache.moved("t", 0, &told(4));
    assert_eq!(node(&cache.leader("t", 0)), "n2");
    cache.moved("t", 0, &told(3));
    assert_eq!(
        node(&cache.leader("t", 0)),
        "unknown",
        "an older word says no more than that it has to be asked"
    );
    let bare = self::cache();
    bare.moved("t", 1, &ClientError::new(ErrorCode::NotLeader, "no leader"));
    assert_eq!(node(&bare.leader("t", 1)), "unknown");
}

#[test]
fn what_is_known_of_a_later_epoch_stays() {
    let cache = cache();
    let newer = topic("id", vec![partition(0, "n2", 5), partition(1, "n3", 6), partition(2, "n1", 0)]);
    assert_eq!(cache.put(&newer, "n2"), News::Newer);
    let older = topic("id", vec![partition(0, "n1", 4), partition(1, "n3", 6)]);
    assert_eq!(cache.put(&older, "n1"), News::Older);
    let known = |number| node(&cache.leader("t", number)).to_owned();
    assert_eq!([known(0), known(1), known(2)], ["n2", "n3", "n1"]);
    assert_eq!(cache.count("t"), Some(3));
    assert_eq!(cache.put(&newer, "n3"), News::Same);
    // The same name, made again.
    assert_eq!(cache.put(&topic("another id", vec![partition(0, "n1", 0)]), "n1"), News::Newer);
    assert_eq!((node(&cache.leader("t", 0)), cache.count("t")), ("n1", Some(1)));
}

#[test]
fn who_says_of_itself_that_it_leads_is_not_the_only_one_asked_when_requests_fail() {
    let cache = cache();
    let same = topic("id", vec![partition(0, "n1", 3), partition(1, "", 4)]);
    cache.put(&same, "n1");
    assert!(!cache.wants_another_word("t"), "nothing has failed");
    cache.topics.lock().get_mut("t").expect("known").at -= MIN_AGE;
    cache.doubt("t");
    cache.put(&same, "n3");
    assert!(!cache.wants_another_word("t"), "n3 speaks of others");
    cache.topics.lock().get_mut("t").expect("known").at -= MIN_AGE;
    cache.doubt("t");
    cache.put(&same, "n1");
    assert!(cache.wants_another_word("t"));
    assert!(cache.told_by_another("t", "n2", STUCK) && !cache.told_by_another("t", "n1", STUCK));
}

#[test]
fn one_that_says_the_same_for_long_while_requests_fail_is_not_the_only_one_asked() {
    let cache = cache();
    let same = topic("id", vec![partition(0, "n1", 3), partition(1, "", 4)]);
    cache.doubt("t");
    cache.put(&same, "n3");
    cache.topics.lock().get_mut("t").expect("known").at -= MIN_AGE;
    if let Some(stuck) = &mut cache.topics.lock().get_mut("t").expect("known").stuck {
        *stuck -= STUCK;
    }
    cache.doubt("t");
    cache.put(&same, "n3");
    assert!(cache.wants_another_word("t"));
    cache.put(&topic("id", vec![partition(0, "n2", 4)]), "n3");
    assert!(!cache.wants_another_word("t"), "something newer");
}
