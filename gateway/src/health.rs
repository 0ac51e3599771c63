//! Health on its own port: up before the broker is, so that an orchestrator sees a start-up as such.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use flymq_api::{Broker, BrokerError, CallContext, Door, Request, Response as BrokerResponse};
use flymq_proto::pb;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{HttpLimits, http};

/// What the health listener tells: starting until it is given the broker, from then on what the broker says of itself.
#[derive(Clone, Default)]
pub struct Health {
    broker: Arc<OnceLock<Arc<dyn Broker>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("started", &self.broker.get().is_some()).finish()
    }
}

impl Health {
    /// Not ready, and without a broker to ask.
    pub fn starting() -> Self {
        Self::default()
    }

    /// From now on `broker` is asked. A second broker is ignored.
    pub fn started(&self, broker: Arc<dyn Broker>) {
        if self.broker.set(broker).is_err() {
            tracing::debug!("health already has its broker");
        }
    }

    async fn ask(&self) -> pb::GetHealthResponse {
        let starting = pb::GetHealthResponse {
            status: "starting".to_owned(),
            live: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        let Some(broker) = self.broker.get() else { return starting };
        let ctx = CallContext::new(Door::InProcess, "health");
        match broker.call(ctx, Request::GetHealth(pb::GetHealthRequest {})).await {
            Ok(BrokerResponse::GetHealth(health)) => health,
            Ok(_) => unwell(starting, "answered another rpc".to_owned()),
            Err(error) => unwell(starting, told(&error)),
        }
    }
}

fn unwell(mut health: pb::GetHealthResponse, why: String) -> pb::GetHealthResponse {
    health.status = "degraded".to_owned();
    health.checks.insert("broker".to_owned(), why);
    health
}

fn told(error: &BrokerError) -> String {
    format!("{}: {error}", error.traits().name)
}

/// Serves `/health`, `/health/live` and `/health/ready` on `listener` until `shutdown`.
pub async fn serve_health(
    listener: TcpListener,
    health: Health,
    limits: HttpLimits,
    shutdown: CancellationToken,
) {
    let router = Router::new()
        .route("/health", get(detail))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(nothing)
        .method_not_allowed_fallback(read_only)
        .with_state(health);
    let router = http::guarded(router, limits.allowed_hosts.clone());
    http::serve(listener, router, limits, shutdown).await;
}

async fn detail(State(health): State<Health>) -> Response {
    let h = health.ask().await;
    let checks: serde_json::Map<String, Value> = h.checks.into_iter().map(|(k, v)| (k, v.into())).collect();
    let body = json!({
        "status": h.status, "live": h.live, "ready": h.ready, "version": h.version, "node_id": h.node_id,
        "uptime_ms": h.uptime_ms, "checks": checks,
    });
    answer(h.ready && h.live, &body)
}

async fn live(State(health): State<Health>) -> Response {
    let h = health.ask().await;
    answer(h.live, &json!({"live": h.live, "status": h.status}))
}

async fn ready(State(health): State<Health>) -> Response {
    let h = health.ask().await;
    answer(h.ready, &json!({"ready": h.ready, "status": h.status}))
}

async fn nothing() -> Response {
    let mut response = answer(true, &json!({"routes": ["/health", "/health/live", "/health/ready"]}));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

async fn read_only() -> Response {
    let mut response = answer(true, &json!({"methods": ["GET", "HEAD"]}));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

fn answer(well: bool, body: &Value) -> Response {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
