//! What the log may forget: the entries that the snapshot on this node's disk covers.
//!
//! openraft takes a snapshot from its leader and purges the log up to it without waiting for the snapshot to be on the disk
//! (`install_full_snapshot` of 0.9). A node that stopped between the two would have neither the entries nor what they led to.

use std::sync::Arc;

use tokio::sync::watch;

use super::types::LogId;

/// Clones are about one snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Covered(Arc<watch::Sender<Reach>>);

#[derive(Debug)]
struct Reach {
    upto: Option<LogId>,
    /// No snapshot is written any more.
    failed: Option<String>,
}

impl Covered {
    /// By what was found on the disk.
    pub(crate) fn new(upto: Option<LogId>) -> Self {
        Self(Arc::new(watch::Sender::new(Reach { upto, failed: None })))
    }

    /// The last entry that the snapshot on the disk covers.
    pub(crate) fn upto(&self) -> Option<LogId> {
        self.0.borrow().upto
    }

    /// A snapshot that goes so far is on the disk.
    pub(super) fn reached(&self, upto: Option<LogId>) {
        self.0.send_modify(|reach| reach.upto = reach.upto.max(upto));
    }

    pub(super) fn failed(&self, reason: &str) {
        self.0.send_modify(|reach| reach.failed = Some(reason.to_owned()));
    }

    /// Returns when the snapshot on the disk covers the entry.
    ///
    /// # Errors
    /// Why it never will.
    pub(super) async fn wait_for(&self, entry: LogId) -> Result<(), String> {
        let mut reach = self.0.subscribe();
        // The sender lives in `self`.
        let reached = reach.wait_for(|reach| reach.upto >= Some(entry) || reach.failed.is_some()).await;
        match reached.map(|reach| reach.failed.clone().filter(|_| reach.upto < Some(entry))) {
            Ok(Some(reason)) => Err(format!("its snapshot was not written: {reason}")),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}
