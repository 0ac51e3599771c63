//! Writes what waits, as much as there is with one call.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior};

use super::connection::Connection;
use super::outbox::Outbound;
use super::packet::{Kind, empty};

/// The writing half of a connection, plain or TLS.
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Packets of one write; each has up to two parts, and the system takes 1,024.
const MAX_PACKETS: usize = 256;
/// About so many bytes of one write: what comes meanwhile does not wait longer than it has to.
const MAX_BYTES: usize = 1 << 20;

/// Writes until the socket fails. `ping_every`: asks for a sign of life.
pub(super) async fn write_all_of(
    connection: &Connection,
    to: &mut WriteHalf,
    ping_every: Option<Duration>,
) -> io::Error {
    let mut batch = Vec::new();
    let mut pings = ping_every.map(|every| {
        let mut pings = tokio::time::interval(every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings
    });
    loop {
        let taken = tokio::select! {
            biased;
            () = tick(&mut pings) => {
                batch.push(Outbound::new(empty(Kind::Ping), Bytes::new()));
                0
            }
            taken = connection.outbox.take(&mut batch, MAX_PACKETS, MAX_BYTES) => taken,
        };
        batch.retain(|packet| packet.call.is_none_or(|id| connection.calls.start(id)));
        let written = write_batch(to, &mut batch).await;
        connection.wrote(taken);
        batch.clear();
        if let Err(error) = written {
            return error;
        }
    }
}

async fn tick(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => {
            pings.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// One write for all of them where the system takes it. (Exclusive: what is called when a packet is sent may not be
/// shared between threads.)
async fn write_batch(to: &mut WriteHalf, batch: &mut [Outbound]) -> io::Result<()> {
    let parts = batch.iter_mut().flat_map(|packet| [&packet.head, &packet.body]);
    let mut slices: Vec<IoSlice<'_>> =
        parts.filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = to.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    to.flush().await
}
