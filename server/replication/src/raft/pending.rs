//! Proposals of this process whose outcome somebody waits for.
//!
//! Every node applies every entry and so knows its outcome by itself: a node that sent its proposal to the leader
//! needs no answer with the replies in it, only its own log.

use std::collections::BTreeMap;
use std::sync::Arc;

use flymq_engine::meta::{Applied, Rejection};
use flymq_types::Rng;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::types::{ProposalId, RaftId};

/// What a proposal came to.
pub(crate) type Outcome = Result<Applied, Rejection>;

#[derive(Debug)]
struct Waiting {
    outcome: Option<oneshot::Sender<Outcome>>,
    /// It has been in this node's log: it may take effect, whatever openraft says afterwards.
    entered_the_log: bool,
}

/// The proposals under way, by id.
#[derive(Debug)]
pub(crate) struct Pending {
    origin: RaftId,
    run: u64,
    waiting: Mutex<(u64, BTreeMap<ProposalId, Waiting>)>,
}

impl Pending {
    pub(crate) fn new(origin: RaftId, rng: &dyn Rng) -> Self {
        Self { origin, run: rng.next_u64(), waiting: Mutex::default() }
    }

    /// A new proposal of this node, and what will tell its outcome.
    pub(crate) fn begin(self: &Arc<Self>) -> (Ticket, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        let (next, waiting) = &mut *self.waiting.lock();
        *next += 1;
        let id = ProposalId { origin: self.origin, run: self.run, number: *next };
        waiting.insert(id, Waiting { outcome: Some(sender), entered_the_log: false });
        (Ticket { pending: self.clone(), id }, receiver)
    }

    /// Follows a proposal of another node on its way into the log; its outcome is told where it comes from.
    pub(crate) fn follow(self: &Arc<Self>, id: ProposalId) -> Ticket {
        self.waiting.lock().1.insert(id, Waiting { outcome: None, entered_the_log: false });
        Ticket { pending: self.clone(), id }
    }

    pub(crate) fn entered_the_log(&self, id: ProposalId) {
        if let Some(waiting) = self.waiting.lock().1.get_mut(&id) {
            waiting.entered_the_log = true;
        }
    }

    /// Tells the outcome to who waits for it, if anyone does.
    pub(crate) fn applied(&self, id: ProposalId, outcome: Outcome) {
        let waiting = self.waiting.lock().1.get_mut(&id).and_then(|waiting| waiting.outcome.take());
        if let Some(sender) = waiting {
            // Who waited may be gone.
            let _gone = sender.send(outcome);
        }
    }
}

/// A proposal under way; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    pending: Arc<Pending>,
    id: ProposalId,
}

impl Ticket {
    pub(crate) fn id(&self) -> ProposalId {
        self.id
    }

    /// Whether it has been in this node's log since the ticket was made. A transport that brings a request twice makes
    /// two tickets; when one of them is gone, nothing is sure any more.
    pub(crate) fn entered_the_log(&self) -> bool {
        self.pending.waiting.lock().1.get(&self.id).is_none_or(|waiting| waiting.entered_the_log)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.waiting.lock().1.remove(&self.id);
    }
}
