//! The engine's handle on one replica, and what it shares with the replica's task.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use flymq_engine::meta::{MetaImage, MetaVersion, PartitionMeta as Described, TopicPartition};
use flymq_engine::{PartitionReplica, ReplicaFailure};
use flymq_storage::Appended;
use flymq_types::{Acks, Offset, RecordBatch};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::mail::{Mail, Produce};
use super::meta::partition_meta;
use super::set::Inner;
use super::status::ReplicaStatus;
use crate::link::ReplicaKey;
use crate::replica::PartitionMeta;

/// Metadata that the task has not taken yet: only the newest counts.
#[derive(Debug, Default)]
struct Newest {
    version: Option<MetaVersion>,
    news: Option<NewMeta>,
}

/// What newer metadata says of the partition.
#[derive(Debug)]
pub(super) struct NewMeta {
    pub meta: PartitionMeta,
    pub min_insync: usize,
    /// Bytes per second to replicas that are being added; 0: any.
    pub throttle: u64,
}

/// What the task of a replica shares with everyone who sends it mail.
#[derive(Debug)]
pub(super) struct Shared {
    pub key: ReplicaKey,
    pub at: TopicPartition,
    mail: mpsc::UnboundedSender<Mail>,
    /// Counts truncations, as the state machine does.
    pub generation: AtomicU32,
    /// What is known to be committed.
    pub high: AtomicU64,
    newest: Mutex<Newest>,
    has_news: AtomicBool,
    /// Whether it wants ticks often.
    pub busy: AtomicBool,
    /// Whether a tick lies in the mailbox.
    pub tick_queued: AtomicBool,
    /// Bytes of ranges in the mailbox.
    pub range_bytes: AtomicUsize,
    pub status: Mutex<ReplicaStatus>,
}

impl Shared {
    pub(super) fn new(at: TopicPartition, mail: mpsc::UnboundedSender<Mail>) -> Self {
        let key = ReplicaKey { topic: at.topic, partition: at.partition };
        Self {
            key,
            status: Mutex::new(ReplicaStatus::unknown(at.clone())),
            at,
            mail,
            generation: AtomicU32::new(0),
            high: AtomicU64::new(0),
            newest: Mutex::default(),
            has_news: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            tick_queued: AtomicBool::new(false),
            range_bytes: AtomicUsize::new(0),
        }
    }

    /// Puts mail at the end of the mailbox; that of a closed replica is lost.
    pub(super) fn post(&self, mail: Mail) {
        let _closed = self.mail.send(mail);
    }

    pub(super) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// Metadata newer than what was taken last.
    pub(super) fn news(&self) -> Option<NewMeta> {
        if !self.has_news.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.newest.lock().news.take()
    }

    fn tell(&self, version: MetaVersion, news: NewMeta) {
        {
            let mut newest = self.newest.lock();
            if newest.version.is_some_and(|known| version < known) {
                return;
            }
            (newest.version, newest.news) = (Some(version), Some(news));
        }
        self.has_news.store(true, Ordering::Release);
        self.post(Mail::Wake);
    }
}

/// What the engine holds of a replica.
#[derive(Debug)]
pub(super) struct ReplicaHandle {
    pub shared: Arc<Shared>,
    pub set: Weak<Inner>,
}

impl PartitionReplica for ReplicaHandle {
    fn update(&self, meta: &Described, min_insync: usize, image: &Arc<MetaImage>) -> bool {
        let Some(set) = self.set.upgrade() else { return false };
        let throttle = meta.throttle_bytes_per_s;
        let meta = partition_meta(meta, image);
        let here = meta.leader == Some(set.me);
        self.shared.tell(image.version, NewMeta { meta, min_insync, throttle });
        here
    }

    fn append(&self, batch: RecordBatch, acks: Acks) -> BoxFuture<'static, Result<Appended, ReplicaFailure>> {
        let (reply, answer) = oneshot::channel();
        self.shared.post(Mail::Produce(Produce { batch, acks, reply }));
        answer.map(|answer| answer.unwrap_or(Err(ReplicaFailure::Closed))).boxed()
    }

    fn delete_records(&self, before: Offset) -> BoxFuture<'static, Result<Offset, ReplicaFailure>> {
        let (reply, answer) = oneshot::channel();
        self.shared.post(Mail::Delete { before, reply });
        answer.map(|answer| answer.unwrap_or(Err(ReplicaFailure::Closed))).boxed()
    }

    fn start_moved(&self) {
        self.shared.post(Mail::StartMoved);
    }

    fn damage_met(&self) {
        self.shared.post(Mail::DamageMet);
    }

    fn is_sure(&self) -> bool {
        cfg!(mutant = "driver_always_sure") || self.set.upgrade().is_some_and(|set| set.session_holds())
    }

    fn high_watermark(&self) -> Offset {
        Offset(self.shared.high.load(Ordering::Acquire))
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        if let Some(set) = self.set.upgrade() {
            set.forget(&self.shared);
        }
        let (reply, answer) = oneshot::channel();
        self.shared.post(Mail::Close(reply));
        // An error: it was closed before.
        answer.map(|_closed| ()).boxed()
    }
}
