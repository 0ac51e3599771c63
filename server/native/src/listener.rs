//! The accept loop.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flymq_api::Broker;
use metrics::{counter, gauge};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{caller::Caller, connection, door::Door, options::NativeOptions};

/// First and longest pause after a failed accept.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// Silence after which the kernel asks whether the peer still lives; found dead within a minute and a half.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// Serves both versions of the native wire on `listener` until `shutdown`; then lets running requests finish within
/// `options.drain_timeout` and returns when every connection is closed.
pub async fn serve(
    listener: TcpListener,
    broker: Arc<dyn Broker>,
    options: NativeOptions,
    shutdown: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(options.max_connections));
    let door = Arc::new(Door::new(broker, options));
    let connections = TaskTracker::new();
    let mut pause = BACKOFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                pause = BACKOFF.0;
                admit(socket, peer, &door, &permits, &connections, &shutdown);
            }
            Err(error) => {
                tracing::warn!(%error, ?pause, "cannot accept a connection on the native port");
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACKOFF.1),
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn admit(
    socket: TcpStream,
    peer: SocketAddr,
    door: &Arc<Door>,
    permits: &Arc<Semaphore>,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
        counter!("flymq_native_connections_refused_total").increment(1);
        tracing::warn!(%peer, max = door.options.max_connections, "too many connections on the native port");
        return;
    };
    if let Err(error) = set_options(&socket) {
        tracing::debug!(%peer, %error, "cannot set socket options");
    }
    let caller = Caller::new(peer, door.connections.fetch_add(1, Ordering::Relaxed));
    // A token of its own: its lock is taken at every wake-up, and must not be everybody's.
    connections.spawn(run(socket, caller, Arc::clone(door), shutdown.child_token(), permit));
}

fn set_options(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

async fn run(
    socket: TcpStream,
    caller: Caller,
    door: Arc<Door>,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    let _counted = Counted::new(&door);
    let (read, write) = socket.into_split();
    let (peer, id) = (caller.peer, Arc::clone(&caller.connection));
    match connection::run(read, write, caller, &door, &shutdown).await {
        Ok(()) => tracing::debug!(%peer, connection = %id, "connection closed"),
        Err(reason) => tracing::debug!(%peer, connection = %id, %reason, "connection ended"),
    }
}

/// An open connection in the statistics; also one that ends by a panic leaves them.
struct Counted<'a>(&'a Door);

impl<'a> Counted<'a> {
    fn new(door: &'a Door) -> Self {
        let counted = Self(door);
        counted.add(1);
        counted
    }

    fn add(&self, change: i32) {
        gauge!("flymq_connections", "door" => "native").increment(f64::from(change));
        if let Some(node) = &self.0.options.node {
            node.connections.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.add(-1);
    }
}
