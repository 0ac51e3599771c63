//! B31: dead letters, a queue, schedules and expiry while nodes are killed.

use flymq_tests::fates::{self, Fates};
use rand::Rng as _;

use super::{a_while, alone, begin};
use crate::{cluster::Cluster, effort, look, net::Net};

#[tokio::test(flavor = "multi_thread")]
async fn b31_each_record_has_one_fate_whichever_node_dies() {
    let _alone = alone().await;
    let fault = "`kill -9` of one node or two while records fail, wait for their time and expire";
    let Some(mut scenario) = begin("B31", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 60), effort::rng("B31"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(dir.path(), Net::new().ok()).with("DLQ_MAX_RETRIES", "1000");
    scenario.started(cluster.start(&[1]).await);
    scenario.started(cluster.start(&[2, 3]).await);
    let client = cluster.connect().await;
    fates::prepare(&client).await;
    let load = Fates::start(&cluster.addresses(), rng.random()).await;
    let mut killed = 0;
    while killed < cycles {
        let victims: &[u8] = match rng.random_range(0..8) {
            6 => &[1, 2],
            7 => &[2, 3],
            other => [&[1][..], &[2], &[3]][other % 3],
        };
        a_while(&mut rng).await;
        for victim in victims {
            cluster.kill(*victim);
            killed += 1;
            scenario.cycle(cycles);
        }
        a_while(&mut rng).await;
        scenario.started(cluster.start(victims).await);
        for topic in fates::TOPICS.into_iter().chain(["__consumer_offsets"]) {
            look::whole_topic(&client, topic).await;
        }
    }
    a_while(&mut rng).await;
    load.finish(&client, &mut scenario).await;
    scenario.finish();
}
