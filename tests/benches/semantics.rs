//! What idempotence, transactions and rebalances cost, on one broker: `cargo bench -p flymq-tests --bench semantics`.
//!
//! The broker is the one beside the benchmark (`cargo build --release -p flymq-server` first) or `$FLYMQ_BIN`, with its defaults: an answer means that the
//! record is on the disk (fdatasync).

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use flymq_client::{Client, NewMessage, ProducerConfig, TransactionalConfig, pb};
use flymq_tests::broker::{Launch, Process};
use futures::future::join_all;

/// Bytes of a batch.
const BATCH: usize = 1_024;
const CLIENTS: usize = 64;
/// How long each way to produce is measured in each round.
const LASTS: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;
/// Batches of a transaction, where throughput is measured.
const OF_ONE: usize = 100;
const MEMBERS: usize = 100;
const PARTITIONS: i32 = 1_000;

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Launch::new(dir.path()).with("SEGMENT_BYTES", "64MiB").start();
    runtime.block_on(async {
        throughput(&broker).await;
        commits(&broker).await;
        rate(&broker).await;
        rebalance(&broker).await;
    });
}

async fn connect(broker: &Process) -> Client {
    Client::connect(&broker.native).await.expect("the broker listens")
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Plain,
    Idempotent,
    Transactional,
}

/// Batches of 1 KiB from many clients, one at a time of each: the ways in turn, in rounds.
async fn throughput(broker: &Process) {
    let client = connect(broker).await;
    client.create_topic("cost", 12).await.expect("a new topic");
    let ways = [Way::Plain, Way::Idempotent, Way::Transactional];
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for (way, rates) in ways.iter().zip(&mut rates) {
            let until = Instant::now() + LASTS;
            let tasks = (0..CLIENTS).map(|number| {
                let (addr, way) = (broker.native.clone(), *way);
                tokio::spawn(async move {
                    let client = Client::connect(&addr).await.expect("the broker listens");
                    produce(&client, way, format!("cost-{round}-{number}"), number, until).await
                })
            });
            let sent: usize = join_all(tasks).await.into_iter().map(|sent| sent.expect("no panic")).sum();
            rates.push(sent as f64 / LASTS.as_secs_f64());
        }
    }
    let plain = median(rates[0].clone()).0;
    for (way, rates) in ways.iter().zip(rates) {
        let (middle, least, most) = median(rates);
        let cost = 100.0 * (1.0 - middle / plain);
        println!(
            "{CLIENTS} clients, batches of 1 KiB, {way:?}: median {middle:.0} batches/s ({least:.0} to {most:.0}), {cost:.1} % less than plain"
        );
    }
}

async fn produce(client: &Client, way: Way, id: String, number: usize, until: Instant) -> usize {
    let message =
        || NewMessage::value(vec![b'x'; BATCH]).to_partition(i32::try_from(number % 12).expect("small"));
    let mut sent = 0;
    if let Way::Transactional = way {
        let mut producer =
            client.transactional_producer(TransactionalConfig::new(id)).await.expect("a producer");
        while Instant::now() < until {
            producer.begin().await.expect("begun");
            for _ in 0..OF_ONE {
                producer.send("cost", message()).await.expect("stored");
                sent += 1;
                if Instant::now() >= until {
                    break;
                }
            }
            producer.commit().await.expect("committed");
        }
        return sent;
    }
    let enable_idempotence = matches!(way, Way::Idempotent);
    let producer = client.producer(ProducerConfig { enable_idempotence, ..ProducerConfig::default() });
    while Instant::now() < until {
        producer.send("cost", message()).await.expect("queued").await.expect("stored");
        sent += 1;
    }
    sent
}

/// Transactions of 1,000 records of 100 bytes over three topics, one after the other.
async fn commits(broker: &Process) {
    let client = connect(broker).await;
    let topics = ["commit-a", "commit-b", "commit-c"];
    for topic in topics {
        client.create_topic(topic, 1).await.expect("a new topic");
    }
    let mut producer =
        client.transactional_producer(TransactionalConfig::new("commits")).await.expect("a producer");
    let (mut commits, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let begun = Instant::now();
        producer.begin().await.expect("begun");
        for (topic, count) in topics.into_iter().zip([334, 333, 333]) {
            let messages = (0..count).map(|_| NewMessage::value(vec![b'x'; 100])).collect();
            producer.send_all(topic, messages).await.expect("stored");
        }
        let sent = Instant::now();
        producer.commit().await.expect("committed");
        commits.push(sent.elapsed().as_secs_f64() * 1e3);
        wholes.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (commit, ..) = median(commits.clone());
    let (whole, ..) = median(wholes);
    commits.sort_by(f64::total_cmp);
    println!(
        "transactions of 1,000 records over 3 topics: commit p50 {commit:.2} ms, p99 {:.2} ms; from begin to the end p50 {whole:.2} ms",
        commits[commits.len() * 99 / 100]
    );
}

/// Small transactions of many clients at once.
async fn rate(broker: &Process) {
    let client = connect(broker).await;
    client.create_topic("rate", 12).await.expect("a new topic");
    let begun = Instant::now();
    let until = begun + Duration::from_secs(8);
    let tasks = (0..CLIENTS).map(|number| {
        let addr = broker.native.clone();
        tokio::spawn(async move {
            let client = Client::connect(&addr).await.expect("the broker listens");
            let config = TransactionalConfig::new(format!("rate-{number}"));
            let mut producer = client.transactional_producer(config).await.expect("a producer");
            let mut done = 0_usize;
            while Instant::now() < until {
                producer.begin().await.expect("begun");
                let message = NewMessage::value(vec![b'x'; 100]);
                producer.send("rate", message).await.expect("stored");
                producer.commit().await.expect("committed");
                done += 1;
            }
            done
        })
    });
    let done: usize = join_all(tasks).await.into_iter().map(|done| done.expect("no panic")).sum();
    println!(
        "{CLIENTS} clients, transactions of one record: {:.0} a second",
        done as f64 / begun.elapsed().as_secs_f64()
    );
}

/// One member, as a consumer's process would do it.
#[derive(Debug, Clone, Default)]
struct Member {
    id: String,
    generation: i64,
    epoch: i64,
    owned: BTreeSet<i32>,
    /// Partitions that it has had to let go.
    lost: usize,
}

impl Member {
    async fn join(client: &Client) -> Self {
        let request = pb::JoinGroupRequest {
            group: "wide".to_owned(),
            topics: vec!["wide".to_owned()],
            session_timeout_ms: 60_000,
            ..Default::default()
        };
        let joined: pb::JoinGroupResponse = client.call("JoinGroup", &request).await.expect("joined");
        let mut member = Self { id: joined.member_id, ..Self::default() };
        member.apply(joined.generation, joined.member_epoch, &joined.assignment);
        member
    }

    fn apply(&mut self, generation: i64, epoch: i64, assignment: &[pb::TopicPartitions]) {
        let now: BTreeSet<i32> =
            assignment.iter().flat_map(|topic| topic.partitions.iter().copied()).collect();
        self.lost += self.owned.difference(&now).count();
        (self.generation, self.epoch, self.owned) = (generation, epoch, now);
    }

    /// Waits up to so long for another assignment.
    async fn beat(&mut self, client: &Client, max_wait_ms: u32) {
        let partitions = self.owned.iter().copied().collect();
        let request = pb::HeartbeatRequest {
            group: "wide".to_owned(),
            member_id: self.id.clone(),
            generation: self.generation,
            owned: vec![pb::TopicPartitions { topic: "wide".to_owned(), partitions }],
            member_epoch: self.epoch,
            max_wait_ms,
        };
        let answer: pb::HeartbeatResponse = client.call("Heartbeat", &request).await.expect("a member");
        if answer.changed {
            self.apply(answer.generation, answer.member_epoch, &answer.assignment);
        }
    }
}

/// All beat side by side until every partition has one owner and nobody has more than his share. How long that took.
async fn settle(clients: &[Client], members: &mut [Member]) -> Duration {
    let begun = Instant::now();
    let share = usize::try_from(PARTITIONS).expect("small").div_ceil(members.len());
    loop {
        let beats = members.iter_mut().zip(clients).map(|(member, client)| member.beat(client, 100));
        join_all(beats).await;
        let owned: usize = members.iter().map(|member| member.owned.len()).sum();
        let fair = members.iter().all(|member| member.owned.len() <= share);
        if fair && owned == usize::try_from(PARTITIONS).expect("small") {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{owned} partitions have an owner");
    }
}

async fn rebalance(broker: &Process) {
    let first = connect(broker).await;
    first.create_topic("wide", PARTITIONS).await.expect("a new topic");
    let clients: Vec<Client> = join_all((0..MEMBERS).map(|_| connect(broker))).await;
    let begun = Instant::now();
    let mut members: Vec<Member> = join_all(clients.iter().map(Member::join)).await;
    settle(&clients, &mut members).await;
    println!(
        "{MEMBERS} members that join at once share {PARTITIONS} partitions after {:.0} ms",
        ms(begun.elapsed())
    );
    let (mut times, mut lost) = (Vec::new(), 0);
    for _ in 0..5 {
        members.iter_mut().for_each(|member| member.lost = 0);
        let gone = members.pop().expect("members");
        let begun = Instant::now();
        let request = pb::LeaveGroupRequest { group: "wide".to_owned(), member_id: gone.id };
        let _left: pb::LeaveGroupResponse = first.call("LeaveGroup", &request).await.expect("left");
        settle(&clients, &mut members).await;
        times.push(ms(begun.elapsed()));
        let begun = Instant::now();
        members.push(Member::join(&clients[MEMBERS - 1]).await);
        settle(&clients, &mut members).await;
        times.push(ms(begun.elapsed()));
        lost = lost.max(members.iter().map(|member| member.lost).sum());
    }
    let (middle, least, most) = median(times);
    println!(
        "one of {MEMBERS} leaves, or comes back: all {PARTITIONS} partitions shared again after {middle:.0} ms ({least:.0} to {most:.0}); partitions that somebody \
         had to let go for it: at most {lost}, all others were read on"
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
