//! All metadata at one version.

use std::sync::Arc;

use flymq_engine::Compatibility;
use flymq_engine::meta::{MetaImage, MetaVersion, TopicMeta};
use flymq_proto::internal as pb;
use flymq_types::Timestamp;

use super::Result;
use super::cluster::{cluster_from_pb, cluster_to_pb};
use super::config::{config_from_pb, config_to_pb};
use super::field::{id_to_pb, name_from_pb, text_from_pb, text_to_pb};
use super::partition::{partition_from_pb, partition_to_pb};
use super::schemas::{book_from_pb, rule_to_pb, subjects_to_pb};
use super::topic::topic_id_from_pb;

pub(crate) fn image_to_pb(image: &MetaImage) -> pb::Snapshot {
    let rule = image.schemas.compatibility;
    pb::Snapshot {
        version: image.version.0,
        topics: image.topics.values().map(|topic| topic_to_pb(topic)).collect(),
        deleted: image.deleted.iter().map(|id| id_to_pb(id.as_bytes())).collect(),
        cluster: cluster_to_pb(&image.cluster),
        next_producer_id: image.next_producer_id,
        schemas: subjects_to_pb(&image.schemas),
        last_schema_id: image.schemas.last_id,
        // What it is unless somebody sets it is not written.
        schema_rule: rule_to_pb((rule != Compatibility::default()).then_some(rule)),
    }
}

pub(crate) fn image_from_pb(snapshot: pb::Snapshot) -> Result<MetaImage> {
    let topic = |topic| topic_from_pb(topic).map(|topic| (topic.name.clone(), Arc::new(topic)));
    let schemas = book_from_pb(snapshot.schemas, snapshot.last_schema_id, snapshot.schema_rule)?;
    let schemas = Arc::new(schemas);
    Ok(MetaImage {
        version: MetaVersion(snapshot.version),
        topics: snapshot.topics.into_iter().map(topic).collect::<Result<_>>()?,
        deleted: snapshot.deleted.iter().map(|id| topic_id_from_pb(id)).collect::<Result<_>>()?,
        cluster: cluster_from_pb(snapshot.cluster)?,
        next_producer_id: snapshot.next_producer_id,
        schemas,
    })
}

fn topic_to_pb(topic: &TopicMeta) -> pb::Topic {
    pb::Topic {
        id: id_to_pb(topic.id.as_bytes()),
        name: topic.name.to_string(),
        config: Some(config_to_pb(&topic.config)),
        created_ms: topic.created.as_millis(),
        partitions: topic.partitions.iter().map(|partition| partition_to_pb(partition)).collect(),
        revision: topic.revision,
        restoring: text_to_pb(topic.restoring.as_ref()),
    }
}

fn topic_from_pb(topic: pb::Topic) -> Result<TopicMeta> {
    let partitions = topic.partitions.iter().map(|partition| partition_from_pb(partition).map(Arc::new));
    Ok(TopicMeta {
        id: topic_id_from_pb(&topic.id)?,
        name: name_from_pb(&topic.name)?,
        config: config_from_pb(topic.config.unwrap_or_default())?,
        created: Timestamp(topic.created_ms),
        partitions: partitions.collect::<Result<_>>()?,
        revision: topic.revision,
        restoring: text_from_pb(&topic.restoring),
    })
}
