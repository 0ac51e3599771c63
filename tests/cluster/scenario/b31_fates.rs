//! B31: dead letters, a queue, schedules and expiry while nodes are killed.

use flymq_tests::fates::{self, Fates};
use rand::Rng as _;

use super::{alone, begin, kill_some, three};
use crate::effort;

#[tokio::test(flavor = "multi_thread")]
async fn b31_each_record_has_one_fate_whichever_node_dies() {
    let _alone = alone().await;
    let fault = "`kill -9` of one node or two while records fail, wait for their time and expire";
    let Some(mut scenario) = begin("B31", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 60), effort::rng("B31"));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cluster, client) = three(dir.path(), &[("DLQ_MAX_RETRIES", "1000")], &mut scenario).await;
    fates::prepare(&client).await;
    let load = Fates::start(&cluster.addresses(), rng.random()).await;
    let topics: Vec<&str> = fates::TOPICS.into_iter().chain(["__consumer_offsets"]).collect();
    kill_some(cycles, &mut rng, (&mut cluster, &client), &topics, &mut scenario).await;
    load.finish(&client, &mut scenario).await;
    scenario.finish();
}
