//! The requests of a connection that the broker works on.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use flymq_api::{BrokerError, Response};
use futures::{
    future::BoxFuture,
    stream::{FuturesUnordered, Stream},
};

/// What a reply needs of its request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) op: u8,
    pub(super) correlation: u32,
    /// The reply is the rpc's message, whatever layout its op has.
    pub(super) as_protobuf: bool,
    /// Payload bytes, counted against the connection's bound.
    pub(super) bytes: usize,
    /// Waits for records rather than does anything: nothing is lost when a stopping server drops it.
    pub(super) waits: bool,
    /// Topic of a produce that the topic gate waits for.
    pub(super) first_to: Option<String>,
}

/// A finished call.
pub(super) type Finished = (Asked, Result<Response, BrokerError>);

struct Running<'a> {
    asked: Option<Asked>,
    call: BoxFuture<'a, Result<Response, BrokerError>>,
}

impl Future for Running<'_> {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let result = ready!(self.call.as_mut().poll(cx));
        let asked = self.asked.take().expect("a finished call is not polled again");
        Poll::Ready((asked, result))
    }
}

/// The calls that wait.
#[derive(Default)]
pub(super) struct Calls<'a> {
    running: FuturesUnordered<Running<'a>>,
    bytes: usize,
    /// Calls that a stopping server has to finish.
    must_finish: usize,
}

impl<'a> Calls<'a> {
    /// Polls a new call for the first time, and keeps it if it has to wait.
    ///
    /// The first poll is exempt from the runtime's cooperative budget: with the budget used up, a lock inside the
    /// broker would report itself taken, and a later produce could be appended before this one.
    pub(super) fn start(
        &mut self,
        cx: &mut Context<'_>,
        asked: Asked,
        mut call: BoxFuture<'a, Result<Response, BrokerError>>,
    ) -> Option<Finished> {
        let first = Pin::new(&mut tokio::task::unconstrained(call.as_mut())).poll(cx);
        if let Poll::Ready(result) = first {
            return Some((asked, result));
        }
        self.bytes += asked.bytes;
        self.must_finish += usize::from(!asked.waits);
        self.running.push(Running { asked: Some(asked), call });
        None
    }

    /// The next call that is done; pending when none is, also where there are no calls.
    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let Some(finished) = ready!(Pin::new(&mut self.running).poll_next(cx)) else { return Poll::Pending };
        self.bytes -= finished.0.bytes;
        self.must_finish -= usize::from(!finished.0.waits);
        Poll::Ready(finished)
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a stopping server may drop all that is left.
    pub(super) fn may_stop(&self) -> bool {
        self.must_finish == 0
    }
}
