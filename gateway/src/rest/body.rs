//! Reading a request body within limits of size, time and memory.

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use flymq_api::{BrokerError, ErrorCode, ReadShare};
use futures::StreamExt as _;

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
    match tokio::time::timeout(options.request_timeout, collect(body, options.max_body_bytes, share)).await {
        Ok(read) => read,
        Err(_) => Err(BrokerError::new(ErrorCode::Timeout, "the body did not arrive in time")),
    }
}

async fn collect(body: Body, limit: usize, share: &ReadShare) -> Result<Bytes, BrokerError> {
    let mut parts = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|e| invalid("", format_args!("the body could not be read: {e}")))?;
        if whole.len() + part.len() > limit {
            return Err(too_large(limit));
        }
        share.take(part.len())?;
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
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
    fn text_weighs_nothing_and_objects_much() {
        assert_eq!(weight(br#"{"a": "[{,\"{,\\"}"#), VALUE_BYTES + OBJECT_BYTES);
        assert_eq!(weight(b"[{},{}]"), 3 * VALUE_BYTES + 2 * OBJECT_BYTES);
        assert_eq!(weight(b""), VALUE_BYTES);
    }
}
