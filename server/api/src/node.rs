//! What the composition root tells the broker about the node it runs on.

use std::{sync::atomic::AtomicI32, time::Instant};

use tokio::sync::watch;

/// One configuration value as `GetConfig` shows it; secrets are masked before they get here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub key: String,
    pub value: String,
    /// `default`, `file`, `env` or `flag`, with the name of the file, variable or flag.
    pub source: String,
}

/// The life of a node; it only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Recovery runs.
    Starting,
    /// The doors are open.
    Ready,
    /// Running calls may end, long polls end at once.
    Stopping,
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
    /// host:port for other nodes; empty on a broker without cluster, which is how doors tell.
    pub cluster_addr: String,
    pub started: Instant,
    pub config: Vec<ConfigEntry>,
    /// Open client connections; each door keeps its own part up to date.
    pub connections: AtomicI32,
    phase: watch::Sender<Phase>,
}

impl Node {
    /// A starting node. The fields that have no natural default are the arguments.
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
            phase: watch::Sender::new(Phase::Starting),
        }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; an earlier one than the present is ignored.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|present| {
            let forward = *present < phase;
            *present = phase.max(*present);
            forward
        });
    }

    /// Waits until the node stops.
    pub async fn stopping(&self) {
        let mut phases = self.phase.subscribe();
        // The sender lives in `self`, so that the wait ends only with the phase.
        let _ = phases.wait_for(|phase| *phase == Phase::Stopping).await;
    }

    /// Milliseconds since the process took up its work.
    pub fn uptime_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_never_goes_back() {
        let node = Node::new("c", "n");
        node.enter(Phase::Stopping);
        node.enter(Phase::Ready);
        assert_eq!(node.phase(), Phase::Stopping);
    }
}
