//! Transactions, idempotent producers, offsets, scheduled messages, a queue with dead letters, records that expire, members of a
//! group and consume-transform-produce by chance, over a disk that stops at any step and loses what was not synced: `FLYMQ_SIM_SEEDS=1000 cargo test --release -p flymq-engine --test engine chance -- --nocapture` (`make sim`).
//!
//! A seed decides what each client does, when time passes, at which disk operation each life of the broker ends, and what is left of what
//! was not synced. The thread that syncs is a real one: two runs of a seed may differ in which request it finds first.

mod book;
mod clients;
mod counts;
mod expiry;
mod gaps;
mod members;
mod queue;
mod transform;

use std::time::Duration;

use flymq_types::{Rng as _, SeededRng};

use crate::support::*;
use book::Book;
use counts::Counts;

/// Seeds of a run of all tests.
const FEW: u64 = 12;
/// A broker lives so often before the last look.
const LIVES: u64 = 3;
/// The disk stops before so many operations of a life.
const STEPS: u64 = 1_200;

/// A number below `most`.
fn below(rng: &SeededRng, most: u64) -> u64 {
    rng.next_u64() % most
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("FLYMQ_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLYMQ_SIM_SEEDS").unwrap_or(FEW),
    }
}

#[tokio::test]
async fn whatever_stops_every_promise_holds() {
    let (mut counts, mut broken) = (Counts::default(), Vec::new());
    for seed in seeds() {
        let found = run(seed).await;
        counts.add(&found);
        if !found.violations.is_empty() {
            println!(
                "seed {seed} (again: FLYMQ_SIM_SEED={seed} cargo test -p flymq-engine --test engine chance):\n{}",
                found.violations.join("\n")
            );
            broken.push(seed);
        }
    }
    println!("{counts}");
    assert!(broken.is_empty(), "promises were broken under the seeds {broken:?}: {counts}");
    if counts.seeds >= FEW {
        counts.assert_all_happened();
    }
}

/// Some lives of a broker, each of which ends at a step of its disk; then one that shows what is there.
async fn run(seed: u64) -> Counts {
    let node = Node::simulated().sync_interval(Duration::from_millis(2));
    let rng = SeededRng::new(seed);
    let mut book = Book::new();
    for life in 0..LIVES {
        let engine = node.open().await;
        if gaps::found(&engine, &mut book) {
            return book.counts;
        }
        if life == 0 {
            for (name, partitions) in [(book::TRANSACTIONS, 2), (book::NUMBERED, 2), (book::SCHEDULED, 1)] {
                engine.create_topic(new_topic(name, partitions)).await.unwrap();
            }
            for topic in queue::topics().into_iter().chain([expiry::topic_of_short_lives()]) {
                engine.create_topic(topic).await.unwrap();
            }
            members::create(&engine).await;
            transform::create(&engine).await;
        }
        node.sim.stop_after(20 + below(&rng, STEPS));
        soon(clients::live(&node, &engine, &mut book, &rng)).await;
        book.stopped(node.sim.stopped());
        match below(&rng, 3) {
            0 => node.sim.crash_losing_all(),
            _ => node.sim.crash(&SeededRng::new(rng.next_u64())),
        }
        engine.shutdown().await;
        drop(engine);
        node.clock.advance(Duration::from_millis(below(&rng, 20_000)));
    }
    let engine = node.open().await;
    if gaps::found(&engine, &mut book) {
        return book.counts;
    }
    expiry::last_look(&node, &engine, &mut book, SeededRng::new(rng.next_u64())).await;
    queue::work_off(&node, &engine, &mut book, SeededRng::new(rng.next_u64())).await;
    transform::work_off(&node, &engine, &mut book, SeededRng::new(rng.next_u64())).await;
    book.check(&node, &engine).await
}
