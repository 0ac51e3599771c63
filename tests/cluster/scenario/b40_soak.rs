//! B40: everything at once, for a while: whatever the other scenarios do, by chance.

use std::time::{Duration, Instant};

use rand::{Rng as _, rngs::StdRng};

use super::{Outages, a_while, alone, b20_membership as membership, b39_upgrade::restart_each, begin};
use crate::{
    clock::{Clocks, HOUR, MINUTE, YEAR},
    effort,
    gauge::Gauges,
    look,
    membership::{metadata_leader, votes},
    net::Net,
    row::Scenario,
    run::Run,
    trouble::{Trouble, lasts},
};

/// The short version has so many faults, whatever the time.
const FEW: u64 = 2;
const LONG: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, Clone, Copy)]
enum Event {
    /// One node, mostly the one that leads the metadata group.
    Trouble(Trouble),
    /// One node is frozen or cut off, and then another one is killed and comes back before the first does.
    Two,
    /// `kill -9` of all.
    KillAll,
    RestartEach,
    Clock,
    Membership,
}

#[tokio::test(flavor = "multi_thread")]
async fn b40_all_faults_by_chance_lose_nothing() {
    let _alone = alone().await;
    let fault = "all of it by chance: kills, freezes, cuts, restarts in turn, clocks that jump, nodes that come and go";
    let Some(mut scenario) = begin("B40", fault, "faults") else { return };
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let clocks = Clocks::new();
    if let Err(why) = &clocks {
        scenario.note(format!("clocks were left alone: {why}"));
    }
    let (clocks, mut rng, began) = (clocks.ok(), effort::rng("B40"), Instant::now());
    let most: Option<u64> = effort::number("FLYMQ_CRASH_CYCLES").or((!effort::is_long()).then_some(FEW));
    let give = |cluster: &mut _| clocks.iter().for_each(|clocks| clocks.give(cluster));
    let mut run = Run::start_with(&mut scenario, Some(net), give).await;
    let (mut gauges, mut outages, mut count) = (Gauges::new(), Outages::default(), 0);
    while most.map_or(began.elapsed() < LONG, |most| count < most) {
        a_while(&mut rng).await;
        let event = event(&mut rng);
        eprintln!("B40: {event:?}");
        let since = run.now();
        happen(event, &mut run, &mut scenario, &mut rng, clocks.as_ref()).await;
        look::whole(&run.client).await;
        votes(&run.cluster).await;
        let settled = run.now();
        run.writes_flow(settled).await;
        outages.add(run.longest_pause(since));
        gauges.take(&run.cluster);
        count += 1;
        scenario.cycle(most.unwrap_or(count));
    }
    scenario.note(outages.note("longest pause of a partition in each"));
    scenario.note(gauges.note());
    run.finish(&mut scenario).await;
    scenario.finish();
}

fn event(rng: &mut StdRng) -> Event {
    match rng.random_range(0..20) {
        0..10 => Event::Trouble(Trouble::any(rng)),
        10..12 => Event::Two,
        12 => Event::KillAll,
        13 | 14 => Event::RestartEach,
        15 | 16 => Event::Clock,
        _ => Event::Membership,
    }
}

async fn happen(
    event: Event,
    run: &mut Run,
    scenario: &mut Scenario,
    rng: &mut StdRng,
    clocks: Option<&Clocks>,
) {
    let members = run.cluster.members().to_vec();
    let any = members[rng.random_range(0..members.len())];
    let one = if rng.random_bool(0.5) { metadata_leader(&run.client).await.unwrap_or(any) } else { any };
    match event {
        Event::Trouble(trouble) => {
            trouble.begin(&mut run.cluster, one);
            lasts(rng).await;
            trouble.end(scenario, &mut run.cluster, one).await;
        }
        Event::Two => {
            let first = [Trouble::Freeze, Trouble::Cut][rng.random_range(0..2)];
            let other = members.iter().copied().find(|number| *number != one).expect("three members");
            first.begin(&mut run.cluster, one);
            lasts(rng).await;
            run.cluster.kill(other);
            let start = run.cluster.begin_start(other);
            lasts(rng).await;
            first.end(scenario, &mut run.cluster, one).await;
            scenario.started(run.cluster.started(other, start).await);
        }
        Event::KillAll => {
            members.iter().for_each(|number| run.cluster.kill(*number));
            scenario.started(run.cluster.start(&members).await);
        }
        Event::RestartEach => {
            restart_each(run, scenario).await;
        }
        Event::Clock => {
            let Some(clocks) = clocks else { return };
            let shift = [HOUR, -HOUR, YEAR, -YEAR, 5 * MINUTE, 0][rng.random_range(0..6)];
            clocks.set(one, shift);
            lasts(rng).await;
        }
        Event::Membership => {
            // The end of a join token goes by the clock of the node that is asked.
            clocks.iter().for_each(|clocks| members.iter().for_each(|number| clocks.set(*number, 0)));
            membership::any(run, scenario, rng).await;
        }
    }
}
