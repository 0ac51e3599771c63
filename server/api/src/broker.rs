//! The facade behind all doors.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use flymq_proto::pb;
use futures::{future::BoxFuture, stream::BoxStream};

use crate::{BrokerError, Request, Response};

/// Which door a call came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Grpc,
    NativeV1,
    NativeV2,
    Rest,
    /// A call inside the process (tests, embedded brokers).
    InProcess,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Grpc, Self::NativeV1, Self::NativeV2, Self::Rest, Self::InProcess];

    /// The door of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.name() == name)
    }

    /// Label for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::NativeV1 => "native-v1",
            Self::NativeV2 => "native-v2",
            Self::Rest => "rest",
            Self::InProcess => "in-process",
        }
    }

    /// Whether this door writes batches to its socket piece by piece, so that they need not lie in one.
    pub(crate) fn takes_pieces(self) -> bool {
        match self {
            Self::NativeV2 => true,
            Self::Grpc | Self::NativeV1 | Self::Rest | Self::InProcess => false,
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Principal {
    #[default]
    Anonymous,
    User {
        name: Arc<str>,
        roles: Arc<[String]>,
    },
}

/// What travels beside a request: who asks, through which door, by when an answer is of use.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub door: Door,
    pub principal: Principal,
    /// Credentials as the door got them (a Basic or Bearer header, or user and password of a login frame); checked by the authenticate layer.
    pub credentials: Option<Arc<str>>,
    pub peer: Option<SocketAddr>,
    /// Text id that appears in logs, errors and audit events.
    pub request_id: Arc<str>,
    pub deadline: Option<Instant>,
    /// Bytes the request took on the wire, for the byte budget.
    pub wire_bytes: usize,
    /// Another node of the cluster sent it here: it is not sent on again.
    pub forwarded: bool,
}

impl CallContext {
    /// A context for one call through `door`.
    pub fn new(door: Door, request_id: impl Into<Arc<str>>) -> Self {
        Self {
            door,
            principal: Principal::Anonymous,
            credentials: None,
            peer: None,
            request_id: request_id.into(),
            deadline: None,
            wire_bytes: 0,
            forwarded: false,
        }
    }
}

/// Records of a subscription; the stream ends when the subscriber drops it or with its first error.
pub type BatchStream = BoxStream<'static, Result<pb::SubscribeResponse, BrokerError>>;

/// The one way in. Implemented by the engine's adapter, by each layer around it, and later by a channel to another node.
///
/// # Contract
/// - `call` answers with the response variant of the request's rpc, or an error of the table.
/// - Dropping the future cancels waiting, never a write that has begun.
/// - For [`Door::NativeV2`] an element of `batches` is a whole batch, or its header alone (96 bytes, which no whole
///   batch has) with the payload as the next element. For all other doors it is a whole batch.
/// - `subscribe` pulls: a record batch is read only when the door polls, so a slow client costs one batch of memory.
pub trait Broker: Send + Sync + 'static {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>>;

    /// Streams stay apart: each door has its own flow control (h2 window, 0xAF credit, chunked JSON).
    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>>;
}

impl<B: Broker + ?Sized> Broker for Arc<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        (**self).call(ctx, request)
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        (**self).subscribe(ctx, request)
    }
}
