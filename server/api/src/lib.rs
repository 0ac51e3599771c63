//! The one way into the broker. This crate alone knows both protobuf and the domain: it holds the [`Broker`] facade, the
//! unions of all requests and responses (derived from the proto descriptors), the error table, and the layers that every
//! door passes through.

mod broker;
mod error;
mod ops;

pub use broker::{BatchStream, Broker, CallContext, Door, Principal};
pub use error::{BrokerError, ErrorCode, ErrorTraits};
pub use ops::{Access, AuditEvent, OPS, OpMeta, Request, Response, Rpc};
