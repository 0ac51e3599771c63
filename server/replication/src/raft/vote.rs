//! What a node must not forget beside its log: whom it voted for; and what it need not: how far the group was.

use std::path::Path;

use bytes::Bytes;
use flymq_storage::Disk;

use super::codec::{CodecError, Reader, done, get_log_id, get_vote, put_log_id, put_vote};
use super::slots::Slots;
use super::types::{LogId, Vote};
use crate::files::error::{Result, damaged};

const VOTE_MAGIC: [u8; 8] = *b"FLYMQRVT";
const COMMITTED_MAGIC: [u8; 8] = *b"FLYMQRCM";

/// The vote. Forgetting one can elect two leaders in one term.
#[derive(Debug)]
pub(crate) struct VoteFile {
    slots: Slots,
    vote: Option<Vote>,
}

impl VoteFile {
    /// Opens or creates the file; an `Err` in `create` refuses to create it, with that reason.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, create: Result<(), String>) -> Result<Self> {
        if let Some((slots, value)) = Slots::open(disk, path, VOTE_MAGIC)? {
            return Ok(Self { slots, vote: value.map(|value| read(path, value, get_vote)).transpose()? });
        }
        create.map_err(|reason| damaged(path, reason))?;
        Ok(Self { slots: Slots::create(disk, path, VOTE_MAGIC)?, vote: None })
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// Returns when the vote is on the disk. After an error the file must not be used again.
    pub(crate) fn store(&mut self, vote: Vote) -> Result<()> {
        let mut value = Vec::new();
        put_vote(&mut value, &vote);
        self.slots.write(&value)?;
        if !cfg!(mutant = "meta_no_fdatasync") && !cfg!(mutant = "raft_vote_not_synced") {
            self.slots.sync()?;
        }
        self.vote = Some(vote);
        Ok(())
    }
}

/// How far this node knew the group to have committed, so that its image is the same right after a restart. Never
/// synced: what is missing comes again from the leader.
#[derive(Debug)]
pub(crate) struct CommittedFile {
    slots: Slots,
    committed: Option<LogId>,
}

impl CommittedFile {
    /// Opens the file; one that is missing or unreadable is made anew.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let opened = Slots::open(disk, path, COMMITTED_MAGIC).ok().flatten();
        let value = opened.and_then(|(slots, value)| {
            let committed = value.map(|value| read(path, value, get_log_id)).transpose().ok()?;
            Some(Self { slots, committed })
        });
        match value {
            Some(file) => Ok(file),
            None => Ok(Self { slots: Slots::create(disk, path, COMMITTED_MAGIC)?, committed: None }),
        }
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.committed
    }

    /// Notes it. A disk that does not take it is no failure of the node.
    pub(crate) fn store(&mut self, committed: Option<LogId>) {
        self.committed = committed;
        let Some(id) = committed else { return };
        let mut value = Vec::new();
        put_log_id(&mut value, &id);
        if let Err(error) = self.slots.write(&value) {
            tracing::warn!(%error, "could not note how far the metadata is committed");
        }
    }
}

fn read<T>(path: &Path, value: Vec<u8>, get: fn(&mut Reader) -> Result<T, CodecError>) -> Result<T> {
    let from = &mut Reader::new(Bytes::from(value));
    let value = get(from).and_then(|value| done(from, value));
    value.map_err(|error| damaged(path, error.to_string()))
}
