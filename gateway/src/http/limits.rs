//! Limits of an HTTP listener. Every one bounds what a stranger can make the broker hold.

use std::time::Duration;

/// Limits of one HTTP listener.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Connections served at once; further ones wait in the listen queue.
    pub max_connections: usize,
    /// Bytes of the request line and all headers.
    pub max_header_bytes: usize,
    /// Time a client has to send its headers, also the time an idle connection is kept.
    pub header_timeout: Duration,
    /// Time in which a client has to take something of an answer that it does not read; then its connection ends.
    pub unread_timeout: Duration,
    /// Time that running requests get to end after shutdown begins.
    pub drain_timeout: Duration,
    /// Host names, besides addresses and names without a dot, under which metrics and health may be asked; REST has its
    /// own list.
    pub allowed_hosts: Vec<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_header_bytes: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            unread_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
            allowed_hosts: Vec::new(),
        }
    }
}
