//! Scheduled messages while the nodes that keep them, and those that lead their topic, die.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flymq_client::{Client, FetchSpec, pb};

use crate::{
    clients::{hears_of_others, native, runtime},
    nodes::{Cluster, eventually},
};

const ROUNDS: i64 = 4;
const EACH: i64 = 60;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("behind 1970");
    i64::try_from(since.as_millis()).expect("small")
}

/// Value and record time of everything in the topic, by partition.
async fn delivered(client: &Client, partitions: i32) -> Vec<Vec<(String, i64)>> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let (mut values, mut offset) = (Vec::new(), 0);
        loop {
            let Ok(fetched) = client.fetch(&FetchSpec::new("t", partition, offset)).await else { continue };
            let one =
                |m: &flymq_client::Message| (String::from_utf8_lossy(&m.value).into_owned(), m.timestamp_ms);
            values.extend(fetched.messages.iter().map(one));
            if fetched.next_offset == offset {
                break;
            }
            offset = fetched.next_offset;
        }
        all.push(values);
    }
    all
}

async fn schedule(client: &Client, value: String, key: i64, delay_ms: i64) -> bool {
    let record = pb::Record { key_text: Some(format!("k{key}")), value: value.into(), ..Default::default() };
    let request = pb::ScheduleMessageRequest {
        topic: "t".to_owned(),
        record: Some(record),
        delay_ms,
        ..Default::default()
    };
    client.call::<_, pb::ScheduleMessageResponse>("ScheduleMessage", &request).await.is_ok()
}

/// B31 on three nodes.
#[test]
fn no_scheduled_message_is_lost_early_or_twice_over_the_death_of_leaders() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 3);
    (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    // The first one makes the topic of those that wait.
    eventually("the feature is on", || {
        runtime.block_on(schedule(&client, "first".to_owned(), 0, 1)).then_some(())
    });
    cluster.in_sync("__schedules", 0, 3);
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..EACH {
            // Due one after the other, from before the kill until after the next leader's beginning.
            let delay = 50 + number * 50;
            let value = format!("{round}-{number}-{}", now_ms() + delay);
            if runtime.block_on(schedule(&client, value.clone(), number % 4, delay)) {
                acknowledged.push(value);
            }
        }
        let leader = match round % 2 {
            0 => cluster.leader("__schedules", 0),
            _ => cluster.leader("t", 1),
        };
        // The fault: nothing waits for this time.
        std::thread::sleep(Duration::from_millis(300));
        cluster.kill(leader);
        cluster.restart(leader);
        (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
        cluster.in_sync("__schedules", 0, 3);
        hears_of_others(&runtime, &client);
    }
    let there = eventually("all of them come", || {
        let there = runtime.block_on(delivered(&client, 3));
        (there.iter().map(Vec::len).sum::<usize>() > acknowledged.len()).then_some(there)
    });
    let due = |value: &str| value.rsplit('-').next().and_then(|due| due.parse().ok()).unwrap_or(0);
    let mut values: Vec<&str> = there.iter().flatten().map(|(value, _)| value.as_str()).collect();
    values.sort_unstable();
    let whole = values.len();
    values.dedup();
    let twice = whole - values.len();
    let lost = acknowledged.iter().filter(|value| values.binary_search(&value.as_str()).is_err()).count();
    let early = there.iter().flatten().filter(|(value, at)| *at < due(value)).count();
    eprintln!(
        "{ROUNDS} kills of three nodes, {} messages: lost {lost}, early {early}, twice {twice}",
        acknowledged.len()
    );
    assert_eq!((lost, early, twice), (0, 0, 0));
}
