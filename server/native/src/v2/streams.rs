//! Push streams under credit.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use bytes::Bytes;
use flymq_api::{BatchStream, BrokerError};
use flymq_proto::pb;
use flymq_wire::v2::PushBody;
use futures::{StreamExt as _, future::BoxFuture};

use super::reply::{end_of, pieces_of};

/// Credit of a stream whose request names none.
const DEFAULT_CREDIT: u32 = 1 << 20;
/// Bytes of batches in one push, so that streams and replies share the socket fairly. One batch may be larger.
const PUSH_BYTES: usize = 256 << 10;

enum Source<'a> {
    Opening(BoxFuture<'a, Result<BatchStream, BrokerError>>),
    Open(BatchStream),
}

struct PushStream<'a> {
    correlation: u32,
    /// Bytes that may be sent before the client has to allow more; one batch may take it below zero.
    credit: i64,
    source: Source<'a>,
    /// What was read and not sent yet.
    rest: Option<Run>,
}

/// A run of batches of one partition.
struct Run {
    topic: String,
    partition: i32,
    high_watermark: u64,
    next_offset: u64,
    /// Batches, each in one or two pieces.
    pieces: VecDeque<Bytes>,
}

/// What a stream has to say.
pub(super) enum Event {
    Push(u32, PushBody),
    Ended(u32),
    Failed(u32, BrokerError),
}

/// The open streams of a connection.
#[derive(Default)]
pub(super) struct Streams<'a> {
    open: Vec<PushStream<'a>>,
    /// Where the next turn begins, so that no stream starves.
    turn: usize,
}

impl<'a> Streams<'a> {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn contains(&self, correlation: u32) -> bool {
        self.open.iter().any(|stream| stream.correlation == correlation)
    }

    /// Adds a stream and polls its opening at once, so that "from the latest on" means before whatever the client
    /// sends next; gives the error if it cannot be.
    pub(super) fn open(
        &mut self,
        cx: &mut Context<'_>,
        correlation: u32,
        credit: u32,
        mut opening: BoxFuture<'a, Result<BatchStream, BrokerError>>,
    ) -> Result<(), BrokerError> {
        let source = match opening.as_mut().poll(cx) {
            Poll::Ready(opened) => Source::Open(opened?),
            Poll::Pending => Source::Opening(opening),
        };
        let credit = i64::from(if credit == 0 { DEFAULT_CREDIT } else { credit });
        self.open.push(PushStream { correlation, credit, source, rest: None });
        Ok(())
    }

    /// Allows a stream more bytes; one that has ended meanwhile does not care.
    pub(super) fn add_credit(&mut self, correlation: u32, bytes: u32) {
        if let Some(stream) = self.open.iter_mut().find(|stream| stream.correlation == correlation) {
            stream.credit = stream.credit.saturating_add(i64::from(bytes));
        }
    }

    /// Drops a stream; `false` when there is none.
    pub(super) fn cancel(&mut self, correlation: u32) -> bool {
        let before = self.open.len();
        self.open.retain(|stream| stream.correlation != correlation);
        self.open.len() < before
    }

    /// Drops all streams; gives their correlation ids.
    pub(super) fn drain(&mut self) -> Vec<u32> {
        self.open.drain(..).map(|stream| stream.correlation).collect()
    }

    /// The next thing any stream has to say. A stream without credit is not asked, so it reads nothing.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let count = self.open.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            if let Poll::Ready(event) = self.open[at].poll_event(cx) {
                self.turn = at + 1;
                if !matches!(event, Event::Push(..)) {
                    self.open.remove(at);
                }
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

impl PushStream<'_> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match &mut self.source {
                Source::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(stream) => self.source = Source::Open(stream),
                    Err(error) => return Poll::Ready(Event::Failed(self.correlation, error)),
                },
                Source::Open(stream) => {
                    if self.credit <= 0 {
                        return Poll::Pending;
                    }
                    if let Some(push) = self.rest.as_mut().and_then(|run| run.take(&mut self.credit)) {
                        return Poll::Ready(Event::Push(self.correlation, push));
                    }
                    match std::task::ready!(stream.poll_next_unpin(cx)) {
                        Some(Ok(read)) => self.rest = Some(Run::from(read)),
                        Some(Err(error)) => return Poll::Ready(Event::Failed(self.correlation, error)),
                        None => return Poll::Ready(Event::Ended(self.correlation)),
                    }
                }
            }
        }
    }
}

impl Run {
    /// Takes a push off the front: batches while there is credit, up to [`PUSH_BYTES`], one at least.
    fn take(&mut self, credit: &mut i64) -> Option<PushBody> {
        let mut runs = Vec::new();
        let (mut bytes, mut end) = (0, None);
        while *credit > 0
            && let Some(first) = self.pieces.front()
        {
            let count = pieces_of(first).min(self.pieces.len());
            let size: usize = self.pieces.range(..count).map(Bytes::len).sum();
            if !runs.is_empty() && bytes + size > PUSH_BYTES {
                break;
            }
            bytes += size;
            *credit -= size as i64;
            end = end_of(first);
            runs.extend(self.pieces.drain(..count));
        }
        if runs.is_empty() {
            return None;
        }
        let next_offset = if self.pieces.is_empty() { None } else { end };
        Some(PushBody {
            partition: self.partition,
            high_watermark: self.high_watermark,
            next_offset: next_offset.unwrap_or(self.next_offset),
            topic: self.topic.clone(),
            runs,
        })
    }
}

impl From<pb::SubscribeResponse> for Run {
    fn from(read: pb::SubscribeResponse) -> Self {
        Self {
            topic: read.topic,
            partition: read.partition,
            high_watermark: read.high_watermark,
            next_offset: read.next_offset,
            pieces: read.batches.into(),
        }
    }
}

#[cfg(test)]
mod tests;
