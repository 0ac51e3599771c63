//! Topics come, change and go.
//!
//! A new topic's logs are made before its metadata entry, and removed after it: a crash in between leaves logs that
//! no entry names, which the next start removes. A caller that goes away stops none of this half-way.

use std::sync::Arc;

use flymq_types::{MAX_NAME_BYTES, Offset, TopicId, TopicName, is_pattern};

use super::dead_letters::POLICIES_FEATURE;
use super::open_logs::OpenLogs;
use super::open_topic::View;
use super::{
    DeadLetterConfig, NewTopic, OpenTopic, TopicChange, TopicConfig, TopicInfo, TopicSettings,
    validate_partitions,
};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{AlterTopic, Command, CreateTopic, DeleteTopic, MetaError, Reply, TopicMeta};
use crate::partition::Stop;
use crate::task::{blocking, to_the_end};

/// Nodes of a broker without cluster.
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
        if self.is_member() {
            return Ok(self.create_in_cluster(new).await?.info());
        }
        let engine = self.shared()?;
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            Ok(engine.create_locked(new).await?.info())
        })
        .await
    }

    /// The topic, created with so many partitions where there is none, whether or not producers may create topics.
    ///
    /// # Errors
    /// `InternalTopic`, or a failure to create it.
    pub async fn ensure_topic(&self, name: &TopicName, partitions: usize) -> Result<TopicInfo, EngineError> {
        if name.is_internal() {
            return Err(EngineError::InternalTopic { topic: name.clone() });
        }
        let partitions = u32::try_from(partitions).ok();
        let config = TopicConfig::default();
        let new = NewTopic { name: name.clone(), partitions, config, restore: None };
        Ok(self.get_or_create(new).await?.info())
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
        if self.is_member() {
            return self.delete_in_cluster(name).await;
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
        if self.is_member() {
            return self.alter_in_cluster(name, &change).await;
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
        let command = self.alteration(&view.meta, change, NODES)?;
        let (current, asked) = (view.count(), command.partitions);
        let settings = command.config.resolve(&self.options.topic_defaults, NODES);
        let logs = self.logs_of(view.meta.id, name.clone(), settings);
        let (meta, added) = self.make(logs, current..asked, Vec::new(), Command::AlterTopic(command)).await?;
        let partitions = view.partitions.iter().cloned().chain(added).collect();
        topic.replace(View { meta, settings, partitions });
        topic.configure();
        Ok(topic.info())
    }

    /// The command that makes `change`, checked for a cluster of `nodes`.
    pub(super) fn alteration(
        &self,
        meta: &TopicMeta,
        change: &TopicChange,
        nodes: u32,
    ) -> Result<AlterTopic, EngineError> {
        let name = meta.name.clone();
        let config = meta.config.with(change);
        config.validate(nodes)?;
        if config.dead_letters != meta.config.dead_letters {
            self.check_dead_letters(&name, config.dead_letters.as_deref())?;
        }
        let current = u32::try_from(meta.partitions.len()).unwrap_or(u32::MAX);
        let partitions = change.partitions.unwrap_or(current);
        validate_partitions(partitions, &self.options.limits)?;
        if partitions < current {
            return Err(EngineError::PartitionsShrink { topic: name, current, asked: partitions });
        }
        Ok(AlterTopic { id: meta.id, name, revision: meta.revision, partitions, config })
    }

    /// Whether every node can keep it, and the dead letters have a topic of their own: those of two topics in one could be neither
    /// counted nor purged apart.
    fn check_dead_letters(
        &self,
        topic: &TopicName,
        config: Option<&DeadLetterConfig>,
    ) -> Result<(), EngineError> {
        let Some(config) = config else { return Ok(()) };
        if self.is_member() && self.metadata().cluster.features < POLICIES_FEATURE {
            let (feature, needed) = ("dead-letter policies of topics", POLICIES_FEATURE);
            return Err(EngineError::FeatureOff { feature, needed });
        }
        let refused = |reason| Err(EngineError::InvalidArgument { field: "dead_letters.topic", reason });
        let Some(there) = &config.topic else {
            return self.room_for_letters(topic, Some(config)).or_else(refused);
        };
        if there == topic {
            return refused("must not be the topic itself".to_owned());
        }
        if let Err(reason) = check_spelling(there.as_str()) {
            return refused(reason);
        }
        let image = self.meta.image();
        let other = image.topics.values().find(|other| {
            let config = other.config.dead_letters.as_deref();
            other.name != *topic && self.options.dead_letters.topic_of(&other.name, config) == there.as_str()
        });
        match other {
            Some(other) => refused(format!("{there} takes the dead letters of {}", other.name)),
            None => Ok(()),
        }
    }

    /// The topic, created where it is unknown and that is on.
    pub(crate) async fn topic_or_create(&self, name: &TopicName) -> Result<Arc<OpenTopic>, EngineError> {
        if let Some(topic) = self.topics.find(name) {
            return Ok(topic);
        }
        if !self.options.auto_create || name.is_internal() {
            return self.topic_soon(name).await;
        }
        let new =
            NewTopic { name: name.clone(), partitions: None, config: TopicConfig::default(), restore: None };
        self.get_or_create(new).await
    }

    /// The topic of that name, created like `new` where it is unknown.
    pub(crate) async fn get_or_create(&self, new: NewTopic) -> Result<Arc<OpenTopic>, EngineError> {
        if self.is_member() {
            return self.get_or_create_in_cluster(new).await;
        }
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
        let command = self.creation(&new, NODES)?;
        if self.topics.find(&new.name).is_some() {
            return Err(EngineError::TopicAlreadyExists { topic: new.name });
        }
        let limit = self.options.limits.topics;
        if self.topics.len() >= limit {
            return Err(EngineError::LimitReached { what: "topics", limit });
        }
        let settings = new.config.resolve(&self.options.topic_defaults, NODES);
        let logs = self.logs_of(command.id, new.name.clone(), settings);
        let partitions = command.partitions;
        let command = Command::CreateTopic(command);
        let first = new.first_offsets().to_vec();
        let (meta, partitions) = self.make(logs, 0..partitions, first, command).await?;
        let view = View { meta, settings, partitions };
        let topic = Arc::new(OpenTopic::new(view));
        self.topics.insert(new.name, topic.clone());
        Ok(topic)
    }

    /// The command that creates the topic, checked for a cluster of `nodes`.
    pub(super) fn creation(&self, new: &NewTopic, nodes: u32) -> Result<CreateTopic, EngineError> {
        self.check_running()?;
        if new.restore.is_none() {
            self.check_new_name(new)?;
        }
        let partitions = new.partitions.unwrap_or(self.options.default_partitions);
        validate_partitions(partitions, &self.options.limits)?;
        new.config.validate(nodes)?;
        self.check_dead_letters(&new.name, new.config.dead_letters.as_deref())?;
        new.validate_restore(partitions)?;
        Ok(CreateTopic {
            id: TopicId::random(&*self.rng),
            name: new.name.clone(),
            partitions,
            config: new.config.clone(),
            created: self.clock.wall(),
            restoring: new.backup(),
        })
    }

    /// Refuses names under which a new topic could not be used: a subscription would take them for a pattern, a person would not see
    /// all of them, or their dead letters would have no name.
    fn check_new_name(&self, new: &NewTopic) -> Result<(), EngineError> {
        let name = new.name.as_str();
        let refused = |reason: String| Err(EngineError::InvalidArgument { field: "topic", reason });
        if let Err(reason) = check_spelling(name) {
            return refused(reason);
        }
        let options = self.dead_letters();
        if options.topics(&self.meta.image()).has(&new.name) {
            // Records are on their way there already.
            return Ok(());
        }
        let room = self.room_for_letters(&new.name, new.config.dead_letters.as_deref());
        room.map_err(|reason| EngineError::InvalidArgument { field: "topic", reason })
    }

    /// Where the topic's dead letters are on, they have a name; or why not.
    fn room_for_letters(&self, topic: &TopicName, config: Option<&DeadLetterConfig>) -> Result<(), String> {
        let options = self.dead_letters();
        let enabled = config.map_or(options.enabled, |config| config.is_enabled(options));
        if !enabled || options.topic_of(topic, config).len() <= MAX_NAME_BYTES {
            return Ok(());
        }
        let (suffix, bytes) = (&options.suffix, topic.as_str().len());
        let most = MAX_NAME_BYTES - suffix.len();
        Err(format!(
            "a name has at most {most} bytes, this one has {bytes}: with {suffix:?} behind it, it names the topic of its dead letters"
        ))
    }

    pub(crate) fn logs_of(&self, id: TopicId, name: TopicName, settings: TopicSettings) -> OpenLogs {
        let (data, replication) = (self.data.clone(), self.replication.clone());
        OpenLogs { data, id, name, settings, replication }
    }

    /// What is in force for a topic: its replicas are those that it has.
    pub(super) fn settings_of(&self, meta: &TopicMeta) -> TopicSettings {
        let replicas = meta.partitions.iter().map(|partition| partition.target().count()).max();
        let replicas = replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(NODES).max(NODES);
        meta.config.resolve(&self.options.topic_defaults, replicas)
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

/// Whether a new topic may be written so.
fn check_spelling(name: &str) -> Result<(), String> {
    if is_pattern(name) {
        return Err(format!(
            "{name:?} is a pattern: a topic has no level '+' or '#', which stand for levels of others"
        ));
    }
    if name.trim() != name {
        return Err(format!("{name:?} begins or ends with a blank"));
    }
    Ok(())
}
