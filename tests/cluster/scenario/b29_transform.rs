//! B29 on three nodes: three workers read a topic as a group, and write what they make of it in transactions, while nodes are killed and workers
//! die and come back: each message has one result.

use flymq_tests::transactions::TIMEOUT_S;
use flymq_tests::transform::{self, WORKERS, Workers};
use rand::Rng as _;

use super::{a_while, alone, begin, three};
use crate::{effort, look};

#[tokio::test(flavor = "multi_thread")]
async fn b29_what_a_group_transforms_is_there_exactly_once() {
    let _alone = alone().await;
    let fault =
        "consume, transform, produce by a group of three: nodes are killed, workers die and come back";
    let Some(mut scenario) = begin("B29", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(3, 60), effort::rng("B29"));
    let dir = tempfile::tempdir().expect("a directory");
    let timeout = TIMEOUT_S.to_string();
    let (mut cluster, client) = three(dir.path(), &[("TRANSACTION_TIMEOUT", &timeout)], &mut scenario).await;
    transform::prepare(&client).await;
    for topic in transform::TOPICS {
        look::whole_topic(&client, topic).await;
    }
    let mut workers = Workers::start(&client, &cluster.addresses(), 400 * cycles).await;
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let victim = rng.random_range(1..=3);
        cluster.kill(victim);
        let number = rng.random_range(0..WORKERS);
        if cycle % 2 == 0 {
            workers.die(number);
        }
        a_while(&mut rng).await;
        scenario.started(cluster.start(&[victim]).await);
        if cycle % 2 == 0 {
            workers.come_back(number);
        }
        for topic in transform::TOPICS.into_iter().chain(["__transactions", "__consumer_offsets"]) {
            look::whole_topic(&client, topic).await;
        }
        scenario.cycle(cycles);
    }
    workers.finish(&client, &mut scenario).await;
    scenario.finish();
}
