//! B2: `kill -9` of one node, of two, of all three at once.

use rand::Rng as _;

use super::{Outages, a_while, alone, begin};
use crate::{effort, look, net::Net, run::Run};

#[tokio::test(flavor = "multi_thread")]
async fn b02_kill_9_of_any_nodes_loses_nothing() {
    let _alone = alone().await;
    let Some(mut scenario) = begin("B2", "`kill -9` of one, two or all three nodes", "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(6, 300), effort::rng("B2"));
    let mut run = Run::start(&mut scenario, Net::new().ok()).await;
    let mut outages = Outages::default();
    let mut cycle = 0;
    while cycle < cycles {
        // Mostly a single node: that one must not be noticed for long.
        let victims: &[u8] = match (cycle, rng.random_range(0..6)) {
            (1, _) | (_, 4) => [&[1, 2][..], &[1, 3], &[2, 3]][rng.random_range(0..3)],
            (2, _) | (_, 5) => &[1, 2, 3],
            _ => [&[1][..], &[2], &[3]][rng.random_range(0..3)],
        };
        a_while(&mut rng).await;
        let leads = run.leads(victims).await;
        let killed = run.now();
        for victim in victims {
            run.cluster.kill(*victim);
            cycle += 1;
            scenario.cycle(cycles);
        }
        if let [_] = victims {
            let outage = run.writes_flow(killed).await;
            if leads {
                outages.add(outage);
            }
        }
        a_while(&mut rng).await;
        scenario.started(run.cluster.start(victims).await);
        let back = run.now();
        run.writes_flow(back).await;
        look::whole(&run.client).await;
    }
    scenario.note(outages.note("without a leader after the kill of one that led"));
    run.finish(&mut scenario).await;
    scenario.finish();
}
