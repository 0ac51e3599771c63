//! Everything at once, in an order that a seed decides: nodes die and lose what they had not synced, links break one way
//! or both, frames are lost, while producers write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flymq_engine::PartitionReplica;
use flymq_types::{Acks, Rng, SeededRng};
use parking_lot::Mutex;

use crate::cluster::{Cluster, batch, until};

/// Who can be produced to, by node.
type Handles = Arc<Mutex<Vec<Option<Arc<dyn PartitionReplica>>>>>;

fn handles(cluster: &Cluster) -> Vec<Option<Arc<dyn PartitionReplica>>> {
    cluster.nodes.iter().map(|node| node.running.as_ref().map(|running| running.handle.clone())).collect()
}

/// Acknowledged by all for each producer, at least: those of a slow machine go on until they have them.
const ENOUGH: usize = 20;

/// Writes one value after the other, to whoever takes it; the values that all acknowledged.
async fn produce(handles: Handles, name: usize, stop: Arc<AtomicBool>) -> Vec<String> {
    let (mut acked, mut at) = (Vec::new(), name);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) && acked.len() >= ENOUGH {
            break;
        }
        let value = format!("{name}/{number}");
        let Some(handle) = handles.lock()[at % 3].clone() else {
            at += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        let acks = if number % 4 == 3 { Acks::Leader } else { Acks::All };
        let answer = handle.append(batch(&[&value]), acks);
        drop(handle);
        match tokio::time::timeout(Duration::from_secs(1), answer).await {
            Ok(Ok(_appended)) if acks == Acks::All => acked.push(value),
            Ok(Ok(_appended)) => {}
            Ok(Err(_)) | Err(_) => {
                at += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    acked
}

fn pick(rng: &SeededRng, below: u64) -> usize {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    usize::try_from(u64::from_le_bytes(bytes) % below).unwrap()
}

async fn pause(rng: &SeededRng) {
    tokio::time::sleep(Duration::from_millis(20 + pick(rng, 200) as u64)).await;
}

async fn one_fault(cluster: &mut Cluster, handles: &Handles, rng: &SeededRng) {
    let victim = pick(rng, 3);
    match pick(rng, 4) {
        // The power goes.
        0 => {
            handles.lock()[victim] = None;
            if let Some(disk) = &cluster.nodes[victim].disk {
                disk.crash_losing_all();
            }
            cluster.kill(victim).await;
            pause(rng).await;
            cluster.fence(victim).await;
            pause(rng).await;
            cluster.start(victim).await;
        }
        // Cut off, and fenced.
        1 => {
            cluster.isolate(victim);
            pause(rng).await;
            cluster.fence(victim).await;
            pause(rng).await;
            cluster.heal();
            cluster.unfence(victim).await;
        }
        // One way only, and nobody fences it.
        2 => {
            let other = (victim + 1 + pick(rng, 2)) % 3;
            cluster.links.cut(cluster.node(victim).broker, cluster.node(other).broker);
            pause(rng).await;
            pause(rng).await;
            cluster.heal();
        }
        // Frames get lost.
        _ => {
            cluster.links.lose_every(2 + pick(rng, 5) as u64);
            pause(rng).await;
            pause(rng).await;
            cluster.heal();
        }
    }
    *handles.lock() = self::handles(cluster);
}

async fn run(seed: u64, faults: usize) {
    let rng = SeededRng::new(seed);
    let mut cluster = Cluster::simulated(3).await;
    let (handles, stop): (Handles, _) =
        (Arc::new(Mutex::new(handles(&cluster))), Arc::<AtomicBool>::default());
    #[allow(clippy::disallowed_methods, reason = "the test is the composition root")]
    let producers: Vec<_> =
        (0..3).map(|name| tokio::spawn(produce(handles.clone(), name, stop.clone()))).collect();
    for _ in 0..faults {
        one_fault(&mut cluster, &handles, &rng).await;
        pause(&rng).await;
        // As the metadata leader would: never more than one node is away.
        until("a leader", || cluster.partition().leader.is_some()).await;
        cluster.in_sync(3).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acked = Vec::new();
    for producer in producers {
        acked.push(producer.await.unwrap());
    }
    cluster.in_sync(3).await;
    let there = cluster.equal_logs().await;
    for of_one in &acked {
        let places = of_one.iter().map(|value| {
            there
                .iter()
                .position(|known| known == value)
                .unwrap_or_else(|| panic!("seed {seed}: {value} is lost"))
        });
        assert!(places.is_sorted(), "seed {seed}: out of order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_whatever_breaks() {
    let seed = std::env::var("FLYMQ_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let faults = std::env::var("FLYMQ_CHAOS_FAULTS").ok().and_then(|faults| faults.parse().ok());
    run(seed.unwrap_or(7), faults.unwrap_or(10)).await;
}
