//! Groups: LIST_GROUPS, DESCRIBE_GROUP, DELETE_GROUP.

use crate::codec::{DecodeError, Layout, Reader, Writer, layout};

/// DESCRIBE_GROUP and DELETE_GROUP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRef {
    /// By topic and group. The Go client leaves the topic empty: look the group up over all topics.
    Named {
        /// Topic name, or empty for all.
        topic: String,
        /// Group.
        group: String,
    },
    /// By group alone: a Java client, which wants [`JavaGroup`] as the reply to DESCRIBE_GROUP.
    GroupOnly {
        /// Group.
        group: String,
    },
}

impl Layout for GroupRef {
    const MIN_LEN: usize = 2;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let first = reader.get()?;
        Ok(match reader.get::<Option<String>>()? {
            Some(group) => Self::Named { topic: first, group },
            None => Self::GroupOnly { group: first },
        })
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Named { topic, group } => {
                writer.put(topic);
                writer.put(group);
            }
            Self::GroupOnly { group } => writer.put(group),
        }
    }
}

layout! {
    /// A committed offset.
    pub struct PartitionOffset {
        /// Partition.
        pub partition: i32,
        /// The next offset to read.
        pub offset: u64,
    }

    /// A group on one topic; also the DESCRIBE_GROUP reply.
    pub struct Group {
        /// Topic name.
        pub topic: String,
        /// Group.
        pub group: String,
        /// Connections that subscribed.
        pub members: u32,
        /// Committed offsets.
        pub offsets: Vec<PartitionOffset>,
    }

    /// LIST_GROUPS reply.
    pub struct GroupList {
        /// One entry for each group and topic.
        pub groups: Vec<Group>,
    }

    /// DESCRIBE_GROUP reply as the Java client reads it.
    pub struct JavaGroup {
        /// Group.
        pub group: String,
        /// State, e.g. `Stable` or `Empty`.
        pub state: String,
        /// Member ids.
        pub members: Vec<String>,
        /// Topic names.
        pub topics: Vec<String>,
        /// Coordinator address.
        pub coordinator: String,
    }
}
