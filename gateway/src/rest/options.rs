//! Settings of the REST door.

use std::time::Duration;

use crate::HttpLimits;

/// Settings of the REST door.
#[derive(Debug, Clone)]
pub struct RestOptions {
    pub http: HttpLimits,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Memory of all requests together, from their first byte until they are answered, in bytes.
    pub max_requests_bytes: usize,
    /// Memory of all answers together that are not written yet, in bytes.
    pub max_answers_bytes: usize,
    /// Time in which a body has to be there; a second more for each [`Self::body_bytes_per_s`] that have come.
    pub body_timeout: Duration,
    /// Pace that a large body has to keep.
    pub body_bytes_per_s: usize,
    /// Longest time to read a body, and time to answer one request that is not a stream.
    pub request_timeout: Duration,
    /// Host names, besides IP addresses and names without a dot, under which the door may be called; `*` allows all.
    /// A web page whose name was pointed at this machine (DNS rebinding) has another one, and is refused.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://console.example`) of web pages that may call besides the door's own.
    pub allowed_origins: Vec<String>,
    /// Pause between the comments that keep a silent event stream open.
    pub event_keepalive: Duration,
}

impl Default for RestOptions {
    fn default() -> Self {
        Self {
            http: HttpLimits::default(),
            max_body_bytes: 32 * 1024 * 1024,
            max_requests_bytes: 256 * 1024 * 1024,
            max_answers_bytes: 256 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            body_bytes_per_s: 64 * 1024,
            request_timeout: Duration::from_secs(60),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            event_keepalive: Duration::from_secs(15),
        }
    }
}
