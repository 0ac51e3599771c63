//! Version 2: the wire of our client core.
//!
//! ```text
//! socket ──▶ frames ──▶ request ──▶ first poll of its call, in arrival order ─┬─ done ──▶ reply queue ──▶ socket
//!                                                                             └─ waits ─▶ calls ──────────▲
//!                       SUBSCRIBE_STREAM ─▶ streams, polled while they have credit ───────────────────────┘
//! ```
//!
//! # Order
//! Replies may overtake each other, appends may not: two produces that one connection sends to one partition are
//! appended in the order of their frames. A call is polled for the first time when its frame is read, before the
//! next frame is looked at, and the engine appends in that first poll, or takes its place in the line of a partition
//! whose very first append still runs. What a produce waits for afterwards is durability.
//!
//! The one exception, a produce that first has to create its topic, is kept in order by [`topic_gate`]. Nothing keeps
//! the order when the process is out of its byte budget and calls wait for it in front of the engine: a producer to
//! whom that matters numbers its batches.
//!
//! # Bounds
//! A connection holds at most `max_in_flight` requests with `max_in_flight_bytes` of payload, `max_queued_bytes` of
//! replies and one reply more, and one run of batches per stream. At a bound it stops reading its socket, so the
//! sender feels it through TCP.

mod calls;
mod frames;
mod hello;
mod reply;
mod request;
mod session;
mod streams;
mod topic_gate;

use flymq_wire::{frame::Frame, v2::Message};
use session::Session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::{
    caller::Caller, connection::Closed, door::Door, reader::FrameReader, refusal, writer::FrameWriter,
};

/// Serves a connection whose first frame is `first`.
pub(crate) async fn serve<R, W>(
    first: Frame,
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    mut caller: Caller,
    door: &Door,
    shutdown: &CancellationToken,
) -> Result<(), Closed>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let Ok(hello) = Message::from_frame(first) else {
        return Err(Closed::Protocol("frame without a correlation id"));
    };
    let (op, correlation) = (hello.op, hello.correlation);
    match hello::answer(door, &mut caller, hello).await {
        Ok(reply) => writer.push(reply),
        Err(error) => {
            let id = caller.request_id(correlation);
            if let Some(frame) = refusal::v2_error(op, correlation, &error, &id) {
                writer.push(frame);
            }
            return Err(Closed::Protocol("no valid HELLO"));
        }
    }
    reader.trust(door.options.frame_limit(caller.logged_in()));
    Session::new(door, caller, reader, writer).run(shutdown).await
}
