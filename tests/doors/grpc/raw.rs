//! Calls any rpc by path with any bytes.

use bytes::Bytes;
use flymq_tests::RawCodec;
use tonic::{Request, Response, Status, client::Grpc, transport::Channel};

/// One call; a stream's first message counts as its answer.
pub async fn call(
    channel: &Channel,
    path: &str,
    stream: bool,
    body: impl Into<Bytes>,
) -> Result<Response<Bytes>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let path = path.parse().expect("a path");
    let request = Request::new(body.into());
    if !stream {
        return grpc.unary(request, path, RawCodec).await;
    }
    let mut answers = grpc.server_streaming(request, path, RawCodec).await?.into_inner();
    answers.message().await.map(|first| Response::new(first.unwrap_or_default()))
}
