//! Reading a request body within limits of size, time and memory.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use flymq_api::{BrokerError, ErrorCode, ReadShare};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::{RestOptions, json_in::invalid};

/// Memory of one JSON value and of what it becomes, without its text.
const VALUE_BYTES: usize = 64;

/// Memory of one JSON object and of the message it becomes.
const OBJECT_BYTES: usize = 512;

/// The whole body; `share` pays for it.
pub(crate) async fn read(body: Body, options: &RestOptions, share: &ReadShare) -> Result<Bytes, BrokerError> {
    // What says of itself that it is too large is not waited for.
    if body.size_hint().lower() > options.max_body_bytes as u64 {
        return Err(too_large(options.max_body_bytes));
    }
    let began = Instant::now();
    let (mut parts, limit) = (body.into_data_stream(), options.max_body_bytes);
    let mut whole = BytesMut::new();
    loop {
        let within = time_for(whole.len(), options);
        let part = tokio::time::timeout_at(began + within, parts.next()).await;
        let part = part.map_err(|_| late(whole.len(), within))?;
        let Some(part) = part else { return Ok(whole.freeze()) };
        let part = part.map_err(|e| invalid("", format_args!("the body could not be read: {e}")))?;
        if whole.len() + part.len() > limit {
            return Err(too_large(limit));
        }
        share.take(part.len())?;
        whole.extend_from_slice(&part);
    }
}

/// How long a body may take of which so much has come: a connection that sends a byte now and then must not be held for long.
fn time_for(received: usize, options: &RestOptions) -> Duration {
    let more = Duration::from_secs((received / options.body_bytes_per_s.max(1)) as u64);
    (options.body_timeout + more).min(options.request_timeout)
}

fn late(received: usize, within: Duration) -> BrokerError {
    let text = format!(
        "only {received} bytes of the body came within {} ms, nothing was done, and the connection is closed: send the body at once, or less of it",
        within.as_millis()
    );
    BrokerError::new(ErrorCode::Timeout, text).with("received_bytes", received)
}

fn too_large(limit: usize) -> BrokerError {
    BrokerError::new(ErrorCode::FrameTooLarge, format!("the body is larger than {limit} bytes"))
        .with("limit", limit)
}

/// Memory, roughly, that JSON text takes once parsed: two bytes may be a whole object.
pub(crate) fn weight(json: &[u8]) -> usize {
    let (mut weight, mut in_text, mut escaped) = (VALUE_BYTES, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => weight += OBJECT_BYTES,
            b',' | b'[' if !in_text => weight += VALUE_BYTES,
            _ => {}
        }
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_gets_more_time_as_it_comes() {
        let options = RestOptions::default();
        assert_eq!(time_for(0, &options), options.body_timeout);
        assert_eq!(
            time_for(10 * options.body_bytes_per_s, &options),
            options.body_timeout + Duration::from_secs(10)
        );
        assert_eq!(time_for(usize::MAX, &options), options.request_timeout);
    }

    #[test]
    fn text_weighs_nothing_and_objects_much() {
        assert_eq!(weight(br#"{"a": "[{,\"{,\\"}"#), VALUE_BYTES + OBJECT_BYTES);
        assert_eq!(weight(b"[{},{}]"), 3 * VALUE_BYTES + 2 * OBJECT_BYTES);
        assert_eq!(weight(b""), VALUE_BYTES);
    }
}
