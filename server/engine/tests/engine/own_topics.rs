//! Topics that keep the broker's own state, on a broker without cluster, in power cuts.

use std::collections::BTreeMap;
use std::time::Duration;

use flymq_engine::{Engine, EngineError, OffsetCommit};
use flymq_types::{Offset, PartitionId, Rng as _, SeededRng};
use futures::future::join_all;

use crate::support::*;

const CLIENTS: usize = 12;

fn commit(offset: u64) -> OffsetCommit {
    let (topic, partition, metadata) = (topic("t"), PartitionId(0), String::new());
    OffsetCommit { topic, partition, offset: Offset(offset), metadata }
}

/// Commits one offset after the other, and says which was the last that is kept.
async fn commit_on(engine: &Engine, client: usize, first: u64) -> u64 {
    let group = group(&format!("g-{client}"));
    for offset in first.. {
        if engine.commit_offsets(&group, vec![commit(offset)]).await.is_err() {
            return offset - 1;
        }
    }
    unreachable!("the disk stops")
}

fn committed(engine: &Engine, client: usize) -> u64 {
    match engine.committed(&group(&format!("g-{client}")), None, None) {
        Ok(all) => all.first().map_or(0, |at| at.offset.get()),
        Err(EngineError::GroupNotFound { .. }) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Batches that are not synced reach the disk in any order: were there two of them, the later one could be there without the
/// other, and the whole partition be refused for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_leaves_no_gap_in_what_the_broker_keeps() {
    for seed in 0..40 {
        let mut node = Node::simulated().sync_interval(Duration::from_millis(1));
        node.options.offsets_partitions = 1;
        let rng = SeededRng::new(seed);
        let mut kept = BTreeMap::new();
        let engine = node.open().await;
        engine.create_topic(new_topic("t", 1)).await.unwrap();
        node.sim.slow_syncs(Duration::from_millis(1 + rng.next_u64() % 3));
        node.sim.stop_after(30 + rng.next_u64() % 120);
        let clients = (0..CLIENTS).map(|client| commit_on(&engine, client, 1));
        kept.extend(soon(join_all(clients)).await.into_iter().enumerate());
        node.sim.crash(&SeededRng::new(rng.next_u64()));
        node.sim.slow_syncs(Duration::ZERO);
        engine.shutdown().await;
        drop(engine);
        let engine = node.open().await;
        assert_eq!(engine.storage_health().damaged, [], "seed {seed}");
        for (client, offset) in &kept {
            assert!(committed(&engine, *client) >= *offset, "seed {seed}: {client} has lost {offset}");
        }
        engine.shutdown().await;
    }
}
