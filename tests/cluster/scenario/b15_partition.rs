//! B15: the network is cut: one node off, one direction only, a bridge, in turn.

use rand::{Rng as _, rngs::StdRng};

use super::{Outages, a_while, alone, begin};
use crate::{effort, look, net::Net, run::Run};

/// Who hears whom no more.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// One node and the two others.
    Symmetric,
    /// The two others do not hear one node, which hears them.
    Mute,
    /// One node hears nobody, and is heard.
    Deaf,
    /// One node reaches both others, which do not reach each other.
    Bridge,
}

const CUTS: [Cut; 4] = [Cut::Symmetric, Cut::Mute, Cut::Deaf, Cut::Bridge];

#[tokio::test(flavor = "multi_thread")]
async fn b15_a_cut_network_loses_nothing_and_has_one_leader() {
    let _alone = alone().await;
    let fault = "network cut: symmetric, one-way both ways, bridge";
    let Some(mut scenario) = begin("B15", fault, "cuts") else { return };
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let (cycles, mut rng) = (effort::cycles(4, 80), effort::rng("B15"));
    let mut run = Run::start(&mut scenario, Some(net)).await;
    let mut outages = Outages::default();
    for cycle in 0..cycles {
        let cut = CUTS[usize::try_from(cycle % 4).expect("below 4")];
        let one = victim(&run, &mut rng).await;
        a_while(&mut rng).await;
        let since = run.now();
        apply(run.cluster.net().expect("it can be cut"), cut, one);
        // A majority is whole in each of them: it must go on.
        outages.add(run.writes_flow(since).await);
        a_while(&mut rng).await;
        run.cluster.net().expect("it can be cut").heal();
        let healed = run.now();
        run.writes_flow(healed).await;
        look::whole(&run.client).await;
        scenario.cycle(cycles);
    }
    scenario.note(outages.note("without a leader after a cut"));
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// Mostly a leader: that hurts most.
async fn victim(run: &Run, rng: &mut StdRng) -> u8 {
    let any = rng.random_range(1..=3);
    if rng.random_bool(0.7) { run.leader(0).await.unwrap_or(any) } else { any }
}

fn apply(net: &Net, cut: Cut, one: u8) {
    let others: Vec<u8> = (1..=3).filter(|node| *node != one).collect();
    for other in &others {
        match cut {
            Cut::Symmetric => {
                net.cut(one, *other);
                net.cut(*other, one);
            }
            Cut::Mute => net.cut(one, *other),
            Cut::Deaf => net.cut(*other, one),
            Cut::Bridge => {}
        }
    }
    if let (Cut::Bridge, [a, b]) = (cut, &others[..]) {
        net.cut(*a, *b);
        net.cut(*b, *a);
    }
}
