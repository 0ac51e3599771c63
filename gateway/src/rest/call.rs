//! One REST call: fill the request message, ask the broker, answer in JSON.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, header},
    response::Response,
};
use bytes::Bytes;
use flymq_api::{
    Broker, BrokerError, CallContext, ErrorCode, ReadBudget, ReadShare, Request as BrokerRequest,
};
use flymq_proto::pb;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::{
    RestOptions,
    answer::held,
    body::{read, weight},
    json_in::{invalid, message},
    json_out::json,
    json_text,
    query::{set_query, set_variable},
    route::Route,
    stream,
};

/// Answers one request of `route`.
pub(crate) async fn answer(
    broker: Arc<dyn Broker>,
    options: &RestOptions,
    (share, answers): (&ReadShare, &ReadBudget),
    mut ctx: CallContext,
    route: &'static Route,
    variables: &[(&'static str, &str)],
    request: Request<Body>,
) -> Result<Response, BrokerError> {
    let (parts, body) = request.into_parts();
    refuse_encoded(&parts.headers)?;
    let body = if route.body { read(body, options, share).await? } else { Bytes::new() };
    share.take(weight(&body))?;
    ctx.wire_bytes = body.len();
    let message = fill(route, variables, parts.uri.query().unwrap_or_default(), &body)?;
    let encoded = Bytes::from(message.encode_to_vec());
    if route.rpc.server_streaming {
        let format = stream::Format::of(&parts.headers);
        if parts.method == "HEAD" {
            return Ok(stream::head(format));
        }
        let request = pb::SubscribeRequest::decode(encoded).map_err(|e| invalid("", e))?;
        ctx.deadline = None;
        return stream::answer(&*broker, (options, answers), ctx, request, format).await;
    }
    let request = BrokerRequest::decode(route.id, encoded)
        .ok_or_else(|| BrokerError::new(ErrorCode::Internal, "a unary route leads to a stream"))?
        .map_err(|e| invalid("", e))?;
    let response = broker.call(ctx, request).await?;
    let mut text = json(&route.rpc.method.output(), response.encode())?;
    text.push(b'\n');
    Ok(with_type(Body::from(held(text, answers)?), "application/json"))
}

/// A body is read as it comes: compressed ones are refused, rather than taken for JSON that is damaged.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), BrokerError> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            Err(invalid("content-encoding", "bodies are not compressed here: send the JSON as it is"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A response with a content type.
pub(crate) fn with_type(body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn fill(
    route: &'static Route,
    variables: &[(&'static str, &str)],
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, BrokerError> {
    let desc = route.rpc.method.input();
    let mut request = match body.trim_ascii() {
        [] => DynamicMessage::new(desc),
        text => {
            let json =
                json_text::parse(text).map_err(|e| invalid("", format_args!("the body is not JSON: {e}")))?;
            message(&desc, &json, "")?
        }
    };
    for (name, raw) in variables {
        set_variable(&mut request, name, raw)?;
    }
    let taken: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    if route.body && !query.is_empty() {
        return Err(invalid(
            "",
            format_args!("{} takes its fields in the JSON body, not in the query", route.path),
        ));
    }
    set_query(&mut request, query, &taken)?;
    Ok(request)
}
