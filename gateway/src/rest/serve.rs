//! Runs the REST door on a listener.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use flymq_api::{Broker, CallContext, REQUEST_ID_HEADER, ReadBudget};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    RestOptions, call,
    call::with_type,
    context::call_context,
    error::{HttpError, allow_header},
    guard,
    route::{Found, find},
};
use crate::{http, openapi, registry};

const OPENAPI_PATH: &str = "/api/v1/openapi.json";

struct Door {
    broker: Arc<dyn Broker>,
    options: RestOptions,
    budget: ReadBudget,
    answers: ReadBudget,
    shutdown: CancellationToken,
}

/// Serves REST on `listener` until `shutdown` is cancelled and running requests have ended, or the drain timeout is over.
pub async fn serve_rest(
    listener: TcpListener,
    broker: Arc<dyn Broker>,
    options: RestOptions,
    shutdown: CancellationToken,
) {
    let limits = options.http.clone();
    let budget = ReadBudget::new(options.max_requests_bytes);
    let answers = ReadBudget::of_answers(options.max_answers_bytes);
    let door = Arc::new(Door { broker, options, budget, answers, shutdown: shutdown.clone() });
    let router = Router::new().fallback(move |request: Request<Body>| handle(door.clone(), request));
    http::serve(listener, router, limits, shutdown).await;
}

async fn handle(door: Arc<Door>, request: Request<Body>) -> Response {
    let ctx = call_context(&request, door.options.request_timeout);
    let request_id = ctx.request_id.clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match guard::check(request.headers(), request.uri(), &door.options) {
        Ok(()) => answer(&door, ctx, request)
            .await
            .map(|response| with_origin(response, origin))
            .unwrap_or_else(|e| e.into_response(&request_id)),
        Err(error) => HttpError::from(error).into_response(&request_id),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    response
}

/// The guard let this origin in, so its page may read the answer.
fn with_origin(mut response: Response, origin: Option<HeaderValue>) -> Response {
    if let Some(origin) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

async fn answer(door: &Door, ctx: CallContext, request: Request<Body>) -> Result<Response, HttpError> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    if path == "/" || path == OPENAPI_PATH {
        return page(&method, &path);
    }
    if path.strip_prefix(registry::PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let share = door.budget.share();
        return Ok(registry::answer(door.broker.clone(), &door.options, &share, ctx, request).await);
    }
    match find(method.as_str(), &path) {
        Found::Route { route, variables } => {
            let broker = door.broker.clone();
            let memory = (&door.budget.share(), &door.answers);
            let answer = call::answer(broker, &door.options, memory, ctx, route, &variables, request).await?;
            Ok(if route.rpc.server_streaming { until(answer, door.shutdown.clone()) } else { answer })
        }
        Found::OtherMethods(methods) if method == Method::OPTIONS => Ok(options(&methods)),
        Found::OtherMethods(methods) => Err(HttpError::no_method(method.as_str(), &path, methods)),
        Found::Nothing => Err(HttpError::no_route(method.as_str(), &path)),
    }
}

/// The pages that no rpc stands behind.
fn page(method: &Method, path: &str) -> Result<Response, HttpError> {
    match *method {
        Method::OPTIONS => Ok(options(&["GET"])),
        Method::GET | Method::HEAD if path == OPENAPI_PATH => {
            Ok(with_type(Body::from(openapi::text()), "application/json"))
        }
        Method::GET | Method::HEAD => Ok(with_type(Body::from(index()), "application/json")),
        _ => Err(HttpError::no_method(method.as_str(), path, vec!["GET"])),
    }
}

fn index() -> String {
    let index = json!({
        "name": "FlyMQ",
        "version": env!("CARGO_PKG_VERSION"),
        "openapi": OPENAPI_PATH,
        "topics": "/api/v1/topics",
        "schema_registry": registry::PREFIX,
        "consumer_groups": "/api/v1/consumer-groups",
        "cluster": "/api/v1/cluster",
        "health": "/api/v1/health",
    });
    format!("{index:#}\n")
}

fn options(methods: &[&str]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if let Ok(allow) = HeaderValue::from_str(&allow_header(methods)) {
        headers.insert(header::ALLOW, allow.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow);
    }
    let allowed = HeaderValue::from_static("authorization, content-type, x-request-id");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    response
}

/// Ends a streamed body when the door closes.
fn until(response: Response, shutdown: CancellationToken) -> Response {
    use futures::StreamExt as _;
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(shutdown.cancelled_owned())))
}
