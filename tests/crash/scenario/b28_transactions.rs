//! B24 and B28 on one node: sends, polls and transactions by chance while the broker is killed; B26 and B27: requests that come late,
//! twice, or from producers that were replaced.

use std::time::Duration;

use flymq_tests::producers;
use rand::Rng as _;

use crate::{
    effort,
    row::Scenario,
    transactions::{self, Load, Style, TIMEOUT_S},
};

/// What happens to the broker, or to what it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// `kill -9`.
    Kills,
    /// SIGTERM and `kill -9` in turn.
    Restarts,
    /// Requests are held back on the way.
    Holds,
}

async fn run(id: &str, fault: &str, style: Style, cycles: (u64, u64), trouble: Trouble) {
    let holds = trouble == Trouble::Holds;
    let _alone = super::alone().await;
    let unit = match trouble {
        Trouble::Kills => "kills",
        Trouble::Restarts => "restarts",
        Trouble::Holds => "seconds",
    };
    let Some(mut scenario) = Scenario::begin(id, fault, unit) else { return };
    let cycles = effort::cycles(cycles.0, cycles.1);
    let mut rng = effort::rng(id);
    let dir = tempfile::tempdir().expect("a directory");
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let proxies = producers::proxies(std::slice::from_ref(&address)).await;
    let through = proxies[0].address.to_string();
    let launch = launch.with("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string()).with("ADVERTISE_ADDR", &through);
    let mut broker = launch.start();
    scenario.started(broker.start);
    let client = transactions::connect(&address).await;
    transactions::prepare(&client).await;
    let load = Load::start(&through, style, rng.random()).await;
    for cycle in 0..cycles {
        // The moment is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(if holds { 1_000 } else { rng.random_range(100..900) }))
            .await;
        if !holds {
            match trouble {
                Trouble::Restarts if cycle % 2 == 0 => broker.stop(),
                _ => broker.kill(),
            }
            broker = launch.start();
            scenario.started(broker.start);
        }
        if holds {
            transactions::hold_requests(&proxies, &mut rng).await;
        }
        scenario.cycle(cycles);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    if holds {
        transactions::held(&proxies, &mut scenario).await;
    }
    transactions::finish(load, &client, &mut scenario).await;
    drop(broker);
    scenario.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn b24_sends_polls_and_transactions_show_no_anomaly() {
    let style = Style { abort_one_of: 8, late: 0.0, late_by: Duration::from_secs(1), replaced: 0.0 };
    let fault =
        "sends, polls and transactions by chance, while the broker is restarted in order and killed in turn";
    run("B24", fault, style, (6, 120), Trouble::Restarts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b26_of_a_replaced_producer_nothing_is_taken() {
    let style = Style { abort_one_of: 8, late: 0.05, late_by: Duration::from_secs(2), replaced: 0.4 };
    let fault = "producers that were replaced in the middle of a transaction write on, add offsets and commit; `kill -9` now and then";
    run("B26", fault, style, (6, 120), Trouble::Kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b28_transactions_are_whole_or_nothing_through_kills() {
    let style = Style { abort_one_of: 8, late: 0.1, late_by: Duration::from_secs(2), replaced: 0.02 };
    run(
        "B28",
        "`kill -9` while sends, polls and transactions run by chance",
        style,
        (8, 200),
        Trouble::Kills,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b27_what_comes_late_does_nothing_to_the_next_transaction() {
    let style = Style { abort_one_of: 8, late: 0.5, late_by: Duration::from_secs(4), replaced: 0.1 };
    let fault = "Produce, AddOffsets, commit and abort are held back up to 15 s with their clients cut off, come again up to 4 s later, or from a replaced producer (B26)";
    run("B27", fault, style, (8, 300), Trouble::Holds).await;
}
