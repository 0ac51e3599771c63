//! Transactions, idempotent producers, offsets, scheduled messages, what is made of messages, a queue with dead letters, records that expire
//! and members of a group by chance, over three engines whose partitions are replicated: nodes stop at any operation of their disk and lose
//! what was not synced, one or all of them, are cut off and fenced, and frames and answers between them get lost.
//! `FLYMQ_SIM_CLUSTERS=100 cargo test --release -p flymq-replication --test driver promises -- --nocapture` (`make sim`).
//!
//! A seed decides what the clients do and what breaks. Threads and timers are real ones: two runs of a seed differ in how these meet.
//! `FLYMQ_SIM_LOG=info` prints what the engines say.

mod book;
mod clients;
mod expiry;
mod fates;
mod logs;
mod members;
mod queue;
mod streams;
mod terms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flymq_engine::meta::MetaStore as _;
use flymq_engine::{EngineOptions, TopicConfig};
use flymq_storage::SimDisk;
use flymq_types::{Rng as _, SeededRng};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::cluster::{settings, until};
use crate::engines::Engines;
use book::{Book, Counts};
use clients::{Client, TIMEOUT_MS, TRANSACTIONAL};

/// Seeds of a run of all tests.
const FEW: u64 = 3;
/// What breaks under a seed.
const FAULTS: u64 = 4;
const SLOWEST_SYNC_MS: u64 = 12;

fn below(rng: &SeededRng, most: u64) -> u64 {
    rng.next_u64() % most
}

async fn a_while(rng: &SeededRng) {
    tokio::time::sleep(Duration::from_millis(20 + below(rng, 200))).await;
}

/// Every replica of every partition is in sync.
async fn whole(cluster: &Engines) {
    until("all replicas are in sync", || {
        let image = cluster.store.image();
        image.topics.values().flat_map(|topic| &topic.partitions).all(|partition| partition.isr.len() == 3)
    })
    .await;
}

/// The nodes in the order in which something comes over them.
fn shuffled(rng: &SeededRng) -> [usize; 3] {
    let mut nodes = [0, 1, 2];
    for last in [2, 1] {
        nodes.swap(last, usize::try_from(below(rng, last as u64 + 1)).unwrap());
    }
    nodes
}

/// Where syncs take their time, an answer that does not wait for them is found out by the next power cut.
fn slow_syncs(cluster: &Engines, rng: &SeededRng) {
    for node in shuffled(rng).into_iter().skip(1) {
        let time = Duration::from_millis(below(rng, SLOWEST_SYNC_MS));
        cluster.nodes[node].disk.as_ref().unwrap().slow_syncs(time);
    }
}

async fn one_fault(cluster: &mut Engines, rng: &SeededRng, counts: &mut Counts) {
    let victim = usize::try_from(below(rng, 3)).unwrap();
    let what = below(rng, 7);
    tracing::info!(victim, what, "fault");
    match what {
        // Its disk ends before any of its next operations.
        0..=2 => {
            let disk = cluster.nodes[victim].disk.clone().unwrap();
            disk.stop_after(1 + below(rng, 400));
            let waits = async {
                while !disk.stopped() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            counts.stops += u64::from(tokio::time::timeout(Duration::from_secs(2), waits).await.is_ok());
            match below(rng, 2) {
                0 => disk.crash_losing_all(),
                _ => disk.crash(&SeededRng::new(rng.next_u64())),
            }
            cluster.kill(victim).await;
            a_while(rng).await;
            cluster.start(victim).await;
        }
        // The power goes everywhere at once.
        4 | 5 => {
            let disks = cluster.nodes.iter().filter_map(|node| node.disk.as_ref());
            disks.for_each(SimDisk::crash_losing_all);
            for node in shuffled(rng) {
                cluster.kill(node).await;
            }
            a_while(rng).await;
            for node in shuffled(rng) {
                cluster.start(node).await;
            }
            counts.power_cuts += 1;
        }
        // Cut off, and another one takes its place.
        3 => {
            cluster.isolate(victim);
            // Nobody is replaced who may still believe to lead.
            tokio::time::sleep(settings().session / 2).await;
            a_while(rng).await;
            cluster.fence(victim).await;
            a_while(rng).await;
            cluster.heal();
            cluster.unfence(victim).await;
            counts.cuts += 1;
        }
        // Frames and answers get lost.
        _ => {
            cluster.links.lose_every(2 + below(rng, 5));
            cluster.peers.lose_every(2 + below(rng, 3));
            a_while(rng).await;
            a_while(rng).await;
            cluster.heal();
            counts.losses += 1;
        }
    }
}

async fn run(seed: u64) -> Counts {
    let rng = SeededRng::new(seed);
    let mut options = EngineOptions { transaction_timeout_ms: TIMEOUT_MS, ..EngineOptions::default() };
    options.topic_defaults.replication_factor = 3;
    options.topic_defaults.min_insync_replicas = 2;
    let mut cluster = Engines::simulated(options).await;
    for (name, partitions) in book::TOPICS {
        cluster.create(name, partitions, TopicConfig::default()).await;
    }
    cluster.create(queue::QUEUE, 2, queue::config()).await;
    cluster.create(expiry::EXPIRING, 1, expiry::config()).await;
    cluster.create(members::SHARED, members::PARTITIONS, TopicConfig::default()).await;
    slow_syncs(&cluster, &rng);
    let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::<AtomicBool>::default());
    let peers = cluster.peers.clone();
    let client = || Client {
        peers: peers.clone(),
        book: book.clone(),
        rng: SeededRng::new(rng.next_u64()),
        stop: stop.clone(),
    };
    let transactional = join_all((0..TRANSACTIONAL).map(|number| client().transact(number)));
    let streams = join_all((0..2).map(|partition| client().stream(partition)));
    let workers = join_all((0..queue::WORKERS).map(|number| client().work(number)));
    let queue = async { tokio::join!(client().fill(), workers, client().bury()) };
    let members = join_all((0..members::SEATS).map(|number| client().be_member(number)));
    let expiry = async { tokio::join!(client().produce_short(), client().look_often()) };
    let clients = async {
        tokio::join!(transactional, client().number(), client().schedule(), streams, queue, expiry, members)
    };
    let mut counts = Counts::of_a_seed();
    let faults = async {
        for _ in 0..FAULTS {
            a_while(&rng).await;
            one_fault(&mut cluster, &rng, &mut counts).await;
            whole(&cluster).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(clients, faults);
    tracing::info!("nothing breaks any more, and nobody goes on");
    for partition in 0..2 {
        client().work_off(partition).await;
    }
    tracing::info!("the streams are worked off");
    client().clear().await;
    let open = || cluster.peers.engines().iter().any(|engine| !engine.open_transactions().is_empty());
    let pending = || cluster.peers.engines().iter().any(|engine| engine.pending_schedules() > 0);
    until("nothing is open or pending", || !open() && !pending()).await;
    members::check(&client(), &mut counts).await;
    let book = std::mem::take(&mut *book.lock());
    let mut counts = book.check(&cluster.peers, counts).await;
    logs::compare(&mut cluster, &mut counts).await;
    counts
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("FLYMQ_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLYMQ_SIM_CLUSTERS").unwrap_or(FEW),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_among_three_every_promise_holds() {
    if let Ok(filter) = std::env::var("FLYMQ_SIM_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
    }
    let (mut counts, mut broken) = (Counts::default(), Vec::new());
    for seed in seeds() {
        let found = run(seed).await;
        if found.wrong() > 0 {
            println!(
                "seed {seed} (again: FLYMQ_SIM_SEED={seed} cargo test -p flymq-replication --test driver promises)"
            );
            broken.push(seed);
        }
        counts.add(&found);
    }
    println!("{counts}");
    assert!(broken.is_empty(), "promises were broken under the seeds {broken:?}: {counts}");
    let promised = [
        counts.committed,
        counts.numbered,
        counts.scheduled,
        counts.made,
        counts.accepted,
        counts.dead,
        counts.compared,
    ];
    assert!(promised.iter().all(|count| *count > 0), "nothing was promised: {counts}");
    assert!(counts.missing().is_empty(), "never happened: {:?}", counts.missing());
}
