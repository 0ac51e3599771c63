//! One version 2 connection: reads, calls, streams and writes, all in one task.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use flymq_api::{BrokerError, ErrorCode};
use flymq_wire::v2::op;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{calls::Calls, streams::Streams, topic_gate::TopicGate};
use crate::{caller::Caller, connection::Closed, door::Door, reader::FrameReader, writer::FrameWriter};

/// Finished calls, pushes and frames taken in one step, before the others get their turn.
const STEP: usize = 64;
/// Steps per wake-up.
const STEPS: usize = 8;
/// Time that long polls have to answer when the server stops.
const LONG_POLL_GRACE: Duration = Duration::from_millis(250);

/// A connection after its HELLO.
pub(super) struct Session<'a, R, W> {
    pub(super) door: &'a Door,
    pub(super) caller: Caller,
    reader: &'a mut FrameReader<R>,
    pub(super) writer: &'a mut FrameWriter<W>,
    pub(super) calls: Calls<'a>,
    pub(super) gate: TopicGate,
    pub(super) streams: Streams<'a>,
    /// No more frames are read: the peer has closed its side, or the server stops.
    draining: bool,
    /// A whole frame may be at hand although the socket is silent.
    buffered: bool,
    last_read: Instant,
    /// Since when the socket takes no bytes of those that wait.
    stalled_since: Option<Instant>,
}

impl<'a, R, W> Session<'a, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) fn new(
        door: &'a Door,
        caller: Caller,
        reader: &'a mut FrameReader<R>,
        writer: &'a mut FrameWriter<W>,
    ) -> Self {
        Self {
            door,
            caller,
            reader,
            writer,
            calls: Calls::default(),
            gate: TopicGate::default(),
            streams: Streams::default(),
            draining: false,
            buffered: true,
            last_read: Instant::now(),
            stalled_since: None,
        }
    }

    /// Serves until the peer closes, breaks the framing, falls silent, or the server stops.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), Closed> {
        let mut alarm = std::pin::pin!(sleep_until(self.alarm_at()));
        let mut stopped = std::pin::pin!(shutdown.cancelled());
        while !self.is_done() {
            tokio::select! {
                biased;
                () = stopped.as_mut() => return self.drain().await,
                step = std::future::poll_fn(|cx| self.poll_steps(cx)) => step?,
                () = alarm.as_mut() => self.on_alarm(alarm.as_mut())?,
            }
        }
        Ok(())
    }

    /// The peer has closed its side and has all its replies.
    fn is_done(&self) -> bool {
        self.draining && self.calls.len() + self.gate.len() == 0 && self.writer.queued() == 0
    }

    /// The server stops: streams are told, running calls get their replies. Long polls, which the broker ends when it
    /// stops, get a moment for theirs.
    async fn drain(mut self) -> Result<(), Closed> {
        self.draining = true;
        let stopping = BrokerError::new(ErrorCode::Unavailable, "the broker is stopping");
        for correlation in self.streams.drain() {
            self.push_error(op::SUBSCRIBE_STREAM, correlation, &stopping);
        }
        let patience = self.door.options.drain_timeout;
        let all = std::future::poll_fn(|cx| self.poll_drained(cx, |calls| calls.len() == 0));
        if let Ok(drained) = timeout(patience.min(LONG_POLL_GRACE), all).await {
            return drained;
        }
        let writes = std::future::poll_fn(|cx| self.poll_drained(cx, Calls::may_stop));
        timeout(patience, writes).await.unwrap_or(Ok(()))
    }

    fn poll_drained(
        &mut self,
        cx: &mut Context<'_>,
        enough: impl Fn(&Calls<'a>) -> bool,
    ) -> Poll<Result<(), Closed>> {
        while let Poll::Ready(step) = self.poll_step(cx) {
            step?;
        }
        let done = enough(&self.calls) && self.gate.len() == 0 && self.writer.queued() == 0;
        if done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// When to look whether anything still happens.
    fn alarm_at(&self) -> Instant {
        self.stalled_since.unwrap_or(self.last_read) + self.door.options.idle_timeout
    }

    /// The alarm is set lazily: it goes off once per idle timeout at most, and then looks at what happened since.
    fn on_alarm(&mut self, alarm: std::pin::Pin<&mut Sleep>) -> Result<(), Closed> {
        let now = Instant::now();
        if self.alarm_at() <= now {
            if self.stalled_since.is_some() {
                return Err(Closed::Stalled);
            }
            if self.calls.len() + self.streams.len() + self.gate.len() == 0 || self.reader.has_part() {
                return Err(Closed::Idle);
            }
            // A long poll or a quiet stream: the kernel's keep-alive finds out whether the peer is still there.
            self.last_read = now;
        }
        alarm.reset(self.alarm_at());
        Ok(())
    }

    /// Several steps, so that one wake-up pays for the alarm and the stop signal once.
    fn poll_steps(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        std::task::ready!(self.poll_step(cx))?;
        for _ in 1..STEPS {
            if self.is_done() {
                break;
            }
            match self.poll_step(cx) {
                Poll::Ready(step) => step?,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Lets calls, streams, writes and reads each do what they can; pending when none can.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut moved = self.poll_calls(cx);
        moved |= self.poll_streams(cx);
        moved |= self.poll_writes(cx)?;
        moved |= self.poll_reads(cx)?;
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn may_queue(&self) -> bool {
        self.writer.queued() < self.door.options.max_queued_bytes
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..STEP {
            if !self.may_queue() {
                break;
            }
            let Poll::Ready(finished) = self.calls.poll_finished(cx) else { break };
            let released = self.finish(finished);
            self.begin(cx, released);
            moved = true;
        }
        moved
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..STEP {
            if !self.may_queue() {
                break;
            }
            let Poll::Ready(event) = self.streams.poll_event(cx) else { break };
            self.push_event(event);
            moved = true;
        }
        moved
    }

    fn poll_writes(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if self.writer.queued() == 0 {
            return Ok(false);
        }
        match self.writer.poll_write(cx)? {
            Poll::Ready(_) => {
                self.stalled_since = None;
                Ok(true)
            }
            Poll::Pending => {
                self.stalled_since.get_or_insert_with(Instant::now);
                Ok(false)
            }
        }
    }

    /// Whether one more request may start.
    fn may_start(&self) -> bool {
        let options = &self.door.options;
        self.may_queue()
            && self.calls.len() + self.gate.len() < options.max_in_flight
            && self.calls.bytes() + self.gate.bytes() < options.max_in_flight_bytes
    }

    fn poll_reads(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut moved = false;
        for _ in 0..STEP {
            if self.draining || !self.may_start() {
                break;
            }
            if self.buffered {
                match self.reader.buffered()? {
                    Some(frame) => self.start(cx, frame)?,
                    None => self.buffered = false,
                }
                moved = true;
                continue;
            }
            let Poll::Ready(read) = self.reader.poll_fill(cx)? else { break };
            self.last_read = Instant::now();
            self.draining = read == 0;
            self.buffered = read > 0;
            moved = true;
        }
        Ok(moved)
    }
}
