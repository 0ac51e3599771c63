//! B7: an fdatasync fails once, and the next would succeed: the kernel has dropped the pages, so that nobody may believe it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use flymq_client::{Acks, Client, FetchSpec, NewMessage};
use rand::{Rng as _, rngs::StdRng};

use crate::{
    broker::Process,
    checker::Fault,
    effort,
    history::{Event, Op, Phase},
    load::{self, PARTITIONS, TOPIC, Writers},
    row::Scenario,
    run::Run,
    strace::{Injected, Injection, strace},
};

/// Which fdatasync of a thread fails.
const WHEN: std::ops::Range<u32> = 3..60;
/// By then so many were called, or never will be.
const PATIENCE: Duration = Duration::from_secs(4);
/// An answer may be on its way when the disk says no.
const GRACE_NS: u64 = 100_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn b07_nothing_is_acknowledged_after_a_failed_fdatasync() {
    let _alone = super::alone().await;
    let fault = "`fdatasync` answers EIO once (strace)";
    let Some(mut scenario) = Scenario::begin("B7", fault, "failures") else { return };
    if strace().is_none() {
        return scenario.skip("strace is not installed");
    }
    let (cycles, mut rng) = (effort::cycles(3, 60), effort::rng("B7"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new("b7", &dir.path().join("data"), Fault::Kill);
    let mut found = Found::default();
    // The first life has no fault: it makes the topic.
    let broker = run.start(&mut scenario).await;
    broker.kill();
    for cycle in 0..cycles {
        let log = dir.path().join(format!("strace-{cycle}"));
        failure(&mut run, &mut scenario, &mut rng, &log, &mut found).await;
        let broker = run.start(&mut scenario).await;
        run.look(&broker, true).await;
        broker.kill();
        scenario.cycle(cycles);
    }
    assert!(found.fenced > 0, "no partition was ever hit: {found:?}");
    scenario.note(format!(
        "{} failures hit a partition ({} times while it was opened: offline until the next start), {} other files, {} starts \
         refused; {} acknowledgements after a failure",
        found.fenced, found.offline, found.other, found.starts, found.late
    ));
    run.finish(&mut scenario);
    scenario.finish();
}

#[derive(Debug, Default)]
struct Found {
    /// Failures of a partition's log.
    fenced: u64,
    /// Failures of committed offsets, metadata, marks.
    other: u64,
    /// Partitions hit while the start opened them.
    offline: u64,
    /// In the start itself, which was refused.
    starts: u64,
    late: u64,
}

/// One life in which an fdatasync fails.
async fn failure(run: &mut Run, scenario: &mut Scenario, rng: &mut StdRng, log: &Path, found: &mut Found) {
    let injection = Injection::new(log, "fdatasync", &format!("error=EIO:when={}", rng.random_range(WHEN)));
    let launch = run.launch.clone().under(injection.command().expect("strace is there"));
    let broker = match launch.try_start() {
        Ok(broker) => broker,
        Err(refusal) => {
            let log = refusal.log.join("\n");
            found.starts += 1;
            if !log.contains("os error 5") || log.contains("panicked") {
                scenario.boot_failed(&log);
            }
            return;
        }
    };
    scenario.started(broker.start);
    let client = load::connect(&broker.native).await;
    let clients = run.load(&broker, Writers::All).await;
    let give_up = Instant::now() + PATIENCE;
    while injection.injected().is_empty() && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let topic = client.topic(TOPIC).await.expect("the topic is there").id;
    let injected = injection.injected();
    let hit: Vec<i32> = injected.iter().filter_map(|failed| partition_of(failed, &topic)).collect();
    for failed in injected {
        match partition_of(&failed, &topic) {
            Some(partition) => {
                found.fenced += 1;
                found.offline += refused(&client, &broker, scenario, partition, &hit).await;
                let events = run.history.peek();
                let late = late_answers(&events, partition, run.history.ns_at(failed.at) + GRACE_NS);
                if late > 0 {
                    scenario
                        .violated(&format!("{late} records of {partition} acknowledged after {failed:?}"));
                }
                found.late += late;
            }
            None => found.other += 1,
        }
    }
    broker.kill();
    run.ended(clients).await;
}

/// The partition is fenced, its records can be read, and the others go on. One that was hit while it was being opened is
/// offline until the next start; how many those are.
async fn refused(
    client: &Client,
    broker: &Process,
    scenario: &mut Scenario,
    failed: i32,
    hit: &[i32],
) -> u64 {
    let mut offline = 0;
    for acks in [Acks::Leader, Acks::All] {
        let message = NewMessage::value("after the failure").to_partition(failed);
        if let Ok(stored) = client.produce_one(TOPIC, message, acks).await {
            scenario.violated(&format!("{failed} took {stored:?} after its fdatasync had failed"));
        }
    }
    for partition in 0..PARTITIONS {
        let mut spec = FetchSpec::new(TOPIC, partition, 0);
        spec.max_wait = Duration::from_millis(100);
        if let Err(error) = client.fetch(&spec).await {
            if hit.contains(&partition) && error.message.contains("is offline: fdatasync") {
                offline += 1;
                continue;
            }
            let log = broker.log();
            let last = log.last().map_or("", String::as_str);
            scenario.violated(&format!(
                "{partition} cannot be read although {hit:?} alone failed: {error}; {last}"
            ));
        }
    }
    offline
}

/// The partition of the topic whose segment it was.
fn partition_of(failed: &Injected, topic: &str) -> Option<i32> {
    let segment = failed.path.extension().is_some_and(|kind| kind == "log");
    let dir = failed.path.parent()?;
    let ours = segment && dir.parent()?.file_name()? == topic;
    if ours { dir.file_name()?.to_str()?.parse().ok() } else { None }
}

/// Records of the partition that were sent after that moment, and acknowledged.
fn late_answers(events: &[Event], partition: i32, after_ns: u64) -> u64 {
    let mut sent = std::collections::HashSet::new();
    let mut late = 0;
    for event in events.iter().filter(|event| event.at_ns > after_ns) {
        let Op::Produce { value, at, .. } = &event.op else { continue };
        match event.phase {
            Phase::Invoke => {
                sent.insert(value.as_str());
            }
            Phase::Ok if at.is_some_and(|(p, _)| p == partition) && sent.contains(value.as_str()) => {
                late += 1;
            }
            Phase::Ok | Phase::Fail | Phase::Info => {}
        }
    }
    late
}
