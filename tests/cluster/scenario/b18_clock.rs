//! B18 and B19: wall clocks that jump, back and forth, by an hour and a year, and clocks that never agree.

use std::{collections::BTreeMap, time::Duration};

use flymq_client::{Acks, FetchSpec, NewMessage, pb};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{Outages, a_while, alone, begin};
use crate::{
    clock::{Clocks, HOUR, MINUTE, SECOND, YEAR},
    cluster::Cluster,
    effort, look,
    membership::{insist, metadata_leader},
    net::Net,
    row::Scenario,
    run::Run,
    trouble::{Trouble, lasts},
};

/// Two sessions: whoever is to be missed is missed by then.
const NOTICED: Duration = Duration::from_secs(2);
/// A slow machine can lose a session in the middle of a jump; a jump that costs one does so each time.
const TRIES: usize = 3;
/// Records of these topics live for an hour: by an expiry of their own, and by retention.
const SHORT_LIVED: [&str; 2] = ["expiring", "retained"];
const LIFE_MS: i64 = 3_600_000;
const RECORDS: usize = 30;

/// Whose clock does what.
#[derive(Debug, Clone, Copy)]
enum Jump {
    One(i64),
    All(i64),
    /// Forth and back every few milliseconds.
    Strobe(i64),
}

const JUMPS: [Jump; 8] = [
    Jump::All(2 * HOUR),
    Jump::Strobe(HOUR),
    Jump::One(HOUR),
    Jump::All(-HOUR),
    Jump::One(YEAR),
    Jump::One(-YEAR),
    Jump::All(YEAR),
    Jump::All(-YEAR),
];

#[tokio::test(flavor = "multi_thread")]
async fn b18_clocks_that_jump_change_nothing() {
    let _alone = alone().await;
    let fault = "wall clock of one node or of all jumps by 1 h, 2 h, 1 year, both ways, or back and forth all the time";
    let Some(mut scenario) = begin("B18", fault, "jumps") else { return };
    let clocks = match Clocks::new() {
        Ok(clocks) => clocks,
        Err(why) => return scenario.skip(&why),
    };
    let (cycles, mut rng) = (effort::cycles(2, 80), effort::rng("B18"));
    let mut run = Run::start_with(&mut scenario, Net::new().ok(), |cluster| {
        clocks.give(cluster);
        // Retention and cleaning look often.
        cluster.set_all("TTL_CLEANUP_INTERVAL", "1");
    })
    .await;
    fill_short_lived(&run).await;
    let mut repeated = 0;
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let jump = JUMPS[usize::try_from(cycle).expect("few") % JUMPS.len()];
        repeated += quiet_jump(&mut run, &clocks, &mut rng, jump).await;
        read_short_lived(&run, &mut scenario, jump).await;
        scenario.cycle(cycles);
    }
    scenario.note(format!(
        "elections by a jump 0 ({repeated} jumps repeated: a session was lost on a slow machine)"
    ));
    scenario.note("records gone before their hour 0");
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// Makes clocks jump, and back; the leaders stay who they are. How often it was tried in vain.
async fn quiet_jump(run: &mut Run, clocks: &Clocks, rng: &mut StdRng, jump: Jump) -> usize {
    let mut seen = String::new();
    for tried in 0..TRIES {
        look::whole(&run.client).await;
        let one = leader(run, rng).await;
        let (before, leader, since) = (epochs(run).await, metadata_leader(&run.client).await, run.now());
        apply(clocks, jump, one).await;
        sleep(NOTICED).await;
        let away = (epochs(run).await, metadata_leader(&run.client).await);
        all(clocks, 0);
        sleep(NOTICED).await;
        let back = (epochs(run).await, metadata_leader(&run.client).await);
        run.writes_flow(since).await;
        if [&away, &back].into_iter().all(|(epochs, now)| *epochs == before && *now == leader) {
            return tried;
        }
        seen = format!("{before:?} {leader:?}, then {away:?}, then {back:?}");
        eprintln!("B18: {jump:?} of node {one}: {seen}");
    }
    panic!("{jump:?} moves leaders, each time: {seen}");
}

/// Mostly of the node that leads the metadata group: it counts sessions.
async fn leader(run: &Run, rng: &mut StdRng) -> u8 {
    let any = rng.random_range(1..=3);
    if rng.random_bool(0.6) { metadata_leader(&run.client).await.unwrap_or(any) } else { any }
}

async fn apply(clocks: &Clocks, jump: Jump, one: u8) {
    match jump {
        Jump::One(shift) => clocks.set(one, shift),
        Jump::All(shift) => all(clocks, shift),
        Jump::Strobe(shift) => {
            let until = Instant::now() + NOTICED;
            while Instant::now() < until {
                for away in [shift, -shift, 0] {
                    all(clocks, away);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

fn all(clocks: &Clocks, shift: i64) {
    (1..=3).for_each(|number| clocks.set(number, shift));
}

/// Leader epochs of all partitions.
async fn epochs(run: &Run) -> BTreeMap<i32, u32> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match look::metadata(&run.client).await {
            Ok(topic) => return topic.partitions.iter().map(|p| (p.partition, p.leader_epoch)).collect(),
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    }
}

/// Writes records that live for an hour into segments that are full at once.
async fn fill_short_lived(run: &Run) {
    for topic in SHORT_LIVED {
        let options = pb::TopicOptions {
            partitions: 1,
            retention_ms: if topic == "retained" { LIFE_MS } else { 0 },
            ttl_ms: if topic == "expiring" { LIFE_MS } else { 0 },
            ..pb::TopicOptions::default()
        };
        let request = pb::CreateTopicRequest {
            name: topic.to_owned(),
            options: Some(options),
            ..pb::CreateTopicRequest::default()
        };
        let _: pb::CreateTopicResponse = insist(&run.client, "CreateTopic", request).await;
        for n in 0..RECORDS {
            let value = format!("{n:>60000}");
            let give_up = Instant::now() + Duration::from_secs(60);
            loop {
                let message = NewMessage::value(value.clone()).to_partition(0);
                match run.client.produce_one(topic, message, Acks::All).await {
                    Ok(_) => break,
                    Err(error) => assert!(Instant::now() < give_up, "{topic}: {error}"),
                }
            }
        }
    }
}

/// All of them are there: their hour is far from over.
async fn read_short_lived(run: &Run, scenario: &mut Scenario, jump: Jump) {
    for topic in SHORT_LIVED {
        let (mut spec, mut found) = (FetchSpec::new(topic, 0, 0), 0);
        let give_up = Instant::now() + Duration::from_secs(60);
        while found < RECORDS {
            match run.client.fetch(&spec).await {
                Ok(page) => {
                    if page.messages.is_empty() && page.next_offset >= page.high_watermark {
                        scenario
                            .lost(&format!("{topic}: {found} of {RECORDS} records are left after {jump:?}"));
                        break;
                    }
                    found += page.messages.len();
                    spec.offset = page.next_offset;
                }
                Err(error) => {
                    if Instant::now() > give_up || !error.retryable {
                        scenario.lost(&format!("{topic}: after {jump:?}: {error}"));
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b19_clocks_that_never_agree_make_nothing_stale() {
    let _alone = alone().await;
    let fault = "clocks 5 min ahead, 5 min behind and right, while nodes are killed, frozen and cut off";
    let Some(mut scenario) = begin("B19", fault, "faults") else { return };
    let clocks = match Clocks::new() {
        Ok(clocks) => clocks,
        Err(why) => return scenario.skip(&why),
    };
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let (cycles, mut rng) = (effort::cycles(1, 60), effort::rng("B19"));
    let skew = |cluster: &mut Cluster| {
        clocks.give(cluster);
        (1..=3).zip([0, 5 * MINUTE, -5 * MINUTE]).for_each(|(number, shift)| clocks.set(number, shift));
    };
    let mut run = Run::start_with(&mut scenario, Some(net), skew).await;
    let mut outages = Outages::default();
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let partition = i32::try_from(cycle % 3).expect("below 3");
        let victim = run.leader(partition).await.unwrap_or(1);
        let trouble = Trouble::any(&mut rng);
        let since = run.now();
        trouble.begin(&mut run.cluster, victim);
        outages.add(run.writes_flow(since).await);
        lasts(&mut rng).await;
        trouble.end(&mut scenario, &mut run.cluster, victim).await;
        // Now and then the clocks change places, too.
        if rng.random_bool(0.3) {
            let shift = 5 * MINUTE + rng.random_range(0..30) * SECOND;
            clocks.set(victim, [shift, -shift, 0][rng.random_range(0..3)]);
        }
        look::whole(&run.client).await;
        let back = run.now();
        run.writes_flow(back).await;
        scenario.cycle(cycles);
    }
    scenario.note(outages.note("without a leader after the fault"));
    run.finish(&mut scenario).await;
    scenario.finish();
}
