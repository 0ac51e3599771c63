//! What a leader's state machine wants sent.

use flymq_storage::StorageError;
use flymq_types::{LeaderEpoch, Offset};

use super::mail::{Mail, ReadRange, SentRange};
use super::range::{chunk_of, empty_chunk, read_chunk};
use super::runner::Runner;
use crate::replica::{BrokerId, Chunk, Frame, Lane, Millis, RangeHead, ReplicaEvent, Span, StreamId};
use crate::task::{blocking, in_place, start};

/// The range read last: the other followers mostly get the same.
#[derive(Debug)]
pub(super) struct LastRead {
    from: Offset,
    limit: Offset,
    leader: LeaderEpoch,
    chunk: Chunk,
}

impl Runner {
    pub(super) fn send(&self, to: BrokerId, frame: Frame) {
        self.set.link.send(to, self.shared.key, frame, Lane::Live, None);
    }

    pub(super) fn send_range(&mut self, to: BrokerId, head: RangeHead, limit: Offset, lane: Lane) {
        let first = head.first;
        if limit <= first {
            let chunk = empty_chunk(first);
            return self.set.link.send(to, self.shared.key, Frame::Range { head, chunk }, lane, None);
        }
        match lane {
            Lane::Live => {
                let read = self.chunk((first, limit), head.leader_epoch);
                self.send_read(to, head, read, lane);
            }
            Lane::CatchUp => self.read_apart(to, head, limit),
        }
    }

    /// Reads on another thread, surely from the disk: producers do not wait for it. The state machine wants one range at a time
    /// for each follower.
    fn read_apart(&self, to: BrokerId, head: RangeHead, limit: Offset) {
        let Some(log) = self.log.clone() else { return };
        let (set, shared) = (self.set.clone(), self.shared.clone());
        let (first, leader, most) = (head.first, head.leader_epoch, set.settings.range_bytes);
        start(async move {
            let Ok(_turn) = set.disk.acquire().await else { return };
            let read = blocking(move || read_chunk(&log, (first, limit), most, leader)).await;
            // Whatever became of it, the state machine waits for an answer.
            let read = read.unwrap_or(Ok(None));
            shared.post(Mail::Read(Box::new(ReadRange { to, head, read })));
        });
    }

    /// What was read apart, unless somebody else leads by now.
    pub(super) fn send_read_apart(&mut self, range: ReadRange) {
        let ReadRange { to, head, read } = range;
        if self.replica.meta().leader_epoch == head.leader_epoch {
            self.send_read(to, head, read, Lane::CatchUp);
        }
        while let Some(event) = self.soon.pop_front() {
            self.event(event);
        }
    }

    fn send_read(
        &mut self,
        to: BrokerId,
        head: RangeHead,
        read: Result<Option<Chunk>, StorageError>,
        lane: Lane,
    ) {
        let (first, stream) = (head.first, head.stream);
        match read {
            Ok(Some(chunk)) => self.send_chunk(to, head, chunk, lane),
            Ok(None) => self.nothing_sent(to, stream, first),
            Err(error) => {
                tracing::warn!(partition = %self.shared.at, %first, %error, "a range cannot be read");
                if let StorageError::Corrupt { start, end } = error {
                    self.soon.push_back(ReplicaEvent::Corrupt(Span { from: start, until: end }));
                }
                self.nothing_sent(to, stream, first);
            }
        }
    }

    fn chunk(
        &mut self,
        (first, limit): (Offset, Offset),
        leader: LeaderEpoch,
    ) -> Result<Option<Chunk>, StorageError> {
        if let Some(last) = &self.last_read
            && (last.from, last.limit, last.leader) == (first, limit, leader)
        {
            return Ok(Some(last.chunk.clone()));
        }
        let Some(log) = &self.log else { return Ok(None) };
        let chunk = read_chunk(log, (first, limit), self.set.settings.range_bytes, leader)?;
        self.last_read = chunk.clone().map(|chunk| LastRead { from: first, limit, leader, chunk });
        Ok(chunk)
    }

    fn send_chunk(&self, to: BrokerId, head: RangeHead, chunk: Chunk, lane: Lane) {
        let (first, until) = (head.first, chunk.until);
        let bytes = chunk.raw.len();
        let not_before = match lane {
            Lane::CatchUp => self.throttled(to, bytes),
            Lane::Live => 0,
        };
        let range = SentRange { to, stream: head.stream, first, until, bytes, not_before };
        let shared = self.shared.clone();
        let sent = Box::new(move || shared.post(Mail::Sent(range)));
        self.set.link.send(to, self.shared.key, Frame::Range { head, chunk }, lane, Some(sent));
    }

    /// When the next range may follow one of so many bytes.
    fn throttled(&self, to: BrokerId, bytes: usize) -> Millis {
        if self.throttle == 0 || !self.replica.meta().adding.contains(&to) {
            return 0;
        }
        self.set.throttle.book(self.set.now(), bytes, self.throttle)
    }

    fn nothing_sent(&mut self, to: BrokerId, stream: StreamId, first: Offset) {
        self.soon.push_back(ReplicaEvent::RangeSent { to, stream, first, until: first });
    }

    /// Our bytes of a range that is damaged elsewhere.
    pub(super) fn send_repair(&mut self, to: BrokerId, leader_epoch: LeaderEpoch, span: Span) {
        self.was_at_disk = true;
        let Some(log) = &self.log else { return };
        match in_place(|| read_span(log, span)) {
            Ok(Some(chunk)) => {
                let frame = Frame::RepairReply { leader_epoch, chunk };
                self.set.link.send(to, self.shared.key, frame, Lane::CatchUp, None);
            }
            Ok(None) => {}
            Err(error) => {
                let partition = &self.shared.at;
                tracing::warn!(%partition, %error, "a range that a peer asks for cannot be read");
            }
        }
    }
}

/// Exactly the batches of `span`; none where they do not begin and end there.
fn read_span(log: &flymq_storage::Log, span: Span) -> Result<Option<Chunk>, StorageError> {
    const MOST_AT_ONCE: usize = 4 << 20;
    let (mut batches, mut next) = (Vec::new(), span.from);
    while next < span.until {
        let read = log.read(next, MOST_AT_ONCE, span.until)?;
        let Some(last) = read.last() else { return Ok(None) };
        next = last.next_offset();
        batches.extend(read);
    }
    let begins = batches.first().is_some_and(|first| first.base_offset() == span.from);
    Ok(chunk_of(span.from, &batches).filter(|_| begins))
}
