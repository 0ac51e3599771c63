//! Consumer groups and transactions, as operators see them.

use flymq_proto::pb::{self, StartFrom};

use super::Client;
use crate::error::ClientError;

/// Where a group begins anew (proto rpc ResetOffsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// The first record that is still there.
    Earliest,
    /// What comes from now on.
    Latest,
    Offset(u64),
    /// The first record of this time (Unix, milliseconds) or later.
    TimestampMs(i64),
}

impl Client {
    /// All consumer groups; in a cluster those of the nodes that answer, with the names of the others.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn list_groups(&self) -> Result<pb::ListGroupsResponse, ClientError> {
        self.call("ListGroups", &pb::ListGroupsRequest::default()).await
    }

    /// A group with its members and committed offsets.
    ///
    /// # Errors
    /// `GroupNotFound` when it has neither.
    pub async fn describe_group(&self, group: &str) -> Result<pb::DescribeGroupResponse, ClientError> {
        self.call("DescribeGroup", &pb::DescribeGroupRequest { group: group.to_owned() }).await
    }

    /// How far a group is behind in a topic (empty: in all that it has committed), by partition.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<Vec<pb::PartitionLag>, ClientError> {
        let request = pb::GetLagRequest { group: group.to_owned(), topic: topic.to_owned(), partition: None };
        let reply: pb::GetLagResponse = self.call("GetLag", &request).await?;
        Ok(reply.partitions)
    }

    /// Lets a group that has no members begin anew, in these partitions of a topic (none: all). Returns where it begins now.
    ///
    /// # Errors
    /// `TopicNotFound`, `OffsetOutOfRange`; `InUse` while the group has members.
    pub async fn reset_offsets(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
        to: ResetTo,
    ) -> Result<Vec<pb::PartitionOffset>, ClientError> {
        let (from, offset, timestamp_ms) = match to {
            ResetTo::Earliest => (StartFrom::Earliest, 0, 0),
            ResetTo::Latest => (StartFrom::Latest, 0, 0),
            ResetTo::Offset(offset) => (StartFrom::Offset, offset, 0),
            ResetTo::TimestampMs(time) => (StartFrom::Timestamp, 0, time),
        };
        let request = pb::ResetOffsetsRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
            to: from.into(),
            offset,
            timestamp_ms,
        };
        let reply: pb::ResetOffsetsResponse = self.call("ResetOffsets", &request).await?;
        Ok(reply.offsets)
    }

    /// Forgets a group and its offsets, or those of one topic.
    ///
    /// # Errors
    /// `GroupNotFound`; `InUse` while it has members.
    pub async fn delete_group(&self, group: &str, topic: Option<&str>) -> Result<(), ClientError> {
        let request =
            pb::DeleteGroupRequest { group: group.to_owned(), topic: topic.unwrap_or_default().to_owned() };
        self.call::<_, pb::DeleteGroupResponse>("DeleteGroup", &request).await.map(drop)
    }

    /// Transactions that are open, or ending; in a cluster those of the nodes that answer, with the names of the others.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn list_transactions(&self) -> Result<pb::ListTransactionsResponse, ClientError> {
        self.call("ListTransactions", &pb::ListTransactionsRequest {}).await
    }
}
