//! Members that join, read, commit, fall silent, leave, vanish and come back by chance; and what they were told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use flymq_client::{Client, ClientError, FetchSpec, pb};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::checker::{Commit, History, Outcome, Start, Time};
use crate::transactions::connect;

pub const TOPIC: &str = "storm";
pub const GROUP: &str = "storm-readers";
pub const PARTITIONS: i32 = 6;
const MEMBERS: u64 = 5;
/// The shortest that a group takes: silence is soon held for death.
const SESSION: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// What was done to the group.
#[derive(Debug, Default)]
pub struct Counts {
    pub joins: AtomicU64,
    pub silent: AtomicU64,
    pub left: AtomicU64,
    pub vanished: AtomicU64,
    pub replaced: AtomicU64,
    pub commits: AtomicU64,
    pub refused: AtomicU64,
    pub stored: AtomicU64,
}

/// Members and a writer at work.
#[derive(Debug)]
pub struct Storm {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    calm: watch::Sender<bool>,
    over: watch::Sender<bool>,
    writing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    terms: AtomicU64,
    counts: Counts,
    history: Mutex<History>,
}

/// A partition that a member owns.
#[derive(Debug, Clone)]
struct Owned {
    term: u64,
    /// The next record to read; none before it has asked.
    next: Option<u64>,
    committed: u64,
}

/// One life of a member.
#[derive(Debug, Clone, Default)]
struct Life {
    id: String,
    generation: i64,
    epoch: i64,
    owned: BTreeMap<i32, Owned>,
}

struct Member {
    client: Client,
    number: u64,
    rng: StdRng,
    shared: Arc<Shared>,
    calm: watch::Receiver<bool>,
    over: watch::Receiver<bool>,
    lives: u64,
    /// What it has left behind, which goes on committing.
    zombies: JoinSet<()>,
}

impl Storm {
    /// The topic is there, and brokers are up.
    pub async fn start(addresses: &str, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            terms: AtomicU64::new(0),
            counts: Counts::default(),
            history: Mutex::default(),
        });
        let ((calm, is_calm), (over, is_over), (writing, goes_on)) =
            (watch::channel(false), watch::channel(false), watch::channel(true));
        let mut tasks = JoinSet::new();
        for number in 0..MEMBERS {
            let member = Member {
                client: connect(addresses).await,
                number,
                rng: StdRng::seed_from_u64(seed ^ number),
                shared: Arc::clone(&shared),
                calm: is_calm.clone(),
                over: is_over.clone(),
                lives: 0,
                zombies: JoinSet::new(),
            };
            tasks.spawn(member.run());
        }
        tasks.spawn(write(connect(addresses).await, goes_on, Arc::clone(&shared)));
        Self { tasks, shared, calm, over, writing }
    }

    /// Nobody writes any more, and no member does harm to itself; they go on reading.
    pub fn calm_down(&self) {
        self.writing.send_replace(false);
        self.calm.send_replace(true);
    }

    /// Ends all: what the members noted.
    pub async fn stop(mut self) -> (History, Counts) {
        self.over.send_replace(true);
        while let Some(member) = self.tasks.join_next().await {
            member.expect("no member panics");
        }
        let shared = Arc::into_inner(self.shared).expect("all have ended");
        (shared.history.into_inner().expect("nobody panicked"), shared.counts)
    }
}

async fn write(client: Client, goes_on: watch::Receiver<bool>, shared: Arc<Shared>) {
    let mut number = 0_u64;
    while *goes_on.borrow() {
        let records =
            (0..8).map(|n| pb::Record { value: format!("{number}-{n}").into(), ..Default::default() });
        let request = pb::ProduceRequest {
            topic: TOPIC.to_owned(),
            partition: Some(i32::try_from(number % 6).expect("small")),
            acks: pb::Acks::All.into(),
            records: records.collect(),
            ..Default::default()
        };
        number += 1;
        match client.call::<_, pb::ProduceResponse>("Produce", &request).await {
            Ok(_) => drop(shared.counts.stored.fetch_add(8, Relaxed)),
            Err(_) => sleep(PAUSE).await,
        }
        sleep(Duration::from_millis(3)).await;
    }
}

impl Shared {
    fn now(&self) -> Time {
        u64::try_from(self.began.elapsed().as_micros()).expect("not that long")
    }

    /// Commits everything of a life that it has read and not committed, and notes what became of it.
    async fn commit(&self, client: &Client, life: &mut Life) -> Result<(), ClientError> {
        let due = life.owned.iter().filter_map(|(partition, owned)| {
            let offset = owned.next.filter(|next| *next > owned.committed)?;
            Some((*partition, owned.term, offset))
        });
        let due: Vec<(i32, u64, u64)> = due.collect();
        if due.is_empty() {
            return Ok(());
        }
        let offsets = due.iter().map(|(partition, _, offset)| pb::PartitionOffset {
            topic: TOPIC.to_owned(),
            partition: *partition,
            offset: *offset,
            metadata: String::new(),
        });
        let request = pb::CommitOffsetsRequest {
            group: GROUP.to_owned(),
            offsets: offsets.collect(),
            member_id: life.id.clone(),
            generation: life.generation,
        };
        let begun = self.now();
        let answer = client.call::<_, pb::CommitOffsetsResponse>("CommitOffsets", &request).await;
        let ended = self.now();
        let outcome = match &answer {
            Ok(_) => Outcome::Taken,
            Err(error) if error.side_effects => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        self.counts.commits.fetch_add(1, Relaxed);
        if outcome == Outcome::Refused {
            self.counts.refused.fetch_add(1, Relaxed);
        }
        let mut history = self.history.lock().expect("nobody panics");
        for (partition, term, offset) in due {
            let generation = life.generation;
            history.commits.push(Commit { partition, term, generation, offset, begun, ended, outcome });
            if let Some(owned) = life.owned.get_mut(&partition).filter(|_| outcome == Outcome::Taken) {
                owned.committed = offset;
            }
        }
        answer.map(|_| ())
    }
}

impl Member {
    async fn run(mut self) {
        while !*self.over.borrow() {
            let Some(mut life) = self.join().await else { continue };
            while !*self.over.borrow() {
                if self.once(&mut life).await.is_err() {
                    break;
                }
            }
            if *self.over.borrow() {
                // In order, so that nothing that it read is left to be read again.
                let _ = self.shared.commit(&self.client, &mut life).await;
            }
        }
        while self.zombies.join_next().await.is_some() {}
    }

    async fn join(&mut self) -> Option<Life> {
        self.lives += 1;
        let static_member = self.number == 0;
        let request = pb::JoinGroupRequest {
            group: GROUP.to_owned(),
            topics: vec![TOPIC.to_owned()],
            member_id: format!("member-{}-{}", self.number, self.lives),
            instance_id: if static_member { "the-static-one".to_owned() } else { String::new() },
            session_timeout_ms: u32::try_from(SESSION.as_millis()).expect("small"),
            rebalance_timeout_ms: 2_000,
            ..Default::default()
        };
        let Ok(joined) = self.client.call::<_, pb::JoinGroupResponse>("JoinGroup", &request).await else {
            sleep(PAUSE).await;
            return None;
        };
        self.shared.counts.joins.fetch_add(1, Relaxed);
        let mut life = Life { id: joined.member_id, ..Life::default() };
        self.apply(&mut life, joined.generation, joined.member_epoch, &joined.assignment);
        Some(life)
    }

    fn apply(&self, life: &mut Life, generation: i64, epoch: i64, assignment: &[pb::TopicPartitions]) {
        (life.generation, life.epoch) = (generation, epoch);
        let now: Vec<i32> = assignment.iter().flat_map(|topic| topic.partitions.iter().copied()).collect();
        life.owned.retain(|partition, _| now.contains(partition));
        for partition in now {
            let term = || self.shared.terms.fetch_add(1, Relaxed);
            life.owned.entry(partition).or_insert_with(|| Owned { term: term(), next: None, committed: 0 });
        }
    }

    /// One heartbeat, some records of each partition, a commit, by chance; an error ends this life.
    async fn once(&mut self, life: &mut Life) -> Result<(), ClientError> {
        self.beat(life).await?;
        for partition in life.owned.keys().copied().collect::<Vec<_>>() {
            self.read(life, partition).await;
        }
        if self.rng.random_bool(0.4) || *self.calm.borrow() {
            let shared = Arc::clone(&self.shared);
            match shared.commit(&self.client, life).await {
                Err(error) if !error.retryable => return Err(error),
                _ => {}
            }
        }
        if *self.calm.borrow() { Ok(()) } else { self.harm(life).await }
    }

    async fn beat(&mut self, life: &mut Life) -> Result<(), ClientError> {
        let request = pb::HeartbeatRequest {
            group: GROUP.to_owned(),
            member_id: life.id.clone(),
            generation: life.generation,
            owned: vec![pb::TopicPartitions {
                topic: TOPIC.to_owned(),
                partitions: life.owned.keys().copied().collect(),
            }],
            member_epoch: life.epoch,
            max_wait_ms: self.rng.random_range(0..60),
        };
        match self.client.call::<_, pb::HeartbeatResponse>("Heartbeat", &request).await {
            Ok(answer) if answer.changed => {
                // What it read of partitions that it is about to let go: the old epoch still owns them.
                let shared = Arc::clone(&self.shared);
                let _ = shared.commit(&self.client, life).await;
                self.apply(life, answer.generation, answer.member_epoch, &answer.assignment);
                Ok(())
            }
            Ok(answer) => {
                life.generation = answer.generation;
                Ok(())
            }
            Err(error) if error.retryable => {
                sleep(PAUSE).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&mut self, life: &mut Life, partition: i32) {
        let Some(owned) = life.owned.get_mut(&partition) else { return };
        let offset = match owned.next {
            Some(next) => next,
            None => {
                let Some(offset) = self.begin(owned.term, partition).await else { return };
                (owned.next, owned.committed) = (Some(offset), offset);
                offset
            }
        };
        let most = self.rng.random_range(1..40);
        let spec = FetchSpec { max_messages: most, ..FetchSpec::new(TOPIC, partition, offset) };
        let Ok(fetched) = self.client.fetch(&spec).await else { return };
        let offsets = fetched.messages.iter().map(|message| message.offset);
        assert!(offsets.eq(offset..fetched.next_offset), "a gap in {partition} from {offset}");
        owned.next = Some(fetched.next_offset);
    }

    /// Where its group is in a partition that is new to it.
    async fn begin(&self, term: u64, partition: i32) -> Option<u64> {
        let request = pb::GetOffsetsRequest {
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            partition: Some(partition),
        };
        let asked = self.shared.now();
        let answer = self.client.call::<_, pb::GetOffsetsResponse>("GetOffsets", &request).await;
        let answered = self.shared.now();
        let offset = match answer {
            Ok(found) => found.offsets.first().map_or(0, |at| at.offset),
            Err(_) => return None,
        };
        let mut history = self.shared.history.lock().expect("nobody panics");
        history.starts.push(Start { partition, term, offset, asked, answered });
        Some(offset)
    }

    /// What goes wrong with programs and machines.
    async fn harm(&mut self, life: &mut Life) -> Result<(), ClientError> {
        let shared = Arc::clone(&self.shared);
        let counts = &shared.counts;
        match self.rng.random_range(0..120) {
            // As SIGSTOP does: it knows of nothing afterwards, and commits first.
            0 | 1 => {
                counts.silent.fetch_add(1, Relaxed);
                sleep(SESSION.mul_f64(self.rng.random_range(0.2..2.5))).await;
                shared.commit(&self.client, life).await
            }
            2 | 3 => {
                counts.left.fetch_add(1, Relaxed);
                let request = pb::LeaveGroupRequest { group: GROUP.to_owned(), member_id: life.id.clone() };
                let _ = self.client.call::<_, pb::LeaveGroupResponse>("LeaveGroup", &request).await;
                self.haunt(life.clone());
                life.owned.clear();
                Err(ClientError::invalid("it has left"))
            }
            4 => {
                counts.vanished.fetch_add(1, Relaxed);
                self.haunt(life.clone());
                Err(ClientError::invalid("it is gone"))
            }
            // A second process of a static member: the first is fenced.
            5 if self.number == 0 => {
                counts.replaced.fetch_add(1, Relaxed);
                self.haunt(life.clone());
                Err(ClientError::invalid("another process"))
            }
            _ => Ok(()),
        }
    }

    /// A life that has ended for the group goes on reading and committing for a while.
    fn haunt(&mut self, mut life: Life) {
        let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
        let mut rng = StdRng::seed_from_u64(self.rng.random());
        while self.zombies.try_join_next().is_some() {}
        self.zombies.spawn(async move {
            for _ in 0..rng.random_range(1..6) {
                sleep(Duration::from_millis(rng.random_range(1..800))).await;
                for (partition, owned) in &mut life.owned {
                    let Some(next) = owned.next else { continue };
                    if let Ok(fetched) = client.fetch(&FetchSpec::new(TOPIC, *partition, next)).await {
                        owned.next = Some(fetched.next_offset);
                    }
                }
                let _ = shared.commit(&client, &mut life).await;
            }
        });
    }
}
