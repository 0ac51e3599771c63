//! Accepting connections under limits: how many, how long until they speak, and that they end when the door closes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use flymq_api::Node;
use futures::{FutureExt as _, Stream, future::BoxFuture, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::GrpcOptions;

/// Bytes of the HTTP/2 client preface (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;

/// Pause after a failed accept (most often: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections as they come, never more than `max_connections` at once; reads on them fail once `close` is cancelled.
pub(crate) fn incoming(
    listener: TcpListener,
    options: &GrpcOptions,
    close: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let (deadline, node) = (options.handshake_timeout, options.node.clone());
    stream::unfold((listener, slots, close, node), move |(listener, slots, close, node)| async move {
        let permit = slots.clone().acquire_owned().await.ok()?;
        let connection = loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let open = OpenGauge::new(node.clone());
                    break Connection::new(socket, permit, deadline, close.clone(), open);
                }
                Err(error) => {
                    tracing::warn!(%error, "gRPC accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        Some((Ok(connection), (listener, slots, close, node)))
    })
}

/// A socket that counts against the limit while it lives.
pub(crate) struct Connection {
    socket: TcpStream,
    /// Set until the preface has arrived.
    handshake: Option<(Pin<Box<Sleep>>, usize)>,
    closed: BoxFuture<'static, ()>,
    _permit: OwnedSemaphorePermit,
    _gauge: OpenGauge,
}

impl Connection {
    fn new(
        socket: TcpStream,
        permit: OwnedSemaphorePermit,
        deadline: Duration,
        close: CancellationToken,
        open: OpenGauge,
    ) -> Self {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        Self {
            socket,
            handshake: Some((Box::pin(sleep(deadline)), PREFACE_BYTES)),
            closed: close.cancelled_owned().boxed(),
            _permit: permit,
            _gauge: open,
        }
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closed.poll_unpin(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the door closed"));
        }
        if let Some((deadline, _)) = &mut self.handshake
            && deadline.as_mut().poll_unpin(cx).is_ready()
        {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface in time"));
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_limits(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        if let Some((_, missing)) = &mut this.handshake {
            *missing = missing.saturating_sub(buf.filled().len() - before);
            if *missing == 0 {
                this.handshake = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

/// Counts the open connections of this door, in the metrics and in the node's statistics.
struct OpenGauge(Option<Arc<Node>>);

impl OpenGauge {
    fn new(node: Option<Arc<Node>>) -> Self {
        let gauge = Self(node);
        gauge.add(1);
        gauge
    }

    fn add(&self, change: i32) {
        metrics::gauge!("flymq_connections", "door" => "grpc").increment(f64::from(change));
        if let Some(node) = &self.0 {
            node.connections.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.add(-1);
    }
}
