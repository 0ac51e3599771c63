//! Members of a group: they join, say that they live, commit, leave, are replaced, and fall silent for longer than their session.
//! Whoever has lost a partition commits it once more.

mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flymq_engine::{
    Assigned, Assignor, CommitAs, Engine, EngineError, Heartbeat, JoinGroup, OffsetCommit, Target,
    TopicFilters,
};
use flymq_types::{Acks, Offset, PartitionId};

use super::book::Book;
use super::clients::{Client, REQUESTS};
use super::counts::Event;
use crate::support::*;
use terms::{Call, Terms, Told};

const SHARED: &str = "shared";
const GROUP: &str = "sharers";
const PARTITIONS: u32 = 4;
/// Records of each partition: nobody commits beyond.
const RECORDS: u64 = 400;
const SEATS: usize = 4;
/// The first of them are static members.
const STATIC: usize = 2;

/// One who is a member, again and again.
#[derive(Debug, Default)]
struct Seat {
    /// Its present process; none: it is to join.
    id: Option<String>,
    told: Option<Assigned>,
    session_ms: u64,
    /// The next offset of each partition that it reads.
    owned: BTreeMap<u32, u64>,
    /// Its earlier processes.
    earlier: Vec<String>,
    /// What it or its earlier processes have lost: member, generation, partition and offset.
    lost: Vec<(String, u64, u32, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    terms: Terms,
    seats: Vec<Seat>,
}

pub(super) async fn create(engine: &Engine) {
    engine.create_topic(new_topic(SHARED, PARTITIONS)).await.unwrap();
    let values = vec!["v"; usize::try_from(RECORDS).unwrap()];
    for partition in 0..PARTITIONS {
        let target = Target::Partition(PartitionId(partition));
        engine.append(&topic(SHARED), target, batch(&values), Acks::All).await.unwrap();
    }
}

pub(super) async fn live<'a>(client: impl Fn() -> Client<'a>) {
    let first = client();
    first.book.lock().members.terms.new_life();
    let seats = std::mem::take(&mut first.book.lock().members.seats);
    let seats = seats.into_iter().chain(std::iter::repeat_with(Seat::default)).take(SEATS).enumerate();
    let seats = futures::future::join_all(seats.map(|(number, mut seat)| {
        let client = client();
        async move {
            client.be_member(number, &mut seat).await;
            seat
        }
    }));
    let seats = seats.await;
    first.book.lock().members.seats = seats;
}

impl Members {
    /// After the last start.
    pub fn check(&mut self, engine: &Engine, counts: &mut super::counts::Counts) {
        self.terms.new_life();
        for partition in 0..PARTITIONS {
            self.terms.looked(partition, committed(engine, partition).unwrap(), counts);
        }
    }
}

fn committed(engine: &Engine, partition: u32) -> Result<u64, EngineError> {
    let all = engine.committed(&group(GROUP), Some(&topic(SHARED)), Some(PartitionId(partition)));
    match all {
        Ok(all) => Ok(all.first().map_or(0, |at| at.offset.get())),
        Err(EngineError::GroupNotFound { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

fn assigned(told: &Assigned) -> BTreeSet<u32> {
    told.assignment.values().flatten().map(|partition| partition.get()).collect()
}

/// Whether the broker has refused, and not stopped.
fn is_refusal(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::UnknownMember { .. }
            | EngineError::InstanceFenced { .. }
            | EngineError::StaleGeneration { .. }
            | EngineError::NotOwner { .. }
    )
}

impl Client<'_> {
    fn terms<T>(&self, what: impl FnOnce(&mut Terms, &mut super::counts::Counts) -> T) -> T {
        let mut book = self.book.lock();
        let Book { members, counts, .. } = &mut **book;
        what(&mut members.terms, counts)
    }

    fn call(&self) -> Call {
        self.terms(|terms, _| terms.call(self.now()))
    }

    async fn be_member(&self, number: usize, seat: &mut Seat) {
        for _ in 0..REQUESTS {
            match (seat.id.is_some(), self.below(32)) {
                (true, 0) => self.leave(seat).await,
                (true, 1) if number < STATIC => seat.replaced(),
                (true, 2) => self.fall_silent(seat).await,
                (true, 3..14) => self.commit_one(seat).await,
                (true, 14..18) => self.commit_lost(seat).await,
                (true, _) if seat.told.is_some() => self.beat(seat).await,
                _ => self.join(number, seat).await,
            }
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    async fn join(&self, number: usize, seat: &mut Seat) {
        let fresh = || format!("m{number}-{}", self.book.lock().fresh());
        let id = seat.id.get_or_insert_with(fresh).clone();
        seat.session_ms = 1_000 + self.below(1_500);
        let join = JoinGroup {
            member_id: Some(id),
            instance_id: (number < STATIC).then(|| format!("seat-{number}")),
            client_id: "c".to_owned(),
            host: "h".to_owned(),
            filters: TopicFilters::new([SHARED]).unwrap(),
            assignor: Assignor::default(),
            session: Some(Duration::from_millis(seat.session_ms)),
            rebalance: None,
        };
        // A static member's earlier processes are fenced by this.
        let fenced = if number < STATIC { seat.earlier.clone() } else { Vec::new() };
        self.terms(|terms, _| fenced.iter().for_each(|id| terms.lets_go(id, &BTreeSet::new())));
        let call = self.call();
        if let Ok(told) = self.engine.join_group(&group(GROUP), join).await {
            self.terms(|terms, _| fenced.iter().for_each(|id| terms.is_gone(id)));
            self.count(Event::Joined, 1);
            self.hears(seat, told, call).await;
        }
    }

    /// Takes note of an assignment, and applies it: lets go, and begins at the committed offsets.
    async fn hears(&self, seat: &mut Seat, told: Assigned, call: Call) {
        let (id, all) = (told.member_id.to_string(), assigned(&told));
        let session = i64::try_from(seat.session_ms).unwrap();
        self.terms(|terms, counts| terms.told((&id, session), &all, (call, self.now()), counts));
        seat.loses(|partition| !all.contains(&partition));
        for partition in all {
            if let Ok(offset) = committed(self.engine, partition) {
                self.terms(|terms, counts| terms.looked(partition, offset, counts));
                seat.owned.entry(partition).or_insert(offset);
            }
        }
        seat.told = Some(told);
    }

    async fn beat(&self, seat: &mut Seat) {
        let Some(told) = &seat.told else { return };
        let keeps: BTreeSet<u32> = seat.owned.keys().copied().collect();
        let heartbeat = Heartbeat {
            member_id: told.member_id.to_string(),
            epoch: told.epoch,
            generation: told.generation,
            owned: keeps.iter().map(|partition| (topic(SHARED), PartitionId(*partition))).collect(),
            max_wait: Duration::ZERO,
        };
        let id = heartbeat.member_id.clone();
        self.terms(|terms, _| terms.lets_go(&id, &keeps));
        let call = self.call();
        match self.engine.heartbeat(&group(GROUP), heartbeat).await {
            // The answer is lost now and then.
            Ok(told) if self.below(5) == 0 => {
                let (all, session) = (assigned(&told), i64::try_from(seat.session_ms).unwrap());
                self.terms(|terms, counts| terms.told((&id, session), &all, (call, self.now()), counts));
            }
            Ok(told) => self.hears(seat, told, call).await,
            Err(error) if is_refusal(&error) => {
                let now = self.now();
                self.terms(|terms, counts| terms.thrown_out(&id, (call, now), &error.to_string(), counts));
                seat.replaced();
            }
            Err(_) => {}
        }
    }

    async fn leave(&self, seat: &mut Seat) {
        let Some(id) = seat.id.clone() else { return };
        self.terms(|terms, _| terms.lets_go(&id, &BTreeSet::new()));
        if self.engine.leave_group(&group(GROUP), &id).await.is_ok() {
            self.terms(|terms, _| terms.is_gone(&id));
            self.count(Event::Left, 1);
        }
        seat.replaced();
    }

    /// As a process that stands still: it commits what it has read before it hears anything.
    async fn fall_silent(&self, seat: &mut Seat) {
        let until = self.now() + i64::try_from(self.below(seat.session_ms * 2 + 1)).unwrap();
        while self.now() < until && !self.stopped() {
            tokio::task::yield_now().await;
        }
        self.count(Event::Silent, 1);
        self.commit_one(seat).await;
    }

    async fn commit_one(&self, seat: &mut Seat) {
        let Some(told) = seat.told.clone() else { return };
        let at = usize::try_from(self.below(u64::from(PARTITIONS))).unwrap();
        let Some((partition, next)) = seat.owned.iter_mut().nth(at) else { return };
        if *next + 3 >= RECORDS {
            return;
        }
        *next += 1 + self.below(3);
        self.commit((&told.member_id, told.generation), *partition, *next, false).await;
    }

    /// Of a partition that the member, or one before it, has lost.
    async fn commit_lost(&self, seat: &Seat) {
        if seat.lost.is_empty() {
            return;
        }
        let at = usize::try_from(self.below(seat.lost.len() as u64)).unwrap();
        let (member, generation, partition, offset) = seat.lost[at].clone();
        // Given back before it had let go, it is its own still, and to commit as it likes.
        if seat.owned.contains_key(&partition) {
            return;
        }
        self.count(Event::CommitsLate, 1);
        self.commit((&member, generation), partition, offset, true).await;
    }

    async fn commit(&self, (member, generation): (&str, u64), partition: u32, offset: u64, late: bool) {
        let commit = OffsetCommit {
            topic: topic(SHARED),
            partition: PartitionId(partition),
            offset: Offset(offset),
            metadata: String::new(),
        };
        self.terms(|terms, _| terms.tries(partition, offset));
        let (call, by) = (self.call(), CommitAs { member_id: member.to_owned(), generation });
        let told = match self.engine.commit_as_member(&group(GROUP), &by, vec![commit]).await {
            Ok(()) => Told::Taken,
            Err(error) if is_refusal(&error) => Told::Refused { late },
            Err(_) => Told::Unknown,
        };
        let now = self.now();
        self.terms(|terms, counts| terms.commit(member, (partition, offset), told, (call, now), counts));
    }
}

impl Seat {
    /// Remembers what it can commit too late.
    fn loses(&mut self, which: impl Fn(u32) -> bool) {
        if let Some(told) = &self.told {
            let lost = self.owned.iter().filter(|(partition, _)| which(**partition));
            let (id, generation) = (&told.member_id, told.generation);
            // What was given back in between was its own all the time: it commits nothing that is behind its last commit.
            for (member, _, at, offset) in &mut self.lost {
                if let Some(next) = self.owned.get(at).filter(|_| **member == **id) {
                    *offset = *next;
                }
            }
            self.lost.extend(lost.map(|(partition, next)| (id.to_string(), generation, *partition, *next)));
        }
        self.owned.retain(|partition, _| !which(*partition));
    }

    /// Another process takes its place.
    fn replaced(&mut self) {
        self.loses(|_| true);
        self.earlier.extend(self.id.take());
        self.told = None;
    }
}
