//! Commands about topics.

use flymq_engine::meta::{AlterTopic, CreateTopic, DeleteTopic, FinishRestore};
use flymq_proto::internal as pb;
use flymq_types::{Timestamp, TopicId};

use super::Result;
use super::config::{config_from_pb, config_to_pb};
use super::field::{id_from_pb, id_to_pb, name_from_pb, text_from_pb, text_to_pb};

pub(super) fn topic_id_from_pb(id: &[u8]) -> Result<TopicId> {
    id_from_pb(id).map(TopicId::from_bytes)
}

pub(super) fn create_to_pb(create: &CreateTopic) -> pb::CreateTopic {
    pb::CreateTopic {
        id: id_to_pb(create.id.as_bytes()),
        name: create.name.to_string(),
        partitions: create.partitions,
        config: Some(config_to_pb(&create.config)),
        created_ms: create.created.as_millis(),
        restoring: text_to_pb(create.restoring.as_ref()),
    }
}

pub(super) fn create_from_pb(create: pb::CreateTopic) -> Result<CreateTopic> {
    Ok(CreateTopic {
        id: topic_id_from_pb(&create.id)?,
        name: name_from_pb(&create.name)?,
        partitions: create.partitions,
        config: config_from_pb(create.config.unwrap_or_default())?,
        created: Timestamp(create.created_ms),
        restoring: text_from_pb(&create.restoring),
    })
}

pub(super) fn delete_to_pb(delete: &DeleteTopic) -> pb::DeleteTopic {
    pb::DeleteTopic { id: id_to_pb(delete.id.as_bytes()), name: delete.name.to_string() }
}

pub(super) fn delete_from_pb(delete: &pb::DeleteTopic) -> Result<DeleteTopic> {
    Ok(DeleteTopic { id: topic_id_from_pb(&delete.id)?, name: name_from_pb(&delete.name)? })
}

pub(super) fn alter_to_pb(alter: &AlterTopic) -> pb::AlterTopic {
    pb::AlterTopic {
        id: id_to_pb(alter.id.as_bytes()),
        name: alter.name.to_string(),
        revision: alter.revision,
        partitions: alter.partitions,
        config: Some(config_to_pb(&alter.config)),
    }
}

pub(super) fn alter_from_pb(alter: pb::AlterTopic) -> Result<AlterTopic> {
    Ok(AlterTopic {
        id: topic_id_from_pb(&alter.id)?,
        name: name_from_pb(&alter.name)?,
        revision: alter.revision,
        partitions: alter.partitions,
        config: config_from_pb(alter.config.unwrap_or_default())?,
    })
}

pub(super) fn finish_to_pb(finish: &FinishRestore) -> pb::FinishRestore {
    pb::FinishRestore {
        id: id_to_pb(finish.id.as_bytes()),
        name: finish.name.to_string(),
        backup: finish.backup.to_string(),
    }
}

pub(super) fn finish_from_pb(finish: pb::FinishRestore) -> Result<FinishRestore> {
    Ok(FinishRestore {
        id: topic_id_from_pb(&finish.id)?,
        name: name_from_pb(&finish.name)?,
        backup: finish.backup.into(),
    })
}
