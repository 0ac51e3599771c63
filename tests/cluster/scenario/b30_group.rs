//! B30: a group whose members come, go, fall silent and commit too late, while nodes are killed: its coordinator, and the leaders of
//! what it reads.

use flymq_tests::groups::{self, Storm};
use rand::Rng as _;

use super::{a_while, alone, begin};
use crate::{cluster::Cluster, effort, look, net::Net};

#[tokio::test(flavor = "multi_thread")]
async fn b30_a_partition_has_one_owner_whichever_node_dies() {
    let _alone = alone().await;
    let fault = "`kill -9` of one node or two while members of a group join, leave, vanish, fall silent and commit too late";
    let Some(mut scenario) = begin("B30", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 100), effort::rng("B30"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(dir.path(), Net::new().ok());
    scenario.started(cluster.start(&[1]).await);
    scenario.started(cluster.start(&[2, 3]).await);
    let client = cluster.connect().await;
    groups::prepare(&client).await;
    let storm = Storm::start(&cluster.addresses(), rng.random()).await;
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
        for topic in [groups::TOPIC, "__consumer_offsets"] {
            look::whole_topic(&client, topic).await;
        }
    }
    a_while(&mut rng).await;
    groups::finish(storm, &client, &mut scenario).await;
    scenario.finish();
}
