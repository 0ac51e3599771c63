//! Limits of the door. Every one bounds what a stranger can make the broker hold.

use std::{sync::Arc, time::Duration};

use flymq_api::Node;
use flymq_wire::compress::InflateLimits;

/// Limits of the gRPC door; the defaults fit a broker on a small machine.
#[derive(Debug, Clone)]
pub struct GrpcOptions {
    /// Where open connections are counted for the node's statistics, if anywhere.
    pub node: Option<Arc<Node>>,
    /// Largest message a client may send, in bytes.
    pub max_message_bytes: usize,
    /// Largest message after decompression, in bytes, where a client compresses its messages.
    pub max_inflated_bytes: usize,
    /// Memory of all requests together, from their first byte until they are answered, in bytes.
    pub max_requests_bytes: usize,
    /// Memory of all answers together that are not written yet, in bytes.
    pub max_answers_bytes: usize,
    /// Connections served at once; further ones wait in the listen queue.
    pub max_connections: usize,
    /// Calls open at once on one connection.
    pub max_concurrent_streams: u32,
    /// Bytes of all headers of one call.
    pub max_header_list_bytes: u32,
    /// A new connection must have sent the HTTP/2 preface within this time.
    pub handshake_timeout: Duration,
    /// Pause after which a silent connection is pinged.
    pub keepalive_interval: Duration,
    /// A connection that leaves a ping unanswered this long is closed.
    pub keepalive_timeout: Duration,
    /// HTTP/2 window of one call, in bytes: what may be in flight towards a reader that does not read.
    pub stream_window_bytes: u32,
    /// HTTP/2 window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// Time that running calls get to end after shutdown begins.
    pub drain_timeout: Duration,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            node: None,
            max_message_bytes: 32 * 1024 * 1024,
            max_inflated_bytes: InflateLimits::REQUEST.max_len,
            max_requests_bytes: 256 * 1024 * 1024,
            max_answers_bytes: 256 * 1024 * 1024,
            max_connections: 4096,
            max_concurrent_streams: 256,
            max_header_list_bytes: 16 * 1024,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            stream_window_bytes: 1024 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
            drain_timeout: Duration::from_secs(5),
        }
    }
}
