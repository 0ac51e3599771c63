//! Runs the metrics listener.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
    routing::get,
};
use flymq_api::Broker;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{broker, text::Text};
use crate::{HttpLimits, http};

/// Settings of the metrics listener.
#[derive(Debug, Clone)]
pub struct MetricsOptions {
    pub http: HttpLimits,
    /// Most series of each family that has a label with a user's text.
    pub max_series: usize,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { http: HttpLimits::default(), max_series: 2000 }
    }
}

struct Source {
    handle: PrometheusHandle,
    broker: Arc<dyn Broker>,
    max_series: usize,
}

/// Serves `/metrics` on `listener` until `shutdown`.
pub async fn serve_metrics(
    listener: TcpListener,
    handle: PrometheusHandle,
    broker: Arc<dyn Broker>,
    options: MetricsOptions,
    shutdown: CancellationToken,
) {
    let source = Arc::new(Source { handle, broker, max_series: options.max_series });
    let router = Router::new().route("/metrics", get(scrape)).with_state(source);
    let router = http::guarded(router, options.http.allowed_hosts.clone());
    http::serve(listener, router, options.http, shutdown).await;
}

async fn scrape(State(source): State<Arc<Source>>) -> Response {
    let mut text = Text::new(source.handle.render());
    histogram(&mut text, "flymq_produce_latency_seconds", "Time from a produce request to its answer.");
    histogram(
        &mut text,
        "flymq_consume_latency_seconds",
        "Time from a consume or fetch request to its answer, less waiting for data to come.",
    );
    broker::render(&mut text, &source.broker, source.max_series).await;
    let mut response = Response::new(Body::from(text.into_string()));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// The recorder shows a histogram only once it has a sample.
fn histogram(text: &mut Text, name: &str, help: &str) {
    text.ensure(name, "histogram", help, &[("_bucket", "{le=\"+Inf\"}"), ("_sum", ""), ("_count", "")]);
}
