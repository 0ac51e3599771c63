//! B24, B26 to B28: sends, polls and transactions by chance, with requests that come late, twice or from producers that were replaced,
//! while nodes are killed: leaders, and the coordinators of transactions and groups.

use std::time::Duration;

use flymq_tests::transactions::{self, Load, Style, TIMEOUT_S};
use rand::Rng as _;

use super::{alone, begin, kill_some, three};
use crate::effort;

async fn run(id: &str, fault: &str, style: Style, cycles: (u64, u64)) {
    let _alone = alone().await;
    let Some(mut scenario) = begin(id, fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(cycles.0, cycles.1), effort::rng(id));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cluster, client) =
        three(dir.path(), &[("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string())], &mut scenario).await;
    transactions::prepare(&client).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn b24_sends_polls_and_transactions_show_no_anomaly_on_three_nodes() {
    let style = Style { abort_one_of: 8, late: 0.0, late_by: Duration::from_secs(1), replaced: 0.0 };
    let fault = "`kill -9` of one node or two while sends, polls and transactions run by chance";
    run("B24", fault, style, (3, 60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b26_of_a_replaced_producer_no_node_takes_anything() {
    let style = Style { abort_one_of: 8, late: 0.05, late_by: Duration::from_secs(2), replaced: 0.4 };
    let fault = "producers that were replaced in the middle of a transaction write on, add offsets and commit; `kill -9` of one node or two";
    run("B26", fault, style, (3, 60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b28_transactions_are_whole_or_nothing_through_the_death_of_any_node() {
    let style = Style { abort_one_of: 8, late: 0.2, late_by: Duration::from_secs(3), replaced: 0.02 };
    let fault = "`kill -9` of one node or two while sends, polls and transactions run by chance, some of them late or of replaced producers";
    run("B28", fault, style, (4, 100)).await;
}
