//! Bringing topics back: everything is verified, then each topic is made, filled and at last opened.

mod fill;

use std::collections::BTreeMap;

use flymq_client::{Client, ErrorCode, pb};

use crate::{
    BackupError, BackupKey, Manifest, Progress, Store, TopicBackup,
    select::{Selected, select},
    verify::{load, needed_key, verify_topic},
};
use fill::Fill;

/// What to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The backup; the newest where none is named.
    pub id: Option<String>,
    /// `name`, or `name:new name`; none: all topics.
    pub topics: Vec<String>,
    /// Leaves the committed offsets of consumer groups out.
    pub no_groups: bool,
    /// Passes over topics whose name is taken.
    pub skip_existing: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub topics: Vec<RestoredTopic>,
    /// Names that were taken, with [`RestoreOptions::skip_existing`].
    pub skipped: Vec<String>,
    /// Consumer groups whose offsets came back.
    pub groups: usize,
}

/// A topic that is back.
#[derive(Debug)]
pub struct RestoredTopic {
    /// In the backup.
    pub source: String,
    /// Now.
    pub name: String,
    /// Offsets that can be read.
    pub offsets: u64,
}

/// Restores topics under names that are free, with the offsets that the records had. A restore that was cut off goes on
/// when it is run again; until it is done nobody reads or writes the topic.
///
/// # Errors
/// Those of [`crate::verify`], `TopicExists`, `TopicRestoring`, `TopicNotInBackup`, `SameTarget`: nothing was restored.
/// The broker's: run it again.
pub async fn restore(
    client: &Client,
    store: &dyn Store,
    key: Option<&BackupKey>,
    options: &RestoreOptions,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    let manifest = load(store, options.id.as_deref(), key).await?;
    let key = needed_key(&manifest, key)?;
    let mut selected = select(&manifest, &options.topics)?;
    let mut skipped = Vec::new();
    let mut fresh = Vec::with_capacity(selected.len());
    for one in selected.drain(..) {
        match state(client, &manifest, &one).await {
            Ok(state) => fresh.push((one, state)),
            Err(BackupError::TopicExists { topic }) if options.skip_existing => skipped.push(topic),
            Err(error) => return Err(error),
        }
    }
    for (one, _) in &fresh {
        verify_topic(store, one.topic, key, progress).await?;
    }
    let (mut topics, mut groups) = (Vec::with_capacity(fresh.len()), std::collections::BTreeSet::new());
    for (one, state) in &fresh {
        let backup = restore_id(&manifest, one.topic);
        let fill = Fill { client, store, key, progress, selected: *one, backup };
        if *state == State::Free {
            fill.make(cluster_size(client).await?).await?;
        }
        fill.records().await?;
        if !options.no_groups {
            groups.extend(commit(client, &manifest, one).await?);
        }
        fill.finish().await?;
        let (source, name) = (one.topic.name.clone(), one.target.to_owned());
        topics.push(RestoredTopic { source, name, offsets: one.topic.offsets() });
    }
    Ok(Restored { groups: groups.len(), manifest, topics, skipped })
}

/// What the broker has under the name of a topic to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// A restore of the same topic of the same backup that was cut off.
    Begun,
}

async fn state(client: &Client, manifest: &Manifest, one: &Selected<'_>) -> Result<State, BackupError> {
    let found = match client.topic(one.target).await {
        Ok(found) => found,
        Err(error) if error.code == ErrorCode::TopicNotFound => return Ok(State::Free),
        Err(error) => return Err(error.into()),
    };
    if found.restoring == restore_id(manifest, one.topic) {
        return Ok(State::Begun);
    }
    let topic = one.target.to_owned();
    match found.restoring.is_empty() {
        true => Err(BackupError::TopicExists { topic }),
        false => Err(BackupError::TopicRestoring { topic, backup: found.restoring }),
    }
}

/// What the broker knows the restore by: records of another backup, or another topic, are not taken.
fn restore_id(manifest: &Manifest, topic: &TopicBackup) -> String {
    format!("{}:{}", manifest.id, topic.id)
}

async fn cluster_size(client: &Client) -> Result<i32, BackupError> {
    let cluster: pb::GetClusterResponse = client.call("GetCluster", &pb::GetClusterRequest {}).await?;
    Ok(i32::try_from(cluster.members.len()).unwrap_or(i32::MAX).max(1))
}

/// Commits what groups had committed on the topic; names the groups.
async fn commit(
    client: &Client,
    manifest: &Manifest,
    one: &Selected<'_>,
) -> Result<Vec<String>, BackupError> {
    let mut by_group: BTreeMap<&str, Vec<pb::PartitionOffset>> = BTreeMap::new();
    for group in &manifest.groups {
        let ours = group.offsets.iter().filter(|offset| offset.topic == one.topic.name);
        let offsets = ours.map(|offset| pb::PartitionOffset {
            topic: one.target.to_owned(),
            partition: i32::try_from(offset.partition).unwrap_or(i32::MAX),
            offset: offset.offset,
            metadata: offset.metadata.clone(),
        });
        by_group.entry(&group.group).or_default().extend(offsets);
    }
    by_group.retain(|_, offsets| !offsets.is_empty());
    let groups = by_group.keys().map(|group| (*group).to_owned()).collect();
    for (group, offsets) in by_group {
        client.commit(group, offsets).await?;
    }
    Ok(groups)
}
