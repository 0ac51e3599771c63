//! B24, B26 to B28: sends, polls and transactions by chance, with requests that come late, twice or from producers that were replaced,
//! while nodes are killed: leaders, and the coordinators of transactions and groups.

use std::time::Duration;

use flymq_tests::transactions::{self, Load, Style, TIMEOUT_S};
use rand::Rng as _;

use super::{alone, begin, kill_some, three};
use crate::effort;

#[tokio::test(flavor = "multi_thread")]
async fn b28_transactions_are_whole_or_nothing_through_the_death_of_any_node() {
    let _alone = alone().await;
    let fault = "`kill -9` of one node or two while sends, polls and transactions run by chance, some of them late or of replaced producers";
    let Some(mut scenario) = begin("B28", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 100), effort::rng("B28"));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cluster, client) =
        three(dir.path(), &[("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string())], &mut scenario).await;
    transactions::prepare(&client).await;
    let style = Style { abort_one_of: 8, late: 0.2, late_by: Duration::from_secs(3), replaced: 0.02 };
    let load = Load::start(&cluster.addresses(), style, rng.random()).await;
    kill_some(
        cycles,
        &mut rng,
        (&mut cluster, &client),
        &["txn-a", "txn-b", "__transactions", "__consumer_offsets"],
        &mut scenario,
    )
    .await;
    transactions::finish(load, &client, &mut scenario).await;
    scenario.finish();
}
