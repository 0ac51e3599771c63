//! REST, spoken over HTTP/1.1 with the routes that the proto options name.

use std::collections::BTreeMap;

use bytes::Bytes;
use flymq_proto::RpcInfo;
use futures::{FutureExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    Addresses, Failure, Opening, Reply, Surface, documents,
    ops::{OverRpcs, Rpcs},
};

struct Rest {
    host: String,
}

pub fn open(addresses: &Addresses) -> Opening {
    let host = addresses.rest.clone();
    async move { Ok(Box::new(OverRpcs(Rest { host })) as Box<dyn Surface>) }.boxed()
}

impl Rest {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let socket = TcpStream::connect(&self.host).await.map_err(Failure::broken)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(Failure::broken)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn request(&self, rpc: &RpcInfo, request: &Value) -> Result<Response<Incoming>, Failure> {
        let (method, path, body) = route(rpc, request)?;
        let body =
            if body { Bytes::from(without_path_fields(rpc, request).to_string()) } else { Bytes::new() };
        self.send(method, path, body).await
    }

    async fn send(&self, method: Method, path: String, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(Failure::broken)?;
        self.connect().await?.send_request(request).await.map_err(Failure::broken)
    }
}

/// Method, path with query, and whether the request is the body.
fn route(rpc: &RpcInfo, request: &Value) -> Result<(Method, String, bool), Failure> {
    // The first route whose path the request can fill.
    let fills = |template: &str| path_fields(template).iter().all(|name| !text(&request[name]).is_empty());
    let (verb, template, body) = rpc.routes.iter().find(|(_, path, _)| fills(path)).unwrap_or(&rpc.routes[0]);
    let mut path = template.clone();
    for name in path_fields(template) {
        path = path.replace(&format!("{{{name}}}"), &escape(&text(&request[&name])));
    }
    let has_body = !body.is_empty();
    if !has_body {
        let inside = path_fields(template);
        let mut query = Vec::new();
        flatten("", request, &mut query);
        query.retain(|(name, _)| !inside.contains(name));
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        if !pairs.is_empty() {
            path = format!("{path}?{}", pairs.join("&"));
        }
    }
    Ok((verb.parse().map_err(Failure::broken)?, path, has_body))
}

fn path_fields(template: &str) -> Vec<String> {
    template.split('{').skip(1).filter_map(|part| part.split('}').next()).map(str::to_owned).collect()
}

fn without_path_fields(rpc: &RpcInfo, request: &Value) -> Value {
    let fields = path_fields(&rpc.routes[0].1);
    let kept: BTreeMap<_, _> =
        request.as_object().into_iter().flatten().filter(|(name, _)| !fields.contains(name)).collect();
    json!(kept)
}

fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(prefix, item, into)),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => into.push((prefix.to_owned(), text(value))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Percent-encodes all but unreserved characters (RFC 3986, 2.3).
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn read(ok: bool, body: &[u8]) -> Reply {
    let document: Value = serde_json::from_slice(body)
        .map_err(|e| Failure::broken(format!("{e}: {}", String::from_utf8_lossy(body))))?;
    if ok {
        return Ok(document);
    }
    let error = &document["error"];
    Err(Failure::coded(
        error["code"].as_str().unwrap_or("no code"),
        error["message"].as_str().unwrap_or_default(),
    ))
}

impl Rpcs for Rest {
    fn call<'a>(&'a mut self, rpc: &'a str, request: Value) -> BoxFuture<'a, Reply> {
        async move {
            let reply = self.request(documents::rpc(rpc)?, &request).await?;
            let ok = reply.status().is_success();
            let body = reply.into_body().collect().await.map_err(Failure::broken)?.to_bytes();
            read(ok, &body)
        }
        .boxed()
    }

    fn http<'a>(&'a mut self, request: &'a Value) -> BoxFuture<'a, Reply> {
        async move {
            let segments = request["path"].as_array().into_iter().flatten();
            let path: String = segments.map(|one| format!("/{}", escape(&text(one)))).collect();
            let body = request.get("body").map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
            let reply =
                self.send(text(&request["method"]).parse().map_err(Failure::broken)?, path, body).await?;
            let status = reply.status().as_u16();
            let body = reply.into_body().collect().await.map_err(Failure::broken)?.to_bytes();
            let body: Value = serde_json::from_slice(&body).map_err(Failure::broken)?;
            Ok(json!({"status": status, "body": body}))
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a mut self,
        request: Value,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Value>, Failure>> {
        async move {
            let reply = self.request(documents::rpc("Subscribe")?, &request).await?;
            let ok = reply.status().is_success();
            let mut body = reply.into_body();
            let (mut text, mut runs, mut seen) = (Vec::new(), Vec::new(), 0);
            while seen < count {
                let Some(frame) = body.frame().await else { break };
                text.extend_from_slice(&frame.map_err(Failure::broken)?.into_data().unwrap_or_default());
                if !ok {
                    continue;
                }
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let run = read(true, &line)?;
                    seen += run["records"].as_array().map_or(0, Vec::len);
                    runs.push(run);
                }
            }
            if ok { Ok(runs) } else { read(false, &text).map(|one| vec![one]) }
        }
        .boxed()
    }
}
