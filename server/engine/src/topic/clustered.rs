//! Topics of a cluster: a change is agreed upon first, and then done by every node, this one too.

use std::sync::Arc;
use std::time::Duration;

use flymq_types::{PartitionId, TopicName};

use super::{NewTopic, OpenTopic, TopicChange, TopicInfo};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{Command, DeleteTopic};
use crate::partition::Partition;

/// How long a request for a topic that is unknown here waits for news of it.
const BARRIER_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Whether this broker is a member of a cluster.
    pub fn is_member(&self) -> bool {
        self.replication.is_some()
    }

    /// How many nodes there are to place replicas on.
    fn nodes(&self) -> u32 {
        u32::try_from(self.meta.image().cluster.nodes.len()).unwrap_or(u32::MAX).max(1)
    }

    /// The new topic, agreed upon and open here.
    pub(super) async fn create_in_cluster(&self, new: NewTopic) -> Result<Arc<OpenTopic>, EngineError> {
        if new.restore.is_some() {
            return Err(EngineError::InvalidArgument {
                field: "restore",
                reason: "a topic of a cluster cannot be restored yet: restore it on a broker without cluster, which \
                         can form one afterwards"
                    .to_owned(),
            });
        }
        let command = Command::CreateTopic(self.creation(&new, self.nodes())?);
        self.change_in_cluster(command).await?;
        self.topics.get(&new.name)
    }

    /// The topic of that name, created like `new` where it is unknown to the cluster.
    pub(super) async fn get_or_create_in_cluster(
        &self,
        new: NewTopic,
    ) -> Result<Arc<OpenTopic>, EngineError> {
        let name = new.name.clone();
        if let Some(topic) = self.topics.find(&name) {
            return Ok(topic);
        }
        match self.create_in_cluster(new).await {
            // Somebody else was faster, and this node has not opened it yet.
            Err(EngineError::TopicAlreadyExists { .. }) => {
                self.until_followed(self.meta.image().version).await?;
                self.topics.get(&name)
            }
            created => created,
        }
    }

    pub(super) async fn delete_in_cluster(&self, name: &TopicName) -> Result<(), EngineError> {
        let topic = self.meta.image().topic(name).cloned();
        let topic = topic.ok_or_else(|| EngineError::TopicNotFound { topic: name.clone() })?;
        let delete = DeleteTopic { id: topic.id, name: name.clone() };
        self.change_in_cluster(Command::DeleteTopic(delete)).await
    }

    pub(super) async fn alter_in_cluster(
        &self,
        name: &TopicName,
        change: &TopicChange,
    ) -> Result<TopicInfo, EngineError> {
        let topic = self.meta.image().topic(name).cloned();
        let topic = topic.ok_or_else(|| EngineError::TopicNotFound { topic: name.clone() })?;
        let command = self.alteration(&topic, change, self.nodes())?;
        self.change_in_cluster(Command::AlterTopic(command)).await?;
        Ok(self.topics.get(name)?.info())
    }

    /// The topic of that name. On a cluster one that is new may have been created through another node, and not be open
    /// here yet.
    pub(crate) async fn topic_soon(&self, name: &TopicName) -> Result<Arc<OpenTopic>, EngineError> {
        if self.is_member() && self.topics.find(name).is_none() {
            self.check_running()?;
            if self.meta.image().topic(name).is_none() {
                // Without an answer what is known here has to do.
                let _known = tokio::time::timeout(BARRIER_WAIT, self.meta.barrier()).await;
            }
            let image = self.meta.image();
            if image.topic(name).is_some() {
                self.until_followed(image.version).await?;
            }
        }
        self.topics.get(name)
    }

    /// The partition for whoever reads it; one that this node is about to lead is waited for.
    pub(crate) async fn partition_soon(
        &self,
        topic: &TopicName,
        number: PartitionId,
    ) -> Result<Arc<Partition>, EngineError> {
        if self.is_member() {
            self.topic_soon(topic).await?;
        }
        let partition = self.partition(topic, number)?;
        partition.term_begun().await;
        Ok(partition)
    }

    /// Has a change agreed upon, and waits until this node has done it.
    async fn change_in_cluster(&self, command: Command) -> Result<(), EngineError> {
        let applied = self.meta.propose(vec![command]).await?;
        self.until_followed(applied.version).await
    }
}
