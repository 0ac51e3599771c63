//! One file a fault, numbered as in `docs/reliability.md`.

mod b02_kill;
mod b04_power_cut;
mod b11_bit_flip;
mod b15_partition;
mod b16_bad_network;
mod b17_frozen;
mod b18_clock;
mod b20_membership;
mod b22_read_is_durable;
mod b23_order;
mod b25_idempotence;
mod b27_late;
mod b28_transactions;
mod b29_transform;
mod b30_group;
mod b31_fates;
mod b38_slow_disk;
mod b39_upgrade;
mod b40_soak;
mod power_cut;

use std::{path::Path, time::Duration};

use flymq_client::Client;
use flymq_tests::{chaos_proxy::ChaosProxy, producers};
use rand::{Rng as _, rngs::StdRng};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    cluster::Cluster,
    look,
    net::Net,
    row::{CLUSTER, Scenario},
};

/// One cluster at a time: each wants the machine.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

fn begin(id: &str, fault: &str, unit: &str) -> Option<Scenario> {
    Scenario::begin_in(CLUSTER, id, fault, unit)
}

/// Three nodes that are up, each in a network of its own where the machine lets it, so that nobody takes the port of one that is down.
async fn three(dir: &Path, settings: &[(&str, &str)], scenario: &mut Scenario) -> (Cluster, Client) {
    let mut cluster = set_up(dir, settings);
    let client = start(&mut cluster, scenario).await;
    (cluster, client)
}

fn set_up(dir: &Path, settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new(dir, Net::new().ok());
    settings.iter().for_each(|(name, value)| cluster.set_all(name, value));
    cluster
}

async fn start(cluster: &mut Cluster, scenario: &mut Scenario) -> Client {
    scenario.started(cluster.start(&[1]).await);
    scenario.started(cluster.start(&[2, 3]).await);
    cluster.connect().await
}

/// As [`three`], with a proxy in front of each node's client port, which is what the nodes advertise; the proxies' addresses as text.
async fn three_behind_proxies(
    dir: &Path,
    settings: &[(&str, &str)],
    scenario: &mut Scenario,
) -> (Cluster, Client, Vec<ChaosProxy>, String) {
    let mut cluster = set_up(dir, settings);
    let targets: Vec<String> = (1..=3).map(|number| cluster.client_address(number)).collect();
    let proxies = producers::proxies(&targets).await;
    for (number, proxy) in (1..).zip(&proxies) {
        cluster.advertise_to_clients(number, &proxy.address.to_string());
    }
    let client = start(&mut cluster, scenario).await;
    let through: Vec<String> = proxies.iter().map(|proxy| proxy.address.to_string()).collect();
    (cluster, client, proxies, through.join(","))
}

/// Kills one node or two at a time under load, until so many were; each time these topics become whole again.
async fn kill_some(
    cycles: u64,
    rng: &mut StdRng,
    (cluster, client): (&mut Cluster, &Client),
    topics: &[&str],
    scenario: &mut Scenario,
) {
    let mut killed = 0;
    while killed < cycles {
        let victims: &[u8] = match rng.random_range(0..8) {
            6 => &[1, 2],
            7 => &[2, 3],
            other => [&[1][..], &[2], &[3]][other % 3],
        };
        a_while(rng).await;
        for victim in victims {
            cluster.kill(*victim);
            killed += 1;
            scenario.cycle(cycles);
        }
        a_while(rng).await;
        scenario.started(cluster.start(victims).await);
        for topic in topics {
            look::whole_topic(client, topic).await;
        }
    }
    a_while(rng).await;
}

/// Lets the load run for a time of chance: the moment of the fault is part of it.
async fn a_while(rng: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(200..1_500))).await;
}

/// How long partitions were without a leader that takes records, after each fault.
#[derive(Debug, Default)]
struct Outages(Vec<Duration>);

impl Outages {
    fn add(&mut self, outage: Duration) {
        self.0.push(outage);
    }

    /// Median, 99th percentile and longest, ms.
    fn note(mut self, what: &str) -> String {
        self.0.sort_unstable();
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            // An index below the number of faults.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let index = (last as f64 * share).round() as usize;
            self.0.get(index).map_or(0, Duration::as_millis)
        };
        format!("{what}: p50 {} ms, p99 {} ms, longest {} ms", at(0.5), at(0.99), at(1.0))
    }
}
