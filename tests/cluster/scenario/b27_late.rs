//! B27 on three nodes: requests are held back on the way while their clients go on, and come in the middle of later transactions.

use std::time::Duration;

use flymq_tests::transactions::{self, Load, Style, TIMEOUT_S};
use rand::Rng as _;

use super::{a_while, alone, begin, three_behind_proxies};
use crate::{effort, look};

#[tokio::test(flavor = "multi_thread")]
async fn b27_what_comes_late_does_nothing_to_the_next_transaction_on_any_node() {
    let _alone = alone().await;
    let fault = "requests of transactions are held back up to 15 s with their clients cut off, come again up to 4 s later, or from a replaced producer (B26); every fourth time a node is killed";
    let Some(mut scenario) = begin("B27", fault, "times") else { return };
    let (cycles, mut rng) = (effort::cycles(8, 150), effort::rng("B27"));
    let dir = tempfile::tempdir().expect("a directory");
    let timeout = TIMEOUT_S.to_string();
    let settings = [("TRANSACTION_TIMEOUT", timeout.as_str())];
    let (mut cluster, client, proxies, through) =
        three_behind_proxies(dir.path(), &settings, &mut scenario).await;
    transactions::prepare(&client).await;
    for topic in ["txn-a", "txn-b"] {
        look::whole_topic(&client, topic).await;
    }
    let style = Style { abort_one_of: 8, late: 0.3, late_by: Duration::from_secs(4), replaced: 0.05 };
    let load = Load::start(&through, style, rng.random()).await;
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        transactions::hold_requests(&proxies, &mut rng).await;
        if cycle % 4 == 3 {
            let victim = rng.random_range(1..=3);
            cluster.kill(victim);
            a_while(&mut rng).await;
            scenario.started(cluster.start(&[victim]).await);
            look::whole_topic(&client, "txn-a").await;
        }
        scenario.cycle(cycles);
    }
    transactions::held(&proxies, &mut scenario).await;
    transactions::finish(load, &client, &mut scenario).await;
    scenario.finish();
}
