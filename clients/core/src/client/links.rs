//! The client's connections: a few slots, each made at first use and anew after it broke, at the first server that answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use crate::{
    ClientConfig, ClientError,
    transport::{self, Transport},
};

#[derive(Default)]
struct Slot {
    link: Mutex<Option<Arc<dyn Transport>>>,
    /// Held while connecting, so that many callers make one connection.
    connecting: tokio::sync::Mutex<()>,
}

pub(super) struct Links {
    slots: Vec<Slot>,
    /// Bootstrap server that answered last.
    server: AtomicUsize,
    closed: AtomicBool,
}

impl Links {
    pub(super) fn new(count: usize) -> Self {
        let slots = (0..count).map(|_| Slot::default()).collect();
        Self { slots, server: AtomicUsize::new(0), closed: AtomicBool::new(false) }
    }

    pub(super) async fn get(
        &self,
        slot: usize,
        config: &ClientConfig,
    ) -> Result<Arc<dyn Transport>, ClientError> {
        let slot = &self.slots[slot % self.slots.len()];
        if let Some(link) = self.live(slot)? {
            return Ok(link);
        }
        let _connecting = slot.connecting.lock().await;
        if let Some(link) = self.live(slot)? {
            return Ok(link);
        }
        let link = self.connect(config).await?;
        *slot.link.lock() = Some(Arc::clone(&link));
        Ok(link)
    }

    fn live(&self, slot: &Slot) -> Result<Option<Arc<dyn Transport>>, ClientError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ClientError::closed("client"));
        }
        Ok(slot.link.lock().as_ref().filter(|link| !link.is_closed()).cloned())
    }

    /// Tries every server once, beginning with the one that answered last.
    async fn connect(&self, config: &ClientConfig) -> Result<Arc<dyn Transport>, ClientError> {
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

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for slot in &self.slots {
            slot.link.lock().take();
        }
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
