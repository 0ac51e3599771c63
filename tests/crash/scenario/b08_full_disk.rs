//! B8: the disk is full. Records are refused with a word for it, everything else goes on, and space that comes back is used.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    broker::Process,
    checker::Fault,
    effort,
    history::{Op, Phase, Promise},
    load::{self, PARTITIONS, TOPIC},
    mounts::{Mount, need_root},
    row::Scenario,
    run::Run,
};
use flymq_client::{Acks, Client, ClientError, NewMessage, pb::ErrorCode};

const DISK: &str = "size=64m";
/// What takes the space, beside the broker's directory.
const BALLAST_BYTES: usize = 20 << 20;
/// A topic beside, to see whether records are taken.
const PROBE: &str = "probe";
/// Records in one request.
const BATCH: u32 = 200;
/// From the moment when there is space again.
const RESUME: Duration = Duration::from_secs(5);
/// The disk is full by then.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn b08_a_full_disk_refuses_records_and_resumes() {
    let _alone = super::alone().await;
    let fault = "No space on a disk of 64 MiB, then space again";
    let Some(mut scenario) = Scenario::begin("B8", fault, "fillings") else { return };
    let cycles = effort::cycles(2, 12);
    let dir = tempfile::tempdir().expect("a directory");
    let disk = need_root().and_then(|()| {
        Mount::new(Path::new("tmpfs"), &dir.path().join("disk"), &["-t", "tmpfs", "-o", DISK])
    });
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return scenario.skip(&why.to_string()),
    };
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        let data = disk.path().join("data");
        let mut run = Run::new("b8", &data, Fault::Kill);
        let mut broker = run.start(&mut scenario).await;
        load::connect(&broker.native).await.create_topic(PROBE, PARTITIONS).await.expect("there is room yet");
        let ballast = disk.path().join("ballast");
        std::fs::write(&ballast, vec![1; BALLAST_BYTES]).expect("there is room yet");
        let error = Filler { run: &mut run, next: 0 }.fill(&broker).await;
        if error.code != ErrorCode::StorageFull {
            scenario.violated(&format!("a full disk was refused as {error:?}"));
        }
        if let Some(status) = broker.ended() {
            scenario.violated(&format!("the broker ended with {status}: {}", broker.log().join("\n")));
        }
        // Reads go on, and so does a broker that is killed and comes back to the full disk.
        run.look_at_records(&broker).await;
        if cycle.is_multiple_of(2) {
            broker.kill();
            broker = run.start(&mut scenario).await;
            run.look_at_records(&broker).await;
        }
        std::fs::remove_file(&ballast).expect("it is there");
        slowest = slowest.max(resumed(&broker, &mut scenario).await);
        broker.kill();
        let broker = run.start(&mut scenario).await;
        run.look_at_records(&broker).await;
        broker.kill();
        run.finish(&mut scenario);
        std::fs::remove_dir_all(&data).expect("the broker is gone");
        scenario.cycle(cycles);
    }
    scenario.note(format!("takes records again after {} ms at most", slowest.as_millis()));
    scenario.finish();
}

/// Writes until the disk is full.
struct Filler<'a> {
    run: &'a mut Run,
    next: u32,
}

impl Filler<'_> {
    /// The error that ended it.
    async fn fill(&mut self, broker: &Process) -> ClientError {
        let client = load::connect(&broker.native).await;
        let give_up = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < give_up, "{} records and the disk is not full", self.next);
            if let Err(error) = self.batch(&client).await {
                return error;
            }
        }
    }

    async fn batch(&mut self, client: &Client) -> Result<(), ClientError> {
        let partition = i32::try_from(self.next / BATCH % 3).expect("below 3");
        let values: Vec<String> = (0..BATCH).map(|n| format!("1/0/{}", self.next + n)).collect();
        let op = |value: &String, at| Op::Produce { value: value.clone(), acks: Promise::All, at };
        values.iter().for_each(|value| self.run.history.add(1, Phase::Invoke, op(value, None)));
        let message = |value: &String| NewMessage::value(load::padded(value)).to_partition(partition);
        let result = client.produce_batch(TOPIC, values.iter().map(message).collect(), Acks::All).await;
        for (i, value) in values.iter().enumerate() {
            let (phase, at) = match &result {
                Ok(stored) => (Phase::Ok, Some((stored[i].partition, stored[i].offset))),
                Err(error) if error.side_effects => (Phase::Info, None),
                Err(_) => (Phase::Fail, None),
            };
            self.run.history.add(1, phase, op(value, at));
        }
        self.next += BATCH;
        result.map(drop)
    }
}

/// How long until records are taken again, of every partition.
async fn resumed(broker: &Process, scenario: &mut Scenario) -> Duration {
    let client = load::connect(&broker.native).await;
    let began = Instant::now();
    for partition in 0..PARTITIONS {
        let message = || NewMessage::value("resumed").to_partition(partition);
        while let Err(error) = client.produce_one(PROBE, message(), Acks::All).await {
            if began.elapsed() > RESUME {
                scenario.violated(&format!("{partition} does not take records after 5 s: {error}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    began.elapsed()
}
