//! The words of the domain, shared by every crate of the server: validated newtypes, limits, and the
//! traits through which the core sees time and chance. No tokio, no prost, no IO.

mod ack;
mod batch;
mod id;
mod limits;
mod name;
mod partitioner;
mod patterns;
mod random;
mod random_id;
mod time;

pub use ack::{Acks, Isolation, ParseAcksError};
pub use batch::RecordBatch;
pub use flymq_wire::batch::{
    BatchError, BatchFlags, BatchHeader, Compression, Marker, Outcome, RecordIter, RecordView, Records,
};
pub use flymq_wire::compress::{InflateError, InflateLimits};
pub use id::{
    BrokerEpoch, InvalidId, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionId, ProducerId, TopicId,
};
pub use limits::Limits;
pub use name::{GroupId, InvalidName, MAX_NAME_BYTES, TopicName, TransactionalId};
pub use partitioner::{fnv1a_32, partition_for_key};
pub use patterns::{InvalidPattern, Patterns, check_pattern, is_pattern};
pub use random::{Rng, SeededRng, SystemRng};
pub use random_id::{ClusterId, DirectoryId, IncarnationId};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
