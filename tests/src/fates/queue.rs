//! A queue's workers: each record is accepted, or rejected, or fails until it is dead; what they hold when their answer is lost comes again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use flymq_client::{Client, pb};
use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, Hand, PAUSE, all, counted, store, text};
use crate::row::Scenario;

pub const TOPIC: &str = "fate-queue";
const GROUP: &str = "fate-workers";
/// Of its own, so that a lock that ended never makes a dead letter.
const RETRIES: u32 = 1;

/// What the workers were told.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    stored: BTreeSet<String>,
    /// An `ok` for its acceptance.
    accepted: BTreeSet<String>,
    /// No answer to it.
    perhaps_accepted: BTreeSet<String>,
    dead: BTreeSet<String>,
    perhaps_dead: BTreeSet<String>,
    /// Handed out again after it was known to be accepted or dead.
    again: Vec<String>,
    handed_out: u64,
}

impl Queue {
    pub(super) async fn write(self: Arc<Self>, hand: Hand) {
        let mut number = 0_u64;
        while !hand.over() {
            let value = format!("q{number}");
            number += 1;
            match store(&hand.client, TOPIC, &value, 0).await {
                Ok(()) => drop(self.0.lock().expect("nobody panics").stored.insert(value)),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    pub(super) async fn work(self: Arc<Self>, number: u32, mut hand: Hand) {
        while !hand.over() {
            let member = format!("worker-{number}-{}", hand.rng.random::<u16>());
            self.one_life(&member, &mut hand).await;
        }
    }

    /// Until it forgets what it holds, as a process that dies does.
    async fn one_life(&self, member: &str, hand: &mut Hand) {
        while !hand.over() {
            let known = {
                let told = self.0.lock().expect("nobody panics");
                told.accepted.union(&told.dead).cloned().collect::<BTreeSet<_>>()
            };
            let Ok(held) = acquire(&hand.client, member, 20).await else {
                sleep(PAUSE).await;
                continue;
            };
            for one in held {
                let record = one.record.unwrap_or_default();
                let value = text(&record.value);
                self.handed_out(&value, known.contains(&value));
                if hand.rng.random_range(0..60) == 0 {
                    return;
                }
                self.settle(member, record.offset, &value, hand).await;
            }
        }
    }

    fn handed_out(&self, value: &str, after_its_end: bool) {
        let mut told = self.0.lock().expect("nobody panics");
        told.handed_out += 1;
        if after_its_end {
            told.again.push(value.to_owned());
        }
    }

    /// By the last digit of its number: always the same, whoever has it.
    async fn settle(&self, member: &str, offset: u64, value: &str, hand: &mut Hand) {
        match value.as_bytes().last() {
            Some(b'3') => self.acknowledge(member, offset, value, pb::AckKind::Reject, hand).await,
            Some(b'7') => self.fail(member, offset, value, hand).await,
            _ if hand.rng.random_range(0..20) == 0 => {
                self.acknowledge(member, offset, value, pb::AckKind::Release, hand).await;
            }
            _ => self.acknowledge(member, offset, value, pb::AckKind::Accept, hand).await,
        }
    }

    async fn acknowledge(&self, member: &str, offset: u64, value: &str, kind: pb::AckKind, hand: &Hand) {
        let request = pb::AcknowledgeRequest {
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            partition: 0,
            offsets: vec![offset],
            kind: kind.into(),
            extend_ms: 0,
            member_id: member.to_owned(),
            reason: "not wanted".to_owned(),
        };
        let answer = hand.client.call::<_, pb::AcknowledgeResponse>("Acknowledge", &request).await;
        let mut told = self.0.lock().expect("nobody panics");
        let told = &mut *told;
        let (sure, perhaps) = match kind {
            pb::AckKind::Accept => (&mut told.accepted, &mut told.perhaps_accepted),
            pb::AckKind::Reject => (&mut told.dead, &mut told.perhaps_dead),
            _ => return,
        };
        match answer {
            Ok(_) => sure.insert(value.to_owned()),
            Err(error) if error.side_effects => perhaps.insert(value.to_owned()),
            Err(_) => false,
        };
    }

    async fn fail(&self, member: &str, offset: u64, value: &str, hand: &Hand) {
        let request = pb::NackRequest {
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            offset,
            reason: "it fails".to_owned(),
            member_id: member.to_owned(),
            max_retries: Some(RETRIES),
            retry_delay_ms: Some(20),
            ..Default::default()
        };
        let answer = hand.client.call::<_, pb::NackResponse>("Nack", &request).await;
        let mut told = self.0.lock().expect("nobody panics");
        match answer {
            Ok(answer) if answer.dead_lettered => told.dead.insert(value.to_owned()),
            Err(error) if error.side_effects => told.perhaps_dead.insert(value.to_owned()),
            _ => false,
        };
    }

    /// Settles what is left, and holds it against the dead letters.
    pub(super) async fn finish(&self, client: &Client, scenario: &mut Scenario) {
        self.drain(client, scenario).await;
        let there: BTreeSet<String> = all(client, TOPIC).await.iter().map(|one| text(&one.value)).collect();
        let letters = counted(client, &format!("{TOPIC}.dlq")).await;
        let told = self.0.lock().expect("nobody panics");
        told.stored.difference(&there).for_each(|value| scenario.lost(value));
        for value in &there {
            let dead = letters.get(value).copied().unwrap_or(0);
            let accepted = told.accepted.contains(value);
            let perhaps = told.perhaps_accepted.contains(value);
            match (accepted, dead) {
                (true, 1..) => scenario.violated(&format!("{value} is accepted and dead")),
                (false, 0) if !perhaps => scenario.lost(&format!("{value} is neither accepted nor dead")),
                (_, 2..) => scenario.violated(&format!("{value} is dead {dead} times")),
                _ => {}
            }
        }
        told.dead.iter().filter(|value| !letters.contains_key(*value)).for_each(|value| scenario.lost(value));
        told.again
            .iter()
            .for_each(|value| scenario.violated(&format!("{value} was handed out after its end")));
        scenario.read(there.len() as u64);
        assert!(told.accepted.len() > 20 && !letters.is_empty(), "the queue was no queue");
        scenario.note(format!(
            "queue: {} records, handed out {} times, {} accepted, {} dead; in both 0, in neither 0, dead twice 0, again after its end 0",
            there.len(),
            told.handed_out,
            told.accepted.len(),
            letters.len()
        ));
    }

    /// One worker that does not die, until nothing is handed out any more.
    async fn drain(&self, client: &Client, scenario: &mut Scenario) {
        let since = Instant::now();
        let mut hand = Hand {
            client: client.clone(),
            rng: rand::SeedableRng::seed_from_u64(0),
            over: tokio::sync::watch::channel(false).1,
        };
        let mut quiet = Instant::now();
        // Longer than any lock of a worker that is gone.
        while quiet.elapsed() < LOCK + Duration::from_secs(1) {
            if since.elapsed() > DEADLINE {
                return scenario.violated("the queue does not become empty");
            }
            // Who gets no answer does not know whether it is empty.
            let held = match acquire(client, "last", 50).await {
                Ok(held) if held.is_empty() => {
                    sleep(PAUSE).await;
                    continue;
                }
                Ok(held) => held,
                Err(_) => Vec::new(),
            };
            for one in held {
                let record = one.record.unwrap_or_default();
                self.settle("last", record.offset, &text(&record.value), &mut hand).await;
            }
            quiet = Instant::now();
        }
    }
}

/// The shortest that there is.
const LOCK: Duration = Duration::from_secs(1);

async fn acquire(
    client: &Client,
    member: &str,
    most: u32,
) -> Result<Vec<pb::AcquiredRecord>, flymq_client::ClientError> {
    let request = pb::AcquireRequest {
        group: GROUP.to_owned(),
        topic: TOPIC.to_owned(),
        partition: Some(0),
        member_id: member.to_owned(),
        max_records: most,
        max_wait_ms: 50,
        lock_ms: u32::try_from(LOCK.as_millis()).expect("small"),
        ..Default::default()
    };
    client.call::<_, pb::AcquireResponse>("Acquire", &request).await.map(|answer| answer.records)
}
