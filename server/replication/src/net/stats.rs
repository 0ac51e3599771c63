//! What the network counts: for metrics, and for whoever asks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use metrics::{Counter, Gauge, counter, gauge};

use super::lane::PeerLane;
use super::refusal::Refusal;

const LANES: usize = PeerLane::ALL.len();
const REFUSALS: usize = Refusal::ALL.len();

/// Counts of one [`super::PeerNetwork`] since its start.
#[derive(Debug)]
pub struct PeerStats {
    lanes: [LaneStats; LANES],
    refused: [(AtomicU64, Counter); REFUSALS],
}

#[derive(Debug)]
struct LaneStats {
    dropped: (AtomicU64, Counter),
    /// Open connections: to others, from others.
    open: [(AtomicI64, Gauge); 2],
    failed: (AtomicU64, Counter),
    sent: Counter,
    received: Counter,
}

/// Who has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This node.
    Outgoing = 0,
    /// The other one.
    Incoming = 1,
}

impl LaneStats {
    fn new(lane: PeerLane) -> Self {
        let name = lane.name();
        let open = |side: &'static str| {
            (AtomicI64::new(0), gauge!("flymq_peer_connections", "lane" => name, "direction" => side))
        };
        Self {
            dropped: (AtomicU64::new(0), counter!("flymq_peer_dropped_total", "lane" => name)),
            open: [open("outgoing"), open("incoming")],
            failed: (AtomicU64::new(0), counter!("flymq_peer_connect_failures_total", "lane" => name)),
            sent: counter!("flymq_peer_sent_bytes_total", "lane" => name),
            received: counter!("flymq_peer_received_bytes_total", "lane" => name),
        }
    }
}

fn add(count: &(AtomicU64, Counter), by: u64) {
    count.0.fetch_add(by, Ordering::Relaxed);
    count.1.increment(by);
}

impl PeerStats {
    pub(super) fn new() -> Self {
        let refused = Refusal::ALL.map(|reason| {
            (AtomicU64::new(0), counter!("flymq_peer_refused_total", "reason" => reason.name()))
        });
        Self { lanes: PeerLane::ALL.map(LaneStats::new), refused }
    }

    fn lane(&self, lane: PeerLane) -> &LaneStats {
        &self.lanes[lane as usize - 1]
    }

    /// Packets that were to go out and were dropped: no connection, a full queue, or a connection that broke.
    pub fn dropped(&self, lane: PeerLane) -> u64 {
        self.lane(lane).dropped.0.load(Ordering::Relaxed)
    }

    /// Connections, by or with other nodes, that this node did not let in or closed for what they said.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize - 1].0.load(Ordering::Relaxed)
    }

    /// Attempts to connect that failed.
    pub fn connect_failures(&self, lane: PeerLane) -> u64 {
        self.lane(lane).failed.0.load(Ordering::Relaxed)
    }

    /// Open connections that have passed the handshake.
    pub fn connections(&self, lane: PeerLane, side: Side) -> i64 {
        self.lane(lane).open[side as usize].0.load(Ordering::Relaxed)
    }

    pub(super) fn add_dropped(&self, lane: PeerLane, packets: usize) {
        if packets > 0 {
            add(&self.lane(lane).dropped, packets as u64);
        }
    }

    pub(super) fn add_refused(&self, reason: Refusal) {
        add(&self.refused[reason as usize - 1], 1);
    }

    pub(super) fn add_connect_failure(&self, lane: PeerLane) {
        add(&self.lane(lane).failed, 1);
    }

    pub(super) fn add_sent(&self, lane: PeerLane, bytes: usize) {
        self.lane(lane).sent.increment(bytes as u64);
    }

    pub(super) fn add_received(&self, lane: PeerLane, bytes: u64) {
        self.lane(lane).received.increment(bytes);
    }

    /// Counts a connection for as long as the guard lives.
    pub(super) fn open(&self, lane: PeerLane, side: Side) -> Open<'_> {
        let open = Open(&self.lane(lane).open[side as usize]);
        open.add(1);
        open
    }
}

/// An open connection in the counts.
pub(super) struct Open<'a>(&'a (AtomicI64, Gauge));

impl Open<'_> {
    fn add(&self, change: i64) {
        self.0.0.fetch_add(change, Ordering::Relaxed);
        self.0.1.increment(change as f64);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.add(-1);
    }
}
