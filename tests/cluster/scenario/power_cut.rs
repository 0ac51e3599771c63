//! Pictures of the three nodes' disks, each an ext4 of its own, while the cluster works. A cluster is started over each
//! triple: what was promised before the first of the three was taken is there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rand::rngs::StdRng;
use tokio::time::Instant;

use super::a_while;
use crate::{
    checker::Fault,
    cluster::Cluster,
    history::Promise,
    load::Style,
    look,
    mounts::{Mount, Powered},
    net::Net,
    row::Scenario,
    run::{Promised, Run},
};

/// Pictures of one life of the cluster.
const PER_LIFE: u64 = 10;

/// What the three disks held, and what had been promised by then.
struct Picture {
    images: Vec<PathBuf>,
    promised: Promised,
}

pub async fn run(mut scenario: Scenario, pictures: u64, mut rng: StdRng, acks: Promise) {
    let powered = match Powered::with_disks(3) {
        Ok(powered) => powered,
        Err(why) => return scenario.skip(&why.to_string()),
    };
    let (mut taken, mut longest, mut batches) = (0, Duration::ZERO, 0);
    while taken < pictures {
        let data = [0, 1, 2].map(|disk| powered.disk_of(disk).join("data"));
        let cluster = cluster(&data);
        let fault = if acks == Promise::All { Fault::PowerCut } else { Fault::Failover };
        let mut run = Run::with(&mut scenario, cluster, fault).await;
        run.begin(Style { acks, padded: true }).await;
        let mut album = Vec::new();
        for number in 0..PER_LIFE.min(pictures - taken) {
            a_while(&mut rng).await;
            let mut promised = run.promised();
            let began = Instant::now();
            let images = powered.pictures(number).expect("pictures");
            longest = longest.max(began.elapsed());
            run.asked_since(&mut promised);
            album.push(Picture { images, promised });
        }
        run.power_off().await;
        taken += album.len() as u64;
        for picture in album {
            batches += boot(&powered, picture, &mut run, acks, &mut scenario).await;
            scenario.cycle(pictures);
        }
        data.iter().for_each(|data| std::fs::remove_dir_all(data).expect("nobody is in it"));
    }
    scenario.note(format!("three pictures within {} ms at most", longest.as_millis()));
    scenario.note(format!("{batches} batches afterwards, the same on all three disks"));
    scenario.finish();
}

fn cluster(data: &[PathBuf; 3]) -> Cluster {
    let mut cluster = Cluster::new(Path::new("/"), Net::new().ok());
    cluster.move_to([&data[0], &data[1], &data[2]]);
    cluster
}

/// Starts the nodes over pictures, reads everything, and lets clients work on; how many batches there were at the end.
async fn boot(
    powered: &Powered,
    picture: Picture,
    run: &mut Run,
    acks: Promise,
    scenario: &mut Scenario,
) -> usize {
    let Picture { images, promised } = picture;
    let mounts: Vec<Mount> = images.iter().map(|image| powered.open(image)).collect();
    let data: Vec<PathBuf> = mounts.iter().map(|mount| mount.path().join("data")).collect();
    run.power_on(scenario, promised, [&data[0], &data[1], &data[2]]).await;
    look::whole(&run.client).await;
    run.read_back().await;
    // No offset is given out twice.
    run.begin(Style { acks, padded: true }).await;
    run.settle().await;
    let batches = run.compare(scenario);
    scenario.add(run.checker());
    drop(mounts);
    images.iter().for_each(|image| std::fs::remove_file(image).expect("the picture is there"));
    batches
}
