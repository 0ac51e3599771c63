//! gRPC, spoken with tonic and the descriptors alone: the client core has no part in it.

use flymq_proto::RpcInfo;
use flymq_tests::RawCodec;
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use tonic::{
    Status,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::documents;
use super::{
    Addresses, Failure, Opening, Reply, Surface, Unavailable,
    ops::{OverRpcs, Rpcs},
};

struct Grpc(tonic::client::Grpc<Channel>);

pub fn open(addresses: &Addresses) -> Opening {
    let uri = format!("http://{}", addresses.grpc);
    async move {
        let endpoint = Endpoint::from_shared(uri).map_err(|e| Unavailable(e.to_string()))?;
        let channel = endpoint.connect().await.map_err(|e| Unavailable(e.to_string()))?;
        Ok(Box::new(OverRpcs(Grpc(tonic::client::Grpc::new(channel)))) as Box<dyn Surface>)
    }
    .boxed()
}

impl Rpcs for Grpc {
    fn call<'a>(&'a mut self, rpc: &'a str, request: Value) -> BoxFuture<'a, Reply> {
        async move {
            let rpc = documents::rpc(rpc)?;
            let body = documents::encode(rpc, &request)?;
            self.0.ready().await.map_err(Failure::broken)?;
            let reply = self
                .0
                .unary(tonic::Request::new(body), path(rpc), RawCodec)
                .await
                .map_err(|s| failure(&s))?;
            documents::decode(rpc, reply.into_inner())
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a mut self,
        request: Value,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Value>, Failure>> {
        async move {
            let rpc = documents::rpc("Subscribe")?;
            let body = documents::encode(rpc, &request)?;
            self.0.ready().await.map_err(Failure::broken)?;
            let stream = self.0.server_streaming(tonic::Request::new(body), path(rpc), RawCodec).await;
            let mut stream = stream.map_err(|s| failure(&s))?.into_inner();
            let (mut runs, mut seen) = (Vec::new(), 0);
            while seen < count {
                let Some(body) = stream.message().await.map_err(|s| failure(&s))? else { break };
                let run = documents::decode(rpc, body)?;
                seen += run["records"].as_array().map_or(0, Vec::len);
                runs.push(run);
            }
            Ok(runs)
        }
        .boxed()
    }
}

fn path(rpc: &'static RpcInfo) -> PathAndQuery {
    PathAndQuery::from_static(&rpc.path)
}

fn failure(status: &Status) -> Failure {
    match status.get_error_details().error_info() {
        Some(info) => Failure::coded(info.reason.clone(), status.message()),
        None => Failure::broken(status),
    }
}
