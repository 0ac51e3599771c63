//! When the state is written, and when its files go.

use std::path::Path;
use std::sync::atomic::Ordering;

use flymq_types::{Marker, RecordBatch};

use super::snapshot::{SUFFIX, Snapshot, path};
use super::{NewSequence, ProducerTable, Producers, is_control, is_unnumbered};
use crate::disk::Disk;
use crate::error::{IoContext, Result};
use crate::log::{LogInner, ProducerLimits, Writer};
use crate::segment::parse_name;

impl LogInner {
    /// Before the first batch that names a producer is written: from now on a start looks for them.
    pub(in crate::log) fn begin_producers(&self, writer: &mut Writer, run: &[RecordBatch]) -> Result<()> {
        if writer.producers.is_kept() || !run.iter().any(names_producer) {
            return Ok(());
        }
        self.store_producers(writer)
    }

    /// Notes batches that were just appended.
    pub(in crate::log) fn note_producers(
        &self,
        writer: &mut Writer,
        run: &[RecordBatch],
        limits: ProducerLimits,
    ) {
        if !writer.producers.is_kept() {
            return;
        }
        let table = &mut writer.producers.table;
        for batch in run {
            if let Some(change) = table.note(batch.header(), marker_of(batch), limits) {
                self.has_transactions.store(true, Ordering::Release);
                self.transactions.lock().apply(change);
            }
        }
        self.producer_ids.store(table.len() as u64, Ordering::Relaxed);
        self.producers_evicted.store(table.evicted, Ordering::Relaxed);
    }

    /// Where a segment is closed: what is behind it can go afterwards. A log all of whose producers have expired is one
    /// without producers again.
    pub(in crate::log) fn snapshot_producers(&self, writer: &mut Writer) -> Result<()> {
        let limits = self.config.lock().producers;
        let producers = &mut writer.producers;
        if !producers.is_kept() || producers.snapshots.last() == Some(&writer.tip.next_offset) {
            return Ok(());
        }
        producers.table.forget_expired(writer.tip.append_time, limits);
        if producers.table.is_empty() {
            let all = std::mem::take(&mut producers.snapshots);
            self.remove_snapshots(&all);
            return Ok(());
        }
        self.store_producers(writer)
    }

    /// Has a snapshot of the end of a batch, before those in front of it go, or those behind it are cut off. Most often there
    /// is one: not so where a crash has closed a segment.
    pub(in crate::log) fn cover_producers(&self, writer: &mut Writer, end: u64) -> Result<()> {
        let snapshots = &mut writer.producers.snapshots;
        let at = snapshots.partition_point(|known| *known <= end);
        let Some(newest) = at.checked_sub(1).and_then(|before| snapshots.get(before)) else { return Ok(()) };
        let (disk, dir) = (&*self.context.vital, self.place.dir.as_path());
        let listed = *newest == end;
        if listed && Snapshot::load(disk, dir, end)?.is_some() {
            return Ok(());
        }
        let limits = self.config.lock().producers;
        let segments = self.view.lock().segments.clone();
        let older = &snapshots[..at - usize::from(listed)];
        let table = ProducerTable::rebuild((disk, dir), older, &segments, end, limits)?;
        Snapshot::store(disk, dir, end, &table)?;
        if !listed {
            snapshots.insert(at, end);
        }
        Ok(())
    }

    /// Once segments have gone: snapshots that nobody needs any more go, too. The newest one at or before the first segment
    /// stays.
    pub(in crate::log) fn prune_producers(&self) {
        let first = self.view.lock().segments.first().map(|view| view.segment.base_offset);
        let gone: Vec<u64> = {
            let mut writer = self.writer.lock();
            let start = self.start.load(Ordering::Acquire);
            writer.producers.table.forget_below(start);
            self.transactions.lock().forget_below(start);
            let snapshots = &mut writer.producers.snapshots;
            let needed =
                first.map_or(snapshots.len(), |first| snapshots.partition_point(|end| *end <= first));
            snapshots.drain(..needed.saturating_sub(1)).collect()
        };
        self.remove_snapshots(&gone);
    }

    /// The state of the log's new end, once it is cut there; files behind it are gone.
    pub(in crate::log) fn rewind_producers(&self, writer: &mut Writer) -> Result<()> {
        if !writer.producers.is_kept() {
            return Ok(());
        }
        let limits = self.config.lock().producers;
        let mut snapshots = std::mem::take(&mut writer.producers.snapshots);
        snapshots.retain(|end| *end <= writer.tip.next_offset);
        let evicted = writer.producers.table.evicted;
        let segments = self.view.lock().segments.clone();
        let place = (&*self.context.vital, self.place.dir.as_path());
        writer.producers = Producers::rebuild(place, snapshots, &segments, limits)?;
        writer.producers.table.evicted = evicted;
        self.show_transactions(&writer.producers.table);
        Ok(())
    }

    /// Lets readers see the transactions of a log whose content is another one now.
    pub(in crate::log) fn show_transactions(&self, table: &ProducerTable) {
        if !table.transactions().is_empty() {
            self.has_transactions.store(true, Ordering::Release);
        }
        *self.transactions.lock() = table.transactions().clone();
    }

    /// Batches from `from` on that had been damaged are there again: whoever appended them is known again.
    pub(in crate::log) fn mend_producers(&self, from: u64, given: &[RecordBatch]) -> Result<()> {
        let mut writer = self.writer.lock();
        if !writer.producers.is_kept() && !given.iter().any(names_producer) {
            return Ok(());
        }
        let limits = self.config.lock().producers;
        let segments = self.view.lock().segments.clone();
        let place = (&*self.context.vital, self.place.dir.as_path());
        let snapshots = &mut writer.producers.snapshots;
        let mut wrong = snapshots.split_off(snapshots.partition_point(|end| *end <= from));
        let table = ProducerTable::rebuild(place, &writer.producers.snapshots, &segments, u64::MAX, limits)?;
        let evicted = writer.producers.table.evicted;
        writer.producers.table = table;
        writer.producers.table.evicted = evicted;
        self.show_transactions(&writer.producers.table);
        self.store_producers(&mut writer)?;
        wrong.retain(|end| *end != writer.tip.next_offset);
        self.remove_snapshots(&wrong);
        Ok(())
    }

    fn store_producers(&self, writer: &mut Writer) -> Result<()> {
        let (disk, dir, end) = (&*self.context.vital, &self.place.dir, writer.tip.next_offset);
        Snapshot::store(disk, dir, end, &writer.producers.table)?;
        writer.producers.snapshots.push(end);
        Ok(())
    }

    /// One that stays does no harm: it is true of the log.
    fn remove_snapshots(&self, ends: &[u64]) {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        for end in ends {
            if let Err(error) = disk.remove_file(&path(dir, *end)) {
                tracing::debug!(log = %dir.display(), end, %error, "a snapshot of producers is not removed");
            }
        }
    }
}

/// Whether a batch changes what is known of its producer.
fn names_producer(batch: &RecordBatch) -> bool {
    let header = batch.header();
    NewSequence::of(header).is_some() || is_control(header) || is_unnumbered(header)
}

/// The marker that a batch is.
pub(crate) fn marker_of(batch: &RecordBatch) -> Option<Marker> {
    is_control(batch.header()).then(|| Marker::parse(batch.header(), batch.payload())).flatten()
}

/// Removes the snapshots of what a log does not have any more; the caller syncs the directory. Those of ends up to `end`
/// stay.
pub(crate) fn remove_behind(disk: &dyn Disk, dir: &Path, end: Option<u64>) -> Result<bool> {
    let mut removed = false;
    for entry in disk.list(dir).on("list", dir)? {
        let Some(of) = parse_name(&entry.name, SUFFIX) else { continue };
        if end.is_none_or(|end| of > end) {
            disk.remove_file(&dir.join(&entry.name)).on("remove", &dir.join(&entry.name))?;
            removed = true;
        }
    }
    Ok(removed)
}

/// Says durably of a log that was just put together that its batches may name producers.
pub(crate) fn begin(disk: &dyn Disk, dir: &Path, base: u64) -> Result<()> {
    Snapshot::store(disk, dir, base, &ProducerTable::default())
}
