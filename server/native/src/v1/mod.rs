//! Version 1: the wire of the clients in the field. One request, one reply, in order.
//!
//! A request is answered before the next one is looked at, so a pipelined request sees what the ones before it did.
//! Replies of pipelined requests leave in one write.

mod auth;
mod buffers;
mod cluster;
mod dead_letters;
mod dispatch;
mod error;
mod groups;
mod members;
mod offsets;
mod records;
mod schemas;
mod session;
mod topics;
mod transactions;

pub(crate) use buffers::Buffers;
use flymq_wire::{
    frame::{Frame, FrameParts},
    v1::ErrorReply,
};
pub(crate) use members::Members;
use session::Session;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{caller::Caller, connection::Closed, door::Door, reader::FrameReader, writer::FrameWriter};

/// Reply bytes that may wait for the end of a pipelined run before they are written.
const FLUSH_AT: usize = 256 << 10;

/// The coded error frame with this text.
pub(crate) fn error_frame(text: &str) -> Option<FrameParts> {
    Some(ErrorReply::new(text).into_frame())
}

/// Serves a connection whose first frame is `first`.
pub(crate) async fn serve<R, W>(
    first: Frame,
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    caller: Caller,
    door: &Door,
    shutdown: &CancellationToken,
) -> Result<(), Closed>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut session = Session::new(door, caller);
    let mut trusted = false;
    let mut next = Some(first);
    loop {
        if let Some(frame) = next.take() {
            writer.push(session.answer(frame).await);
            if !trusted && session.may_send_large() {
                trusted = true;
                reader.trust(door.options.max_frame);
            }
            next = reader.buffered()?;
            if next.is_some() && writer.queued() < FLUSH_AT && !shutdown.is_cancelled() {
                continue;
            }
        }
        timeout(door.options.idle_timeout, writer.flush()).await.map_err(|_| Closed::Stalled)??;
        if next.is_some() && !shutdown.is_cancelled() {
            continue;
        }
        let read = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            read = timeout(door.options.idle_timeout, reader.fill()) => read.map_err(|_| Closed::Idle)??,
        };
        if read == 0 {
            return Ok(());
        }
        next = reader.buffered()?;
    }
}
