//! Who is at the other end of a connection.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use flymq_api::{CallContext, Door, Principal};

/// The client of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    /// `n17`: the connection's part of every request id.
    pub(crate) connection: Arc<str>,
    /// Credentials of the login that succeeded on this connection.
    pub(crate) credentials: Option<Arc<str>>,
    /// User of that login.
    pub(crate) user: Option<String>,
}

impl Caller {
    pub(crate) fn new(peer: SocketAddr, number: u64) -> Self {
        Self { peer, connection: format!("n{number}").into(), credentials: None, user: None }
    }

    pub(crate) fn logged_in(&self) -> bool {
        self.credentials.is_some()
    }

    /// Context of a call. The record path passes no number and shares the connection's id, which saves an
    /// allocation per batch; its errors still name the request.
    pub(crate) fn context(&self, door: Door, request: Option<u32>, wire_bytes: usize) -> CallContext {
        let id = match request {
            Some(number) => self.request_id(number).into(),
            None => Arc::clone(&self.connection),
        };
        CallContext {
            door,
            principal: Principal::Anonymous,
            credentials: self.credentials.clone(),
            peer: Some(self.peer),
            request_id: id,
            deadline: None,
            wire_bytes,
            forwarded: false,
        }
    }

    /// Id of request `number` of this connection.
    pub(crate) fn request_id(&self, number: u32) -> String {
        format!("{}-{number}", self.connection)
    }
}

/// When a request with a timeout of `ms` is of no more use; 0 leaves it to the server.
pub(crate) fn deadline(ms: u32) -> Option<Instant> {
    (ms > 0).then(|| Instant::now() + Duration::from_millis(u64::from(ms)))
}
