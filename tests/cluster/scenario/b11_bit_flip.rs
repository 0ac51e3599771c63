//! B11: bits flip on the disk of one node, at rest and under it, while the two others are well.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::Instant;

use super::{a_while, alone, begin};
use crate::{
    checker::Fault,
    cluster::Cluster,
    effort,
    load::Style,
    look,
    net::Net,
    row::Scenario,
    run::{Run, all_vote, elections},
};

/// The files of partitions that one bit each flips in at a time.
const KINDS: [&str; 6] = ["log", "log", "log", "index", "checkpoint", "epochs"];
/// The files that the whole node depends on.
const VITAL: [&str; 6] =
    ["raft/log", "raft/vote", "raft/committed", "raft/snapshot", "cluster/identity", "meta.json"];
/// How often each of them is hit before the node mends itself; 2,000 flips are out of reach of one at a time.
const ROUNDS_LONG: usize = 6;
/// By then what is damaged is as it was.
const MENDED: Duration = Duration::from_secs(60);

/// A batch with a bit that is not its own.
#[derive(Debug)]
struct Hit {
    /// Of the partition, within the data directory.
    partition: PathBuf,
    offset: u64,
}

struct Ward {
    run: Run,
    scenario: Scenario,
    rng: StdRng,
    flips: u64,
    total: u64,
    hits: usize,
    slowest: Duration,
    refused: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_flipped_bits_of_one_node_are_mended_from_the_others() {
    let _alone = alone().await;
    let fault = "One bit flipped in log, index, checkpoint, epoch, metadata and identity files of one node, at rest and live";
    let Some(mut scenario) = begin("B11", fault, "flips") else { return };
    let (total, rng) = (effort::cycles(14, 2_000), effort::rng("B11"));
    let dir = tempfile::tempdir().expect("a directory");
    // The scrub finds what nobody reads; it begins anew every second.
    let cluster = Cluster::new(dir.path(), Net::new().ok())
        .with("SEGMENT_BYTES", "64KiB")
        .with("SCRUB_INTERVAL", "1")
        .with("SCRUB_BYTES_PER_SECOND", "64MiB");
    let mut run = Run::with(&mut scenario, cluster, Fault::Kill).await;
    if effort::is_long() {
        run.write_snapshots().await;
    }
    run.begin(Style { padded: true, ..Style::ALL }).await;
    let slowest = Duration::ZERO;
    let mut ward = Ward { run, scenario, rng, flips: 0, total, hits: 0, slowest, refused: 0 };
    for cycle in 0_u64.. {
        if ward.flips >= total {
            break;
        }
        ward.cycle(cycle).await;
    }
    let Ward { run, mut scenario, hits, slowest, refused, .. } = ward;
    scenario
        .note(format!("{hits} batches hit, mended from the others after {} ms at most", slowest.as_millis()));
    scenario
        .note(format!("{refused} starts refused in a sentence, each node brought back as another member"));
    run.finish(&mut scenario).await;
    scenario.finish();
}

impl Ward {
    async fn cycle(&mut self, cycle: u64) {
        let node = self.rng.random_range(1..=3);
        a_while(&mut self.rng).await;
        look::whole(&self.run.client).await;
        // Live, then down: what is only looked at when a node starts shows there.
        let live = cycle % 2 == 1;
        let mut hits = Vec::new();
        if live {
            hits = self.hurt(node, cycle);
            self.mended(node, &hits).await;
        }
        match self.rng.random_bool(0.5) {
            true => self.run.cluster.kill(node),
            false => self.run.cluster.stop(node).await,
        }
        if !live {
            hits = self.hurt(node, cycle);
        }
        self.start(node).await;
        self.mended(node, &hits).await;
        let since = self.run.now();
        self.run.writes_flow(since).await;
    }

    /// Flips a bit in some of everything.
    fn hurt(&mut self, node: u8, cycle: u64) -> Vec<Hit> {
        let data = self.run.cluster.data(node).to_owned();
        let partitions = look::list(&data.join("topics")).into_iter().flat_map(|topic| look::list(&topic));
        let files: Vec<PathBuf> = partitions.flat_map(|partition| look::list(&partition)).collect();
        let mut hits = Vec::new();
        let rounds = if effort::is_long() { ROUNDS_LONG } else { 1 };
        for kind in KINDS.repeat(rounds) {
            let of_kind: Vec<_> = files.iter().filter(|file| self::kind(file) == kind).collect();
            let Some(file) = of_kind.choose(&mut self.rng).copied() else { continue };
            let Some(at) = place(file, &mut self.rng) else { continue };
            if let Some(offset) = look::offset_at(file, at).filter(|_| kind == "log") {
                let partition = file.parent().and_then(|dir| dir.strip_prefix(&data).ok());
                hits.push(Hit { partition: partition.expect("it lies in the directory").to_owned(), offset });
            }
            self.flip(file, at);
        }
        let vital = data.join(VITAL[usize::try_from(cycle).expect("few cycles") % VITAL.len()]);
        if let Some(at) = place(&vital, &mut self.rng) {
            self.flip(&vital, at);
        }
        self.hits += hits.len();
        hits
    }

    fn flip(&mut self, file: &Path, at: u64) {
        // The broker may have removed it meanwhile.
        let Ok(file) = OpenOptions::new().read(true).write(true).open(file) else { return };
        let mut byte = [0];
        if file.read_exact_at(&mut byte, at).is_ok() {
            let bit = 1 << self.rng.random_range(0..8);
            file.write_all_at(&[byte[0] ^ bit], at).expect("written");
            self.flips += 1;
            self.scenario.cycle(self.total);
        }
    }

    /// Starts a node. One that refuses says why, and comes back with an empty directory.
    async fn start(&mut self, node: u8) {
        let refusal = match self.run.cluster.try_start(node).await {
            Ok(time) => return self.scenario.started(time),
            Err(refusal) => refusal.log.join("\n"),
        };
        self.refused += 1;
        if refusal.contains("panicked") || !VITAL.iter().any(|file| refusal.contains(file)) {
            self.scenario.boot_failed(&refusal);
        }
        let cluster = &mut self.run.cluster;
        let before = elections(cluster);
        cluster.renew(node);
        self.scenario.started(cluster.start(&[node]).await);
        all_vote(cluster, before).await;
    }

    /// Waits until a node has again what the next one has, at each place that was hit.
    async fn mended(&mut self, node: u8, hits: &[Hit]) {
        let began = Instant::now();
        let (here, there) = (self.run.cluster.data(node), self.run.cluster.data(node % 3 + 1));
        let is_damaged = |hit: &&Hit| {
            let of = |data: &Path| look::batch_at(&data.join(&hit.partition), hit.offset);
            of(here) != of(there)
        };
        loop {
            let damaged: Vec<&Hit> = hits.iter().filter(is_damaged).collect();
            if damaged.is_empty() {
                break;
            }
            let said = || self.run.cluster.log(node).join("\n");
            assert!(began.elapsed() < MENDED, "node {node} is not mended at {damaged:?}:\n{}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        look::whole(&self.run.client).await;
        self.slowest = self.slowest.max(began.elapsed());
    }
}

/// `log`, `index`, `checkpoint`, `epochs`.
fn kind(file: &Path) -> &str {
    file.extension().or(file.file_name()).and_then(|kind| kind.to_str()).unwrap_or_default()
}

/// A place in a file, mostly in what is used of it: what is allocated ahead is all zeros.
fn place(file: &Path, rng: &mut StdRng) -> Option<u64> {
    let bytes = std::fs::read(file).ok()?;
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    Some(rng.random_range(0..bytes.len().min(used + used / 20 + 1)) as u64)
}
