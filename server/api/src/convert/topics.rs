//! Topics: settings in, descriptions out.

use flymq_engine::{
    CleanupPolicy, DeadLetterChange, IndexConfig, NewTopic, PartitionInfo, RestoreTopic, TopicChange,
    TopicConfig, TopicInfo,
};
use flymq_proto::pb;
use flymq_types::{Offset, TopicName};

use super::{binding_message, dead_letters, index, invalid};
use crate::{
    BrokerError,
    dispatch::{Map, not_built},
};

/// A topic to create; absent options are the server's defaults.
pub(crate) fn new_topic(request: &pb::CreateTopicRequest) -> Result<NewTopic, BrokerError> {
    let name = TopicName::new(&request.name).map_err(|why| invalid("name", why))?;
    let options = request.options.clone().unwrap_or_default();
    let settings = Settings::parse(&options)?;
    let dead_letters = TopicChange { dead_letters: settings.dead_letters, ..TopicChange::default() };
    let restore = request.restore.as_ref().map(|restore| RestoreTopic {
        backup: restore.backup_id.as_str().into(),
        first_offsets: restore.first_offsets.iter().map(|first| Offset(*first)).collect(),
    });
    Ok(NewTopic {
        name,
        restore,
        partitions: settings.partitions,
        config: TopicConfig {
            replication_factor: settings.replication_factor,
            min_insync_replicas: settings.min_insync_replicas,
            retention_ms: settings.retention_ms,
            retention_bytes: settings.retention_bytes,
            segment_bytes: settings.segment_bytes,
            ttl_ms: settings.ttl_ms,
            cleanup_policy: settings.cleanup_policy.unwrap_or_default(),
            delete_retention_ms: settings.delete_retention_ms,
            index: settings.index,
            unclean_election: false,
            schema: None,
            dead_letters: TopicConfig::default().with(&dead_letters).dead_letters,
        },
    })
}

/// What to change about a topic: the options that are set.
pub(crate) fn topic_changes(options: &pb::TopicOptions) -> Result<TopicChange, BrokerError> {
    let settings = Settings::parse(options)?;
    if settings.replication_factor.is_some() {
        return Err(not_built("changing the replication factor of a topic"));
    }
    Ok(TopicChange {
        partitions: settings.partitions,
        min_insync_replicas: settings.min_insync_replicas,
        retention_ms: settings.retention_ms,
        retention_bytes: settings.retention_bytes,
        segment_bytes: settings.segment_bytes,
        ttl_ms: settings.ttl_ms,
        cleanup_policy: settings.cleanup_policy,
        delete_retention_ms: settings.delete_retention_ms,
        index: settings.index,
        schema: None,
        dead_letters: settings.dead_letters,
    })
}

/// Options of which 0 says "not set".
struct Settings {
    partitions: Option<u32>,
    replication_factor: Option<u32>,
    min_insync_replicas: Option<u32>,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    segment_bytes: Option<u64>,
    ttl_ms: Option<u64>,
    cleanup_policy: Option<CleanupPolicy>,
    delete_retention_ms: Option<u64>,
    index: Option<IndexConfig>,
    dead_letters: DeadLetterChange,
}

impl Settings {
    fn parse(options: &pb::TopicOptions) -> Result<Self, BrokerError> {
        Ok(Self {
            partitions: set32("options.partitions", options.partitions)?,
            replication_factor: set32("options.replication_factor", options.replication_factor)?,
            min_insync_replicas: set32("options.min_insync_replicas", options.min_insync_replicas)?,
            retention_ms: set64("options.retention_ms", options.retention_ms)?,
            retention_bytes: set64("options.retention_bytes", options.retention_bytes)?,
            segment_bytes: set64("options.segment_bytes", options.segment_bytes)?,
            ttl_ms: set64("options.ttl_ms", options.ttl_ms)?,
            cleanup_policy: cleanup_policy(options.cleanup_policy)?,
            delete_retention_ms: set64("options.delete_retention_ms", options.delete_retention_ms)?,
            index: options.index.as_ref().map(index::parse).transpose()?,
            dead_letters: dead_letters::change(options)?,
        })
    }
}

fn set32(field: &str, value: i32) -> Result<Option<u32>, BrokerError> {
    let value =
        u32::try_from(value).map_err(|_| invalid(field, "must not be negative").with("value", value))?;
    Ok((value > 0).then_some(value))
}

fn set64(field: &str, value: i64) -> Result<Option<u64>, BrokerError> {
    let value =
        u64::try_from(value).map_err(|_| invalid(field, "must not be negative").with("value", value))?;
    Ok((value > 0).then_some(value))
}

fn cleanup_policy(number: i32) -> Result<Option<CleanupPolicy>, BrokerError> {
    let field = "options.cleanup_policy";
    match pb::CleanupPolicy::try_from(number).map_err(|_| invalid(field, "no value of this enum"))? {
        pb::CleanupPolicy::Unspecified => Ok(None),
        pb::CleanupPolicy::Delete => Ok(Some(CleanupPolicy::Delete)),
        pb::CleanupPolicy::Compact => Ok(Some(CleanupPolicy::Compact)),
        pb::CleanupPolicy::CompactDelete => Ok(Some(CleanupPolicy::CompactDelete)),
    }
}

/// A topic with its settings in force and each partition's watermarks.
pub(crate) fn topic_message(topic: &TopicInfo, map: &Map<'_>) -> pb::Topic {
    let settings = &topic.settings;
    let mut options = pb::TopicOptions {
        partitions: count(topic.partitions.len()),
        replication_factor: count(settings.replication_factor as usize),
        retention_ms: signed(settings.retention_ms),
        retention_bytes: signed(settings.retention_bytes),
        segment_bytes: signed(settings.segment_bytes),
        ttl_ms: signed(settings.ttl_ms),
        min_insync_replicas: count(settings.min_insync_replicas as usize),
        cleanup_policy: match settings.cleanup_policy {
            CleanupPolicy::Delete => pb::CleanupPolicy::Delete,
            CleanupPolicy::Compact => pb::CleanupPolicy::Compact,
            CleanupPolicy::CompactDelete => pb::CleanupPolicy::CompactDelete,
        }
        .into(),
        delete_retention_ms: signed(settings.delete_retention_ms),
        index: Some(index::message(settings.index, topic.config.index.as_ref())),
        dead_letters: Some(dead_letters::in_force(topic, map.dead_letters)),
        group_dead_letters: dead_letters::of_groups(topic),
    };
    let partitions: Vec<_> =
        topic.partitions.iter().map(|p| partition_message(&topic.name, p, map)).collect();
    // Reassignments change it, partition by partition.
    let replicas = partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0);
    if replicas > 0 {
        options.replication_factor = count(replicas);
    }
    pb::Topic {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        options: Some(options),
        created_ms: topic.created.as_millis(),
        partitions,
        restoring: topic.restoring.as_deref().unwrap_or_default().to_owned(),
        schema: topic.config.schema.as_deref().map(binding_message),
    }
}

fn partition_message(topic: &TopicName, info: &PartitionInfo, map: &Map<'_>) -> pb::Partition {
    let meta = map.image.topic(topic).and_then(|meta| meta.partitions.get(info.partition.get() as usize));
    let place = map.place(meta.map(|meta| &**meta), Some(info));
    let quarantined = info
        .quarantined
        .iter()
        .map(|(first, end)| pb::OffsetRange { first: first.get(), last: end.get().saturating_sub(1) });
    pb::Partition {
        partition: count(info.partition.get() as usize),
        low_watermark: info.low.get(),
        high_watermark: info.high.get(),
        log_end_offset: info.log_end.get(),
        segments: info.segments,
        bytes: info.bytes,
        leader: place.leader,
        leader_addr: place.leader_addr,
        leader_epoch: place.leader_epoch,
        replicas: place.replicas,
        isr: place.isr,
        state: place.state.unwrap_or_else(|| partition_state(info)).into(),
        last_sync_ms: info.last_sync.map_or(0, |at| at.as_millis()),
        quarantined: quarantined.collect(),
        failure: info.offline.as_ref().or(info.failed.as_ref()).cloned().unwrap_or_default(),
        last_append_ms: info.last_append.map_or(0, |at| at.as_millis()),
        index: Some(index::state(info)),
        scrub: Some(pb::PartitionScrub {
            finished_ms: info.scrub_finished.map_or(0, |at| at.as_millis()),
            bytes: info.scrub_bytes,
        }),
    }
}

/// Whether the partition can be used.
pub(crate) fn partition_state(info: &PartitionInfo) -> pb::PartitionState {
    match (&info.offline, &info.failed) {
        (Some(_), _) => pb::PartitionState::Offline,
        (None, Some(_)) => pb::PartitionState::Failed,
        (None, None) => pb::PartitionState::Online,
    }
}

pub(crate) fn topic_summary(topic: &TopicInfo) -> pb::TopicSummary {
    pb::TopicSummary {
        name: topic.name.to_string(),
        partitions: count(topic.partitions.len()),
        replication_factor: count(topic.settings.replication_factor as usize),
        records: topic.records(),
        bytes: topic.bytes(),
    }
}

/// A count as protobuf has it.
pub(crate) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
