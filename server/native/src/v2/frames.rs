//! What a frame asks for, and what is told in return.

use std::{collections::VecDeque, task::Context};

use flymq_api::{BrokerError, Door as Entry, ErrorCode, Request, Response};
use flymq_proto::pb;
use flymq_wire::{
    frame::{Frame, FrameParts},
    v2::{CancelBody, CreditBody, Message, PushBody, flag, op},
};
use futures::future::BoxFuture;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    calls::{Asked, Finished},
    reply, request,
    session::Session,
    streams::Event,
    topic_gate::{Held, Pass},
};
use crate::{caller, connection::Closed, refusal};

impl<'a, R, W> Session<'a, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Starts what a frame asks for. Its call is polled for the first time before this returns.
    pub(super) fn start(&mut self, cx: &mut Context<'_>, frame: Frame) -> Result<(), Closed> {
        let bytes = frame.payload.len();
        let Ok(message) = Message::from_frame(frame) else {
            let error = BrokerError::new(ErrorCode::Protocol, "frame without a correlation id");
            self.writer.push_some(refusal::v2_error(0, 0, &error, &self.caller.connection));
            return Err(Closed::Protocol("frame without a correlation id"));
        };
        let (op, correlation) = (message.op, message.correlation);
        let started = match op {
            op::CREDIT => self.credit(message),
            op::CANCEL => self.cancel(message),
            op::SUBSCRIBE_STREAM => self.subscribe(cx, message, bytes),
            op::HELLO => Err(BrokerError::new(ErrorCode::Protocol, "HELLO is the first frame only")),
            _ => self.call(cx, message, bytes),
        };
        if let Err(error) = started {
            self.push_error(op, correlation, &error);
        }
        Ok(())
    }

    fn call(&mut self, cx: &mut Context<'_>, message: Message, bytes: usize) -> Result<(), BrokerError> {
        let (code, correlation) = (message.op, message.correlation);
        let as_protobuf = message.flags & flag::PROTOBUF != 0;
        let decoded = request::decode(code, as_protobuf, message.body)?;
        let waits = matches!(decoded.request, Request::Fetch(_));
        let asked = Asked { op: code, correlation, as_protobuf, bytes, waits, first_to: None };
        let number = if waits || code == op::PRODUCE { None } else { Some(correlation) };
        let mut context = self.caller.context(Entry::NativeV2, number, bytes);
        context.deadline = caller::deadline(decoded.timeout_ms);
        match decoded.request {
            Request::Produce(produce) => {
                let released = self.try_begin(cx, (asked, context, produce));
                self.begin(cx, released);
            }
            request => {
                let call = self.door.broker.call(context, request);
                self.first_poll(cx, asked, call);
            }
        }
        Ok(())
    }

    /// Starts produces that waited for their topic. A loop, as one that fails at once lets the next one go.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>, mut released: VecDeque<Held>) {
        while let Some(held) = released.pop_front() {
            let more = self.try_begin(cx, held);
            released.extend(more);
        }
    }

    /// Starts a produce, or keeps it where it has to wait; gives the ones that waited for it, if it is done already.
    fn try_begin(&mut self, cx: &mut Context<'_>, (mut asked, context, produce): Held) -> VecDeque<Held> {
        match self.gate.pass(&produce.topic) {
            Pass::Wait => {
                self.gate.hold((asked, context, produce));
                return VecDeque::new();
            }
            Pass::First => asked.first_to = Some(produce.topic.clone()),
            Pass::Free => {}
        }
        let call = self.door.broker.call(context, produce.into());
        self.first_poll(cx, asked, call)
    }

    fn first_poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: Asked,
        call: BoxFuture<'a, Result<Response, BrokerError>>,
    ) -> VecDeque<Held> {
        self.calls.start(cx, asked, call).map_or_else(VecDeque::new, |finished| self.finish(finished))
    }

    /// Queues the reply; gives the produces that waited for this one.
    pub(super) fn finish(&mut self, (asked, result): Finished) -> VecDeque<Held> {
        let Asked { op, correlation, as_protobuf, first_to, .. } = asked;
        let ok = result.is_ok();
        match result.and_then(|response| reply::encode(op, correlation, as_protobuf, response)) {
            Ok(frame) => self.writer.push(frame),
            Err(error) => self.push_error(op, correlation, &error),
        }
        match first_to {
            Some(topic) => self.gate.finished(&topic, ok),
            None => VecDeque::new(),
        }
    }

    fn subscribe(&mut self, cx: &mut Context<'_>, message: Message, bytes: usize) -> Result<(), BrokerError> {
        let correlation = message.correlation;
        let mut request = pb::SubscribeRequest::decode(message.body).map_err(|error| {
            BrokerError::new(ErrorCode::Protocol, format!("malformed SUBSCRIBE_STREAM: {error}"))
        })?;
        if self.streams.contains(correlation) {
            let message = format!("correlation id {correlation} belongs to an open stream");
            return Err(BrokerError::new(ErrorCode::InvalidArgument, message));
        }
        let limit = self.door.options.max_streams;
        if self.streams.len() >= limit {
            let message = format!("{limit} streams are open on this connection, and no more are taken");
            return Err(BrokerError::new(ErrorCode::Overloaded, message).with("limit", limit));
        }
        request.batches = true;
        let credit = request.credit_bytes;
        let context = self.caller.context(Entry::NativeV2, Some(correlation), bytes);
        self.streams.open(cx, correlation, credit, self.door.broker.subscribe(context, request))
    }

    fn credit(&mut self, message: Message) -> Result<(), BrokerError> {
        let credit = CreditBody::decode(message.body).map_err(|e| request::malformed("CREDIT", e))?;
        self.streams.add_credit(credit.stream, credit.bytes);
        Ok(())
    }

    fn cancel(&mut self, message: Message) -> Result<(), BrokerError> {
        let cancel = CancelBody::decode(message.body).map_err(|e| request::malformed("CANCEL", e))?;
        if self.streams.cancel(cancel.stream) {
            self.push_event(Event::Ended(cancel.stream));
        }
        Ok(())
    }

    pub(super) fn push_event(&mut self, event: Event) {
        match event {
            Event::Push(correlation, push) => match push.encode(correlation) {
                Ok(frame) => self.writer.push(frame),
                Err(error) => {
                    self.streams.cancel(correlation);
                    self.push_error(op::SUBSCRIBE_STREAM, correlation, &reply::too_large(error));
                }
            },
            Event::Ended(correlation) => self.writer.push_some(PushBody::encode_end(correlation).ok()),
            Event::Failed(correlation, error) => self.push_error(op::SUBSCRIBE_STREAM, correlation, &error),
        }
    }

    /// An error also ends a stream.
    pub(super) fn push_error(&mut self, op: u8, correlation: u32, error: &BrokerError) {
        let id = self.caller.request_id(correlation);
        let body = error.to_detail(&id).encode_to_vec().into();
        let end = if op == op::SUBSCRIBE_STREAM { flag::END } else { 0 };
        let frame: Option<FrameParts> =
            Message { op, flags: flag::ERROR | end, correlation, body }.into_frame().ok();
        self.writer.push_some(frame);
    }
}
