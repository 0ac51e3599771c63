//! B25: answers are lost after the append, and nodes are killed: leaders too, so that the next one must know what was stored.

use flymq_tests::producers::{self, Producers};
use rand::Rng as _;

use super::{a_while, alone, begin, three_behind_proxies};
use crate::{effort, look};

#[tokio::test(flavor = "multi_thread")]
async fn b25_lost_answers_double_and_disorder_nothing_whichever_node_dies() {
    let _alone = alone().await;
    let fault = "answers to idempotent producers are lost with their connections, and every third time a node is killed (`kill -9`)";
    let Some(mut scenario) = begin("B25", fault, "times") else { return };
    let (cycles, mut rng) = (effort::cycles(6, 200), effort::rng("B25"));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cluster, client, proxies, through) = three_behind_proxies(dir.path(), &[], &mut scenario).await;
    producers::prepare(&client).await;
    look::whole_topic(&client, producers::TOPIC).await;
    let load = Producers::start(&through).await;
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        producers::lose_answers(&proxies, &mut rng).await;
        if cycle % 3 == 2 {
            let victim = rng.random_range(1..=3);
            cluster.kill(victim);
            a_while(&mut rng).await;
            scenario.started(cluster.start(&[victim]).await);
            look::whole_topic(&client, producers::TOPIC).await;
        }
        scenario.cycle(cycles);
    }
    load.finish(&client, &proxies, &mut scenario).await;
    scenario.finish();
}
