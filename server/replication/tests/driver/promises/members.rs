//! Members of a group (`docs/consumer-groups.md`): they join, say that they live, commit, leave, are replaced, and fall silent for longer
//! than their session, while the group's coordinator moves. Whoever has lost a partition commits it once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flymq_engine::{
    Assigned, Assignor, CommitAs, Engine, EngineError, Heartbeat, JoinGroup, OffsetCommit, TopicFilters,
};
use flymq_types::{GroupId, Offset, PartitionId};
use tokio::time::{sleep, timeout};

use super::book::Counts;
use super::clients::{Client, PAUSE};
use super::queue::now;
use super::terms::{Call, Terms, Told};
use crate::cluster::DEADLINE;
use crate::engines::topic;

pub(super) const SHARED: &str = "shared";
pub(super) const PARTITIONS: u32 = 4;
pub(super) const SEATS: usize = 6;
/// The first of them are static members.
const STATIC: usize = 2;
/// The shortest session that a group takes, and how much longer others are, ms.
const SESSION_MS: (u64, u64) = (1_000, 500);

/// One who is a member, again and again.
#[derive(Debug, Default)]
struct Seat {
    number: usize,
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

fn group() -> GroupId {
    GroupId::new("sharers").unwrap()
}

fn assigned(told: &Assigned) -> BTreeSet<u32> {
    told.assignment.values().flatten().map(|partition| partition.get()).collect()
}

/// Whether the coordinator has refused it.
fn is_refusal(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::UnknownMember { .. }
            | EngineError::InstanceFenced { .. }
            | EngineError::StaleGeneration { .. }
            | EngineError::NotOwner { .. }
    )
}

/// Who looks in the end, when everything is over.
pub(super) async fn check(client: &Client, counts: &mut Counts) {
    for partition in 0..PARTITIONS {
        let looked = async {
            while client.committed_by_members(partition).await.is_err() {
                sleep(PAUSE).await;
            }
        };
        timeout(DEADLINE, looked).await.expect("nobody answers");
    }
    std::mem::take(&mut client.book.lock().members).sum_up(counts);
}

impl Client {
    fn terms<T>(&self, what: impl FnOnce(&mut Terms) -> T) -> T {
        what(&mut self.book.lock().members)
    }

    fn call(&self) -> Call {
        self.terms(|terms| terms.call(now()))
    }

    pub async fn be_member(self, number: usize) {
        let mut seat = Seat { number, ..Seat::default() };
        while !self.stopped() {
            match (seat.id.is_some(), self.below(96)) {
                (true, 0) => self.leave(&mut seat).await,
                (true, 1..3) if number < STATIC => seat.replaced(),
                (true, 3) => self.fall_silent(&mut seat).await,
                (true, 4..40) => self.commit_one(&mut seat).await,
                (true, 40..52) => self.commit_lost(&seat).await,
                (true, _) if seat.told.is_some() => self.beat(&mut seat).await,
                _ => self.join(&mut seat).await,
            }
            sleep(PAUSE).await;
        }
    }

    async fn join(&self, seat: &mut Seat) {
        let (number, is_static) = (seat.number, seat.number < STATIC);
        let fresh = || format!("m{number}-{}", self.book.lock().fresh());
        let id = seat.id.get_or_insert_with(fresh).clone();
        seat.session_ms = SESSION_MS.0 + self.below(SESSION_MS.1);
        let join = JoinGroup {
            member_id: Some(id),
            instance_id: is_static.then(|| format!("seat-{number}")),
            client_id: "c".to_owned(),
            host: "h".to_owned(),
            filters: TopicFilters::new([SHARED]).unwrap(),
            assignor: Assignor::default(),
            session: Some(Duration::from_millis(seat.session_ms)),
            rebalance: None,
        };
        // A static member's earlier processes are fenced by this.
        let fenced = if is_static { seat.earlier.clone() } else { Vec::new() };
        self.terms(|terms| fenced.iter().for_each(|id| terms.lets_go(id, &BTreeSet::new())));
        let call = self.call();
        if let Ok(told) = self.ask(async |engine| engine.join_group(&group(), join.clone()).await).await {
            self.terms(|terms| {
                fenced.iter().for_each(|id| terms.is_gone(id));
                terms.count("joins", 1);
            });
            self.hears(seat, told, call).await;
        }
    }

    /// Takes note of an assignment, and applies it: lets go, and begins at the committed offsets.
    async fn hears(&self, seat: &mut Seat, told: Assigned, call: Call) {
        let all = self.notes(seat, &told, call);
        seat.loses(|partition| !all.contains(&partition));
        for partition in all {
            if let Ok(offset) = self.committed_by_members(partition).await {
                seat.owned.entry(partition).or_insert(offset);
            }
        }
        seat.told = Some(told);
    }

    fn notes(&self, seat: &Seat, told: &Assigned, call: Call) -> BTreeSet<u32> {
        let (all, session) = (assigned(told), i64::try_from(seat.session_ms).unwrap());
        self.terms(|terms| terms.told((&told.member_id, session), &all, (call, now())));
        all
    }

    /// How far the partition is, which nobody may have told otherwise.
    async fn committed_by_members(&self, partition: u32) -> Result<u64, EngineError> {
        let floor = self.terms(|terms| terms.floor(partition));
        let committed = async |engine: &Engine| match engine.committed(
            &group(),
            Some(&topic(SHARED)),
            Some(PartitionId(partition)),
        ) {
            Err(EngineError::GroupNotFound { .. }) => Ok(Vec::new()),
            committed => committed,
        };
        let offset = self.ask(committed).await?.first().map_or(0, |at| at.offset.get());
        self.terms(|terms| terms.looked(partition, offset, floor));
        Ok(offset)
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
        self.terms(|terms| terms.lets_go(&id, &keeps));
        let call = self.call();
        match self.ask(async |engine| engine.heartbeat(&group(), heartbeat.clone()).await).await {
            // The answer is lost now and then.
            Ok(told) if self.below(5) == 0 => drop(self.notes(seat, &told, call)),
            Ok(told) => self.hears(seat, told, call).await,
            Err(error) if is_refusal(&error) => {
                self.terms(|terms| terms.thrown_out(&id, (call, now()), &error.to_string()));
                seat.replaced();
            }
            Err(_) => {}
        }
    }

    async fn leave(&self, seat: &mut Seat) {
        let Some(id) = seat.id.clone() else { return };
        self.terms(|terms| terms.lets_go(&id, &BTreeSet::new()));
        if self.ask(async |engine| engine.leave_group(&group(), &id).await).await.is_ok() {
            self.terms(|terms| {
                terms.is_gone(&id);
                terms.count("members left", 1);
            });
        }
        seat.replaced();
    }

    /// As a process that stands still: it commits what it has read before it hears anything.
    async fn fall_silent(&self, seat: &mut Seat) {
        let silence = seat.session_ms * 3 / 4 + self.below(seat.session_ms / 2);
        let until = now() + i64::try_from(silence).unwrap();
        while now() < until && !self.stopped() {
            sleep(PAUSE).await;
        }
        self.terms(|terms| terms.count("silences", 1));
        self.commit_one(seat).await;
    }

    async fn commit_one(&self, seat: &mut Seat) {
        let Some(told) = seat.told.clone() else { return };
        let at = usize::try_from(self.below(seat.owned.len().max(1) as u64)).unwrap();
        let Some((partition, next)) = seat.owned.iter_mut().nth(at) else { return };
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
        self.terms(|terms| terms.count("late commits of members", 1));
        self.commit((&member, generation), partition, offset, true).await;
    }

    async fn commit(&self, (member, generation): (&str, u64), partition: u32, offset: u64, late: bool) {
        let commit = OffsetCommit {
            topic: topic(SHARED),
            partition: PartitionId(partition),
            offset: Offset(offset),
            metadata: String::new(),
        };
        self.terms(|terms| terms.tries(partition, offset));
        let (call, by) = (self.call(), CommitAs { member_id: member.to_owned(), generation });
        let answer =
            async |engine: &Engine| engine.commit_as_member(&group(), &by, vec![commit.clone()]).await;
        let told = match self.ask(answer).await {
            Ok(()) => Told::Taken,
            Err(error) if is_refusal(&error) => Told::Refused { late },
            Err(_) => Told::Unknown,
        };
        self.terms(|terms| terms.commit(member, (partition, offset), told, (call, now())));
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
