//! Engine, log and metadata together on one disk whose power fails between any two steps.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{
    Engine, EngineDeps, EngineError, EngineOptions, FetchSpec, NewTopic, OffsetCommit, Target, TopicChange,
    TopicConfig,
};
use flymq_replication::{LocalMetaOptions, LocalMetaStore};
use flymq_storage::{DataDir, DataDirOptions, SimDisk, SpaceOptions, SyncMode};
use flymq_types::{
    Acks, GroupId, Isolation, ManualClock, Offset, PartitionId, SeededRng, Timestamp, TopicName,
};
use flymq_wire::batch::{BatchBuilder, NewRecord};

fn topic(n: u32) -> TopicName {
    TopicName::new(&format!("t{n}")).unwrap()
}

fn group() -> GroupId {
    GroupId::new("g").unwrap()
}

fn batch(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

/// `None` where the disk stops before the node is up.
async fn open(disk: &SimDisk, rng: &Arc<SeededRng>) -> Option<Arc<Engine>> {
    let disk = disk.process();
    let clock = Arc::new(ManualClock::new(Timestamp(1_000)));
    let options = DataDirOptions {
        disk: disk.clone(),
        path: "/data".into(),
        clock: clock.clone(),
        rng: rng.clone(),
        sync: SyncMode::Thread { interval: Duration::from_secs(3_600) },
        tail_cache_bytes: 1 << 20,
        space: SpaceOptions::OFF,
        encryption: None,
        node: None,
        open_files: 64,
    };
    let data = Arc::new(DataDir::open(options).ok()?);
    let meta =
        LocalMetaOptions { snapshot_after_bytes: 200, ..LocalMetaOptions::new(disk, "/data/metadata") };
    let meta = Arc::new(LocalMetaStore::open(meta).ok()?);
    let deps = EngineDeps { data, clock, rng: rng.clone(), meta, replication: None };
    Engine::open(EngineOptions::default(), deps).await.ok()
}

/// What was answered, and so has to be there: topic → (partitions, records of partition 0, committed offset).
type Model = BTreeMap<u32, (usize, Vec<String>, Option<u64>)>;

/// Works until the disk stops; returns the topic whose change had no answer.
async fn work(engine: &Engine, model: &mut Model, next: &mut u32) -> u32 {
    loop {
        let n = *next;
        *next += 1;
        let new =
            NewTopic { name: topic(n), partitions: Some(2), config: TopicConfig::default(), restore: None };
        if engine.create_topic(new).await.is_err() {
            return n;
        }
        model.insert(n, (2, Vec::new(), None));
        for value in ["a", "b"] {
            let target = Target::Partition(PartitionId(0));
            if engine.append(&topic(n), target, batch(value), Acks::All).await.is_err() {
                return n;
            }
            model.get_mut(&n).unwrap().1.push(value.to_owned());
        }
        let (partition, metadata) = (PartitionId(0), String::new());
        let commit = OffsetCommit { topic: topic(n), partition, offset: Offset(n.into()), metadata };
        if engine.commit_offsets(&group(), vec![commit]).await.is_err() {
            return n;
        }
        model.get_mut(&n).unwrap().2 = Some(n.into());
        let grow = TopicChange { partitions: Some(4), ..TopicChange::default() };
        if engine.alter_topic(&topic(n), grow).await.is_err() {
            return n;
        }
        model.get_mut(&n).unwrap().0 = 4;
        if n > 0 {
            if engine.delete_topic(&topic(n - 1)).await.is_err() {
                return n - 1;
            }
            model.remove(&(n - 1));
        }
    }
}

async fn read(engine: &Engine, name: TopicName) -> Result<Vec<String>, EngineError> {
    let spec = FetchSpec {
        topic: name,
        partition: PartitionId(0),
        offset: Offset(0),
        max_bytes: 1 << 20,
        min_bytes: 1,
        max_wait: Duration::ZERO,
        isolation: Isolation::ReadCommitted,
    };
    let fetched = engine.fetch(spec).await?;
    let records = fetched.batches.iter().flat_map(|batch| batch.records().unwrap());
    Ok(records.map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()).collect())
}

/// Compares the node with the model; the topic without answer may be either way, and the model takes over how it is.
async fn check(engine: &Engine, model: &mut Model, unsure: Option<u32>, seed: u64) {
    let listed: BTreeMap<_, _> =
        engine.list_topics(false).into_iter().map(|info| (info.name, info.partitions.len())).collect();
    if let Some(unsure) = unsure {
        match listed.get(&topic(unsure)) {
            None => drop(model.remove(&unsure)),
            Some(partitions) => {
                let known = model.entry(unsure).or_default();
                assert!(*partitions >= known.0, "seed {seed}: partitions went away");
                let there = read(engine, topic(unsure)).await.unwrap();
                assert!(there.starts_with(&known.1), "seed {seed}: {there:?} lost some of {:?}", known.1);
                let committed = committed(engine, unsure);
                assert!(known.2.is_none() || known.2 == committed, "seed {seed}: a commit went away");
                *known = (*partitions, there, committed);
            }
        }
    }
    let expected: BTreeMap<_, _> =
        model.iter().map(|(n, (partitions, ..))| (topic(*n), *partitions)).collect();
    assert_eq!(listed, expected, "seed {seed}");
    for (n, (_, records, offset)) in model {
        assert_eq!(read(engine, topic(*n)).await.unwrap(), *records, "seed {seed}: topic {n}");
        assert_eq!(committed(engine, *n), *offset, "seed {seed}: topic {n}");
    }
}

fn committed(engine: &Engine, n: u32) -> Option<u64> {
    let all = engine.committed(&group(), Some(&topic(n)), Some(PartitionId(0))).unwrap_or_default();
    all.first().map(|committed| committed.offset.get())
}

/// Every directory of a log belongs to a topic that is listed.
fn no_orphans(disk: &SimDisk, engine: &Engine, seed: u64) {
    let ids: Vec<_> = engine.list_topics(true).into_iter().map(|info| info.id.to_string()).collect();
    for file in disk.files() {
        let Ok(rest) = file.strip_prefix(Path::new("/data/topics")) else { continue };
        let id = rest.iter().next().unwrap().to_string_lossy().into_owned();
        assert!(ids.contains(&id), "seed {seed}: {} is left behind", file.display());
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_power_cut_at_any_step() {
    for seed in 0..30u64 {
        let disk = SimDisk::new();
        let rng = Arc::new(SeededRng::new(seed));
        let (mut model, mut next, mut unsure) = (Model::new(), 0, None);
        for round in 0..4u64 {
            // Odd rounds may lose power already while the node starts.
            if round % 2 == 1 {
                disk.stop_after(seed * 7 % 90);
                drop(open(&disk, &rng).await);
                disk.crash(&*rng);
            }
            let engine = open(&disk, &rng).await.expect("opens on a whole disk");
            check(&engine, &mut model, unsure.take(), seed).await;
            no_orphans(&disk, &engine, seed);
            disk.stop_after(seed * 13 % 400 + round);
            unsure = Some(work(&engine, &mut model, &mut next).await);
            drop(engine);
            disk.crash(&*rng);
        }
    }
}
