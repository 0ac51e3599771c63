//! What Confluent's serializers ask of a schema registry, under `/schema-registry`: subjects, versions, ids, compatibility and config,
//! with its error codes ([API](https://docs.confluent.io/platform/current/schema-registry/develop/api.html)). Each is a call or two
//! of the broker, behind the same rights and limits as every other one.

mod calls;
mod error;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use flymq_api::{Broker, CallContext, ReadShare};
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    calls::{Registry, Text},
    error::Refusal,
};
use crate::rest::{RestOptions, percent_decode, read_body};

/// Where it begins; a path below is one of the registry.
pub(crate) const PREFIX: &str = "/schema-registry";
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

type Answer = Result<Value, Refusal>;

#[derive(Deserialize)]
struct Rule {
    compatibility: String,
}

/// Answers one request, an error in the registry's own form at worst.
pub(crate) async fn answer(
    broker: Arc<dyn Broker>,
    options: &RestOptions,
    share: &ReadShare,
    mut ctx: CallContext,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let read = match refuse_encoded(&parts.headers) {
        Ok(()) => read_body(body, options, share).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    let answered = match read {
        Ok(body) => {
            ctx.wire_bytes = body.len();
            let path = parts.uri.path().to_owned();
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let registry = Registry { broker, ctx };
            route(&registry, &parts.method, &path[PREFIX.len()..], &query, &body).await
        }
        Err(refusal) => Err(refusal),
    };
    let (status, told) = match answered {
        Ok(told) => (StatusCode::OK, told),
        Err(refusal) => (refusal.status(), refusal.body()),
    };
    let mut response = Response::new(Body::from(told.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if status == StatusCode::UNAUTHORIZED {
        let how = HeaderValue::from_static("Basic realm=\"FlyMQ\", Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    }
    response
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(Refusal::new(415, 415, "bodies are not compressed here"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the query has that switch on.
fn on(query: &str, name: &str) -> bool {
    let mut parts = query.split('&').filter_map(|part| part.split_once('='));
    parts.any(|(key, value)| key == name && value.eq_ignore_ascii_case("true"))
}

fn parsed<'b, T: Deserialize<'b>>(body: &'b Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(422, 42_201, format!("the body: {error}")))
}

async fn route(registry: &Registry, method: &Method, path: &str, query: &str, body: &Bytes) -> Answer {
    let parts: Option<Vec<String>> =
        path.split('/').filter(|part| !part.is_empty()).map(|part| percent_decode(part).ok()).collect();
    let parts = parts.ok_or_else(|| Refusal::new(404, 404, "HTTP 404 Not Found"))?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (deleted, permanent) = (on(query, "deleted"), on(query, "permanent"));
    let read = method == Method::GET || method == Method::HEAD;
    match (method, &parts[..]) {
        (_, []) if read => Ok(json!({})),
        (_, ["mode"]) if read => Ok(json!({"mode": "READWRITE"})),
        (_, ["schemas", "types"]) if read => Ok(json!(["JSON", "PROTOBUF", "AVRO"])),
        (_, ["schemas", "ids", id]) if read => registry.by_id(id).await,
        (_, ["schemas", "ids", id, "schema"]) if read => registry.text_by_id(id).await,
        (_, ["schemas", "ids", id, "versions"]) if read => registry.versions_of_id(id).await,
        (_, ["schemas", "ids", id, "subjects"]) if read => registry.subjects_of_id(id).await,
        (_, ["subjects"]) if read => registry.subjects(deleted).await,
        (_, ["subjects", subject, "versions"]) if read => registry.versions(subject, deleted).await,
        (_, ["subjects", subject, "versions", version]) if read => {
            registry.version(subject, version, deleted).await
        }
        (_, ["subjects", subject, "versions", version, "schema"]) if read => {
            registry.version(subject, version, deleted).await.map(|mut found| found["schema"].take())
        }
        (&Method::POST, ["subjects", subject, "versions"]) => {
            registry.register(subject, parsed::<Text>(body)?).await
        }
        (&Method::POST, ["subjects", subject]) => registry.look_up(subject, &parsed::<Text>(body)?).await,
        (&Method::DELETE, ["subjects", subject]) => registry.delete(subject, None, permanent).await,
        (&Method::DELETE, ["subjects", subject, "versions", version]) => {
            registry.delete(subject, Some(version), permanent).await
        }
        (&Method::POST, ["compatibility", "subjects", subject, "versions"]) => {
            registry.compatible(subject, None, parsed::<Text>(body)?).await
        }
        (&Method::POST, ["compatibility", "subjects", subject, "versions", version]) => {
            registry.compatible(subject, Some(version), parsed::<Text>(body)?).await
        }
        (_, ["config"]) if read => registry.config().await,
        (_, ["config", subject]) if read => registry.config_of(subject, on(query, "defaultToGlobal")).await,
        (&Method::PUT, ["config"]) => registry.set_config("", &parsed::<Rule>(body)?.compatibility).await,
        (&Method::PUT, ["config", subject]) => {
            registry.set_config(subject, &parsed::<Rule>(body)?.compatibility).await
        }
        (&Method::DELETE, ["config", subject]) => registry.unset_config(subject).await,
        _ => Err(Refusal::new(404, 404, "HTTP 404 Not Found")),
    }
}
