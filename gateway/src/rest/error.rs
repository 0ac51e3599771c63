//! The error table as REST tells it.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use flymq_api::{BrokerError, ErrorCode};
use serde_json::{Map, Value, json};

use super::route;

/// Routes named in the answer to an unknown path.
const SIMILAR_ROUTES: usize = 8;

/// A refusal with what only HTTP has to say.
#[derive(Debug)]
pub(crate) struct HttpError {
    error: BrokerError,
    /// Methods the path has, for 405.
    allow: Vec<&'static str>,
    /// Routes that exist, for 404.
    routes: Vec<String>,
}

impl From<BrokerError> for HttpError {
    fn from(error: BrokerError) -> Self {
        Self { error, allow: Vec::new(), routes: Vec::new() }
    }
}

impl HttpError {
    /// 404 for a path that no route has.
    pub fn no_route(method: &str, path: &str) -> Self {
        let error = BrokerError::new(ErrorCode::RouteNotFound, format!("no route {method} {path}"));
        Self { error, allow: Vec::new(), routes: route::similar(path, SIMILAR_ROUTES) }
    }

    /// 405 for a path that has other methods.
    pub fn no_method(method: &str, path: &str, allow: Vec<&'static str>) -> Self {
        let text = format!("{path} has no {method}, but {}", allow.join(", "));
        Self { error: BrokerError::new(ErrorCode::MethodNotAllowed, text), allow, routes: Vec::new() }
    }

    pub fn into_response(self, request_id: &str) -> Response {
        let status =
            StatusCode::from_u16(self.error.traits().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = body(&self.error, request_id);
        if !self.routes.is_empty() {
            body["error"]["routes"] = json!(self.routes);
        }
        let mut response = Response::new(Body::from(format!("{body}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.allow.is_empty()
            && let Ok(allow) = HeaderValue::from_str(&allow_header(&self.allow))
        {
            headers.insert(header::ALLOW, allow);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"FlyMQ\", Bearer"));
        }
        if self.error.traits().retryable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The value of `Allow`: what the routes have, with HEAD beside GET, and OPTIONS.
pub(crate) fn allow_header(methods: &[&str]) -> String {
    let mut all = methods.to_vec();
    if all.contains(&"GET") {
        all.push("HEAD");
    }
    all.push("OPTIONS");
    all.join(", ")
}

/// `{"error": {code, message, hint, doc_url, retryable, metadata, request_id}}`
pub(crate) fn body(error: &BrokerError, request_id: &str) -> Value {
    let metadata: Map<String, Value> =
        error.metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    json!({"error": {
        "code": error.traits().name,
        "message": error.message,
        "hint": error.hint(),
        "doc_url": error.doc_url(),
        "retryable": error.traits().retryable,
        "metadata": metadata,
        "request_id": request_id,
    }})
}

#[cfg(test)]
mod tests {
    use flymq_proto::descriptor_pool;

    use super::*;

    #[test]
    fn every_code_has_its_status() {
        let codes = descriptor_pool().get_enum_by_name("flymq.v1.ErrorCode").expect("declared");
        for value in codes.values() {
            let code = ErrorCode::try_from(value.number()).expect("from the same file");
            let error = BrokerError::new(code, "it failed");
            let http = error.traits().http;
            let response = HttpError::from(error).into_response("id");
            assert_eq!(response.status().as_u16(), http, "{}", value.name());
        }
    }

    #[test]
    fn the_body_tells_all() {
        let error = BrokerError::new(ErrorCode::TopicNotFound, "topic not found: a").with("topic", "a");
        let body = body(&error, "id-1");
        let told = &body["error"];
        assert_eq!(told["code"], "TOPIC_NOT_FOUND");
        assert_eq!(told["metadata"]["topic"], "a");
        assert_eq!(told["request_id"], "id-1");
        assert_eq!(told["retryable"], false);
        assert!(told["hint"].as_str().expect("text").contains("topic create a"));
        assert!(told["doc_url"].as_str().expect("text").ends_with("TOPIC_NOT_FOUND.md"));
    }

    #[test]
    fn an_unknown_path_lists_routes_and_a_wrong_method_allows() {
        let response = HttpError::no_route("GET", "/api/v1/topicz").into_response("id");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let response = HttpError::no_method("PUT", "/api/v1/topics", vec!["GET", "POST"]).into_response("id");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, POST, HEAD, OPTIONS");
    }
}
