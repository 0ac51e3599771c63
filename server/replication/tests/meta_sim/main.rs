//! Deterministic simulation of whole metadata groups: the same openraft, log, votes and snapshots that a broker has, on one thread,
//! with simulated disks, a paused clock and a network out of one seed.
//!
//! `FLYMQ_SIM_SEED=n` runs one seed and prints what happens, `FLYMQ_SIM_SEEDS=n` so many, from `FLYMQ_SIM_FIRST` on.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test ends there, and owns its runtime")]

mod chance;
mod network;
mod operator;
mod oracle;
mod world;

use std::collections::BTreeMap;

use flymq_replication::Simulation;
use world::World;

/// Says how to run the seed again.
struct Again(u64);

impl Drop for Again {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("seed {seed} failed; again:");
            eprintln!(
                "FLYMQ_SIM_SEED={seed} cargo test -p flymq-replication --test meta_sim -- --nocapture seeds"
            );
        }
    }
}

/// One run: its trace, and what was counted.
fn run(seed: u64) -> (u64, BTreeMap<&'static str, u64>) {
    let _again = Again(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let simulation = Simulation::begin(seed);
    let world = async { World::new(seed, number("FLYMQ_SIM_SEED").is_some()).await.run().await };
    runtime.block_on(simulation.drive(world))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn seeds_keep_every_promise() {
    let seeds: Vec<u64> = match number("FLYMQ_SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = number("FLYMQ_SIM_FIRST").unwrap_or(0);
            (first..first + number("FLYMQ_SIM_SEEDS").unwrap_or(8)).collect()
        }
    };
    let mut sum: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in &seeds {
        let (trace, figures) = run(*seed);
        // Each of the first, and now and then one of the others, is run twice.
        if seed % 50 < 2 && seeds.len() > 1 {
            assert_eq!(run(*seed).0, trace, "seed {seed} went otherwise the second time");
            *sum.entry("seeds run twice, the same trace").or_default() += 1;
        }
        figures.into_iter().for_each(|(what, count)| *sum.entry(what).or_default() += count);
    }
    sum.insert("seeds", seeds.len() as u64);
    for (what, count) in &sum {
        println!("{count:12} {what}");
    }
    assert!(sum["proposals answered"] > 0 && sum["crashes"] > 0, "nothing happened");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 100..103 {
        let (first, again) = (run(seed), run(seed));
        assert_eq!(first, again, "seed {seed}");
        assert_ne!(first.0, run(seed + 1_000).0);
    }
}
