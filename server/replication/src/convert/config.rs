//! A topic's own settings.

use std::sync::Arc;

use flymq_engine::{
    CleanupPolicy, DeadLetterConfig, DeadLetterPolicy, IndexConfig, IndexStrategy, TopicConfig,
};
use flymq_proto::internal as pb;
use flymq_types::{GroupId, TopicName};

use super::ConvertError;
use super::schemas::{binding_from_pb, binding_to_pb};

pub(super) fn config_to_pb(config: &TopicConfig) -> pb::TopicConfig {
    let cleanup_policy = match config.cleanup_policy {
        CleanupPolicy::Delete => pb::CleanupPolicy::Delete,
        CleanupPolicy::Compact => pb::CleanupPolicy::Compact,
        CleanupPolicy::CompactDelete => pb::CleanupPolicy::CompactDelete,
    };
    pb::TopicConfig {
        replication_factor: config.replication_factor,
        min_insync_replicas: config.min_insync_replicas,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        segment_bytes: config.segment_bytes,
        ttl_ms: config.ttl_ms,
        cleanup_policy: cleanup_policy.into(),
        delete_retention_ms: config.delete_retention_ms,
        index: config.index.as_ref().map(index_to_pb),
        unclean_election: config.unclean_election,
        schema: config.schema.as_deref().map(binding_to_pb),
        dead_letters: config.dead_letters.as_deref().map(dead_letters_to_pb),
    }
}

fn dead_letters_to_pb(config: &DeadLetterConfig) -> pb::DeadLetterConfig {
    pb::DeadLetterConfig {
        policy: Some(policy_to_pb(&config.policy)),
        topic: config.topic.as_ref().map(ToString::to_string),
        groups: config.groups.iter().map(group_to_pb).collect(),
    }
}

fn group_to_pb((group, policy): (&GroupId, &DeadLetterPolicy)) -> pb::GroupDeadLetterPolicy {
    pb::GroupDeadLetterPolicy { group: group.to_string(), policy: Some(policy_to_pb(policy)) }
}

fn policy_to_pb(policy: &DeadLetterPolicy) -> pb::DeadLetterPolicy {
    pb::DeadLetterPolicy {
        enabled: policy.enabled,
        max_retries: policy.max_retries,
        retry_delay_ms: policy.retry_delay_ms,
        backoff_percent: policy.backoff_percent,
        max_retry_delay_ms: policy.max_retry_delay_ms,
    }
}

fn dead_letters_from_pb(config: pb::DeadLetterConfig) -> Result<DeadLetterConfig, ConvertError> {
    let topic = config.topic.as_deref().map(TopicName::any).transpose();
    let group = |kept: pb::GroupDeadLetterPolicy| {
        Ok((GroupId::any(&kept.group)?, kept.policy.map(policy_from_pb).unwrap_or_default()))
    };
    let groups: Result<_, flymq_types::InvalidName> = config.groups.into_iter().map(group).collect();
    Ok(DeadLetterConfig {
        policy: config.policy.map(policy_from_pb).unwrap_or_default(),
        topic: topic.map_err(|_| ConvertError::Field("dead_letters.topic"))?,
        groups: groups.map_err(|_| ConvertError::Field("dead_letters.groups"))?,
    })
}

fn policy_from_pb(policy: pb::DeadLetterPolicy) -> DeadLetterPolicy {
    DeadLetterPolicy {
        enabled: policy.enabled,
        max_retries: policy.max_retries,
        retry_delay_ms: policy.retry_delay_ms,
        backoff_percent: policy.backoff_percent,
        max_retry_delay_ms: policy.max_retry_delay_ms,
    }
}

fn index_to_pb(index: &IndexConfig) -> pb::IndexConfig {
    let (strategy, interval_bytes) = match index.strategy {
        IndexStrategy::SparseOffset { interval_bytes } => (pb::IndexStrategy::Sparse, interval_bytes),
        IndexStrategy::DenseOffset => (pb::IndexStrategy::Dense, 0),
        IndexStrategy::Time { interval_bytes } => (pb::IndexStrategy::Time, interval_bytes),
    };
    pb::IndexConfig { strategy: strategy.into(), interval_bytes, headers: index.headers.clone() }
}

fn index_from_pb(index: pb::IndexConfig) -> Result<IndexConfig, ConvertError> {
    let interval_bytes = index.interval_bytes;
    let strategy = pb::IndexStrategy::try_from(index.strategy);
    let strategy = match strategy.map_err(|_| ConvertError::Field("index.strategy"))? {
        pb::IndexStrategy::Unspecified => IndexStrategy::default(),
        pb::IndexStrategy::Sparse => IndexStrategy::SparseOffset { interval_bytes },
        pb::IndexStrategy::Dense => IndexStrategy::DenseOffset,
        pb::IndexStrategy::Time => IndexStrategy::Time { interval_bytes },
    };
    Ok(IndexConfig { strategy, headers: index.headers })
}

pub(super) fn config_from_pb(config: pb::TopicConfig) -> Result<TopicConfig, ConvertError> {
    let policy = pb::CleanupPolicy::try_from(config.cleanup_policy);
    let cleanup_policy = match policy.map_err(|_| ConvertError::Field("cleanup_policy"))? {
        pb::CleanupPolicy::Unspecified | pb::CleanupPolicy::Delete => CleanupPolicy::Delete,
        pb::CleanupPolicy::Compact => CleanupPolicy::Compact,
        pb::CleanupPolicy::CompactDelete => CleanupPolicy::CompactDelete,
    };
    Ok(TopicConfig {
        replication_factor: config.replication_factor,
        min_insync_replicas: config.min_insync_replicas,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        segment_bytes: config.segment_bytes,
        ttl_ms: config.ttl_ms,
        cleanup_policy,
        delete_retention_ms: config.delete_retention_ms,
        index: config.index.map(index_from_pb).transpose()?,
        unclean_election: config.unclean_election,
        schema: config.schema.map(binding_from_pb).transpose()?.map(Arc::new),
        dead_letters: config.dead_letters.map(dead_letters_from_pb).transpose()?.map(Arc::new),
    })
}
