//! Identifiers that the broker gives out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Rng;

/// Why an identifier was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("a partition is not negative, this one is {0}")]
    NegativePartition(i64),
    #[error("a partition is at most 4294967295, this one is {0}")]
    PartitionTooLarge(i64),
    #[error("an offset is not negative, this one is {0}")]
    NegativeOffset(i64),
    #[error("a topic id is 32 hexadecimal digits")]
    TopicId,
    #[error("a {0} id is 32 hexadecimal digits")]
    RandomId(&'static str),
    #[error("a node id is 1 to 249 bytes without control characters")]
    NodeId,
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $type(pub $inner);

        impl $type {
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $type {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$type> for $inner {
            fn from(value: $type) -> Self {
                value.0
            }
        }
    };
}

number! {
    /// The number of a partition inside its topic, from 0.
    PartitionId(u32)
}
number! {
    /// The place of a record in its partition: dense, from 0, never reused.
    Offset(u64)
}
number! {
    /// Counts the leaders of a partition; it rises with every change of leader.
    LeaderEpoch(u32)
}
number! {
    /// Counts the changes of a partition's metadata: leader, replicas, in-sync replicas. Who wants to change it names
    /// the one that it has seen (KIP-497).
    PartitionEpoch(u32)
}
number! {
    /// Counts the registrations of all brokers, from 1: tells one life of a broker from its next (KIP-631, KIP-903).
    BrokerEpoch(u64)
}

impl LeaderEpoch {
    /// The epoch after this one. Stays at the maximum rather than going back: one change a second fills 136 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl PartitionEpoch {
    /// The epoch after this one. Stays at the maximum rather than going back: one change a second fills 136 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl BrokerEpoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl TryFrom<i32> for PartitionId {
    type Error = InvalidId;
    fn try_from(value: i32) -> Result<Self, InvalidId> {
        u32::try_from(value).map(Self).map_err(|_| InvalidId::NegativePartition(value.into()))
    }
}

impl TryFrom<i64> for PartitionId {
    type Error = InvalidId;
    fn try_from(value: i64) -> Result<Self, InvalidId> {
        match u32::try_from(value) {
            Ok(value) => Ok(Self(value)),
            Err(_) if value < 0 => Err(InvalidId::NegativePartition(value)),
            Err(_) => Err(InvalidId::PartitionTooLarge(value)),
        }
    }
}

impl TryFrom<i64> for Offset {
    type Error = InvalidId;
    fn try_from(value: i64) -> Result<Self, InvalidId> {
        u64::try_from(value).map(Self).map_err(|_| InvalidId::NegativeOffset(value))
    }
}

impl Offset {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    /// The offset `records` further on; stays at the maximum rather than wrapping.
    pub const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

/// The broker's own name for a topic (16 random bytes): what directories and stored state use, so that no
/// user text gets into a path and a topic created again under an old name is another topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// A new random id (UUID version 4 bits set).
    pub fn random(rng: &dyn Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 lower-case hexadecimal digits: the directory name.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TopicId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidId::TopicId);
        }
        u128::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| InvalidId::TopicId)
    }
}

/// The name of a broker node in its cluster. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn new(id: &str) -> Result<Self, InvalidId> {
        if id.is_empty() || id.len() > crate::MAX_NAME_BYTES || id.chars().any(char::is_control) {
            return Err(InvalidId::NodeId);
        }
        Ok(Self(id.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;
    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

/// The id of an idempotent or transactional producer. A batch without one carries `u64::MAX`, which is
/// therefore no id: see [`ProducerId::from_wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(u64);

impl ProducerId {
    const NONE: u64 = u64::MAX;

    /// The producer id in a batch header; `None` where the batch has no producer id.
    pub const fn from_wire(value: u64) -> Option<Self> {
        if value == Self::NONE { None } else { Some(Self(value)) }
    }

    /// The value for a batch header.
    pub fn to_wire(id: Option<Self>) -> u64 {
        id.map_or(Self::NONE, |id| id.0)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRng;

    #[test]
    fn negative_and_huge_numbers_are_typed_errors() {
        assert_eq!(PartitionId::try_from(-1_i32), Err(InvalidId::NegativePartition(-1)));
        assert_eq!(PartitionId::try_from(-7_i64), Err(InvalidId::NegativePartition(-7)));
        assert_eq!(PartitionId::try_from(1_i64 << 32), Err(InvalidId::PartitionTooLarge(1 << 32)));
        assert_eq!(Offset::try_from(-1_i64), Err(InvalidId::NegativeOffset(-1)));
        assert_eq!(Offset::MAX.plus(1), Offset::MAX);
    }

    #[test]
    fn a_topic_id_survives_its_text_form() {
        let rng = SeededRng::new(7);
        let id = TopicId::random(&rng);
        assert_ne!(id, TopicId::random(&rng));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "..", "0123", &"G".repeat(32), &"A".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(bad.parse::<TopicId>(), Err(InvalidId::TopicId), "{bad}");
        }
    }

    #[test]
    fn node_and_producer_ids() {
        assert!(NodeId::new("node-1").is_ok());
        assert_eq!(NodeId::new("a\nb"), Err(InvalidId::NodeId));
        assert_eq!(NodeId::new(""), Err(InvalidId::NodeId));
        assert_eq!(ProducerId::from_wire(u64::MAX), None);
        assert_eq!(ProducerId::to_wire(ProducerId::from_wire(9)), 9);
        assert_eq!(ProducerId::to_wire(None), u64::MAX);
    }
}
