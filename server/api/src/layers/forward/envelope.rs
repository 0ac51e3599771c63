//! A request and its answer as they travel between nodes (`flymq/internal/v1/forward.proto`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use flymq_proto::internal::{self, forward_reply::Result as Outcome};
use flymq_types::NodeId;
use prost::Message as _;

use crate::{
    BrokerError, CallContext, Door, ErrorCode, OPS, Principal, Request, Response, Rpc, layers::Served,
    request_id,
};

/// The request as it leaves this node; `within` is how long its answer is of use.
pub(super) fn seal(ctx: &CallContext, request: &Request, within: Duration) -> Bytes {
    let principal = match &ctx.principal {
        Principal::Anonymous => None,
        Principal::User { name, roles } => {
            Some(internal::ForwardPrincipal { name: name.to_string(), roles: roles.to_vec() })
        }
    };
    let envelope = internal::ForwardRequest {
        request_id: ctx.request_id.to_string(),
        rpc: request.rpc().meta().rpc.to_owned(),
        body: request.encode(),
        deadline_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
        principal,
        door: ctx.door.name().to_owned(),
        peer: ctx.peer.map(|peer| peer.to_string()).unwrap_or_default(),
    };
    envelope.encode_to_vec().into()
}

/// The request as it arrives, with its context.
///
/// # Errors
/// `Protocol`: the nodes do not speak the same version.
pub(super) fn open(body: Bytes, now: Instant) -> Result<(CallContext, Request), BrokerError> {
    let unreadable = |why: String| {
        BrokerError::new(ErrorCode::Protocol, format!("a request from another node cannot be read: {why}"))
    };
    let envelope = internal::ForwardRequest::decode(body).map_err(|error| unreadable(error.to_string()))?;
    let unknown = || unreadable(format!("there is no rpc {:?} here", envelope.rpc));
    let rpc = OPS.iter().find(|op| op.rpc == envelope.rpc).ok_or_else(unknown)?.id;
    let request = Request::decode(rpc, envelope.body.clone()).ok_or_else(unknown)?;
    let request = request.map_err(|error| unreadable(error.to_string()))?;
    let door = Door::by_name(&envelope.door).unwrap_or(Door::InProcess);
    let mut ctx = CallContext::new(door, request_id(Some(&envelope.request_id)));
    ctx.principal = match envelope.principal {
        None => Principal::Anonymous,
        Some(user) => Principal::User { name: user.name.into(), roles: user.roles.into() },
    };
    ctx.peer = envelope.peer.parse().ok();
    ctx.deadline = Some(now + Duration::from_millis(envelope.deadline_ms.into()));
    ctx.forwarded = true;
    Ok((ctx, request))
}

/// The answer as it leaves.
pub(super) fn seal_reply(answered: Result<Served, BrokerError>) -> Bytes {
    let (result, waited) = match answered {
        Ok(served) => (Outcome::Response(served.response.encode()), served.waited),
        Err(error) => {
            let metadata = error.metadata.into_iter().collect();
            let error = internal::ForwardError { code: error.code.into(), message: error.message, metadata };
            (Outcome::Error(error), Duration::ZERO)
        }
    };
    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    internal::ForwardReply { result: Some(result), waited_ms }.encode_to_vec().into()
}

/// The answer as it comes back from node `from`.
///
/// # Errors
/// The other node's own, `Internal` for bytes that are no answer.
pub(super) fn open_reply(rpc: Rpc, body: Bytes, from: &NodeId) -> Result<Served, BrokerError> {
    let unreadable = |why: String| {
        let message = format!("the answer of node {from} to {} cannot be read: {why}", rpc.meta().rpc);
        BrokerError::new(ErrorCode::Internal, message).with("node", from)
    };
    let reply = internal::ForwardReply::decode(body).map_err(|error| unreadable(error.to_string()))?;
    match reply.result {
        None => Err(unreadable("it is empty".to_owned())),
        Some(Outcome::Error(error)) => Err(BrokerError {
            code: ErrorCode::try_from(error.code).unwrap_or(ErrorCode::Unspecified),
            message: error.message,
            metadata: error.metadata.into_iter().collect(),
        }),
        Some(Outcome::Response(body)) => {
            let response =
                Response::decode(rpc, body).ok_or_else(|| unreadable("it is a stream".to_owned()))?;
            let response = response.map_err(|error| unreadable(error.to_string()))?;
            Ok(Served { response, waited: Duration::from_millis(reply.waited_ms) })
        }
    }
}

#[cfg(test)]
mod tests {
    use flymq_proto::pb;

    use super::*;

    #[test]
    fn a_request_arrives_with_its_caller_and_the_time_it_has_left() {
        let mut ctx = CallContext::new(Door::Rest, "request-7");
        let roles: Vec<String> = vec!["reader".to_owned()];
        ctx.principal = Principal::User { name: "ana".into(), roles: roles.into() };
        ctx.peer = Some(([10, 0, 0, 1], 5000).into());
        let request = pb::GetTopicRequest { name: "orders".to_owned() };
        let now = Instant::now();
        let body = seal(&ctx, &request.into(), Duration::from_secs(3));
        let (arrived, request) = open(body, now).expect("its own envelope");
        assert!(matches!(request, Request::GetTopic(m) if m.name == "orders"));
        assert_eq!((&*arrived.request_id, arrived.door, arrived.peer), ("request-7", Door::Rest, ctx.peer));
        assert_eq!(arrived.principal, ctx.principal);
        assert_eq!(arrived.deadline, Some(now + Duration::from_secs(3)));
        assert!(arrived.forwarded, "it must not be sent on again");
    }

    #[test]
    fn an_error_comes_back_as_it_is() {
        let from = NodeId::new("n2").expect("a name");
        let error = BrokerError::new(ErrorCode::TopicNotFound, "topic not found: t").with("topic", "t");
        let back = open_reply(Rpc::GetTopic, seal_reply(Err(error.clone())), &from);
        assert_eq!(back.expect_err("an error"), error);
        let served = Served::from(Response::from(pb::GetTopicResponse::default()));
        assert!(open_reply(Rpc::GetTopic, seal_reply(Ok(served)), &from).is_ok());
    }

    #[test]
    fn bytes_that_are_no_envelope_are_refused() {
        let code = |body: &'static [u8]| {
            open(Bytes::from_static(body), Instant::now()).map(drop).expect_err("must be refused").code
        };
        assert_eq!(code(b""), ErrorCode::Protocol);
        assert_eq!(code(b"\xff\xff\xff"), ErrorCode::Protocol);
        assert_eq!(code(b"\x12\x09Subscribe"), ErrorCode::Protocol, "streams are not forwarded");
        let from = NodeId::new("n2").expect("a name");
        let reply = open_reply(Rpc::GetTopic, Bytes::from_static(b"\xff"), &from);
        assert_eq!(reply.expect_err("no reply").code, ErrorCode::Internal);
    }
}
