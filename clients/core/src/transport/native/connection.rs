//! One socket: its frames out, a task that reads, and the requests that wait for their reply.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use flymq_proto::pb;
use flymq_wire::{
    codec::EncodeError,
    frame::{FrameDecoder, FrameParts, Version},
    v2::{self, Message},
};
use futures::{FutureExt as _, Stream, future::BoxFuture};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, tcp::OwnedReadHalf},
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::outgoing::Outgoing;
use crate::ClientError;

type Reply = Result<Bytes, ClientError>;

/// Who waits under a correlation id.
enum Waiting {
    Once(oneshot::Sender<Reply>),
    /// A stream; its queue is bounded by the credit it was given.
    Stream(mpsc::UnboundedSender<Reply>),
}

struct Pending {
    waiting: HashMap<u32, Waiting>,
    /// Set once: why the connection ended.
    ended: Option<ClientError>,
}

/// A connection. Dropping it closes the socket and fails what still waits.
pub(super) struct Connection {
    addr: String,
    next: AtomicU32,
    pending: Arc<Mutex<Pending>>,
    outgoing: Arc<Outgoing>,
    tasks: [AbortHandle; 2],
}

impl Connection {
    /// Opens the socket and starts its two tasks.
    pub(super) async fn open(addr: &str) -> Result<Arc<Self>, ClientError> {
        let socket = TcpStream::connect(addr).await.map_err(|e| ClientError::connect(addr, &e))?;
        socket.set_nodelay(true).map_err(|e| ClientError::connect(addr, &e))?;
        let (read, write) = socket.into_split();
        let pending = Arc::new(Mutex::new(Pending { waiting: HashMap::new(), ended: None }));
        // Its queue has no bound, because every sender is bounded by what waits for replies: the producer's buffer, the
        // fetches.
        let outgoing = Arc::new(Outgoing::new(write));
        let writer = tokio::spawn(write_frames(Arc::clone(&outgoing), Arc::clone(&pending), addr.to_owned()));
        let reader = tokio::spawn(read_frames(read, Arc::clone(&pending), addr.to_owned()));
        Ok(Arc::new(Self {
            addr: addr.to_owned(),
            next: AtomicU32::new(1),
            pending,
            outgoing,
            tasks: [writer.abort_handle(), reader.abort_handle()],
        }))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pending.lock().ended.is_some()
    }

    /// Sends a protobuf body under `op`.
    pub(super) fn request(&self, op: u8, flags: u8, body: Bytes) -> BoxFuture<'static, Reply> {
        self.send(move |correlation| Message { op, flags, correlation, body }.into_frame()).boxed()
    }

    /// Sends the frame that `encode` makes, and gives the future of its reply. The frame is queued before this returns.
    pub(super) fn send<E>(&self, encode: E) -> impl Future<Output = Reply> + Send + use<E>
    where
        E: FnOnce(u32) -> Result<FrameParts, EncodeError>,
    {
        let (sender, receiver) = oneshot::channel();
        let queued = self.queue(encode, Waiting::Once(sender));
        let (addr, pending) = (self.addr.clone(), Arc::clone(&self.pending));
        async move {
            let correlation = queued?;
            let guard = Forget { correlation, pending };
            let reply = receiver.await.unwrap_or_else(|_| Err(ClientError::broken(&addr, "closed")));
            drop(guard);
            reply
        }
    }

    /// Opens a stream of pushes; credit is returned as they are taken.
    pub(super) fn open_stream(self: &Arc<Self>, op: u8, body: Bytes) -> Result<PushFrames, ClientError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let encode = |correlation| Message { op, flags: 0, correlation, body }.into_frame();
        let correlation = self.queue(encode, Waiting::Stream(sender))?;
        Ok(PushFrames { connection: Arc::clone(self), correlation, receiver })
    }

    fn queue(
        &self,
        encode: impl FnOnce(u32) -> Result<FrameParts, EncodeError>,
        waiting: Waiting,
    ) -> Result<u32, ClientError> {
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = encode(correlation)
            .map_err(|e| ClientError::invalid(format!("the request does not fit a frame: {e}")))?;
        {
            let mut pending = self.pending.lock();
            if let Some(why) = &pending.ended {
                // Nothing was sent, so a repeat is safe.
                return Err(why.clone().unsent());
            }
            pending.waiting.insert(correlation, waiting);
        }
        if !self.outgoing.push(frame) {
            self.pending.lock().waiting.remove(&correlation);
            return Err(ClientError::broken(&self.addr, "closed").unsent());
        }
        self.drive();
        Ok(correlation)
    }

    fn post(&self, frame: Result<FrameParts, EncodeError>) {
        // A closed connection needs neither credit nor cancel.
        if frame.is_ok_and(|frame| self.outgoing.push(frame)) {
            self.drive();
        }
    }

    fn drive(&self) {
        if let Err(error) = self.outgoing.drive() {
            end(&self.pending, &ClientError::broken(&self.addr, error));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.outgoing.end();
        end(&self.pending, &ClientError::closed("connection"));
    }
}

/// Takes a given-up request off the table.
struct Forget {
    correlation: u32,
    pending: Arc<Mutex<Pending>>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.pending.lock().waiting.remove(&self.correlation);
    }
}

/// Bodies of pushes, in order. Dropping it cancels the stream.
pub(super) struct PushFrames {
    connection: Arc<Connection>,
    correlation: u32,
    receiver: mpsc::UnboundedReceiver<Reply>,
}

impl Stream for PushFrames {
    type Item = Reply;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        let item = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(Ok(body))) = &item {
            let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
            let credit = v2::CreditBody { stream: self.correlation, bytes };
            self.connection.post(credit.encode(0));
        }
        item
    }
}

impl Drop for PushFrames {
    fn drop(&mut self) {
        let open = self.connection.pending.lock().waiting.remove(&self.correlation).is_some();
        if open {
            self.connection.post(v2::CancelBody { stream: self.correlation }.encode(0));
        }
    }
}

/// Fails everything that waits; later requests fail with the same error.
fn end(pending: &Mutex<Pending>, why: &ClientError) {
    let mut pending = pending.lock();
    pending.ended.get_or_insert_with(|| why.clone());
    for (_, waiting) in pending.waiting.drain() {
        // A receiver that is gone has given up waiting.
        match waiting {
            Waiting::Once(sender) => drop(sender.send(Err(why.clone()))),
            Waiting::Stream(sender) => drop(sender.send(Err(why.clone()))),
        }
    }
}

async fn write_frames(outgoing: Arc<Outgoing>, pending: Arc<Mutex<Pending>>, addr: String) {
    let error = outgoing.finish_forever().await;
    end(&pending, &ClientError::broken(&addr, error));
}

async fn read_frames(mut socket: OwnedReadHalf, pending: Arc<Mutex<Pending>>, addr: String) {
    let mut decoder = FrameDecoder::default().with_version(Version::V2);
    let mut buffer = BytesMut::with_capacity(256 << 10);
    let why = loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(frame)) => match Message::from_frame(frame) {
                Ok(message) => dispatch(&pending, message),
                Err(error) => break error.to_string(),
            },
            Ok(None) => {
                buffer.reserve(64 << 10);
                match socket.read_buf(&mut buffer).await {
                    Ok(0) => break "the server closed it".to_owned(),
                    Ok(_) => {}
                    Err(error) => break error.to_string(),
                }
            }
            Err(error) => break error.to_string(),
        }
    };
    end(&pending, &ClientError::broken(&addr, why));
}

fn dispatch(pending: &Mutex<Pending>, message: Message) {
    let correlation = message.correlation;
    let (more, is_end) = (message.has_more(), message.is_end());
    let reply = if message.is_error() {
        Err(pb::ErrorDetail::decode(message.body).map_or_else(
            |e| ClientError::protocol(format!("the server's error cannot be read: {e}")),
            ClientError::from,
        ))
    } else {
        Ok(message.body)
    };
    let mut pending = pending.lock();
    if correlation == 0 {
        // An error about the connection itself: the reason why the server is about to close it.
        if let Err(why) = reply {
            drop(pending);
            tracing::debug!(%why, "the server gave up the connection");
        }
        return;
    }
    if more && reply.is_ok() {
        if let Some(Waiting::Stream(sender)) = pending.waiting.get(&correlation) {
            // A dropped stream is cancelled by its own drop.
            let _ = sender.send(reply);
        }
        return;
    }
    match pending.waiting.remove(&correlation) {
        Some(Waiting::Once(sender)) => drop(sender.send(reply)),
        Some(Waiting::Stream(sender)) if !is_end || reply.is_err() => drop(sender.send(reply)),
        // The end of a stream (its sender is dropped), or an answer nobody waits for any more.
        Some(Waiting::Stream(_)) | None => {}
    }
}
