//! Which service a path belongs to.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::OnceLock,
    task::{Context, Poll},
};

use flymq_api::{BrokerError, ErrorCode, OPS, OpMeta, REQUEST_ID_HEADER};
use futures::future::BoxFuture;
use tonic::{body::Body, codegen::http, server::NamedService};
use tower::{Service, util::BoxCloneSyncService};

use crate::{
    call::Calls,
    context::{call_context, request_id_header},
    status::status,
};

type Inner = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// All services behind one port.
#[derive(Clone)]
pub(crate) struct GrpcService {
    calls: Calls,
    /// Health and reflection, by service name.
    others: Vec<(&'static str, Inner)>,
}

impl GrpcService {
    pub fn new(calls: Calls) -> Self {
        Self { calls, others: Vec::new() }
    }

    /// Adds a service that is not of `flymq.v1`.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.others.push((S::NAME, BoxCloneSyncService::new(service)));
        self
    }
}

impl Service<http::Request<Body>> for GrpcService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if let Some(op) = op(path) {
            let calls = self.calls.clone();
            return Box::pin(async move { Ok(calls.answer(op, request).await) });
        }
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match self.others.iter_mut().find(|(name, _)| *name == service) {
            Some((_, inner)) => Box::pin(inner.call(request)),
            None => {
                let response = unknown(&request);
                Box::pin(async { Ok(response) })
            }
        }
    }
}

fn op(path: &str) -> Option<&'static OpMeta> {
    static BY_PATH: OnceLock<HashMap<&'static str, &'static OpMeta>> = OnceLock::new();
    BY_PATH.get_or_init(|| OPS.iter().map(|op| (op.path, op)).collect()).get(path).copied()
}

fn unknown(request: &http::Request<Body>) -> http::Response<Body> {
    let ctx = call_context(request, std::time::Instant::now());
    let text = format!("no rpc {} here; reflection lists all there are", request.uri().path());
    let error = BrokerError::new(ErrorCode::Unimplemented, text);
    let mut response = status(&error, &ctx.request_id).into_http();
    if let Some(id) = request_id_header(&ctx.request_id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}
