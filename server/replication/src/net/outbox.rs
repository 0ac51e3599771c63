//! What waits for a socket: bounded in bytes, in the order in which it was given.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::link::Sent;

/// Tells that a frame is on its way or dropped: exactly once, whatever becomes of it.
#[derive(Default)]
pub(super) struct OnSent(Option<Sent>);

impl OnSent {
    pub(super) fn new(sent: Option<Sent>) -> Self {
        Self(sent)
    }
}

impl Drop for OnSent {
    fn drop(&mut self) {
        if let Some(sent) = self.0.take() {
            sent();
        }
    }
}

/// A packet to be written. Whoever drops it says so ([`OnSent`]): never under a lock.
pub(super) struct Outbound {
    /// Prefix and head.
    pub(super) head: Bytes,
    /// Written as it is, never copied.
    pub(super) body: Bytes,
    /// The question in it: not written where nobody waits for the answer any more.
    pub(super) call: Option<u64>,
    pub(super) sent: OnSent,
}

impl Outbound {
    pub(super) fn new(head: Bytes, body: Bytes) -> Self {
        Self { head, body, call: None, sent: OnSent::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    Full,
    Closed,
}

/// The queue before one socket.
pub(super) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    bound: usize,
}

struct State {
    open: bool,
    queue: VecDeque<Outbound>,
    /// Queued or being written.
    bytes: usize,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "Outbox({} packets, {} of {} bytes)", state.queue.len(), state.bytes, self.bound)
    }
}

impl Outbox {
    pub(super) fn new(bound: usize) -> Self {
        let state = State { open: true, queue: VecDeque::new(), bytes: 0 };
        Self { state: Mutex::new(state), filled: Notify::new(), bound }
    }

    /// Queues a packet. One that is larger than the bound is taken where nothing else waits.
    pub(super) fn push(&self, packet: Outbound) -> Result<(), (NotTaken, Outbound)> {
        {
            let mut state = self.state.lock();
            if !state.open {
                return Err((NotTaken::Closed, packet));
            }
            if state.bytes > 0 && state.bytes.saturating_add(packet.len()) > self.bound {
                return Err((NotTaken::Full, packet));
            }
            state.bytes += packet.len();
            state.queue.push_back(packet);
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Moves what waits into `batch`, up to about `bytes` and up to `packets`; waits until there is something. How many
    /// bytes that is: to be released. Nothing is lost if it is dropped.
    pub(super) async fn take(&self, batch: &mut Vec<Outbound>, packets: usize, bytes: usize) -> usize {
        loop {
            let filled = self.filled.notified();
            let taken = self.take_now(batch, packets, bytes);
            if taken > 0 {
                return taken;
            }
            filled.await;
        }
    }

    fn take_now(&self, batch: &mut Vec<Outbound>, packets: usize, bytes: usize) -> usize {
        let mut state = self.state.lock();
        let mut taken = 0;
        while batch.len() < packets && taken < bytes {
            let Some(packet) = state.queue.pop_front() else { break };
            taken += packet.len();
            batch.push(packet);
        }
        taken
    }

    /// So much of what was taken is written, or will not be.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Nothing more is taken; what waits is handed out, to be dropped.
    pub(super) fn close(&self) -> VecDeque<Outbound> {
        let mut state = self.state.lock();
        state.open = false;
        std::mem::take(&mut state.queue)
    }
}
