//! What belongs to one connection and ends with it: the queue before its socket, and the questions without an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_proto::internal as pb;
use tokio_util::sync::CancellationToken;

use super::calls::{Calls, GiveUp};
use super::lane::PeerLane;
use super::outbox::{NotTaken, Outbound, Outbox};
use super::packet::{Kind, encode};
use super::stats::PeerStats;
use crate::peer::PeerError;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) lane: PeerLane,
    pub(super) outbox: Outbox,
    pub(super) calls: Calls,
    /// Cancelled: it is to end.
    pub(super) gone: CancellationToken,
    stats: Arc<PeerStats>,
}

impl Connection {
    /// `bound`: bytes that wait for the socket.
    pub(super) fn new(lane: PeerLane, bound: usize, stats: Arc<PeerStats>) -> Self {
        Self {
            lane,
            outbox: Outbox::new(bound),
            calls: Calls::default(),
            gone: CancellationToken::new(),
            stats,
        }
    }

    /// Queues a packet, or drops and counts it.
    pub(super) fn push(&self, packet: Outbound) -> Result<(), NotTaken> {
        self.outbox.push(packet).map_err(|(why, _dropped)| {
            self.stats.add_dropped(self.lane, 1);
            why
        })
    }

    /// So many bytes of the queue were written, or the socket has failed.
    pub(super) fn wrote(&self, bytes: usize) {
        self.outbox.release(bytes);
        self.stats.add_sent(self.lane, bytes);
    }

    /// Nothing goes out any more; whoever waits is told so.
    pub(super) fn close(&self, reason: &str) {
        self.gone.cancel();
        let waiting = self.outbox.close();
        self.stats.add_dropped(self.lane, waiting.len());
        self.calls.end(reason);
    }

    /// Asks, and waits for the answer.
    pub(super) async fn call(
        &self,
        (kind, call): (Kind, u8),
        body: Bytes,
        within: Duration,
        max: usize,
    ) -> Result<Bytes, PeerError> {
        let (id, answer) = self.calls.begin()?;
        let _given_up = GiveUp { calls: &self.calls, id };
        let head = pb::PeerRequestHead { id, call: call.into() };
        let unreachable = |reason: String| PeerError::Unreachable { reason };
        let Some(head) = encode(kind, &head, body.len(), max) else {
            return Err(unreachable(format!("a request of {} bytes is too long", body.len())));
        };
        let packet = Outbound { call: Some(id), ..Outbound::new(head, body) };
        match self.push(packet) {
            Ok(()) => {}
            Err(NotTaken::Full) => {
                return Err(unreachable("too much waits for this node already".to_owned()));
            }
            Err(NotTaken::Closed) => return Err(self.calls.give_up(id, "the connection has ended")),
        }
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(PeerError::Lost { reason: "the connection has ended".to_owned() }),
            Err(_) => Err(self.calls.give_up(id, &format!("nothing within {} ms", within.as_millis()))),
        }
    }
}
