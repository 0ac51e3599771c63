//! One connection: its first frame decides the version, which then stays.

use std::{io, time::Duration};

use flymq_wire::frame::{Frame, FrameError, Version};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{caller::Caller, door::Door, reader::FrameReader, refusal, v1, v2, writer::FrameWriter};

/// Time that a refused peer has to read the reason and to close.
const LINGER: Duration = Duration::from_millis(500);

/// Why a connection ended, other than by the peer's close or the server's stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The peer broke the protocol in a way that leaves the frames intact; it was told.
    #[error("{0}")]
    Protocol(&'static str),
    #[error("silent for too long")]
    Idle,
    #[error("the first frame did not arrive in time")]
    FirstFrame,
    #[error("the peer takes no replies")]
    Stalled,
}

/// How a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// Dropped: the peer is gone or takes nothing.
    None,
    /// Replies that wait are written.
    Flush,
    /// They are written, and the peer gets time to read them: bytes of it that nobody reads would reset the socket.
    Linger,
}

impl Farewell {
    fn of(result: &Result<(), Closed>) -> Self {
        match result {
            Ok(()) => Self::Flush,
            Err(Closed::Frame(_) | Closed::Protocol(_)) => Self::Linger,
            Err(Closed::Io(_) | Closed::Idle | Closed::FirstFrame | Closed::Stalled) => Self::None,
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn run<R, W>(
    read: R,
    write: W,
    caller: Caller,
    door: &Door,
    shutdown: &CancellationToken,
) -> Result<(), Closed>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut reader = FrameReader::new(read, door.options.frame_limit(false));
    let mut writer = FrameWriter::new(write);
    let result = serve(&mut reader, &mut writer, caller, door, shutdown).await;
    let farewell = Farewell::of(&result);
    if let Err(Closed::Frame(error)) = &result {
        writer.push_some(refusal::frame(*error, reader.version()));
    }
    if farewell != Farewell::None {
        let said = async {
            writer.finish().await?;
            if farewell == Farewell::Linger { reader.discard().await } else { Ok(()) }
        };
        let _ = tokio::time::timeout(LINGER, said).await;
    }
    result
}

async fn serve<R, W>(
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
    let first = tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        first = first_frame(reader, door) => first?,
    };
    let Some(first) = first else { return Ok(()) };
    match first.version {
        Version::V1 => v1::serve(first, reader, writer, caller, door, shutdown).await,
        Version::V2 => v2::serve(first, reader, writer, caller, door, shutdown).await,
    }
}

/// The first frame whole, within its deadline; `None` when the peer closes before it.
async fn first_frame<R>(reader: &mut FrameReader<R>, door: &Door) -> Result<Option<Frame>, Closed>
where
    R: AsyncRead + Unpin,
{
    let options = &door.options;
    let by_first_frame = options.auth_required;
    let wait = if by_first_frame { options.first_frame_deadline } else { options.idle_timeout };
    let Ok(read) = timeout_at(Instant::now() + wait, reader.fill()).await else {
        return Err(if by_first_frame { Closed::FirstFrame } else { Closed::Idle });
    };
    if read? == 0 {
        return Ok(None);
    }
    let deadline = Instant::now() + options.first_frame_deadline;
    loop {
        if let Some(frame) = reader.buffered()? {
            return Ok(Some(frame));
        }
        let read = timeout_at(deadline, reader.fill()).await.map_err(|_| Closed::FirstFrame)??;
        if read == 0 {
            return Ok(None);
        }
    }
}
