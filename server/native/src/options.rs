//! What the native door can be told.

use std::{sync::Arc, time::Duration};

use flymq_api::Node;

/// Settings of the native door. All sizes are in bytes.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// Where open connections are counted for the node's statistics, if anywhere.
    pub node: Option<Arc<Node>>,
    /// Name of this node, told in HELLO.
    pub node_id: String,
    /// Name of the cluster, told in HELLO.
    pub cluster_id: String,
    /// Version of the server, told in HELLO.
    pub version: String,
    /// Clients must log in; before that only small frames are read.
    pub auth_required: bool,
    /// Largest frame payload.
    pub max_frame: u32,
    /// Largest frame payload before login, where `auth_required`.
    pub pre_login_frame: u32,
    /// Largest record, told in HELLO; the broker enforces it.
    pub max_record: u32,
    /// A connection on which nothing happens for this long is closed; so is one that takes no reply bytes for it.
    pub idle_timeout: Duration,
    /// Time for the first frame to arrive whole, from its first byte on (from the accept on where `auth_required`:
    /// the clients of version 1 may stay silent after connecting, but those that log in do so at once).
    pub first_frame_deadline: Duration,
    /// A transaction of version 1 that nobody touches for this long is dropped.
    pub transaction_timeout: Duration,
    /// Time that running requests have to finish when the server stops.
    pub drain_timeout: Duration,
    /// Open connections; more are closed at once.
    pub max_connections: usize,
    /// Requests of one version 2 connection that run at the same time; at the bound the socket is not read.
    pub max_in_flight: usize,
    /// Payload bytes of those requests; at the bound the socket is not read.
    pub max_in_flight_bytes: usize,
    /// Reply bytes of one connection that wait for the socket; above it no request is started and no reply is made.
    /// One reply may exceed it, so a connection holds at most this and a frame.
    pub max_queued_bytes: usize,
    /// Open push streams of one connection.
    pub max_streams: usize,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self {
            node: None,
            node_id: "node-1".to_owned(),
            cluster_id: "standalone".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            auth_required: false,
            max_frame: flymq_wire::frame::MAX_PAYLOAD,
            pre_login_frame: flymq_wire::frame::LIMIT_BEFORE_LOGIN,
            max_record: 16 << 20,
            idle_timeout: Duration::from_secs(5 * 60),
            first_frame_deadline: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
            max_connections: 10_000,
            max_in_flight: 1_024,
            max_in_flight_bytes: 64 << 20,
            max_queued_bytes: 4 << 20,
            max_streams: 256,
        }
    }
}

impl NativeOptions {
    /// Largest frame payload for a client that is, or is not yet, logged in.
    pub(crate) fn frame_limit(&self, logged_in: bool) -> u32 {
        if self.auth_required && !logged_in {
            self.pre_login_frame.min(self.max_frame)
        } else {
            self.max_frame
        }
    }
}
