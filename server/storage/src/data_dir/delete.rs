//! Deleting logs and topics so that a crash leaves them there or gone, never half.
//!
//! The directory is renamed to `<name>.deleted` and its parent synced: from then on it is gone for every start. Only
//! then its files go.

use std::path::{Path, PathBuf};

use flymq_types::{PartitionId, TopicId};

use super::{DataDir, Slot};
use crate::disk::Disk;
use crate::error::{IoContext, Result};

const DELETED: &str = ".deleted";
/// Our own trees are two levels deep.
const MAX_DEPTH: usize = 4;

impl DataDir {
    /// Deletes a log; open handles answer `Closed`. A log without files is no error. Not to be called while another
    /// thread opens the same log.
    pub fn delete_log(&self, topic: TopicId, partition: PartitionId) -> Result<()> {
        let mut open = self.open.lock();
        if let Some(log) = open.remove(&(topic, partition)).as_ref().and_then(Slot::log) {
            log.close();
        }
        let topic_dir = self.context.topics.join(topic.to_string());
        delete_dir(&*self.context.vital, &topic_dir, &partition.to_string())
    }

    /// Deletes all logs of a topic; open handles answer `Closed`. A topic without files is no error.
    pub fn delete_topic(&self, topic: TopicId) -> Result<()> {
        let mut open = self.open.lock();
        open.retain(|key, slot| {
            if key.0 == topic
                && let Some(log) = slot.log()
            {
                log.close();
            }
            key.0 != topic
        });
        delete_dir(&*self.context.vital, &self.context.topics, &topic.to_string())
    }

    /// Removes what deletions before a crash had renamed.
    pub(super) fn finish_deletions(&self) -> Result<()> {
        let (disk, topics) = (&*self.context.vital, &self.context.topics);
        for topic in disk.list(topics).on("list", topics)? {
            let path = topics.join(&topic.name);
            if topic.name.ends_with(DELETED) {
                remove_tree(disk, &path, MAX_DEPTH)?;
            } else if topic.is_dir {
                let partitions = disk.list(&path).on("list", &path)?;
                let deleted = partitions.iter().filter(|partition| partition.name.ends_with(DELETED));
                deleted
                    .map(|partition| path.join(&partition.name))
                    .try_for_each(|path: PathBuf| remove_tree(disk, &path, MAX_DEPTH))?;
            }
        }
        Ok(())
    }
}

fn delete_dir(disk: &dyn Disk, parent: &Path, name: &str) -> Result<()> {
    let path = parent.join(name);
    if !disk.exists(&path).on("look for", &path)? {
        return Ok(());
    }
    let deleted = parent.join(format!("{name}{DELETED}"));
    if disk.exists(&deleted).on("look for", &deleted)? {
        remove_tree(disk, &deleted, MAX_DEPTH)?;
    }
    if cfg!(mutant = "delete_in_place") {
        return remove_tree(disk, &path, MAX_DEPTH);
    }
    disk.rename(&path, &deleted).on("rename", &path)?;
    disk.sync_dir(parent).on("sync directory", parent)?;
    remove_tree(disk, &deleted, MAX_DEPTH)
}

fn remove_tree(disk: &dyn Disk, path: &Path, depth: usize) -> Result<()> {
    for entry in disk.list(path).on("list", path)? {
        let child = path.join(&entry.name);
        if entry.is_dir && depth > 0 {
            remove_tree(disk, &child, depth - 1)?;
        } else {
            disk.remove_file(&child).on("remove", &child)?;
        }
    }
    disk.remove_dir(path).on("remove", path)
}
