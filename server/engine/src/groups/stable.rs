//! Committed offsets for whoever goes on from them: not before the transactions that move them are over.
//!
//! A member that takes a partition over would else read again what the one before it has worked on, in a transaction whose commit is
//! decided but not everywhere yet (KIP-447).

use std::time::Duration;

use flymq_types::{GroupId, PartitionId, TopicId, TopicName};
use tokio::time::sleep;

use super::CommittedOffset;
use crate::engine::Engine;
use crate::error::EngineError;

/// How often it is looked before the question is refused, after 2 s; whoever wants to know asks again.
const LOOKS: u32 = 200;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

impl Engine {
    /// As [`Engine::committed`], once no open transaction has an offset among them.
    ///
    /// # Errors
    /// Also `OffsetsPending`: a transaction is not over in time; ask again.
    pub async fn stable_committed(
        &self,
        group: &GroupId,
        topic: Option<&TopicName>,
        partition: Option<PartitionId>,
    ) -> Result<Vec<CommittedOffset>, EngineError> {
        let wanted = topic.map(|topic| self.topics.get(topic)).transpose()?.map(|topic| topic.view().meta.id);
        let among = |topic: TopicId, number: PartitionId| {
            wanted.is_none_or(|wanted| wanted == topic)
                && partition.is_none_or(|partition| partition == number)
        };
        self.offsets_are_stable(group, among).await?;
        self.committed(group, topic, partition)
    }

    /// Waits until no transaction of the group holds an offset of those.
    ///
    /// # Errors
    /// `NotCoordinator`; `OffsetsPending` where it takes too long.
    pub(crate) async fn offsets_are_stable(
        &self,
        group: &GroupId,
        among: impl Fn(TopicId, PartitionId) -> bool,
    ) -> Result<(), EngineError> {
        if cfg!(mutant = "pending_offsets_overlooked") {
            return Ok(());
        }
        self.groups_known(group).await?;
        for _ in 0..LOOKS {
            self.check_coordinator(group)?;
            let held = {
                let book = self.groups.settled();
                book.all_pending(group)
                    .flat_map(|(_, pending)| &pending.offsets)
                    .any(|(topic, partition, _)| among(*topic, *partition))
            };
            if !held {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        Err(EngineError::OffsetsPending { group: group.clone() })
    }
}
