//! A server stream over HTTP: one JSON object a line (NDJSON), or server-sent events for clients that ask for them.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::Response,
};
use bytes::Bytes;
use flymq_api::{BatchStream, Broker, BrokerError, CallContext, ReadBudget};
use flymq_proto::{descriptor_pool, pb};
use futures::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tokio::time::{Instant, interval_at};

use super::{RestOptions, answer::held, call::with_type, error, json_out::json};

/// How items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Lines,
    Events,
}

impl Format {
    /// What `Accept` asks for.
    pub fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if accept.contains("text/event-stream") { Self::Events } else { Self::Lines }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn frame(self, name: &str, json: &[u8]) -> Vec<u8> {
        match self {
            Self::Lines => [json, b"\n"].concat(),
            Self::Events => [b"event: ", name.as_bytes(), b"\ndata: ", json, b"\n\n"].concat(),
        }
    }
}

/// The answer to HEAD: what a GET would send, without reading anything.
pub(crate) fn head(format: Format) -> Response {
    with_type(Body::empty(), format.content_type())
}

/// Subscribes and writes until the client leaves; then the body is dropped, and the subscription with it.
pub(crate) async fn answer(
    broker: &dyn Broker,
    (options, answers): (&RestOptions, &ReadBudget),
    ctx: CallContext,
    request: pb::SubscribeRequest,
    format: Format,
) -> Result<Response, BrokerError> {
    let request_id = ctx.request_id.clone();
    let records = broker.subscribe(ctx, request).await?;
    let frames = frames(records, format, request_id, answers.clone());
    let body = match format {
        Format::Lines => Body::from_stream(frames.map(Ok::<_, Infallible>)),
        Format::Events => {
            Body::from_stream(kept_alive(frames, options.event_keepalive).map(Ok::<_, Infallible>))
        }
    };
    Ok(with_type(body, format.content_type()))
}

/// The first error is told as the last item.
fn frames(
    records: BatchStream,
    format: Format,
    request_id: std::sync::Arc<str>,
    answers: ReadBudget,
) -> impl Stream<Item = Bytes> + Send {
    let desc = descriptor_pool()
        .get_message_by_name("flymq.v1.SubscribeResponse")
        .expect("broker.proto declares SubscribeResponse");
    let made = records.map(move |item| {
        let text = item.and_then(|response| json(&desc, response.encode_to_vec().into()));
        let frame = text.and_then(|text| held(format.frame("records", &text), &answers));
        frame.map_err(|fault| format.frame("error", error::body(&fault, &request_id).to_string().as_bytes()))
    });
    // Nothing follows an error, whoever made it.
    made.scan(false, |over, frame| {
        let next = (!*over).then(|| {
            *over = frame.is_err();
            frame.unwrap_or_else(Bytes::from)
        });
        std::future::ready(next)
    })
}

/// Puts a comment in where nothing came for a while, so that proxies keep the stream open.
fn kept_alive(frames: impl Stream<Item = Bytes> + Send, every: Duration) -> impl Stream<Item = Bytes> + Send {
    let ticks = interval_at(Instant::now() + every, every);
    stream::unfold((Box::pin(frames), ticks), |(mut frames, mut ticks)| async move {
        tokio::select! {
            frame = frames.next() => {
                ticks.reset();
                Some((frame?, (frames, ticks)))
            }
            _ = ticks.tick() => Some((Bytes::from_static(b": keep-alive\n\n"), (frames, ticks))),
        }
    })
}
