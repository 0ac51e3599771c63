//! Batches that were not synced may reach the disk out of order in a power cut: a log then has a gap in front of later batches and
//! refuses its offsets (docs/known-limits.md). Such a seed ends there, and is counted; nothing that was acknowledged may be in a gap. Topics
//! that keep the broker's own state have none: their batches follow each other once they are durable.

use flymq_engine::Engine;

use super::book::Book;
use super::counts::{Broken, Event};
use super::queue::QUEUE;
use crate::support::*;

/// Whether there is a gap in any log.
pub(super) fn found(engine: &Engine, book: &mut Book) -> bool {
    let damaged = engine.storage_health().damaged;
    for info in engine.topic(&topic(QUEUE)).into_iter().flat_map(|queue| queue.partitions) {
        for (start, end) in &info.quarantined {
            let lost = book.queue.stored_in(info.partition.get(), start.get(), end.get());
            if !lost.is_empty() {
                book.counts.broke(Broken::Lost, &format!("{QUEUE}: acknowledged, and damaged: {lost:?}"));
            }
        }
    }
    for (own, partition) in damaged.iter().filter(|(topic, _)| topic.as_str().starts_with("__")) {
        book.counts.broke(Broken::OwnGaps, &format!("{own}/{partition}"));
    }
    book.counts.happened(Event::Gaps, u64::from(!damaged.is_empty()));
    !damaged.is_empty()
}
