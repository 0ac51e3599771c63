//! B16: the network between the nodes loses, delays, throttles, stalls and resets.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use flymq_tests::chaos_proxy::{ChaosProxy, Weather};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{a_while, alone, begin};
use crate::{cluster::PLACES, effort, look, net::Net, run::Run};

/// How long each kind of weather lasts.
const LASTS: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Loss5,
    Reset,
    Stall,
    Delay,
    Rate,
    Loss30,
}

const KINDS: [Kind; 6] = [Kind::Loss5, Kind::Reset, Kind::Stall, Kind::Delay, Kind::Rate, Kind::Loss30];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Loss5 => "5 % loss",
            Self::Reset => "resets",
            Self::Stall => "one direction stalled",
            Self::Delay => "20 to 40 ms delay",
            Self::Rate => "128 KiB/s",
            Self::Loss30 => "30 % loss",
        }
    }

    fn weather(self) -> Weather {
        let fair = Weather::default();
        match self {
            Self::Loss5 => Weather { loss: 0.05, ..fair },
            Self::Loss30 => Weather { loss: 0.3, ..fair },
            Self::Delay => Weather { delay: Duration::from_millis(20), ..fair },
            Self::Rate => Weather { rate: 128 << 10, ..fair },
            Self::Stall => Weather { stalled: true, ..fair },
            Self::Reset => fair,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b16_a_bad_network_slows_and_loses_nothing() {
    let _alone = alone().await;
    let fault = "between the nodes: chunks late as after a loss (5 %, 30 %), delay, 128 KiB/s, one direction stalled, RST";
    let Some(mut scenario) = begin("B16", fault, "spells") else { return };
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let (cycles, mut rng) = (effort::cycles(2, 120), effort::rng("B16"));
    let mut proxies = Vec::new();
    for number in 1..=PLACES {
        let near = SocketAddr::from((net.clients(), 0));
        let target = format!("{}:9093", net.address(number));
        proxies.push(ChaosProxy::start(near, target).await.expect("a port"));
    }
    let mut run = Run::start_with(&mut scenario, Some(net), |cluster| {
        for (number, proxy) in (1..).zip(&proxies) {
            cluster.advertise(number, &proxy.address.to_string());
        }
    })
    .await;
    let mut slowest: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let kind = KINDS[usize::try_from(cycle).expect("few") % KINDS.len()];
        let since = run.now();
        spell(&proxies, kind, &mut rng).await;
        proxies.iter().for_each(|proxy| proxy.set(Weather::default()));
        let fair = run.now();
        run.writes_flow(fair).await;
        slowest.entry(kind).or_default().extend(run.latencies(since));
        look::whole(&run.client).await;
        scenario.cycle(cycles);
    }
    for (kind, latencies) in &mut slowest {
        latencies.sort_unstable();
        let at =
            |percent: usize| latencies.get(latencies.len() * percent / 100).map_or(0, Duration::as_millis);
        scenario.note(format!("{}: ack p50 {} ms, p99 {} ms", kind.name(), at(50), at(99)));
    }
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// At all nodes, or at one.
async fn spell(proxies: &[ChaosProxy], kind: Kind, rng: &mut StdRng) {
    let one = rng.random_range(0..3);
    // A direction that is stalled everywhere is no network at all.
    let everywhere = kind != Kind::Stall && rng.random_bool(0.5);
    let (until, weather) = (Instant::now() + LASTS, kind.weather());
    let chosen = proxies.iter().enumerate().filter(|(number, _)| everywhere || *number == one);
    let chosen: Vec<&ChaosProxy> = chosen.map(|(_, proxy)| proxy).collect();
    chosen.iter().for_each(|proxy| proxy.set(weather));
    while Instant::now() < until {
        sleep(Duration::from_millis(300)).await;
        if kind == Kind::Reset {
            chosen.iter().for_each(|proxy| proxy.reset());
        }
    }
}
