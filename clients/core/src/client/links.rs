//! The client's connections: a few slots, each made at first use and anew after it broke, at the first server that answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    ClientConfig, ClientError, runtime,
    transport::{self, Transport},
};

/// The one attempt that all callers without a connection wait for.
type Connecting = Shared<BoxFuture<'static, Result<Arc<dyn Transport>, ClientError>>>;

#[derive(Default)]
struct Slot {
    link: Option<Arc<dyn Transport>>,
    connecting: Option<Connecting>,
}

struct Inner {
    config: Arc<ClientConfig>,
    slots: Vec<Mutex<Slot>>,
    /// Bootstrap server that answered last.
    server: AtomicUsize,
    closed: AtomicBool,
}

pub(super) struct Links(Arc<Inner>);

impl Links {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        let slots = (0..config.connections.max(1)).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { config, slots, server: AtomicUsize::new(0), closed: AtomicBool::new(false) }))
    }

    /// The slot's connection; where it has none, a task makes one, so that it comes about also if the caller who asked
    /// first is not polled any more.
    pub(super) async fn get(&self, slot: usize) -> Result<Arc<dyn Transport>, ClientError> {
        let inner = &self.0;
        let number = slot % inner.slots.len();
        let connecting = {
            let mut slot = inner.slots[number].lock();
            inner.check_open()?;
            if let Some(link) = slot.link.as_ref().filter(|link| !link.is_closed()) {
                return Ok(Arc::clone(link));
            }
            slot.connecting.get_or_insert_with(|| inner.begin(number)).clone()
        };
        let made = connecting.clone().await;
        if made.is_err() {
            // Its task may have ended with its runtime, and cleared nothing.
            inner.slots[number].lock().connecting.take_if(|known| known.ptr_eq(&connecting));
        }
        made
    }

    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        for slot in &self.0.slots {
            slot.lock().link = None;
        }
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), ClientError> {
        if self.closed.load(Ordering::Acquire) { Err(ClientError::closed("client")) } else { Ok(()) }
    }

    fn begin(self: &Arc<Self>, number: usize) -> Connecting {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(self);
        let connect = async move {
            let made = inner.connect().await;
            let made = inner.keep(number, made);
            // Nobody may be left who waits.
            let _ = sender.send(made);
        };
        drop(runtime::spawn(connect));
        let made = async { receiver.await.unwrap_or_else(|_| Err(ClientError::closed("client's runtime"))) };
        made.boxed().shared()
    }

    fn keep(
        &self,
        number: usize,
        made: Result<Arc<dyn Transport>, ClientError>,
    ) -> Result<Arc<dyn Transport>, ClientError> {
        let mut slot = self.slots[number].lock();
        slot.connecting = None;
        // Under the lock: a close either sees the connection or is seen.
        self.check_open()?;
        slot.link = made.as_ref().ok().cloned();
        made
    }

    /// Tries every server once, beginning with the one that answered last.
    async fn connect(&self) -> Result<Arc<dyn Transport>, ClientError> {
        let config = &*self.config;
        let servers = &config.bootstrap_servers;
        let first = self.server.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for turn in 0..servers.len() {
            let index = (first + turn) % servers.len();
            match transport::connect(&servers[index], config).await {
                Ok(link) => {
                    self.server.store(index, Ordering::Relaxed);
                    return Ok(link);
                }
                Err(error) => failures.push(error),
            }
        }
        Err(all_failed(failures))
    }
}

fn all_failed(mut failures: Vec<ClientError>) -> ClientError {
    if failures.len() > 1 {
        let all: Vec<&str> = failures.iter().map(|f| f.message.as_str()).collect();
        let message = format!("none of {} servers answered: {}", failures.len(), all.join("; "));
        let mut last = failures.pop().expect("there are several");
        last.message = message;
        return last;
    }
    failures.pop().unwrap_or_else(|| ClientError::invalid("no server address given"))
}
