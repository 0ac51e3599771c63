//! HELLO: the first frame of a client.

use bytes::Bytes;
use flymq_api::{BrokerError, Door as Entry, ErrorCode};
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v2::{Message, op},
};
use prost::Message as _;

use crate::{caller::Caller, credentials, door::Door};

/// What a client may rely on beyond the op table.
const FEATURES: [&str; 4] = ["batches", "long-poll", "push-credit", "pipelining"];

/// Greets the client and, if it brings a user name, logs it in.
pub(super) async fn answer(
    door: &Door,
    caller: &mut Caller,
    frame: Message,
) -> Result<FrameParts, BrokerError> {
    if frame.op != op::HELLO {
        let code =
            if door.options.auth_required { ErrorCode::AuthenticationRequired } else { ErrorCode::Protocol };
        return Err(BrokerError::new(code, "the first frame of a version 2 connection must be HELLO"));
    }
    let (correlation, bytes) = (frame.correlation, frame.body.len());
    let hello = pb::HelloRequest::decode(frame.body)
        .map_err(|error| BrokerError::new(ErrorCode::Protocol, format!("malformed HELLO: {error}")))?;
    tracing::debug!(peer = %caller.peer, client = hello.client, version = hello.client_version, "hello");
    if !hello.username.is_empty() {
        let context = caller.context(Entry::NativeV2, Some(correlation), bytes);
        credentials::login(door, caller, context, &hello.username, &hello.password).await?;
    }
    let body = Bytes::from(response(door).encode_to_vec());
    Message { op: op::HELLO, flags: 0, correlation, body }
        .into_frame()
        .map_err(|error| BrokerError::new(ErrorCode::Internal, error.to_string()))
}

/// What tells a client that there are other nodes, which it may have to send requests to.
const CLUSTER: &str = "cluster";

fn response(door: &Door) -> pb::HelloResponse {
    let options = &door.options;
    let member = options.node.as_ref().is_some_and(|node| !node.cluster_addr.is_empty());
    let features = FEATURES.into_iter().chain(member.then_some(CLUSTER));
    pb::HelloResponse {
        server_version: options.version.clone(),
        node_id: options.node_id.clone(),
        cluster_id: options.cluster_id.clone(),
        features: features.map(str::to_owned).collect(),
        max_frame_bytes: options.max_frame,
        max_record_bytes: options.max_record,
        auth_required: options.auth_required,
        challenge: Bytes::new(),
    }
}
