//! The state of one transactional id, as a function: state and event in, what is to be written and done out.
//!
//! ```text
//!           begin              end, timeout, init            all markers committed
//! Empty ───────────► Ongoing ─────────────────────► Prepare ──────────────────────► Complete ──► (begin) Ongoing
//!   ▲ init           epoch e                        epoch e + 1                     epoch e + 1
//! ```
//!
//! Nothing here waits, writes or looks at a clock. Whoever calls writes the state that comes out before anything follows
//! from it (docs/adr/0007-transactions.md).

use std::collections::BTreeSet;

use flymq_types::{GroupId, PartitionId, Timestamp, TopicId, TopicName};

use super::Outcome;

/// The epoch from which on no transaction begins: the producer gets another id.
pub(crate) const LAST_EPOCH: u16 = 65_534;

/// Where a transaction has written: what its end has to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Partition {
        topic: TopicId,
        name: TopicName,
        partition: PartitionId,
    },
    /// Offsets of this group.
    Group(GroupId),
}

/// Where in its life a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// None was begun since the producer was made or replaced.
    Empty,
    Ongoing,
    /// The outcome is fixed, and not everybody knows it yet.
    Prepare(Outcome),
    Complete(Outcome),
}

/// How the newest transaction that is over ended: what its producer is told when it asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub producer_id: u64,
    /// That the transaction had.
    pub epoch: u16,
    pub outcome: Outcome,
    /// It was aborted without its producer: by timeout, or by one that took its place.
    pub by_force: bool,
}

/// All that is kept of one transactional id; each record of `__transactions` holds one whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub producer_id: u64,
    pub epoch: u16,
    pub phase: Phase,
    /// Milliseconds that it may be Ongoing.
    pub timeout_ms: u32,
    /// When the newest transaction began.
    pub started: Timestamp,
    /// When the state was last written.
    pub changed: Timestamp,
    /// While Ongoing and Prepare.
    pub places: BTreeSet<Place>,
    pub ended: Option<Ended>,
}

/// What an event comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// Nothing changes.
    Answer(T),
    /// The state is to be written, then answered.
    Write(Transaction, T),
    /// The state, a Prepare, is to be written and brought to its end; then the event comes again.
    End(Transaction),
    /// The Prepare that is there is to be brought to its end; then the event comes again.
    Finish,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another producer has this id or epoch now, or the transaction was aborted without its producer.
    Fenced { current: u16 },
    /// The transaction is over, and ended like this.
    Ended(Outcome),
    /// The producer has begun no transaction.
    NotBegun,
    /// The producer has written in its transaction already: it cannot begin it again.
    Open,
    /// The epoch was never given.
    Unknown { current: u16 },
    /// The epochs of the producer id are used up.
    Exhausted,
}

/// Who asks: a producer id with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub id: u64,
    pub epoch: u16,
}

impl Transaction {
    /// The first state of a transactional id.
    pub(crate) fn new(producer_id: u64, timeout_ms: u32, now: Timestamp) -> Self {
        Self {
            producer_id,
            epoch: 0,
            phase: Phase::Empty,
            timeout_ms,
            started: Timestamp(0),
            changed: now,
            places: BTreeSet::new(),
            ended: None,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.epoch }
    }

    /// A producer begins its life under this id: whoever had it before is fenced. `fresh`: a producer id that nobody has,
    /// taken where the epochs of this one are used up.
    pub(crate) fn init(&self, fresh: u64, timeout_ms: u32, now: Timestamp) -> Step<Producer> {
        match self.phase {
            Phase::Ongoing => Step::End(self.prepared(Outcome::Abort, true, now)),
            Phase::Prepare(_) => Step::Finish,
            Phase::Empty | Phase::Complete(_) => {
                let mut next = Self { phase: Phase::Empty, timeout_ms, changed: now, ..self.clone() };
                if self.epoch + 1 >= LAST_EPOCH {
                    (next.producer_id, next.epoch) = (fresh, 0);
                } else {
                    next.epoch += 1;
                }
                let producer = next.producer();
                Step::Write(next, producer)
            }
        }
    }

    /// Begins a transaction. Asking again before anything was written in it changes nothing.
    pub(crate) fn begin(&self, by: Producer, timeout_ms: u32, now: Timestamp) -> Result<Step<()>, Refusal> {
        self.check(by)?;
        match self.phase {
            Phase::Ongoing if self.places.is_empty() => Ok(Step::Answer(())),
            Phase::Ongoing => Err(Refusal::Open),
            Phase::Prepare(_) => Ok(Step::Finish),
            Phase::Empty | Phase::Complete(_) if self.epoch >= LAST_EPOCH => Err(Refusal::Exhausted),
            Phase::Empty | Phase::Complete(_) => {
                let next =
                    Self { phase: Phase::Ongoing, timeout_ms, started: now, changed: now, ..self.clone() };
                Ok(Step::Write(next, ()))
            }
        }
    }

    /// The transaction is about to write in this place for the first time.
    pub(crate) fn add(&self, by: Producer, place: &Place, now: Timestamp) -> Result<Step<()>, Refusal> {
        self.check_over(by)?;
        self.check(by)?;
        match self.phase {
            Phase::Ongoing if self.places.contains(place) => Ok(Step::Answer(())),
            Phase::Ongoing => {
                let mut next = Self { changed: now, ..self.clone() };
                next.places.insert(place.clone());
                Ok(Step::Write(next, ()))
            }
            Phase::Empty | Phase::Prepare(_) | Phase::Complete(_) => Err(Refusal::NotBegun),
        }
    }

    /// Ends the transaction. Answered with the epoch of the producer's next one, once the end is complete.
    pub(crate) fn end(&self, by: Producer, outcome: Outcome, now: Timestamp) -> Result<Step<u16>, Refusal> {
        if let Some(ended) = self.ended_of(by) {
            return match self.phase {
                _ if ended.by_force => Err(Refusal::Fenced { current: self.epoch }),
                _ if ended.outcome != outcome => Err(Refusal::Ended(ended.outcome)),
                Phase::Prepare(_) => Ok(Step::Finish),
                Phase::Empty | Phase::Ongoing | Phase::Complete(_) => {
                    Ok(Step::Answer(next_epoch(ended.epoch)))
                }
            };
        }
        self.check(by)?;
        match self.phase {
            Phase::Ongoing => Ok(Step::End(self.prepared(outcome, false, now))),
            Phase::Empty | Phase::Prepare(_) | Phase::Complete(_) => Err(Refusal::NotBegun),
        }
    }

    /// The abort that is to be written where the transaction has been Ongoing for longer than it may.
    pub(crate) fn expire(&self, now: Timestamp) -> Option<Self> {
        let open_ms = now.as_millis().saturating_sub(self.started.as_millis());
        let over = self.phase == Phase::Ongoing
            && open_ms > i64::from(self.timeout_ms)
            && !cfg!(mutant = "open_for_ever");
        over.then(|| self.prepared(Outcome::Abort, true, now))
    }

    /// The markers of a Prepare are committed everywhere: what is to be written then.
    pub(crate) fn completed(&self, now: Timestamp) -> Option<Self> {
        let Phase::Prepare(outcome) = self.phase else { return None };
        let phase = Phase::Complete(outcome);
        Some(Self { phase, changed: now, places: BTreeSet::new(), ..self.clone() })
    }

    /// From here on the outcome is fixed, and the epoch of the transaction is over.
    fn prepared(&self, outcome: Outcome, by_force: bool, now: Timestamp) -> Self {
        let ended = Ended { producer_id: self.producer_id, epoch: self.epoch, outcome, by_force };
        let epoch = if cfg!(mutant = "epoch_stays") { self.epoch } else { next_epoch(self.epoch) };
        Self { epoch, phase: Phase::Prepare(outcome), changed: now, ended: Some(ended), ..self.clone() }
    }

    fn ended_of(&self, by: Producer) -> Option<Ended> {
        self.ended.filter(|ended| (ended.producer_id, ended.epoch) == (by.id, by.epoch))
    }

    /// Refuses a producer whose transaction is over, saying how it ended.
    fn check_over(&self, by: Producer) -> Result<(), Refusal> {
        match self.ended_of(by) {
            Some(ended) if ended.by_force => Err(Refusal::Fenced { current: self.epoch }),
            Some(ended) => Err(Refusal::Ended(ended.outcome)),
            None => Ok(()),
        }
    }

    /// Refuses everybody but the producer of this epoch.
    fn check(&self, by: Producer) -> Result<(), Refusal> {
        if by.id != self.producer_id || by.epoch < self.epoch {
            return Err(Refusal::Fenced { current: self.epoch });
        }
        if by.epoch > self.epoch { Err(Refusal::Unknown { current: self.epoch }) } else { Ok(()) }
    }
}

/// A transaction begins below [`LAST_EPOCH`] only, so that there always is a next one.
fn next_epoch(epoch: u16) -> u16 {
    epoch.saturating_add(1)
}
