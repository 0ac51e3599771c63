//! Topics: CREATE_TOPIC, LIST_TOPICS, DELETE_TOPIC. Delete is a [`super::TopicRef`], list an [`super::Empty`].

use crate::codec::layout;

layout! {
    /// CREATE_TOPIC request. The topic may exist already: that is success.
    pub struct CreateTopic {
        /// Topic name.
        pub topic: String,
        /// Number of partitions; 0 means 1.
        pub partitions: i32,
    }

    /// LIST_TOPICS reply.
    pub struct TopicList {
        /// Names in byte order, without those that begin with `__`.
        pub topics: Vec<String>,
    }
}
