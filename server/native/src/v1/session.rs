//! The state of one version 1 connection, and its way to the broker.

use bytes::Bytes;
use flymq_api::{BrokerError, Door as Entry, Request, Response};
use flymq_wire::{
    frame::{Frame, FrameParts},
    v1::{self, ErrorReply, InflateLimits, flag},
};

use super::{dispatch, error::Failure, members::Membership};
use crate::{caller::Caller, credentials, door::Door};

/// Compressed payloads above this are inflated off the connection's thread.
const INFLATE_INLINE: usize = 16 << 10;

/// One connection.
pub(super) struct Session<'a> {
    pub(super) door: &'a Door,
    pub(super) caller: Caller,
    /// The group this connection counts for: that of its last SUBSCRIBE.
    pub(super) membership: Option<Membership>,
    requests: u32,
    wire_bytes: usize,
}

impl<'a> Session<'a> {
    pub(super) fn new(door: &'a Door, caller: Caller) -> Self {
        Self { door, caller, membership: None, requests: 0, wire_bytes: 0 }
    }

    /// Whether frames of full size, and compressed ones, are read.
    pub(super) fn may_send_large(&self) -> bool {
        !self.door.options.auth_required || self.caller.logged_in()
    }

    /// The reply to one frame, an error frame at worst.
    pub(super) async fn answer(&mut self, frame: Frame) -> FrameParts {
        self.requests = self.requests.wrapping_add(1);
        self.wire_bytes = frame.payload.len();
        let reply = match self.decode(frame).await {
            Ok(request) => dispatch::answer(self, request).await,
            Err(failure) => Err(failure),
        };
        reply.unwrap_or_else(|failure| ErrorReply::new(failure.text).into_frame())
    }

    async fn decode(&mut self, frame: Frame) -> Result<v1::Request, Failure> {
        let compressed = frame.flags & flag::GZIP != 0;
        if compressed && !self.may_send_large() {
            return Err(Failure::text("authentication required"));
        }
        let payload = if compressed { self.inflate(&frame).await? } else { frame.payload };
        v1::Request::decode(frame.op, payload).map_err(|error| Failure::text(error.to_string()))
    }

    /// The payload, inflated; the request is from then on accounted for by that size.
    async fn inflate(&mut self, frame: &Frame) -> Result<Bytes, Failure> {
        let max_len = InflateLimits::REQUEST.max_len.min(self.door.options.max_frame as usize);
        let limits = InflateLimits { max_len, ..InflateLimits::REQUEST };
        let (flags, payload) = (frame.flags, frame.payload.clone());
        let failed = |_| Failure::text("gzip: inflating failed");
        let _turn =
            self.door.inflating.acquire().await.map_err(|_| Failure::text("gzip: the door is closed"))?;
        let inflated = if payload.len() > INFLATE_INLINE {
            let inflate = move || v1::inflate(flags, payload, &limits);
            tokio::task::spawn_blocking(inflate).await.map_err(failed)?
        } else {
            v1::inflate(flags, payload, &limits)
        };
        let inflated = inflated.map_err(|error| Failure::text(error.to_string()))?;
        self.wire_bytes = self.wire_bytes.max(inflated.len());
        Ok(inflated)
    }

    /// Asks the broker.
    pub(super) async fn call<A>(&self, request: impl Into<Request>) -> Result<A, BrokerError>
    where
        A: TryFrom<Response, Error = Response>,
    {
        let request = request.into();
        let id = if matches!(request, Request::Produce(_) | Request::Fetch(_) | Request::Consume(_)) {
            None
        } else {
            Some(self.requests)
        };
        let context = self.caller.context(Entry::NativeV1, id, self.wire_bytes);
        let response = self.door.broker.call(context, request).await?;
        A::try_from(response).map_err(|other| credentials::mismatch(&other))
    }

    /// Context of this request, for a login.
    pub(super) fn context(&self) -> flymq_api::CallContext {
        self.caller.context(Entry::NativeV1, Some(self.requests), self.wire_bytes)
    }
}
