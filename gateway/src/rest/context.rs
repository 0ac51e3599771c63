//! What the headers of a request say of the call.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Request, header};
use flymq_api::{CallContext, Door};
use uuid::Uuid;

use crate::http::Peer;

/// Header that carries the request id, both ways.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Longest request id taken from a client; it is repeated in logs, errors and audit events.
const MAX_REQUEST_ID: usize = 128;

/// The context of a call that is to be answered within `timeout`.
pub(crate) fn call_context<B>(request: &Request<B>, timeout: Duration) -> CallContext {
    let headers = request.headers();
    let mut ctx = CallContext::new(Door::Rest, request_id(headers));
    ctx.credentials = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).map(Into::into);
    ctx.peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    ctx.deadline = Instant::now().checked_add(timeout);
    ctx
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let fit =
        |id: &&str| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
    given.filter(fit).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}
