//! Backups under live load while broker and program are killed: what is left is whole (`reliability.md` B41).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use flymq_client::{Acks, Client, NewMessage};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::world::World;

const DEFAULT_CYCLES: u64 = 6;
const PARTITIONS: i32 = 3;

/// Sends until it is told to stop, or the broker is gone.
async fn produce(client: Client, partition: i32, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    for n in 0_u64.. {
        let value = format!("{partition}-{n}-").repeat(1 + usize::try_from(n % 50).expect("small"));
        let messages =
            (0..=n % 5).map(|_| NewMessage::value(value.clone()).to_partition(partition)).collect();
        let stored = client.produce_batch("t", messages, Acks::Leader).await;
        if stored.is_err() || stop.load(Ordering::Relaxed) {
            return;
        }
        sent.fetch_add(1 + n % 5, Ordering::Relaxed);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_under_load_and_kills_hold_no_unreadable_batch() {
    let cycles = number("FLYMQ_TEST_BACKUP_CYCLES").unwrap_or(DEFAULT_CYCLES);
    let seed = number("FLYMQ_TEST_SEED").unwrap_or_else(rand::random);
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start().await;
    world.create("t", &[0, 40, 0]).await;
    let (sent, mut whole, mut killed) = (Arc::new(AtomicU64::new(0)), 0, 0);
    for cycle in 0..cycles {
        let stop = Arc::new(AtomicBool::new(false));
        let load: Vec<_> = (0..PARTITIONS)
            .map(|partition| {
                tokio::spawn(produce(world.client.clone(), partition, stop.clone(), sent.clone()))
            })
            .collect();
        let mut child = world.spawn(&["create", "--all", "--chunk-bytes", "20000"]);
        // The kill's moment is the fault itself.
        tokio::time::sleep(Duration::from_millis(random.random_range(5..250))).await;
        match cycle % 3 {
            0 => child.kill().expect("it was started"),
            1 => world.kill_broker(),
            _ => {}
        }
        let ended = tokio::task::spawn_blocking(move || child.wait().expect("it was started")).await.unwrap();
        if ended.success() {
            whole += 1;
        } else {
            killed += 1;
        }
        stop.store(true, Ordering::Relaxed);
        for producer in load {
            producer.await.expect("it does not panic");
        }
        if world.process.is_none() {
            world.restart().await;
        }
    }
    let manifests = world.files("backup-");
    // One that was killed may have written its manifest just before.
    let possible = whole..=whole + killed;
    assert!(
        possible.contains(&manifests.len()),
        "{} manifests of {possible:?} (seed {seed})",
        manifests.len()
    );
    let mut unreadable = 0;
    for (number, id) in manifests.iter().enumerate() {
        let id = id.file_stem().expect("a name").to_string_lossy().trim_start_matches("backup-").to_owned();
        let verified = world.run(&["verify", "--id", &id], None).status.success();
        let target = format!("t:copy-{number}");
        let restored = world.run(&["restore", "--id", &id, "--topic", &target], None).status.success();
        unreadable += usize::from(!verified || !restored);
        let (copy, live) = (world.contents(&format!("copy-{number}")).await, world.contents("t").await);
        for (partition, messages) in copy {
            let values = |all: &[flymq_client::Message]| {
                all.iter().map(|m| (m.offset, m.value.clone())).collect::<Vec<_>>()
            };
            assert_eq!(
                values(&messages),
                values(&live[&partition][..messages.len()]),
                "a prefix of the live topic (seed {seed})"
            );
        }
    }
    let sent = sent.load(Ordering::Relaxed);
    println!(
        "seed {seed}: {cycles} backups under load ({sent} records), {killed} killed, {whole} whole, unreadable {unreadable}"
    );
    assert_eq!(unreadable, 0, "seed {seed}");
}
