//! What the headers of a request say of the call.

use std::time::{Duration, Instant};

use axum::http::{Request, header};
use flymq_api::{CallContext, Door, REQUEST_ID_HEADER, request_id};

use crate::http::Peer;

/// The context of a call that is to be answered within `timeout`.
pub(crate) fn call_context<B>(request: &Request<B>, timeout: Duration) -> CallContext {
    let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let mut ctx = CallContext::new(Door::Rest, request_id(text(REQUEST_ID_HEADER)));
    ctx.credentials = text(header::AUTHORIZATION.as_str()).map(Into::into);
    ctx.peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    ctx.deadline = Instant::now().checked_add(timeout);
    ctx
}
