use std::time::Duration;

use flymq_types::{Acks, Limits};

/// How fast against how safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerformanceOptions {
    /// Acknowledgement for clients that say nothing.
    pub acks: Acks,
    /// Longest time until a record that was acknowledged with `leader` is on disk.
    pub sync_interval: Duration,
}

impl Default for PerformanceOptions {
    fn default() -> Self {
        Self { acks: Acks::Leader, sync_interval: Duration::from_millis(5) }
    }
}

/// Bounds on what a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsOptions {
    /// Largest record, bytes (key, value and headers).
    pub max_record_bytes: u64,
    /// Largest number of open client connections.
    pub max_connections: u32,
}

impl Default for LimitsOptions {
    fn default() -> Self {
        Self { max_record_bytes: Limits::DEFAULT.record_bytes as u64, max_connections: 10_000 }
    }
}
