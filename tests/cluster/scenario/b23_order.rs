//! B23: what clients are told of one partition could have come from a log that does one thing at a time, while its leader
//! is killed, frozen or cut off: linearizability, of short histories, whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flymq_client::{Acks, Client, FetchSpec, NewMessage, pb};
use flymq_tests::checker::linear::{Call, Step, explain, resolve};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{alone, begin};
use crate::{cluster::connect, effort, look, net::Net, row::Scenario, run::Run};

/// Clients at one partition, each with one request at a time.
const CLIENTS: u64 = 5;
/// A partition that takes no record for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// Records that a partition takes after the fault, at least.
const AFTER: u64 = 20;

/// One partition of a topic of its own.
#[derive(Clone)]
struct Line {
    topic: String,
    began: Instant,
    /// Records that were acknowledged.
    acked: Arc<AtomicU64>,
    over: watch::Receiver<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Kill,
    Freeze,
    Cut,
}

#[tokio::test(flavor = "multi_thread")]
async fn b23_each_partition_is_linearizable() {
    let _alone = alone().await;
    let fault =
        "Leader killed, frozen or cut off; each short history of a partition linearizable, searched whole";
    let Some(mut scenario) = begin("B23", fault, "histories") else { return };
    let (cycles, mut rng) = (effort::cycles(2, 90), effort::rng("B23"));
    let mut run = Run::start(&mut scenario, Net::new().ok()).await;
    let mut calls = 0;
    for cycle in 0..cycles {
        let harm = [Harm::Kill, Harm::Freeze, Harm::Cut][usize::try_from(cycle % 3).expect("below 3")];
        let history = history(&mut run, &mut scenario, cycle, harm, &mut rng).await;
        calls += history.len();
        if let Err(why) = explain(&history) {
            scenario.violated(&format!("{harm:?}: {why}"));
        }
        scenario.cycle(cycles);
    }
    scenario.note(format!("{calls} calls of {CLIENTS} clients, each history explained by one order"));
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// What clients of a new topic were told before, during and after the harm.
async fn history(
    run: &mut Run,
    scenario: &mut Scenario,
    cycle: u64,
    harm: Harm,
    rng: &mut StdRng,
) -> Vec<Call> {
    let (over, stop) = watch::channel(false);
    let topic = format!("line-{cycle}");
    create(&run.client, &topic).await;
    let line = Line { topic, began: Instant::now(), acked: Arc::default(), over: stop };
    let mut clients = JoinSet::new();
    for id in 0..CLIENTS {
        let client = connect(&run.cluster.addresses()).await;
        clients.spawn(line.clone().work(client, id, StdRng::seed_from_u64(rng.random())));
    }
    line.takes(AFTER, run).await;
    let leader = leader(&run.client, &line.topic).await.unwrap_or(1);
    harm.begin(run, leader);
    line.takes(AFTER, run).await;
    harm.end(run, scenario, leader).await;
    look::whole(&run.client).await;
    line.takes(AFTER, run).await;
    over.send_replace(true);
    let mut calls = clients.join_all().await.concat();
    let log = line.read_all(&run.client).await;
    calls = resolve(calls, &log);
    let (from, end) = (line.now(), log.len() as u64);
    calls.push(Call { from, to: Some(from), step: Step::Read { offset: 0, values: log } });
    calls.push(Call { from, to: Some(from), step: Step::End(end) });
    // What is left of it would only take room.
    run.client.delete_topic(&line.topic).await.ok();
    calls
}

async fn create(client: &Client, topic: &str) {
    let give_up = Instant::now() + STUCK;
    while let Err(error) = client.create_topic(topic, 1).await {
        assert!(Instant::now() < give_up, "{topic}: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn leader(client: &Client, topic: &str) -> Option<u8> {
    let metadata = look::metadata_of(client, topic).await.ok()?;
    metadata.partitions.first()?.leader.strip_prefix("node-")?.parse().ok()
}

impl Harm {
    fn begin(self, run: &mut Run, leader: u8) {
        match (self, run.cluster.net()) {
            (Self::Cut, Some(net)) => (1..=3).filter(|other| *other != leader).for_each(|other| {
                net.cut(leader, other);
                net.cut(other, leader);
            }),
            (Self::Freeze, _) => run.cluster.freeze(leader),
            // Without a network of our own, nothing can be cut.
            (Self::Kill, _) | (Self::Cut, None) => run.cluster.kill(leader),
        }
    }

    async fn end(self, run: &mut Run, scenario: &mut Scenario, leader: u8) {
        match (self, run.cluster.net()) {
            (Self::Cut, Some(net)) => net.heal(),
            (Self::Freeze, _) => run.cluster.thaw(leader),
            (Self::Kill, _) | (Self::Cut, None) => scenario.started(run.cluster.start(&[leader]).await),
        }
    }
}

impl Line {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run is shorter than 500 years")
    }

    /// Waits until so many more records were acknowledged.
    async fn takes(&self, more: u64, run: &mut Run) {
        let (began, until) = (Instant::now(), self.acked.load(Ordering::Relaxed) + more);
        while self.acked.load(Ordering::Relaxed) < until {
            run.check();
            assert!(began.elapsed() < STUCK, "{} takes no records", self.topic);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One client: appends, reads somewhere, asks for the end, as chance has it.
    async fn work(self, client: Client, id: u64, mut rng: StdRng) -> Vec<Call> {
        let (mut calls, mut n) = (Vec::new(), 0);
        while !*self.over.borrow() {
            let from = self.now();
            let answer = match rng.random_range(0..4) {
                0 => self.end(&client).await,
                1 => {
                    let known = self.acked.load(Ordering::Relaxed);
                    self.read(&client, rng.random_range(known.saturating_sub(3)..known + 2)).await
                }
                _ => {
                    n += 1;
                    self.append(&client, format!("{id}/0/{n}")).await
                }
            };
            match answer {
                Answer::Given(step) => calls.push(Call { from, to: Some(self.now()), step }),
                Answer::Missing(step) => calls.push(Call { from, to: None, step }),
                // Nobody leads just now: asking faster would only heat the machine.
                Answer::Refused => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        calls
    }

    async fn append(&self, client: &Client, value: String) -> Answer {
        let message = NewMessage::value(value.clone()).to_partition(0);
        match client.produce_one(&self.topic, message, Acks::All).await {
            Ok(stored) => {
                self.acked.fetch_add(1, Ordering::Relaxed);
                Answer::Given(Step::Append { value, offset: Some(stored.offset) })
            }
            Err(error) if error.side_effects => Answer::Missing(Step::Append { value, offset: None }),
            Err(_) => Answer::Refused,
        }
    }

    async fn read(&self, client: &Client, offset: u64) -> Answer {
        let mut spec = FetchSpec::new(&*self.topic, 0, offset);
        spec.max_wait = Duration::from_millis(5);
        match client.fetch(&spec).await {
            Ok(page) => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let values = page.messages.iter().map(|message| text(&message.value)).collect();
                Answer::Given(Step::Read { offset, values })
            }
            Err(_) => Answer::Refused,
        }
    }

    async fn end(&self, client: &Client) -> Answer {
        let request = pb::GetStartOffsetRequest {
            topic: self.topic.clone(),
            from: pb::StartFrom::Latest.into(),
            ..pb::GetStartOffsetRequest::default()
        };
        match client.call::<_, pb::GetStartOffsetResponse>("GetStartOffset", &request).await {
            Ok(answer) => Answer::Given(Step::End(answer.offset)),
            Err(_) => Answer::Refused,
        }
    }

    /// The values from offset 0 to the end.
    async fn read_all(&self, client: &Client) -> Vec<String> {
        let read = async {
            let end = loop {
                match self.end(client).await {
                    Answer::Given(Step::End(end)) => break end,
                    Answer::Given(_) | Answer::Missing(_) | Answer::Refused => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            };
            let mut log = Vec::new();
            while (log.len() as u64) < end {
                if let Answer::Given(Step::Read { values, .. }) = self.read(client, log.len() as u64).await {
                    log.extend(values);
                }
            }
            log
        };
        timeout(STUCK, read).await.expect("everything can be read")
    }
}

enum Answer {
    Given(Step),
    /// It may have been done, or be done later.
    Missing(Step),
    /// It was not done, or nothing was told.
    Refused,
}
