//! B39: every node is stopped in order and started again, one after the other, as for another version.

use std::time::Duration;

use super::{Outages, a_while, alone, begin};
use crate::{effort, look, membership::votes, net::Net, row::Scenario, run::Run};

#[tokio::test(flavor = "multi_thread")]
async fn b39_nodes_restarted_in_turn_lose_nothing() {
    let _alone = alone().await;
    let fault = "all nodes restarted in turn, in order (SIGTERM), under load";
    let Some(mut scenario) = begin("B39", fault, "restarts") else { return };
    let (rounds, mut rng) = (effort::cycles(1, 30), effort::rng("B39"));
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let mut run = Run::start(&mut scenario, Some(net)).await;
    let mut pauses = Outages::default();
    for _ in 0..rounds {
        a_while(&mut rng).await;
        for pause in restart_each(&mut run, &mut scenario).await {
            pauses.add(pause);
            scenario.cycle(rounds * 3);
        }
    }
    scenario.note(pauses.note("longest pause of a partition while a node is restarted"));
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// Each member in turn; the longest pause of a partition with each.
pub(super) async fn restart_each(run: &mut Run, scenario: &mut Scenario) -> Vec<Duration> {
    let mut pauses = Vec::new();
    for number in run.cluster.members().to_vec() {
        let since = run.now();
        run.cluster.stop(number).await;
        scenario.started(run.cluster.start(&[number]).await);
        look::whole(&run.client).await;
        votes(&run.cluster).await;
        let back = run.now();
        run.writes_flow(back).await;
        pauses.push(run.longest_pause(since));
    }
    pauses
}
