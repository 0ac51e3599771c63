//! The accept loop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{HttpLimits, unread::Unread};

/// Pause after a failed accept (most often: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address a request came from; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

/// Serves `router` until `shutdown`; then running requests get `drain_timeout` to end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let server = Arc::new(builder(&limits));
    let patience = limits.unread_timeout;
    let mut connections = JoinSet::new();
    loop {
        let (socket, peer, slot) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let one =
            connection(server.clone(), (socket, patience), peer, router.clone(), shutdown.clone(), slot);
        connections.spawn(one);
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::debug!("closing HTTP connections that outlived the drain timeout");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, slot),
            Err(error) => {
                tracing::warn!(%error, "HTTP accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// HTTP/1.1 alone: the version detection that would let HTTP/2 in waits for its bytes without a deadline.
fn builder(limits: &HttpLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
}

async fn connection(
    server: Arc<Builder>,
    (socket, patience): (TcpStream, Duration),
    peer: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let _open = OpenGauge::new();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = server.serve_connection(TokioIo::new(Unread::new(socket, patience)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}

/// Counts the open HTTP connections.
struct OpenGauge;

impl OpenGauge {
    fn new() -> Self {
        metrics::gauge!("flymq_connections", "door" => "http").increment(1);
        Self
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        metrics::gauge!("flymq_connections", "door" => "http").decrement(1);
    }
}
