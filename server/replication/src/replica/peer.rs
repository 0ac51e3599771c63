//! What a leader knows of one follower.

use flymq_types::Offset;

use super::pace::Pace;
use super::{Lane, Millis, Position, StreamId};

/// A follower as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    /// The newest stream heard of; nothing is known of the follower before there is one.
    pub stream: Option<StreamId>,
    /// Sent so far; None until the follower asks.
    pub next: Option<Offset>,
    /// The first offset of a range that the driver is reading and sending.
    pub sending: Option<Offset>,
    /// What was sent last went this way. Lanes overtake each other.
    pub lane: Option<Lane>,
    /// As last reported in this stream.
    pub position: Option<Position>,
    /// When a range was last sent.
    pub sent: Millis,
    /// The last time at which it had all that the leader had.
    caught_up: Millis,
    /// The log's end at some time since: once the follower has that, it had caught up then.
    mark: (Millis, Offset),
    pub pace: Pace,
}

impl Peer {
    /// Given the benefit of the doubt from `now` on.
    pub(super) fn new(now: Millis, leader_end: Offset) -> Self {
        Self {
            stream: None,
            next: None,
            sending: None,
            lane: None,
            position: None,
            sent: now,
            caught_up: now,
            mark: (now, leader_end),
            pace: Pace::default(),
        }
    }

    /// Whether a frame of this stream counts; a newer stream begins with nothing known.
    pub(super) fn takes(&mut self, stream: StreamId) -> bool {
        if self.stream.is_none_or(|known| stream > known) {
            self.stream = Some(stream);
            self.next = None;
            self.sending = None;
            self.lane = None;
            self.position = None;
        }
        self.stream == Some(stream) || cfg!(mutant = "replica_old_stream_counts")
    }

    /// Whether something that was sent before `next` has not been answered yet.
    pub(super) fn has_under_way(&self, next: Offset) -> bool {
        self.lane.is_some() && self.position.as_ref().is_none_or(|position| position.end < next)
    }

    /// What it surely has on disk. With damage it vouches for nothing.
    pub(super) fn durable(&self) -> Option<Offset> {
        let position = self.position.as_ref()?;
        let counted =
            if cfg!(mutant = "replica_ack_of_page_cache") { position.end } else { position.durable };
        (!position.fenced || cfg!(mutant = "replica_damaged_counts")).then_some(counted)
    }

    pub(super) fn fenced(&self) -> bool {
        let fenced = self.position.as_ref().is_some_and(|position| position.fenced);
        fenced && !cfg!(mutant = "replica_damaged_counts")
    }

    /// Takes a report. Frames overtake each other: within a stream, positions only grow.
    pub(super) fn report(&mut self, new: Position) {
        let Some(old) = &mut self.position else {
            self.position = Some(new);
            return;
        };
        old.end = old.end.max(new.end);
        old.durable = old.durable.max(new.durable);
        old.log_start = old.log_start.max(new.log_start);
        old.high_watermark = old.high_watermark.max(new.high_watermark);
        old.fenced |= new.fenced;
    }

    /// Notes whether it keeps up with a log that ends at `leader_end`.
    pub(super) fn measure(&mut self, now: Millis, leader_end: Offset) {
        let durable = self.durable().unwrap_or(Offset::ZERO);
        if durable >= leader_end {
            self.caught_up = now;
            self.mark = (now, leader_end);
        } else if durable >= self.mark.1 {
            self.caught_up = self.caught_up.max(self.mark.0);
            self.mark = (now, leader_end);
        }
    }

    /// Whether it has not caught up for longer than `lag_max`, or never will as it is.
    pub(super) fn lags(&self, now: Millis, lag_max: Millis) -> bool {
        self.fenced() || now.saturating_sub(self.caught_up) > lag_max
    }
}
