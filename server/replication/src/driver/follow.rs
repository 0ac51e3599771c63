//! What a follower does to its log.

use std::sync::atomic::Ordering;

use flymq_storage::{Log, SegmentSpan, StorageError};
use flymq_types::{Offset, RecordBatch};

use super::chain::chain_before;
use super::runner::Runner;
use crate::replica::{Chunk, Frame, ReplicaEvent};
use crate::task::in_place;

/// Bytes, about.
const FAR_BEHIND: u128 = 16 << 20;

impl Runner {
    /// Appends what of the frame's batches lies at and above `from`, the end of the log.
    pub(super) fn append_range(&mut self, from: Offset) {
        let Some(log) = self.log.clone() else { return };
        let mut batches = std::mem::take(&mut self.incoming);
        batches.retain(|batch| batch.next_offset() > from);
        let heavy = std::mem::take(&mut self.joins) || log.start_offset() == log.end_offset();
        self.unsynced += batches.iter().map(RecordBatch::size).sum::<usize>();
        let append = || append(&log, from, &batches, heavy);
        match if heavy { in_place(append) } else { append() } {
            Ok(()) => {
                (self.wants_sync, self.refused) = (true, None);
                self.sync_behind(&log);
                if cfg!(mutant = "driver_acks_what_it_appended") {
                    let (end, generation) = (log.end_offset(), self.replica.log().generation);
                    self.soon.push_back(ReplicaEvent::LocalDurable { end, generation });
                }
            }
            Err(error) => self.log_refused(&error),
        }
    }

    /// A replica that is far behind writes what nobody is about to read: its page cache is let go behind it.
    pub(super) fn look_how_far_behind(&mut self, frame: &Frame) {
        let Frame::Range { head, chunk } = frame else { return };
        let records = chunk.until.get().saturating_sub(chunk.first.get()).max(1);
        let missing = head.high_watermark.get().saturating_sub(chunk.until.get());
        let bytes = u128::from(missing) * chunk.raw.len() as u128 / u128::from(records);
        let end = || self.log.as_ref().map(Log::end_offset);
        self.cold = if bytes < FAR_BEHIND { None } else { self.cold.or_else(end) };
    }

    /// Each range by itself: behind one large sync all others on this disk would wait (ADR 6).
    fn sync_behind(&mut self, log: &Log) {
        let Some(from) = self.cold else { return };
        self.was_at_disk = true;
        if in_place(|| log.sync_alone()) {
            (self.wants_sync, self.unsynced) = (false, 0);
        }
        match in_place(|| log.drop_page_cache(from)) {
            Ok(next) => self.cold = Some(next),
            Err(error) => tracing::debug!(partition = %self.shared.at, %error, "the page cache is kept"),
        }
    }

    /// Cuts the log; the state machine counts this as `generation`.
    pub(super) fn truncate(&mut self, end: Offset, generation: u32) {
        let Some(log) = self.log.clone() else { return };
        let committed = self.committed();
        let from = log.end_offset();
        self.was_at_disk = true;
        let cut = in_place(|| log.truncate_to(end, committed));
        if let Ok(to) = &cut {
            tracing::info!(partition = %self.shared.at, %from, %to, %committed, "the log is cut to its leader's");
        }
        self.cut_done(generation, cut.map(|cut| (cut == end).then_some(())));
    }

    /// Empties the log; it goes on at `start`.
    pub(super) fn reset(&mut self, start: Offset, generation: u32) {
        let Some(log) = self.log.clone() else { return };
        let (from, committed) = (log.end_offset(), self.committed());
        self.was_at_disk = true;
        let emptied = if start < committed.min(from) {
            Err(StorageError::Committed { end: start, committed })
        } else {
            tracing::info!(partition = %self.shared.at, %from, to = %start, "the log begins anew: its leader's begins later");
            in_place(|| log.begin_install(start, 0)?.finish(start))
        };
        self.cut_done(generation, emptied.map(Some));
    }

    /// Everything below is never cut off, whatever a leader says: it is known to be committed, and a leader that lacks it
    /// has lost it, as where its disk went back to an earlier state. The state machine's high watermark does not tell: it
    /// has followed the leader already.
    fn committed(&self) -> Offset {
        let known = self.shared.high.load(Ordering::Acquire);
        Offset(if cfg!(mutant = "driver_cuts_what_is_committed") { 0 } else { known })
    }

    fn cut_done(&mut self, generation: u32, done: Result<Option<()>, StorageError>) {
        self.last_read = None;
        self.set_generation(generation);
        match done {
            Ok(Some(())) => self.tell_durable(),
            // It was cut at the batch's beginning: what the state machine thinks is wrong.
            Ok(None) => self.log_differs(),
            Err(error) => self.log_refused(&error),
        }
    }

    /// Deletes everything below `start`.
    pub(super) fn advance_start(&mut self, start: Offset) {
        let Some(log) = self.log.clone() else { return };
        if start <= log.start_offset() {
            return;
        }
        self.was_at_disk = true;
        if let Err(error) = in_place(|| log.advance_start(start, Offset::MAX)) {
            tracing::warn!(partition = %self.shared.at, %start, %error, "old records could not be deleted");
            if log.failure().is_some() {
                self.fail(&error);
            }
        }
    }

    /// Puts another replica's bytes in place of damaged ones.
    pub(super) fn repair(&mut self, chunk: &Chunk) {
        let Some(log) = self.log.clone() else { return };
        let batches = std::mem::take(&mut self.incoming);
        let Some(first) = batches.first() else { return };
        let span = crate::replica::Span { from: chunk.first, until: chunk.until };
        let chain = chain_before(first);
        self.was_at_disk = true;
        match in_place(|| log.repair(chunk.first..chunk.until, chain, &batches)) {
            Ok(_repaired) => {
                tracing::info!(partition = %self.shared.at, from = %span.from, until = %span.until, "damaged records are mended");
                self.soon.push_back(ReplicaEvent::Repaired(span));
            }
            Err(error) => {
                tracing::warn!(partition = %self.shared.at, %error, "damaged records could not be mended");
                if log.failure().is_some() {
                    self.fail(&error);
                }
            }
        }
    }
}

/// Appends batches of the leader; `joins`: the first ones since this node began to follow it.
fn append(log: &Log, from: Offset, batches: &[RecordBatch], joins: bool) -> Result<(), StorageError> {
    let Some(first) = batches.first() else { return Ok(()) };
    if joins {
        // Forgets epochs that this node began and wrote nothing in.
        log.truncate_to(from, Offset::ZERO)?;
    }
    let empty = log.start_offset() == log.end_offset();
    if empty && (first.base_offset() < from || log.link_before(from)?.chain != chain_before(first)) {
        return install(log, from, first, batches);
    }
    log.append_replica(batches).map(|_replicated| ())
}

/// The first batches of an empty log that begins in the middle of its leader's, perhaps inside of a batch.
fn install(
    log: &Log,
    from: Offset,
    first: &RecordBatch,
    batches: &[RecordBatch],
) -> Result<(), StorageError> {
    let Some(last) = batches.last() else { return Ok(()) };
    let (base, chain) = (first.base_offset(), chain_before(first));
    let mut install = log.begin_install(base, chain)?;
    install.begin_segment(&SegmentSpan {
        base,
        end: last.next_offset(),
        chain,
        next_chain: last.header().server.chain,
        cleaned: false,
        bytes: batches.iter().map(|batch| batch.size() as u64).sum(),
    })?;
    install.push(batches)?;
    install.finish(from)
}
