//! Metadata as it stands on disk ⇄ as the engine knows it.

use std::sync::Arc;

use bytes::Bytes;
use flymq_engine::meta::{
    AlterTopic, Command, CreateTopic, DeleteTopic, FinishRestore, MetaImage, MetaVersion, PartitionMeta,
    TopicMeta,
};
use flymq_engine::{CleanupPolicy, IndexConfig, IndexStrategy, TopicConfig};
use flymq_proto::internal as pb;
use flymq_types::{LeaderEpoch, Timestamp, TopicId, TopicName};

/// Why stored metadata makes no sense to this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("a command that this build does not know: use a newer FlyMQ")]
    UnknownCommand,
    #[error("a field has a value that it cannot have: {0}")]
    Field(&'static str),
}

pub(crate) fn proposal_to_pb(commands: &[Command]) -> pb::Proposal {
    pb::Proposal { commands: commands.iter().map(command_to_pb).collect() }
}

pub(crate) fn proposal_from_pb(proposal: pb::Proposal) -> Result<Vec<Command>, ConvertError> {
    proposal.commands.into_iter().map(command_from_pb).collect()
}

fn command_to_pb(command: &Command) -> pb::Command {
    use pb::command::Command as Pb;
    let command = match command {
        Command::CreateTopic(create) => Pb::CreateTopic(pb::CreateTopic {
            id: id_to_pb(create.id),
            name: create.name.to_string(),
            partitions: create.partitions,
            config: Some(config_to_pb(&create.config)),
            created_ms: create.created.as_millis(),
            restoring: backup_to_pb(create.restoring.as_ref()),
        }),
        Command::DeleteTopic(delete) => {
            Pb::DeleteTopic(pb::DeleteTopic { id: id_to_pb(delete.id), name: delete.name.to_string() })
        }
        Command::AlterTopic(alter) => Pb::AlterTopic(pb::AlterTopic {
            id: id_to_pb(alter.id),
            name: alter.name.to_string(),
            revision: alter.revision,
            partitions: alter.partitions,
            config: Some(config_to_pb(&alter.config)),
        }),
        Command::FinishRestore(finish) => Pb::FinishRestore(pb::FinishRestore {
            id: id_to_pb(finish.id),
            name: finish.name.to_string(),
            backup: finish.backup.to_string(),
        }),
    };
    pb::Command { command: Some(command) }
}

fn command_from_pb(command: pb::Command) -> Result<Command, ConvertError> {
    use pb::command::Command as Pb;
    Ok(match command.command.ok_or(ConvertError::UnknownCommand)? {
        Pb::CreateTopic(create) => Command::CreateTopic(CreateTopic {
            id: id_from_pb(&create.id)?,
            name: name_from_pb(&create.name)?,
            partitions: create.partitions,
            config: config_from_pb(create.config.unwrap_or_default())?,
            created: Timestamp(create.created_ms),
            restoring: backup_from_pb(&create.restoring),
        }),
        Pb::DeleteTopic(delete) => Command::DeleteTopic(DeleteTopic {
            id: id_from_pb(&delete.id)?,
            name: name_from_pb(&delete.name)?,
        }),
        Pb::AlterTopic(alter) => Command::AlterTopic(AlterTopic {
            id: id_from_pb(&alter.id)?,
            name: name_from_pb(&alter.name)?,
            revision: alter.revision,
            partitions: alter.partitions,
            config: config_from_pb(alter.config.unwrap_or_default())?,
        }),
        Pb::FinishRestore(finish) => Command::FinishRestore(FinishRestore {
            id: id_from_pb(&finish.id)?,
            name: name_from_pb(&finish.name)?,
            backup: finish.backup.into(),
        }),
    })
}

pub(crate) fn image_to_pb(image: &MetaImage) -> pb::Snapshot {
    let topic = |topic: &Arc<TopicMeta>| pb::Topic {
        id: id_to_pb(topic.id),
        name: topic.name.to_string(),
        config: Some(config_to_pb(&topic.config)),
        created_ms: topic.created.as_millis(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| pb::Partition { leader_epoch: partition.leader_epoch.get() })
            .collect(),
        revision: topic.revision,
        restoring: backup_to_pb(topic.restoring.as_ref()),
    };
    pb::Snapshot {
        version: image.version.0,
        topics: image.topics.values().map(topic).collect(),
        deleted: image.deleted.iter().map(|id| id_to_pb(*id)).collect(),
    }
}

pub(crate) fn image_from_pb(snapshot: pb::Snapshot) -> Result<MetaImage, ConvertError> {
    let topics = snapshot.topics.into_iter().map(|topic| {
        let name = name_from_pb(&topic.name)?;
        let partition =
            |partition: pb::Partition| PartitionMeta { leader_epoch: LeaderEpoch(partition.leader_epoch) };
        let meta = TopicMeta {
            id: id_from_pb(&topic.id)?,
            name: name.clone(),
            config: config_from_pb(topic.config.unwrap_or_default())?,
            created: Timestamp(topic.created_ms),
            partitions: topic.partitions.into_iter().map(partition).collect(),
            revision: topic.revision,
            restoring: backup_from_pb(&topic.restoring),
        };
        Ok((name, Arc::new(meta)))
    });
    Ok(MetaImage {
        version: MetaVersion(snapshot.version),
        topics: topics.collect::<Result<_, ConvertError>>()?,
        deleted: snapshot.deleted.iter().map(|id| id_from_pb(id)).collect::<Result<_, _>>()?,
    })
}

fn config_to_pb(config: &TopicConfig) -> pb::TopicConfig {
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

fn config_from_pb(config: pb::TopicConfig) -> Result<TopicConfig, ConvertError> {
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
    })
}

fn backup_to_pb(backup: Option<&Arc<str>>) -> String {
    backup.map(ToString::to_string).unwrap_or_default()
}

fn backup_from_pb(backup: &str) -> Option<Arc<str>> {
    (!backup.is_empty()).then(|| backup.into())
}

fn id_to_pb(id: TopicId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn id_from_pb(id: &[u8]) -> Result<TopicId, ConvertError> {
    Ok(TopicId::from_bytes(id.try_into().map_err(|_| ConvertError::Field("id"))?))
}

fn name_from_pb(name: &str) -> Result<TopicName, ConvertError> {
    TopicName::any(name).map_err(|_| ConvertError::Field("name"))
}

#[cfg(test)]
mod tests {
    use flymq_engine::meta::State;
    use prost::Message;

    use super::*;

    fn commands() -> Vec<Command> {
        let (id, name) = (TopicId::from_bytes([9; 16]), TopicName::new("a/b").expect("valid"));
        let config = TopicConfig {
            replication_factor: Some(1),
            min_insync_replicas: Some(1),
            retention_ms: Some(0),
            retention_bytes: None,
            segment_bytes: Some(1 << 20),
            ttl_ms: Some(u64::MAX),
            cleanup_policy: CleanupPolicy::CompactDelete,
            delete_retention_ms: Some(6),
            index: Some(IndexConfig {
                strategy: IndexStrategy::Time { interval_bytes: 700 },
                headers: vec!["order-id".to_owned()],
            }),
        };
        let create = CreateTopic {
            id,
            name: name.clone(),
            partitions: 3,
            config: config.clone(),
            created: Timestamp(-5),
            restoring: None,
        };
        let alter = AlterTopic { id, name, revision: 0, partitions: 4, config };
        let gone = CreateTopic {
            id: TopicId::from_bytes([1; 16]),
            name: TopicName::internal("__x").expect("valid"),
            partitions: 1,
            config: TopicConfig::default(),
            created: Timestamp(0),
            restoring: None,
        };
        let delete = DeleteTopic { id: gone.id, name: gone.name.clone() };
        let restored = |n: u8| CreateTopic {
            id: TopicId::from_bytes([n; 16]),
            name: TopicName::new(&format!("restored-{n}")).expect("valid"),
            restoring: Some("b-1".into()),
            ..gone.clone()
        };
        let whole = restored(2);
        let finish = FinishRestore { id: whole.id, name: whole.name.clone(), backup: "b-1".into() };
        vec![
            Command::CreateTopic(whole),
            Command::FinishRestore(finish),
            Command::CreateTopic(restored(3)),
            Command::CreateTopic(create),
            Command::AlterTopic(alter),
            Command::CreateTopic(gone),
            Command::DeleteTopic(delete),
        ]
    }

    #[test]
    fn commands_and_images_come_back_as_they_were() {
        let commands = commands();
        let bytes = proposal_to_pb(&commands).encode_to_vec();
        let back = proposal_from_pb(pb::Proposal::decode(&bytes[..]).unwrap()).unwrap();
        assert_eq!(back, commands);
        let mut state = State::default();
        state.apply_all(&commands).unwrap();
        let image = state.image();
        assert_eq!(image_from_pb(image_to_pb(&image)).unwrap(), *image);
    }

    #[test]
    fn what_a_newer_build_wrote_is_refused() {
        let unknown = pb::Proposal { commands: vec![pb::Command { command: None }] };
        assert_eq!(proposal_from_pb(unknown), Err(ConvertError::UnknownCommand));
        let config = pb::TopicConfig { cleanup_policy: 99, ..pb::TopicConfig::default() };
        assert_eq!(config_from_pb(config), Err(ConvertError::Field("cleanup_policy")));
        assert_eq!(id_from_pb(&[0; 15]), Err(ConvertError::Field("id")));
    }
}
