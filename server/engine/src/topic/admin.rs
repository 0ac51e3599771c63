//! Topics come, change and go.
//!
//! A new topic's logs are made before its metadata entry, and removed after it: a crash in between leaves logs that
//! no entry names, which the next start removes. A caller that goes away stops none of this half-way.

use std::sync::Arc;

use flymq_types::{Offset, TopicId, TopicName};

use super::open_logs::OpenLogs;
use super::open_topic::View;
use super::{NewTopic, OpenTopic, TopicChange, TopicConfig, TopicInfo, validate_partitions};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{AlterTopic, Command, CreateTopic, DeleteTopic, MetaError, Reply, TopicMeta};
use crate::partition::Stop;
use crate::task::{blocking, to_the_end};

/// Nodes of the cluster, until there is one.
pub(crate) const NODES: u32 = 1;

impl Engine {
    /// Creates a topic; it is durable and ready for records when this returns.
    ///
    /// # Errors
    /// `TopicAlreadyExists`, `InvalidArgument`, `ReplicationFactor`, `LimitReached`, `InternalTopic`, or a storage
    /// or metadata failure.
    pub async fn create_topic(&self, new: NewTopic) -> Result<TopicInfo, EngineError> {
        if new.name.is_internal() {
            return Err(EngineError::InternalTopic { topic: new.name });
        }
        let engine = self.shared()?;
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            Ok(engine.create_locked(new).await?.info())
        })
        .await
    }

    /// Deletes a topic, its data and its committed offsets. Waiting reads end with `TopicNotFound`.
    ///
    /// # Errors
    /// `TopicNotFound`, `InternalTopic`, or a storage or metadata failure; after one the topic is gone, or still
    /// whole.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), EngineError> {
        self.check_running()?;
        if name.is_internal() {
            return Err(EngineError::InternalTopic { topic: name.clone() });
        }
        let (engine, name) = (self.shared()?, name.clone());
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            engine.delete_locked(&name).await
        })
        .await
    }

    /// Call with the `admin` lock.
    async fn delete_locked(&self, name: &TopicName) -> Result<(), EngineError> {
        let id = self.topics.get(name)?.view().meta.id;
        self.meta.propose(vec![Command::DeleteTopic(DeleteTopic { id, name: name.clone() })]).await?;
        if let Some(topic) = self.topics.remove(name) {
            topic.stop(&Stop::Deleted);
        }
        // The deletion is decided: what follows is repeated at the next start if it fails here.
        if let Err(error) = self.drop_topic_offsets(id).await {
            tracing::warn!(topic = %id, %error, "offsets of a deleted topic stay until the next start");
        }
        self.remove_data(id).await;
        Ok(())
    }

    /// Adds partitions or changes settings.
    ///
    /// # Errors
    /// `TopicNotFound`, `InternalTopic`, `PartitionsShrink`, `InvalidArgument`, `Conflict`, or a storage or
    /// metadata failure.
    pub async fn alter_topic(&self, name: &TopicName, change: TopicChange) -> Result<TopicInfo, EngineError> {
        self.check_running()?;
        if name.is_internal() {
            return Err(EngineError::InternalTopic { topic: name.clone() });
        }
        let (engine, name) = (self.shared()?, name.clone());
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            engine.alter_locked(&name, &change).await
        })
        .await
    }

    /// Call with the `admin` lock.
    async fn alter_locked(&self, name: &TopicName, change: &TopicChange) -> Result<TopicInfo, EngineError> {
        let topic = self.topics.get(name)?;
        let view = topic.view();
        let config = view.meta.config.with(change);
        config.validate(NODES)?;
        let current = view.count();
        let asked = change.partitions.unwrap_or(current);
        validate_partitions(asked, &self.options.limits)?;
        if asked < current {
            return Err(EngineError::PartitionsShrink { topic: name.clone(), current, asked });
        }
        let command = AlterTopic {
            id: view.meta.id,
            name: name.clone(),
            revision: view.meta.revision,
            partitions: asked,
            config: config.clone(),
        };
        let logs = self.logs_of(view.meta.id, name.clone(), &config);
        let (meta, added) = self.make(logs, current..asked, Vec::new(), Command::AlterTopic(command)).await?;
        let settings = meta.config.resolve(&self.options.topic_defaults, NODES);
        let partitions = view.partitions.iter().cloned().chain(added).collect();
        topic.replace(View { meta, settings, partitions });
        for partition in &topic.view().partitions {
            if let Some(log) = partition.local_log() {
                log.configure(settings.log_config(name));
            }
        }
        Ok(topic.info())
    }

    /// The topic, created where it is unknown and that is on (`features.md` decision 4).
    pub(crate) async fn topic_or_create(&self, name: &TopicName) -> Result<Arc<OpenTopic>, EngineError> {
        if let Some(topic) = self.topics.find(name) {
            return Ok(topic);
        }
        if !self.options.auto_create || name.is_internal() {
            return Err(EngineError::TopicNotFound { topic: name.clone() });
        }
        let new =
            NewTopic { name: name.clone(), partitions: None, config: TopicConfig::default(), restore: None };
        self.get_or_create(new).await
    }

    /// The topic of that name, created like `new` where it is unknown.
    pub(crate) async fn get_or_create(&self, new: NewTopic) -> Result<Arc<OpenTopic>, EngineError> {
        let engine = self.shared()?;
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            match engine.topics.find(&new.name) {
                Some(topic) => Ok(topic),
                None => engine.create_locked(new).await,
            }
        })
        .await
    }

    /// Call with the `admin` lock.
    async fn create_locked(&self, new: NewTopic) -> Result<Arc<OpenTopic>, EngineError> {
        self.check_running()?;
        let partitions = new.partitions.unwrap_or(self.options.default_partitions);
        validate_partitions(partitions, &self.options.limits)?;
        new.config.validate(NODES)?;
        new.validate_restore(partitions)?;
        if self.topics.find(&new.name).is_some() {
            return Err(EngineError::TopicAlreadyExists { topic: new.name });
        }
        let limit = self.options.limits.topics;
        if self.topics.len() >= limit {
            return Err(EngineError::LimitReached { what: "topics", limit });
        }
        let id = TopicId::random(&*self.rng);
        let logs = self.logs_of(id, new.name.clone(), &new.config);
        let settings = logs.settings;
        let command = Command::CreateTopic(CreateTopic {
            id,
            name: new.name.clone(),
            partitions,
            config: new.config.clone(),
            created: self.clock.wall(),
            restoring: new.backup(),
        });
        let first = new.first_offsets().to_vec();
        let (meta, partitions) = self.make(logs, 0..partitions, first, command).await?;
        let view = View { meta, settings, partitions };
        let topic = Arc::new(OpenTopic::new(view));
        self.topics.insert(new.name, topic.clone());
        Ok(topic)
    }

    pub(crate) fn logs_of(&self, id: TopicId, name: TopicName, config: &TopicConfig) -> OpenLogs {
        let settings = config.resolve(&self.options.topic_defaults, NODES);
        OpenLogs { data: self.data.clone(), id, name, settings }
    }

    /// Makes the logs, which begin at `first` (by number) or at 0, then the metadata entry; the logs go again where the entry is refused.
    async fn make(
        &self,
        logs: OpenLogs,
        numbers: std::ops::Range<u32>,
        first: Vec<Offset>,
        command: Command,
    ) -> Result<(Arc<TopicMeta>, Vec<Arc<crate::partition::Partition>>), EngineError> {
        let (making, range) = (logs.clone(), numbers.clone());
        let made = blocking(move || making.create(range, &first)).await?.map_err(EngineError::directory)?;
        match self.meta.propose(vec![command]).await {
            Ok(mut applied) => match applied.replies.pop() {
                Some(Reply::TopicCreated(meta) | Reply::TopicAltered(meta)) => Ok((meta, made)),
                other => Err(EngineError::MetaUnavailable { reason: format!("unexpected reply {other:?}") }),
            },
            Err(error) => {
                // After `Unavailable` the entry may exist: then the logs must stay for the next start to judge.
                if matches!(error, MetaError::Rejected(_)) {
                    drop(made);
                    blocking(move || logs.remove(numbers)).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Removes the data of a deleted topic; what fails is done at the next start.
    pub(crate) async fn remove_data(&self, id: TopicId) {
        let data = self.data.clone();
        let removed = blocking(move || data.delete_topic(id)).await;
        if let Err(error) = removed.and_then(|result| result.map_err(EngineError::directory)) {
            tracing::warn!(topic = %id, %error, "data of a deleted topic stays until the next start");
        }
    }
}
