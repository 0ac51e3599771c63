//! B30: a group whose members come, go, fall silent and commit too late, while nodes are killed: its coordinator, and the leaders of
//! what it reads.

use flymq_tests::groups::{self, Storm};
use rand::Rng as _;

use super::{alone, begin, kill_some, three};
use crate::effort;

#[tokio::test(flavor = "multi_thread")]
async fn b30_a_partition_has_one_owner_whichever_node_dies() {
    let _alone = alone().await;
    let fault = "`kill -9` of one node or two while members of a group join, leave, vanish, fall silent and commit too late";
    let Some(mut scenario) = begin("B30", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 100), effort::rng("B30"));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cluster, client) = three(dir.path(), &[], &mut scenario).await;
    groups::prepare(&client).await;
    let storm = Storm::start(&cluster.addresses(), rng.random()).await;
    kill_some(
        cycles,
        &mut rng,
        (&mut cluster, &client),
        &[groups::TOPIC, "__consumer_offsets"],
        &mut scenario,
    )
    .await;
    groups::finish(storm, &client, &mut scenario).await;
    scenario.finish();
}
