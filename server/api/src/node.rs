//! What the composition root tells the broker about the node it runs on.

use std::{
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
    time::Instant,
};

/// One configuration value as `GetConfig` shows it; secrets are masked before they get here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub key: String,
    pub value: String,
    /// `default`, `file`, `environment` or `flag`.
    pub source: String,
}

/// Facts of this node that answers and health checks need.
#[derive(Debug)]
pub struct Node {
    pub cluster_id: String,
    pub node_id: String,
    /// `standalone`, `bootstrap` or `agent`.
    pub role: String,
    pub version: &'static str,
    /// host:port under which clients reach the native port.
    pub client_addr: String,
    /// host:port for other nodes; empty on a node without a cluster listener.
    pub cluster_addr: String,
    pub started: Instant,
    pub config: Vec<ConfigEntry>,
    /// Open client connections; each door keeps its own part up to date.
    pub connections: AtomicI32,
    ready: AtomicBool,
}

impl Node {
    /// A node that is not ready yet. The fields that have no natural default are the arguments.
    pub fn new(cluster_id: impl Into<String>, node_id: impl Into<String>) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            node_id: node_id.into(),
            role: "standalone".to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            client_addr: String::new(),
            cluster_addr: String::new(),
            started: Instant::now(),
            config: Vec::new(),
            connections: AtomicI32::new(0),
            ready: AtomicBool::new(false),
        }
    }

    /// Whether recovery is done and the doors are open.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Called once the doors are open, and with `false` when a shutdown begins.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Milliseconds since the process took up its work.
    pub fn uptime_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
