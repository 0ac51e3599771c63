//! Pictures of the block device under a broker that is at work; each is booted, and holds what was promised before it was
//! taken.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};

use crate::{
    broker::Launch,
    checker::{Checker, Fault},
    history::Phase,
    load::{self, PARTITIONS, TOPIC, Writers},
    mounts::Powered,
    read_back,
    row::Scenario,
    run::Run,
};

/// Pictures of one life of the broker.
const PER_LIFE: u64 = 10;
/// Between two of them, ms.
const DISTANCE_MS: std::ops::Range<u64> = 20..350;

/// A picture, and what had been promised by then.
struct Picture {
    image: std::path::PathBuf,
    checker: Checker,
}

pub async fn run(mut scenario: Scenario, pictures: u64, mut rng: StdRng, writers: Writers) {
    let powered = match Powered::new() {
        Ok(powered) => powered,
        Err(why) => return scenario.skip(&why.to_string()),
    };
    let mut total = Checker::after(Fault::PowerCut);
    let mut taken = 0;
    while taken < pictures {
        let data = powered.disk().join("data");
        let count = PER_LIFE.min(pictures - taken);
        let album = life(&powered, &data, &mut scenario, &mut rng, writers, count).await;
        for picture in album {
            let checker = boot(&powered, picture, &mut scenario).await;
            total.counts.leader += checker.counts.leader;
            total.counts.all += checker.counts.all;
            total.counts.read += checker.counts.read;
            total.counts.refused += checker.counts.refused;
            total.violations.extend(checker.violations);
            scenario.cycle(pictures);
        }
        taken += count;
        std::fs::remove_dir_all(&data).expect("the broker is gone");
    }
    scenario.note(format!("{} not synced and refused by name", total.counts.refused));
    scenario.add(&total);
    scenario.finish();
}

/// One broker under load, and pictures of its disk.
async fn life(
    powered: &Powered,
    data: &std::path::Path,
    scenario: &mut Scenario,
    rng: &mut StdRng,
    writers: Writers,
    count: u64,
) -> Vec<Picture> {
    let mut run = Run::new("power", data, Fault::PowerCut);
    let broker = run.start(scenario).await;
    let clients = run.load(&broker, writers).await;
    let mut album = Vec::new();
    for number in 0..count {
        // The moment is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(DISTANCE_MS))).await;
        run.check();
        let mut checker = run.checker.clone();
        let image = powered.picture(number).expect("a picture");
        // What was asked for while the picture was taken may be in it; its answers promise nothing.
        let meanwhile = run.history.peek();
        meanwhile.iter().filter(|event| event.phase == Phase::Invoke).for_each(|event| checker.apply(event));
        album.push(Picture { image, checker });
    }
    broker.kill();
    run.ended(clients).await;
    run.forget();
    album
}

/// Starts the broker on a picture and reads it.
async fn boot(powered: &Powered, picture: Picture, scenario: &mut Scenario) -> Checker {
    let Picture { image, mut checker } = picture;
    // What the life had read counts as promise, not as read back.
    checker.counts.read = 0;
    let mount = powered.open(&image);
    match Launch::new(&mount.path().join("data")).try_start() {
        Ok(broker) => {
            scenario.started(broker.start);
            let history = crate::history::History::new();
            let client = load::connect(&broker.native).await;
            for partition in 0..PARTITIONS {
                read_back::partition(&client, &history, TOPIC, partition, 0).await;
            }
            read_back::commits(&client, &history).await;
            read_back::topics(&client, &history).await;
            broker.kill();
            history.take().iter().for_each(|event| checker.apply(event));
        }
        Err(refusal) => scenario.boot_failed(&refusal.log.join("\n")),
    }
    drop(mount);
    std::fs::remove_file(&image).expect("the picture is there");
    checker
}
