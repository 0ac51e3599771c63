//! CLUSTER_METADATA.

use crate::codec::layout;

layout! {
    /// CLUSTER_METADATA request.
    pub struct ClusterMetadata {
        /// Topic name; empty or missing means all.
        pub topic: Option<String>,
    }

    /// A partition and who serves it.
    pub struct PartitionInfo {
        /// Partition.
        pub partition: i32,
        /// Node id of the leader; empty when there is none.
        pub leader_id: String,
        /// Client address of the leader, `host:port`.
        pub leader_addr: String,
        /// Leader epoch.
        pub epoch: u64,
        /// `online`, `offline`, `reassigning` or `syncing`.
        pub state: String,
        /// Node ids.
        pub replicas: Vec<String>,
        /// Node ids in sync.
        pub isr: Vec<String>,
    }

    /// A topic's partitions.
    pub struct TopicInfo {
        /// Topic name.
        pub topic: String,
        /// In order.
        pub partitions: Vec<PartitionInfo>,
    }

    /// CLUSTER_METADATA reply.
    pub struct ClusterInfo {
        /// Cluster id.
        pub cluster_id: String,
        /// The topics asked for.
        pub topics: Vec<TopicInfo>,
    }
}
