//! All replicas of this node.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flymq_engine::meta::{MetaStore, TopicPartition};
use flymq_engine::{NewReplica, PartitionReplica, Replication};
use flymq_storage::Log;
use flymq_types::{Clock, Offset};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};

use super::handle::{ReplicaHandle, Shared};
use super::mail::Mail;
use super::proposer::Proposer;
use super::runner::Runner;
use super::status::ReplicaStatus;
use super::throttle::Throttle;
use crate::link::{FrameSink, NodeLink, ReplicaKey};
use crate::replica::{BrokerEpoch, BrokerId, Frame, Millis, ReplicaSettings};
use crate::task::start;

/// What a node's replicas work with.
#[derive(Debug)]
pub struct ReplicaSetOptions {
    /// This broker, and its registration: a process has one of its own.
    pub me: BrokerId,
    pub broker_epoch: BrokerEpoch,
    pub meta: Arc<dyn MetaStore>,
    pub link: Arc<dyn NodeLink>,
    pub clock: Arc<dyn Clock>,
    pub settings: ReplicaSetSettings,
    /// What an earlier run knew to be committed ([`ReplicaSet::committed`]): a replica that leads alone shows that much at once,
    /// and one that follows does not cut it off.
    pub committed: HashMap<ReplicaKey, Offset>,
}

/// How the replicas of a node are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaSetSettings {
    /// A follower that has not caught up for so long leaves the in-sync set (`replica_lag_max`).
    pub lag_max: Duration,
    /// A node's session with the leader of the metadata group.
    pub session: Duration,
    /// A request to another replica without an answer is sent again after so long.
    pub resend_after: Duration,
    /// A replica that waits for something is ticked so often, any other a twentieth of that.
    pub tick: Duration,
    /// Bytes of one range, about.
    pub range_bytes: usize,
    /// Bytes on their way to one follower of one partition, about.
    pub window_bytes: usize,
}

impl Default for ReplicaSetSettings {
    fn default() -> Self {
        Self {
            lag_max: Duration::from_secs(1),
            session: Duration::from_millis(1_500),
            resend_after: Duration::from_millis(100),
            tick: Duration::from_millis(50),
            range_bytes: 1 << 20,
            window_bytes: 16 << 20,
        }
    }
}

/// A log that ends before what an earlier run knew to be committed: it was replaced by an older copy of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    pub at: TopicPartition,
    pub end: Offset,
    pub committed: Offset,
}

/// Ranges in one mailbox beyond this many bytes are dropped, and asked for again.
const MAILBOX_BYTES: usize = 32 << 20;
/// So many replicas wait for the disk at a time.
const AT_THE_DISK: usize = 16;
/// Every so many ticks all replicas get one, busy or not.
const IDLE_TICKS: u32 = 20;

/// The replicas of this node, one task each. Make it in a runtime, once this process is registered.
#[derive(Debug)]
pub struct ReplicaSet(Arc<Inner>);

/// What the set shares with its replicas.
#[derive(Debug)]
pub(super) struct Inner {
    pub me: BrokerId,
    pub broker_epoch: BrokerEpoch,
    pub meta: Arc<dyn MetaStore>,
    pub link: Arc<dyn NodeLink>,
    pub clock: Arc<dyn Clock>,
    pub settings: ReplicaSetSettings,
    pub proposer: Proposer,
    pub throttle: Throttle,
    /// Held by replicas that may have to wait for the disk. Each takes a thread of the runtime's while it does, which has
    /// only so many: without threads left nothing else would run, sessions and elections neither.
    pub disk: Semaphore,
    replicas: RwLock<HashMap<ReplicaKey, Arc<Shared>>>,
    /// Of an earlier run, until the replica is opened.
    known: Mutex<HashMap<ReplicaKey, Offset>>,
    behind: Mutex<Vec<Behind>>,
    /// When the newest heartbeat that was answered was sent, plus one; 0: none yet.
    session: AtomicU64,
}

impl ReplicaSet {
    /// Without replicas; starts the tasks that all of them share.
    pub fn new(options: ReplicaSetOptions) -> Arc<Self> {
        let ReplicaSetOptions { me, broker_epoch, meta, link, clock, settings, committed } = options;
        let (proposer, proposals) = Proposer::new();
        let inner = Arc::new(Inner {
            me,
            broker_epoch,
            meta,
            link,
            clock,
            settings,
            proposer,
            throttle: Throttle::default(),
            disk: Semaphore::new(AT_THE_DISK),
            replicas: RwLock::default(),
            known: Mutex::new(committed),
            behind: Mutex::default(),
            session: AtomicU64::new(0),
        });
        start(proposals.run(Arc::downgrade(&inner)));
        start(tick(Arc::downgrade(&inner), settings.tick));
        Arc::new(Self(inner))
    }

    /// The leader of the metadata group has answered the heartbeat that was sent at `sent`, by the monotonic clock given
    /// in the options. Before this call, the partitions have been given the metadata of the version that the answer names.
    pub fn session_renewed(&self, sent: Duration) {
        self.0.session.fetch_max(millis(sent) + 1, Ordering::AcqRel);
    }

    /// What each open replica knows to be committed: never more than is. Kept somewhere, it is given to the next run, which takes as
    /// much of it as it finds on its disk.
    pub fn committed(&self) -> BTreeMap<ReplicaKey, Offset> {
        let replicas = self.0.replicas.read();
        let known = |shared: &Arc<Shared>| Offset(shared.high.load(Ordering::Acquire));
        replicas.iter().map(|(key, shared)| (*key, known(shared))).collect()
    }

    /// The logs opened so far that lack what was committed.
    pub fn behind(&self) -> Vec<Behind> {
        self.0.behind.lock().clone()
    }

    /// All replicas, in no order.
    pub fn status(&self) -> Vec<ReplicaStatus> {
        self.0.replicas.read().values().map(|shared| shared.status.lock().clone()).collect()
    }
}

impl Inner {
    /// The time for the state machines.
    pub(super) fn now(&self) -> Millis {
        millis(self.clock.monotonic())
    }

    /// When the newest answered heartbeat was sent.
    pub(super) fn session(&self) -> Option<Millis> {
        self.session.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn session_holds(&self) -> bool {
        let limit = millis(self.settings.session) / 2;
        self.session().is_some_and(|sent| self.now().saturating_sub(sent) <= limit)
    }

    /// How each state machine is set; `min_insync` comes with the metadata.
    pub(super) fn replica_settings(&self) -> ReplicaSettings {
        ReplicaSettings {
            min_insync: 1,
            lag_max: millis(self.settings.lag_max),
            session: millis(self.settings.session),
            resend_after: millis(self.settings.resend_after),
            ..ReplicaSettings::default()
        }
    }

    /// What an earlier run knew of that replica; told once.
    pub(super) fn known(&self, key: ReplicaKey) -> Offset {
        self.known.lock().remove(&key).unwrap_or_default()
    }

    /// Forgets a replica that is closed, unless another one has taken its place.
    pub(super) fn forget(&self, closed: &Arc<Shared>) {
        let mut replicas = self.replicas.write();
        if replicas.get(&closed.key).is_some_and(|known| Arc::ptr_eq(known, closed)) {
            replicas.remove(&closed.key);
        }
    }
}

impl Replication for ReplicaSet {
    fn open(&self, replica: NewReplica) -> Arc<dyn PartitionReplica> {
        let NewReplica { at, log, listener } = replica;
        let (mail, mailbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(at.clone(), mail));
        let committed = self.0.known.lock().get(&shared.key).copied().unwrap_or_default();
        let end = log.as_ref().map_or(committed, Log::end_offset);
        if end < committed {
            self.0.behind.lock().push(Behind { at, end, committed });
        }
        self.0.replicas.write().insert(shared.key, shared.clone());
        let runner = Runner::new(self.0.clone(), shared.clone(), log, listener);
        start(runner.run(mailbox));
        Arc::new(ReplicaHandle { shared, set: Arc::downgrade(&self.0) })
    }
}

impl FrameSink for ReplicaSet {
    fn frame(&self, from: BrokerId, to_epoch: BrokerEpoch, at: ReplicaKey, frame: Frame) {
        if to_epoch != self.0.broker_epoch {
            return;
        }
        let Some(shared) = self.0.replicas.read().get(&at).cloned() else { return };
        let bytes = range_bytes(&frame);
        if shared.range_bytes.fetch_add(bytes, Ordering::AcqRel) > MAILBOX_BYTES && bytes > 0 {
            shared.range_bytes.fetch_sub(bytes, Ordering::AcqRel);
            tracing::debug!(partition = %shared.at, "a range is dropped: the log cannot keep up");
            return;
        }
        shared.post(Mail::Frame { from, frame });
    }
}

/// What a frame weighs in a mailbox.
pub(super) fn range_bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Range { chunk, .. } | Frame::RepairReply { chunk, .. } => chunk.raw.len(),
        Frame::EpochEndRequest { .. }
        | Frame::EpochEndReply { .. }
        | Frame::Fetch { .. }
        | Frame::Ack { .. }
        | Frame::BelowStart { .. }
        | Frame::Diverged { .. }
        | Frame::RepairRequest { .. }
        | Frame::StaleEpoch { .. } => 0,
    }
}

/// Ticks for all replicas, for as long as there is a set.
async fn tick(set: Weak<Inner>, every: Duration) {
    for round in 0_u32.. {
        tokio::time::sleep(every).await;
        let Some(set) = set.upgrade() else { return };
        let all = round.is_multiple_of(IDLE_TICKS);
        for shared in set.replicas.read().values() {
            let due = all || shared.busy.load(Ordering::Relaxed);
            if due && !shared.tick_queued.swap(true, Ordering::AcqRel) {
                shared.post(Mail::Tick);
            }
        }
    }
}

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}
