//! The first node of a cluster: what it had as a broker without cluster goes into the metadata group, then the cluster
//! has its id. Each step may be repeated, so that a crash between two of them loses nothing.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Instant};

use flymq_engine::meta::{
    AllocateProducerIds, Command, CreateTopic, FormCluster, MetaError, MetaImage, MetaStore as _, TopicMeta,
};
use flymq_replication::{LocalMetaOptions, LocalMetaStore, MetaPeer};
use flymq_storage::DataDir;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{enter::recovery, identity::sync_dir, join::Due, member::Member, register::PAUSE};
use crate::StartError;

/// Topics that go into the group with one entry.
const TOPICS_AT_ONCE: usize = 500;

/// Forms the cluster, or goes on with it. Does nothing where it is formed.
pub(super) async fn form(member: &Member, data: &Arc<DataDir>) -> Result<(), StartError> {
    let old = data.path().join("metadata");
    if member.image().cluster.id.is_none() {
        let own = MetaPeer { node: member.node.to_string(), address: member.address.clone() };
        let voters = BTreeMap::from([(member.id, own)]);
        member.store.bootstrap(voters).await.map_err(|error| failed(&error.to_string()))?;
        wait_for_group(member).await;
    }
    if member.image().cluster.id.is_none() {
        let began = Instant::now();
        if let Some(image) = read_old(data, &old).await? {
            bring_along(member, data, &image).await?;
            info!(
                topics = image.topics.len(),
                took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                "the topics of the broker without cluster belong to the cluster now"
            );
        }
        let form = FormCluster {
            cluster: member.cluster,
            founder: member.node.clone(),
            directory: member.directory,
            features: member.understands,
        };
        propose(member, vec![Command::FormCluster(form)]).await?;
        info!(cluster = %member.cluster, "the cluster is formed");
    }
    put_aside(data.path(), &old).map_err(|error| recovery(&old, error.to_string()))
}

/// Waits until everything that the group has agreed upon is here.
async fn wait_for_group(member: &Member) {
    let mut due = Due::begin();
    while let Err(error) = member.store.barrier().await {
        if due.is_now() {
            warn!(%error, "waiting for the metadata group");
        }
        sleep(PAUSE).await;
    }
}

fn failed(reason: &str) -> StartError {
    StartError::Cluster { reason: format!("the cluster cannot be formed: {reason}") }
}

/// The metadata of the broker without cluster, where there is any.
async fn read_old(data: &Arc<DataDir>, path: &Path) -> Result<Option<Arc<MetaImage>>, StartError> {
    if !path.join("log").exists() {
        return Ok(None);
    }
    let options =
        LocalMetaOptions { vault: data.vault(), ..LocalMetaOptions::new(data.vital_disk(), path.to_owned()) };
    let opened = tokio::task::spawn_blocking(move || LocalMetaStore::open(options)).await;
    let store = opened.map_err(|error| recovery(path, error.to_string()))?;
    let store = store.map_err(|error| recovery(path, error.to_string()))?;
    Ok(Some(store.image()))
}

/// Proposes what the image has. Topics keep their ids, so that their logs are theirs.
async fn bring_along(member: &Member, data: &DataDir, image: &MetaImage) -> Result<(), StartError> {
    // What a deletion left behind would be taken for lost metadata.
    for id in &image.deleted {
        data.delete_topic(*id).map_err(|error| recovery(data.path(), error.to_string()))?;
    }
    let present = member.image();
    let missing: Vec<_> =
        image.topics.values().filter(|topic| present.topic_by_id(topic.id).is_none()).map(create).collect();
    for some in missing.chunks(TOPICS_AT_ONCE) {
        propose(member, some.to_vec()).await?;
    }
    if present.next_producer_id < image.next_producer_id {
        let (count, at_least) = (0, image.next_producer_id);
        propose(member, vec![Command::AllocateProducerIds(AllocateProducerIds { count, at_least })]).await?;
    }
    Ok(())
}

fn create(topic: &Arc<TopicMeta>) -> Command {
    Command::CreateTopic(CreateTopic {
        id: topic.id,
        name: topic.name.clone(),
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        config: topic.config.clone(),
        created: topic.created,
        restoring: topic.restoring.clone(),
    })
}

async fn propose(member: &Member, commands: Vec<Command>) -> Result<(), StartError> {
    match member.store.propose(commands).await {
        Ok(_applied) => Ok(()),
        Err(error @ (MetaError::Rejected(_) | MetaError::Storage(_) | MetaError::Unavailable { .. })) => {
            Err(failed(&error.to_string()))
        }
    }
}

/// The old metadata is no longer used, and kept for whoever wants to look.
fn put_aside(data: &Path, old: &Path) -> std::io::Result<()> {
    if !old.exists() {
        return Ok(());
    }
    let mut aside = data.join("metadata.standalone");
    for number in 1.. {
        if !aside.exists() {
            break;
        }
        aside = data.join(format!("metadata.standalone.{number}"));
    }
    fs::rename(old, &aside)?;
    sync_dir(data)
}
