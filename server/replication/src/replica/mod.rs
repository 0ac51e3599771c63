//! One replica of one partition as a state machine without disk, network, clock or threads: [`Replica::step`] takes what
//! happened and says what to do. A driver does it; the simulation (`tests/sim`) is one.
//!
//! The metadata group is the configuration manager and hands out leader epochs; batches go from the leader to its
//! followers without it. A record is committed once every in-sync replica has it on disk, so each of them may lead next:
//! the shape of [PacificA](https://www.microsoft.com/en-us/research/publication/pacifica-replication-in-log-based-distributed-storage-systems/)
//! and of Kafka's ISR.
//!
//! ```text
//!             Meta ──────────────┐                     ┌──► Append, AppendRange, Truncate, Reset, Repair   (log)
//! Produce, LocalDurable, Tick ───┼──► Replica::step ───┼──► Send, SendRange, SendRepair                    (peers)
//!            Frame of a peer ────┘                     ├──► AlterIsr, Resign, RefreshMeta                  (metadata)
//!                                                      └──► Complete, AdvanceHighWatermark                 (clients)
//! ```
//!
//! The rules, and what they come from:
//!
//! 1. Epochs come from the metadata group alone; each frame carries one, a lower one is answered with the current
//!    ([KIP-101](https://cwiki.apache.org/confluence/display/KAFKA/KIP-101+-+Alter+Replication+Protocol+to+use+Leader+Epoch+rather+than+High+Watermark+for+Truncation),
//!    [KIP-320](https://cwiki.apache.org/confluence/display/KAFKA/KIP-320%3A+Allow+fetchers+to+detect+and+handle+log+truncation)).
//! 2. A follower first agrees with the leader on the end of its last epoch, and cuts there, epoch by epoch
//!    ([KIP-279](https://cwiki.apache.org/confluence/display/KAFKA/KIP-279%3A+Fix+log+divergence+between+leader+and+follower+after+fast+leader+fail+over)).
//!    It never cuts to the high watermark.
//! 3. Each range names the epoch of the batch before it; where that differs, rule 2 again.
//! 4. A follower acknowledges what it has on disk, nothing else.
//! 5. The high watermark is the lowest durable end over the *maximal* ISR: as committed, plus whoever a change on its way
//!    may have added ([KIP-497](https://cwiki.apache.org/confluence/display/KAFKA/KIP-497%3A+Add+inter-broker+API+to+alter+ISR)).
//!    It stands still below `min_insync` members
//!    ([KIP-966](https://cwiki.apache.org/confluence/display/KAFKA/KIP-966%3A+Eligible+Leader+Replicas)).
//! 6. Members that lag leave; who has the high watermark *and* the start of the leader's epoch on disk, and has deleted
//!    what is deleted, joins. A change is compared and swapped, names the broker epoch of who joins
//!    ([KIP-841](https://cwiki.apache.org/confluence/x/phmhCw)), and one is on its way at a time.
//! 7. A leader whose session was not renewed for half its length takes `acks=all` only, and does not say what the latest
//!    offset is.
//! 8. A follower far behind is served by another connection than the live records.
//! 9. Log start and high watermark ride on every range; a deletion is done when all in-sync replicas have reported it.
//! 10. A replica with damaged bytes does not count as in sync, does not lead if another can, and has the range mended
//!     from a peer whose epochs agree: it never cuts what it had promised
//!     ([protocol-aware recovery](https://www.usenix.org/conference/fast18/presentation/alagappan)).
//! 11. Nobody leads twice in an epoch: after a crash its batches may be lost, and an (offset, epoch) would name two.
//! 12. A leader that is to hand over takes nothing more until the next one has all that it has itself, acknowledged by anybody
//!     or not, and only then asks for the change (leadership transfer of
//!     [Raft](https://web.stanford.edu/~ouster/cgi-bin/papers/OngaroPhD.pdf), 3.10). It gives up after a while; where it has
//!     asked, it takes what only it would have once the change can no longer come true.
//! 13. A replica that is late again and again, while all others are in time, leaves the ISR as long as `min_insync` stay, and
//!     leads no more: a slow disk is a failure too ([gray failure](https://www.microsoft.com/en-us/research/publication/gray-failure-achilles-heel-cloud-scale-systems/)).

mod epochs;
mod event;
mod follower;
mod frame;
mod hand_over;
mod inspect;
mod isr;
mod join;
mod leader;
mod log_view;
mod meta;
mod pace;
mod peer;
mod produce;
mod repair;
mod roles;
mod serve;
#[cfg(test)]
mod tests;

pub use epochs::{EpochList, EpochStart};
pub use event::{IsrChange, Lane, ReplicaAction, ReplicaError, ReplicaEvent, ResignReason, Token};
pub use frame::{Chunk, Frame, Position, RangeHead};
pub use log_view::{LogView, Span};
pub use meta::{BrokerEpoch, BrokerId, Millis, PartitionMeta, ReplicaSettings, StreamId};

use flymq_types::{LeaderEpoch, Offset};

use follower::Follower;
use leader::Leader;

/// What both roles need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Core {
    me: BrokerId,
    broker_epoch: BrokerEpoch,
    settings: ReplicaSettings,
    log: LogView,
    high_watermark: Offset,
    meta: PartitionMeta,
    /// Streams begun so far.
    streams: u32,
    /// When the last heartbeat was sent that the metadata leader has answered.
    session_renewed: Option<Millis>,
    /// The last repair asked for: when, and how many so far.
    repair_asked: Option<Millis>,
    repairs_asked: usize,
}

impl Core {
    fn epoch(&self) -> LeaderEpoch {
        self.meta.leader_epoch
    }

    /// Whether as many are in sync as have to be for anything to be committed.
    fn has_enough_in_sync(&self) -> bool {
        self.meta.isr.len() >= self.settings.min_insync
    }

    fn session_holds(&self, now: Millis) -> bool {
        let limit = self.settings.session / 2;
        self.session_renewed.is_some_and(|renewed| now.saturating_sub(renewed) <= limit)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Role {
    /// No leader, no part in the partition, or deposed and waiting for metadata.
    Offline,
    /// Should lead, and will not.
    Resigned {
        reason: ResignReason,
        said: Millis,
    },
    Follower(Follower),
    Leader(Box<Leader>),
}

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Nothing: no leader, not assigned, deposed, or unwilling to lead.
    Offline,
    /// Follows the leader of its epoch.
    Follower,
    /// Leads in its epoch.
    Leader,
}

/// The state machine of one replica. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    core: Core,
    role: Role,
}

impl Replica {
    /// A replica of broker `me`, registered as `broker_epoch`, with the log that recovery found. It does nothing before
    /// its first [`ReplicaEvent::Meta`].
    pub fn new(me: BrokerId, broker_epoch: BrokerEpoch, settings: ReplicaSettings, mut log: LogView) -> Self {
        // Damage below the start is deleted with it.
        log.advance_start(log.start);
        let high_watermark = log.start;
        let core = Core {
            me,
            broker_epoch,
            settings,
            log,
            high_watermark,
            meta: PartitionMeta::default(),
            streams: 0,
            session_renewed: None,
            repair_asked: None,
            repairs_asked: 0,
        };
        Self { core, role: Role::Offline }
    }

    /// With what is known of an earlier run: everything below `committed` is.
    #[must_use]
    pub fn knowing(mut self, committed: Offset) -> Self {
        let log = &self.core.log;
        self.core.high_watermark = committed.min(log.durable).max(log.start);
        self
    }

    /// Takes one event at `now` and appends what to do to `out`.
    pub fn step(&mut self, now: Millis, event: ReplicaEvent, out: &mut Vec<ReplicaAction>) {
        match event {
            ReplicaEvent::Meta(meta) => self.on_meta(now, meta, out),
            ReplicaEvent::Produce { batch, records, acks, token } => {
                self.on_produce(now, produce::Request { batch, records, acks, token }, out);
            }
            ReplicaEvent::Await { base, end, token } => self.on_await((base, end), token, out),
            ReplicaEvent::DeleteRecords { before, token } => self.on_delete(now, before, token, out),
            ReplicaEvent::LocalDurable { end, generation } => self.on_durable(now, end, generation, out),
            ReplicaEvent::Frame { from, frame } => self.on_frame(now, from, frame, out),
            ReplicaEvent::RangeSent { to, stream, first, until } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_sent(now, &self.core, (to, stream), (first, until), out);
                }
            }
            ReplicaEvent::IsrRefused { partition_epoch } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_isr_refused(now, &self.core, partition_epoch);
                }
            }
            ReplicaEvent::HandOverRefused { partition_epoch } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_hand_over_refused(now, &mut self.core, partition_epoch, out);
                }
            }
            ReplicaEvent::SessionRenewed { sent } => {
                self.core.session_renewed = self.core.session_renewed.max(Some(sent));
            }
            ReplicaEvent::Corrupt(span) => self.on_corrupt(now, span, out),
            ReplicaEvent::Repaired(span) => self.on_repaired(now, span, out),
            ReplicaEvent::Tick => self.on_tick(now, out),
        }
    }

    fn on_durable(&mut self, now: Millis, end: Offset, generation: u32, out: &mut Vec<ReplicaAction>) {
        let log = &mut self.core.log;
        let stale = generation != log.generation && !cfg!(mutant = "replica_sync_before_truncation_counts");
        if stale || end <= log.durable {
            return;
        }
        log.durable = end.min(log.end);
        match &mut self.role {
            Role::Leader(leader) => leader.advance(now, &mut self.core, out),
            Role::Follower(follower) => follower.acknowledge(&self.core, out),
            Role::Offline | Role::Resigned { .. } => {}
        }
    }

    fn on_tick(&mut self, now: Millis, out: &mut Vec<ReplicaAction>) {
        let resend_after = self.core.settings.resend_after;
        match &mut self.role {
            Role::Leader(leader) => leader.on_tick(now, &mut self.core, out),
            Role::Follower(follower) => follower.on_tick(now, &self.core, out),
            Role::Resigned { reason, said } if now.saturating_sub(*said) >= resend_after => {
                *said = now;
                out.push(ReplicaAction::Resign { leader_epoch: self.core.epoch(), reason: *reason });
            }
            Role::Offline | Role::Resigned { .. } => {}
        }
        self.ask_for_repair(now, out);
    }

    /// What it does now.
    pub fn role(&self) -> RoleName {
        match &self.role {
            Role::Offline | Role::Resigned { .. } => RoleName::Offline,
            Role::Follower(_) => RoleName::Follower,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// The metadata it acts on.
    pub fn meta(&self) -> &PartitionMeta {
        &self.core.meta
    }

    /// Its view of the log.
    pub fn log(&self) -> &LogView {
        &self.core.log
    }

    /// Everything below is committed, as far as it knows.
    pub fn high_watermark(&self) -> Offset {
        self.core.high_watermark
    }

    /// The high watermark as the answer to "what is the latest offset?". None unless this replica leads, surely (rule 7),
    /// and has committed all that it found when it began to: an earlier leader may have told of more before
    /// ([KIP-207](https://cwiki.apache.org/confluence/display/KAFKA/KIP-207%3A+Offsets+returned+by+ListOffsetsResponse+should+be+monotonically+increasing+even+during+a+partition+leader+change)).
    pub fn latest_offset(&self, now: Millis) -> Option<Offset> {
        let Role::Leader(leader) = &self.role else { return None };
        let sure = self.core.session_holds(now) || cfg!(mutant = "replica_latest_without_session");
        let knows =
            self.core.high_watermark >= leader.epoch_start || cfg!(mutant = "replica_latest_before_epoch");
        (sure && knows).then_some(self.core.high_watermark)
    }
}
