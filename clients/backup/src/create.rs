//! Making a backup from a live broker.

mod copy;

use std::collections::BTreeMap;

use flymq_client::{Client, ErrorCode, pb};

use crate::{
    BackupError, BackupId, BackupKey, ChunkName, GroupBackup, Manifest, OffsetEntry, Progress, Step, Store,
    TopicBackup,
};
use copy::Copy;

/// What to back up.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Names; none: all topics but internal ones.
    pub topics: Vec<String>,
    /// Also the offsets that consumer groups have committed on them.
    pub groups: bool,
    /// Goes round ranges that are damaged on the broker's disk, and names them in the manifest.
    pub skip_damaged: bool,
    /// A chunk file is closed once it has so many bytes.
    pub chunk_bytes: usize,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { topics: Vec::new(), groups: false, skip_damaged: false, chunk_bytes: 16 << 20 }
    }
}

/// A backup that was made.
#[derive(Debug)]
pub struct Created {
    pub manifest: Manifest,
    /// Bytes of chunks that were there already, from an earlier backup or a run that was cut off.
    pub reused_bytes: u64,
}

/// Backs up topics, each partition up to its high watermark of now. Whatever ends it before its return leaves no
/// manifest; run again, it goes on with the chunks that are there.
///
/// # Errors
/// The broker's, `Storage`, `SourceDamaged`, `TopicReplaced`, `TopicRestoring`.
pub async fn create(
    client: &Client,
    store: &dyn Store,
    key: Option<&BackupKey>,
    options: &CreateOptions,
    progress: Progress<'_>,
) -> Result<Created, BackupError> {
    let names = match options.topics.as_slice() {
        [] => client.list_topics().await?.into_iter().map(|topic| topic.name).collect(),
        named => named.to_vec(),
    };
    // Before the watermarks, so that no group has read further than the backup goes.
    let groups = if options.groups { committed(client, &names).await? } else { Vec::new() };
    let mut sources = Vec::with_capacity(names.len());
    for name in &names {
        sources.push(source(client, name).await?);
    }
    let present = Present::list(store).await?;
    let (mut topics, mut reused_bytes) = (Vec::with_capacity(sources.len()), 0);
    for topic in &sources {
        let bytes = topic.partitions.iter().map(|partition| partition.bytes).sum();
        progress(Step::Topic { name: &topic.name, bytes });
        let mut copy =
            Copy { client, store, key, options, present: &present, progress, topic, reused_bytes: 0 };
        topics.push(copy.topic().await?);
        reused_bytes += copy.reused_bytes;
        if source(client, &topic.name).await?.id != topic.id {
            return Err(BackupError::TopicReplaced { topic: topic.name.clone() });
        }
    }
    let id = BackupId::now()?;
    let manifest = about(client, &id, key, topics, groups).await?;
    store.put(&id.manifest(), manifest.encode(key)?.into()).await?;
    Ok(Created { manifest, reused_bytes })
}

async fn about(
    client: &Client,
    id: &BackupId,
    key: Option<&BackupKey>,
    topics: Vec<TopicBackup>,
    groups: Vec<GroupBackup>,
) -> Result<Manifest, BackupError> {
    let cluster: pb::GetClusterResponse = client.call("GetCluster", &pb::GetClusterRequest {}).await?;
    Ok(Manifest {
        id: id.to_string(),
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        cluster_id: cluster.cluster_id,
        server_version: cluster.version,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        key_id: key.map(|key| key.id().to_owned()),
        topics,
        groups,
    })
}

/// A topic that is whole.
async fn source(client: &Client, name: &str) -> Result<pb::Topic, BackupError> {
    let topic = client.topic(name).await?;
    if topic.restoring.is_empty() {
        return Ok(topic);
    }
    Err(BackupError::TopicRestoring { topic: topic.name, backup: topic.restoring })
}

async fn committed(client: &Client, topics: &[String]) -> Result<Vec<GroupBackup>, BackupError> {
    let listed: pb::ListGroupsResponse = client.call("ListGroups", &pb::ListGroupsRequest::default()).await?;
    let mut groups = Vec::new();
    for group in listed.groups.into_iter().map(|summary| summary.group) {
        let request = pb::GetOffsetsRequest { group: group.clone(), ..pb::GetOffsetsRequest::default() };
        let reply: pb::GetOffsetsResponse = match client.call("GetOffsets", &request).await {
            Ok(reply) => reply,
            // Deleted since it was listed.
            Err(error) if error.code == ErrorCode::GroupNotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let ours = reply.offsets.into_iter().filter(|offset| topics.contains(&offset.topic));
        let offsets: Vec<_> = ours.filter_map(offset_entry).collect();
        if !offsets.is_empty() {
            groups.push(GroupBackup { group, offsets });
        }
    }
    Ok(groups)
}

fn offset_entry(offset: pb::PartitionOffset) -> Option<OffsetEntry> {
    let partition = u32::try_from(offset.partition).ok()?;
    Some(OffsetEntry { topic: offset.topic, partition, offset: offset.offset, metadata: offset.metadata })
}

/// The chunks that a place has already, by topic, partition and first offset; the longest of each.
#[derive(Debug, Default)]
struct Present(BTreeMap<(String, u32), BTreeMap<u64, Vec<ChunkName>>>);

impl Present {
    async fn list(store: &dyn Store) -> Result<Self, BackupError> {
        let mut present = Self::default();
        for name in store.list().await?.iter().filter_map(|file| ChunkName::parse(file)) {
            let of_partition = present.0.entry((name.topic_id.clone(), name.partition)).or_default();
            of_partition.entry(name.first_offset).or_default().push(name);
        }
        for chunks in present.0.values_mut().flat_map(BTreeMap::values_mut) {
            chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.end_offset));
        }
        Ok(present)
    }

    fn of(&self, topic_id: &str, partition: u32) -> Option<&BTreeMap<u64, Vec<ChunkName>>> {
        self.0.get(&(topic_id.to_owned(), partition))
    }
}
