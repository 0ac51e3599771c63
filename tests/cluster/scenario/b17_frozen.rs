//! B17: a leader stands still, others take over, and it wakes up and believes that it still leads.

use std::time::Duration;

use rand::Rng as _;

use super::{Outages, a_while, alone, begin};
use crate::{effort, look, net::Net, run::Run};

#[tokio::test(flavor = "multi_thread")]
async fn b17_a_frozen_leader_acknowledges_nothing_and_answers_nothing_stale() {
    let _alone = alone().await;
    let Some(mut scenario) = begin("B17", "SIGSTOP of a leader, then SIGCONT", "freezes") else { return };
    let (cycles, mut rng) = (effort::cycles(3, 60), effort::rng("B17"));
    let mut run = Run::start(&mut scenario, Net::new().ok()).await;
    let mut outages = Outages::default();
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let partition = i32::try_from(cycle % 3).expect("below 3");
        let leader = run.leader(partition).await.unwrap_or(1);
        let since = run.now();
        run.cluster.freeze(leader);
        outages.add(run.writes_flow(since).await);
        // Some wake up before everybody has noticed, some long after.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
        run.cluster.thaw(leader);
        let awake = run.now();
        run.writes_flow(awake).await;
        look::whole(&run.client).await;
        scenario.cycle(cycles);
    }
    scenario.note(outages.note("without a leader after a freeze"));
    run.finish(&mut scenario).await;
    scenario.finish();
}
