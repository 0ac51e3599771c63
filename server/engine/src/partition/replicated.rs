//! Partitions that other nodes keep, too: terms of leadership, and what this node says where it does not lead.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use flymq_storage::{Log, StorageError};
use flymq_types::{Acks, LeaderEpoch, NodeId, Offset, PartitionId, RecordBatch, TopicName};
use tokio::sync::watch;

use super::{HighWatermark, Partition, Stop, Store};
use crate::error::EngineError;
use crate::meta::{MetaImage, PartitionMeta, TopicPartition};
use crate::produce::Appended;
use crate::replication::{NewReplica, PartitionReplica, ReplicaFailure, ReplicaListener, Replication};

/// How long a request waits for the beginning of a term: it takes a few milliseconds, unless the disk is slow.
const TERM_WAIT: Duration = Duration::from_millis(750);

/// How long a question for the latest offset waits for the records that a new leader has found.
const SETTLE_WAIT: Duration = Duration::from_secs(2);

/// Who leads a partition, as the metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// None where nobody leads, and where it is this node: what it has not begun, or has lost, leads nowhere.
    pub(crate) other: Option<NodeId>,
    /// Whether it is this node.
    pub(crate) here: bool,
    pub(crate) epoch: LeaderEpoch,
    /// Nodes that keep it.
    pub(crate) copies: usize,
    /// How many of them are in sync, and how many have to be for a commit.
    pub(crate) in_sync: usize,
    pub(crate) required: usize,
}

impl Partition {
    /// One that this node keeps with others, or why its log could not be opened. [`Partition::update`] comes next.
    pub(crate) fn replicated(
        at: TopicPartition,
        log: Result<Log, String>,
        replication: &dyn Replication,
    ) -> Arc<Self> {
        let own = log.as_ref().ok().cloned();
        let store = log.map_or_else(Store::Offline, Store::Open);
        let partition = Arc::new(Self::with(at.name.clone(), at.partition, store, between_terms()));
        let listener: Arc<dyn ReplicaListener> = partition.clone();
        let replica = replication.open(NewReplica { at, log: own, listener: Arc::downgrade(&listener) });
        partition.replica.get_or_init(|| replica);
        partition
    }

    /// One that only other nodes keep. [`Partition::update`] says who leads it.
    pub(crate) fn elsewhere(topic: TopicName, number: PartitionId) -> Arc<Self> {
        Arc::new(Self::with(topic, number, Store::Elsewhere, between_terms()))
    }

    /// The metadata says this of the partition; an image older than one before changes nothing.
    pub(crate) fn update(&self, meta: &PartitionMeta, min_insync: usize, image: &Arc<MetaImage>) {
        let mut told = self.told.lock();
        if image.version < *told {
            return;
        }
        *told = image.version;
        let here = self.replica().is_some_and(|replica| replica.update(meta, min_insync, image));
        let other = meta.leader.clone().filter(|_| !here);
        let now = Leadership {
            other,
            here,
            epoch: meta.leader_epoch,
            copies: meta.replicas.len(),
            in_sync: meta.isr.len(),
            required: min_insync,
        };
        if self.leadership.load().as_deref() != Some(&now) {
            self.leadership.store(Some(Arc::new(now)));
        }
    }

    /// Where the partition is replicated and this node has a copy.
    pub(crate) fn replica(&self) -> Option<&Arc<dyn PartitionReplica>> {
        self.replica.get()
    }

    /// The term of leadership that runs, and each that comes.
    pub(crate) fn terms(&self) -> watch::Receiver<Option<LeaderEpoch>> {
        self.terms.subscribe()
    }

    /// Whether a cluster keeps it, here or elsewhere.
    pub(crate) fn is_replicated(&self) -> bool {
        match self.store {
            Store::Open(_) | Store::Offline(_) => self.replica().is_some(),
            Store::Elsewhere => true,
        }
    }

    /// Who leads it, as the metadata says; none where it is kept alone.
    pub(crate) fn leadership(&self) -> Option<Arc<Leadership>> {
        self.leadership.load_full()
    }

    /// Whether other nodes have what this one has.
    pub(crate) fn is_kept_by_others(&self) -> bool {
        self.leadership().is_some_and(|known| known.copies > 1)
    }

    /// Whether another node leads it, as far as is known here.
    pub(crate) fn is_led_elsewhere(&self) -> bool {
        self.leadership().is_some_and(|known| known.other.is_some())
    }

    /// Appends to a replicated partition. The order of the calls is the order in the log.
    pub(crate) fn append_replicated(
        self: &Arc<Self>,
        batch: RecordBatch,
        acks: Acks,
    ) -> impl Future<Output = Result<Appended, EngineError>> + Send + use<> {
        self.note_expiring(&batch);
        let leads = self.log().and_then(|_log| self.replica().ok_or_else(|| self.not_leader()));
        let answer = leads.map(|replica| replica.append(batch, acks));
        let partition = self.clone();
        async move {
            let appended = answer?.await.map_err(|failure| partition.failure(failure))?;
            Ok(partition.appended(appended))
        }
    }

    /// What a replica's failure is called.
    pub(crate) fn failure(&self, failure: ReplicaFailure) -> EngineError {
        match failure {
            ReplicaFailure::NotLeader => self.not_leader(),
            ReplicaFailure::LeadershipLost => self.leadership_lost(),
            ReplicaFailure::NotEnoughReplicas { in_sync, required } => EngineError::NotEnoughReplicas {
                topic: self.topic.clone(),
                partition: self.number,
                in_sync,
                required,
            },
            ReplicaFailure::NotCommitted { high_watermark } => {
                let start = self.local_log().map_or(Offset::ZERO, Log::start_offset);
                self.out_of_range(high_watermark.plus(1), start, high_watermark)
            }
            ReplicaFailure::Storage(error) => self.error(error),
            ReplicaFailure::Closed => match self.ended.get() {
                // What was appended before may still be kept by the others.
                Some(Stop::NotLeader) | None => self.leadership_lost(),
                Some(stop) => self.stop_error(stop.clone()),
            },
        }
    }

    fn leadership_lost(&self) -> EngineError {
        EngineError::LeadershipLost {
            topic: self.topic.clone(),
            partition: self.number,
            leader_epoch: self.leadership().map_or_else(LeaderEpoch::default, |known| known.epoch),
        }
    }

    /// Names who leads instead. Where the metadata still names this node, whoever comes next is not known yet.
    pub(crate) fn not_leader(&self) -> EngineError {
        let known = self.leadership();
        let leader_epoch = known.as_ref().map_or_else(LeaderEpoch::default, |known| known.epoch);
        EngineError::NotLeader {
            topic: self.topic.clone(),
            partition: self.number,
            leader: known.and_then(|known| known.other.clone()),
            leader_epoch,
        }
    }

    /// Refuses to name the latest offset where another node may lead by now.
    pub(crate) fn check_sure(&self) -> Result<(), EngineError> {
        let Some(replica) = self.replica() else { return Ok(()) };
        // In this order: a session counts only with the metadata of its time.
        let sure = replica.is_sure() && self.leadership().is_some_and(|known| known.here);
        if sure { Ok(()) } else { Err(self.not_leader()) }
    }

    /// Refuses to say that nothing is at `offset` where this leader found records when it began, and cannot tell whether
    /// the one before had committed them.
    pub(crate) fn check_settled(&self, offset: Offset) -> Result<(), EngineError> {
        match self.term().unsettled() {
            Some(range) if offset < range.end => Err(self.commit_unknown(range)),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits a moment until everything that this leader found when it began is known to be committed: that takes a round
    /// trip, unless too few replicas are in sync.
    pub(crate) async fn settled(&self) -> Result<(), EngineError> {
        let Some(range) = self.term().unsettled() else { return Ok(()) };
        match tokio::time::timeout(SETTLE_WAIT, self.durable(range.end)).await {
            Ok(settled) => settled,
            Err(_late) => Err(self.commit_unknown(range)),
        }
    }

    fn commit_unknown(&self, Range { start: from, end }: Range<Offset>) -> EngineError {
        let (topic, partition) = (self.topic.clone(), self.number);
        let known = self.leadership();
        let count = |of: fn(&Leadership) -> usize| {
            known.as_ref().map_or(0, |known| u32::try_from(of(known)).unwrap_or(u32::MAX))
        };
        let (in_sync, required) = (count(|known| known.in_sync), count(|known| known.required));
        EngineError::CommitUnknown { topic, partition, from, end, in_sync, required }
    }

    /// Where a reader begins that has committed this, or nothing. Who keeps its offsets need not lead: the leader's start
    /// counts as far as it is known here.
    pub(crate) fn begin_at(&self, committed: Option<Offset>) -> Result<Offset, EngineError> {
        match (self.local_log(), committed) {
            (Some(log), Some(offset)) => Ok(offset.max(log.start_offset())),
            (Some(log), None) => Ok(log.start_offset()),
            (None, Some(offset)) => Ok(offset),
            (None, None) => Err(self.not_leader()),
        }
    }

    /// Whether the metadata gives the leadership to this node, and the term has not begun yet.
    pub(crate) fn awaits_term(&self) -> bool {
        matches!(self.high.load().stopped(), Some(Stop::NotLeader))
            && self.ended.get().is_none()
            && self.leadership().is_some_and(|known| known.here)
    }

    /// Waits a moment for such a term: who asks for a partition that is new, or has just lost its leader, is at the right
    /// node and a little early.
    pub(crate) async fn term_begun(&self) {
        if self.awaits_term() {
            let mut terms = self.terms.subscribe();
            // Late, or given to another node meanwhile: whoever asks is told so.
            let _begun = tokio::time::timeout(TERM_WAIT, terms.wait_for(Option::is_some)).await;
        }
    }

    /// Gives up the log where it is replicated: the one way to reopen or delete it.
    pub(crate) async fn close(&self) {
        if let Some(replica) = self.replica() {
            self.stop(Stop::NotLeader);
            replica.close().await;
        }
    }
}

/// The watermark of a node that does not lead.
fn between_terms() -> Arc<HighWatermark> {
    let high = HighWatermark::new(Offset::ZERO);
    high.stop(Stop::NotLeader);
    Arc::new(high)
}

impl ReplicaListener for Partition {
    fn leads(&self, epoch: LeaderEpoch, high_watermark: Offset) {
        // Nothing is appended in a term before it is told of here.
        let found = self.local_log().map_or(high_watermark, Log::end_offset).max(high_watermark);
        self.high.store(Arc::new(HighWatermark::of_term(high_watermark, found)));
        // Whoever ends the partition meanwhile sees the new term, or is seen here.
        if let Some(stop) = self.ended.get() {
            self.high.load().stop(stop.clone());
        }
        self.terms.send_replace(Some(epoch));
    }

    fn advanced(&self, high_watermark: Offset) {
        self.high.load().advance(high_watermark);
    }

    fn ended(&self) {
        self.high.load().stop(Stop::NotLeader);
        self.terms.send_replace(None);
    }

    fn failed(&self, error: &StorageError) {
        self.high.load().stop(Stop::Failed(error.clone()));
        self.terms.send_replace(None);
    }

    fn reader_waits(&self) -> bool {
        self.high.load().has_readers()
    }
}

/// A partition that is dropped without being closed lets go of its replica, which ends by itself.
impl Drop for Partition {
    fn drop(&mut self) {
        if let Some(replica) = self.replica.get() {
            drop(replica.close());
        }
    }
}
