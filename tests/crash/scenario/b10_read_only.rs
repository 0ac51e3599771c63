//! B10: ext4 meets an error and makes itself read-only under a broker at work, as the kernel does with a failing disk.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use flymq_client::{Acks, Client, FetchSpec, NewMessage};

use crate::{
    checker::Fault,
    effort,
    load::{self, PARTITIONS, TOPIC, Writers},
    mounts::{Mount, Unable, image, need_root},
    row::Scenario,
    run::Run,
};

const DISK_BYTES: u64 = 512 << 20;
/// A topic beside, to see whether records are taken.
const PROBE: &str = "probe";
/// Under load before the disk fails, ms.
const LIFE_MS: u64 = 400;
/// Every writer has heard of it by then.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn b10_a_read_only_disk_refuses_records_and_serves_reads() {
    let _alone = super::alone().await;
    let fault = "ext4 turns read-only under load (`trigger_fs_error`)";
    let Some(mut scenario) = Scenario::begin("B10", fault, "remounts") else { return };
    let cycles = effort::cycles(1, 10);
    for _ in 0..cycles {
        if let Err(why) = cycle(&mut scenario).await {
            return scenario.skip(&why.to_string());
        }
        scenario.cycle(cycles);
    }
    scenario.finish();
}

async fn cycle(scenario: &mut Scenario) -> Result<(), Unable> {
    need_root()?;
    let dir = tempfile::tempdir().expect("a directory");
    let disk_image = dir.path().join("disk.img");
    image(&disk_image, DISK_BYTES, "ext4", &[])?;
    let place = dir.path().join("disk");
    let disk = Mount::new(&disk_image, &place, &["-o", "loop,errors=remount-ro"])?;
    let switch = disk.fs_error_switch()?;
    // What was not synced when ext4 gave up is gone, as after a power cut.
    let mut run = Run::new("b10", &place.join("data"), Fault::PowerCut);
    let broker = run.start(scenario).await;
    let client = load::connect(&broker.native).await;
    client.create_topic(PROBE, PARTITIONS).await.expect("the disk is well");
    let clients = run.load(&broker, Writers::All).await;
    tokio::time::sleep(Duration::from_millis(LIFE_MS)).await;
    run.check();
    std::fs::write(&switch, "the crash harness").expect("the switch can be turned");
    refused(&client, scenario).await;
    broker.kill();
    // An fdatasync that is under way when ext4 gives up may answer that all is well (see docs/known-limits.md): what was
    // acknowledged from that moment on is asked for only.
    run.ended_without_promise(clients).await;
    started_read_only(&run, scenario);
    drop(disk);
    mend(&disk_image);
    let _disk = Mount::new(&disk_image, &place, &["-o", "loop"])?;
    let broker = run.start(scenario).await;
    run.look_at_records(&broker).await;
    broker.kill();
    run.finish(scenario);
    Ok(())
}

/// Every partition refuses records, by name, and serves what it has.
async fn refused(client: &Client, scenario: &mut Scenario) {
    let give_up = Instant::now() + PATIENCE;
    for partition in 0..PARTITIONS {
        for acks in [Acks::All, Acks::Leader] {
            let message = || NewMessage::value("refused").to_partition(partition);
            let error = loop {
                match client.produce_one(PROBE, message(), acks).await {
                    Err(error) => break Some(error),
                    // The file system takes a moment.
                    Ok(_) if Instant::now() < give_up => {}
                    Ok(_) => break None,
                }
            };
            let known = ["READ_ONLY", "STORAGE_FAILED"];
            match error {
                Some(error) if known.contains(&error.code_name()) => {}
                other => scenario.violated(&format!("{partition}: {acks:?} on a read-only disk: {other:?}")),
            }
        }
        let mut spec = FetchSpec::new(TOPIC, partition, 0);
        spec.max_wait = Duration::from_millis(100);
        match client.fetch(&spec).await {
            Ok(page) if !page.messages.is_empty() => {}
            other => scenario.violated(&format!("{partition}: a read from a read-only disk: {other:?}")),
        }
    }
}

/// A start on a disk that is still read-only: it serves, or says why not.
fn started_read_only(run: &Run, scenario: &mut Scenario) {
    match run.launch.try_start() {
        Ok(broker) => broker.kill(),
        Err(refusal) => {
            let log = refusal.log.join("\n").to_lowercase();
            if !log.contains("read-only") || log.contains("panicked") {
                scenario.boot_failed(&log);
            }
        }
    }
}

/// What an administrator does before the next mount; it answers 1 when there was something to mend.
fn mend(image: &Path) {
    let output = Command::new("e2fsck").arg("-fy").arg(image).output().expect("e2fsck comes with mkfs.ext4");
    assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
}
