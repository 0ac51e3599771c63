//! Topics of a cluster: a change is agreed upon first, and then done by every node, this one too.

use std::sync::Arc;

use flymq_types::TopicName;

use super::{NewTopic, OpenTopic, TopicChange, TopicInfo};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{Command, DeleteTopic};

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

    /// Has a change agreed upon, and waits until this node has done it.
    async fn change_in_cluster(&self, command: Command) -> Result<(), EngineError> {
        let applied = self.meta.propose(vec![command]).await?;
        self.until_followed(applied.version).await
    }
}
