//! Messages that become visible later: delayed, at a time, or again and again (docs/adr/0009-scheduled-messages.md,
//! docs/scheduled-messages.md). They stand in the internal topic `__schedules` until they are due.
//!
//! ```text
//! calls ──► log of __schedules ──► book (pure) ──► due: Firing in the log ──► idempotent batch to the target ──► Fired in the log
//! ```
//!
//! On a cluster the messages for a topic are kept by the leader of its partition of `__schedules`: it reads them when its term begins, and goes
//! on with what was on its way.

mod book;
mod calls;
mod coordinate;
mod cron;
mod deliver;
mod fire;
mod id;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod trim;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::durable_map::{DurableLogs, MapLog};
use crate::error::EngineError;
use crate::produce::Appended;
use book::Book;
pub use calls::{Delivered, NewSchedule, Scheduled, When};
pub use deliver::SchedulePeers;
pub use id::{InvalidScheduleId, ScheduleId};
use record::Shot;

/// The internal topic that holds the messages that are not due yet.
pub const SCHEDULES_TOPIC: &str = "__schedules";

/// All scheduled messages that this node keeps.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    kept: DurableLogs<Book>,
    /// Something may be due earlier than was known, or may go on.
    wake: Arc<Notify>,
    /// The producer of the next batches, and its next epoch.
    producer: tokio::sync::Mutex<Option<Shot>>,
    /// Those who wait for one batch.
    waiting: Mutex<HashMap<Shot, oneshot::Sender<Result<Appended, EngineError>>>>,
    /// On a cluster: how the other nodes are reached.
    peers: OnceLock<Arc<dyn SchedulePeers>>,
}

/// One partition of `__schedules`.
type SchedulesLog = MapLog<Book>;
