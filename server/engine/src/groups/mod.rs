//! Consumer groups: committed offsets on the internal topic `__consumer_offsets`, and members.
//!
//! On a cluster a group's offsets are kept by its coordinator, the leader of the partition that they stand in: it reads
//! them when it begins to lead and forgets them when it ends.

mod book;
mod cleaning;
mod commit;
mod coordinate;
mod inspect;
mod lag;
mod members;
mod offsets_log;
mod record;
mod types;

use std::sync::Arc;

use arc_swap::ArcSwap;
use flymq_types::{GroupId, Offset, PartitionId, TopicId, fnv1a_32};
use parking_lot::{Mutex, RwLock};

use book::Book;
pub use members::MemberGuard;
use members::Members;
use offsets_log::OffsetsLog;
pub use types::{
    CommittedOffset, GroupDescription, GroupState, GroupSummary, MemberInfo, OffsetCommit, PartitionLag,
};

/// The internal topic that holds the committed offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// All groups of this node.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    book: Arc<RwLock<Book>>,
    members: Arc<Members>,
    /// The partitions of `__consumer_offsets`; none before it exists.
    logs: ArcSwap<Vec<Arc<OffsetsLog>>>,
    /// Held while `logs` is made anew.
    adopting: Mutex<()>,
}

impl Groups {
    /// The book with everything that is durable by now in it.
    fn settled(&self) -> parking_lot::RwLockReadGuard<'_, Book> {
        for log in self.logs.load().iter() {
            log.settle(&self.book);
        }
        self.book.read()
    }

    /// A committed offset.
    pub(crate) fn offset(&self, group: &GroupId, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.settled().offset(group, topic, partition)
    }

    /// Groups with offsets.
    pub(crate) fn len(&self) -> usize {
        self.settled().len()
    }

    /// Which of `logs` holds a group's offsets.
    fn log_index(group: &GroupId, logs: usize) -> usize {
        fnv1a_32(group.as_str().as_bytes()) as usize % logs.max(1)
    }
}
