//! The entries that the log has, in memory: the metadata log is small, and openraft reads each entry at least twice.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

use super::frame::Frame;
use crate::raft::types::{Entry, LogId};

/// The log from behind the purged entries to its end, without gaps.
#[derive(Debug, Default)]
pub(super) struct Window {
    purged: Option<LogId>,
    entries: VecDeque<Entry>,
}

impl Window {
    /// The last entry that is gone.
    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last entry there was, also if it is gone.
    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    pub(super) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// The index of the first entry that is here, or the first one that could be.
    fn start(&self) -> u64 {
        let after_purged = self.purged.map_or(0, |id| id.index + 1);
        self.entries.front().map_or(after_purged, |entry| entry.log_id.index)
    }

    /// Whether a step can follow what is here. An empty log may go on anywhere behind what was purged.
    pub(super) fn check(&self, frame: &Frame) -> Result<(), String> {
        match frame {
            Frame::Append(entries) => {
                let mut next = self.entries.back().map(|entry| entry.log_id.index + 1);
                for Entry { log_id, .. } in entries {
                    if log_id.index < self.start() || next.is_some_and(|next| next != log_id.index) {
                        let last =
                            self.last().map_or("nothing".to_owned(), |id| format!("entry {}", id.index));
                        return Err(format!("entry {} cannot follow {last}", log_id.index));
                    }
                    next = Some(log_id.index + 1);
                }
                Ok(())
            }
            Frame::Truncate(since) if self.purged.is_some_and(|purged| *since <= purged.index) => {
                Err(format!("entry {since} cannot be cut: it was purged"))
            }
            Frame::Truncate(_) | Frame::Purge(_) => Ok(()),
        }
    }

    /// Takes a step that [`Window::check`] has let pass.
    pub(super) fn apply(&mut self, frame: Frame) {
        match frame {
            Frame::Append(entries) => self.entries.extend(entries),
            Frame::Truncate(since) => self.entries.truncate(self.position(since)),
            Frame::Purge(upto) => {
                self.entries.drain(..self.position(upto.index.saturating_add(1)));
                self.purged = self.purged.max(Some(upto));
            }
        }
    }

    /// The entries that are here of a range of indexes.
    pub(super) fn range(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = &Entry> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let (from, to) = (self.position(from), self.position(to));
        self.entries.range(from..to.max(from))
    }

    /// Where an index is in `entries`, or the nearest end.
    fn position(&self, index: u64) -> usize {
        let position = usize::try_from(index.saturating_sub(self.start())).unwrap_or(usize::MAX);
        position.min(self.entries.len())
    }
}
