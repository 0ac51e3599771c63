//! The one way into the broker. This crate alone knows both protobuf and the domain: it holds the [`Broker`] facade, the
//! unions of all requests and responses (derived from the proto descriptors), the error table, and the layers that every
//! door passes through.
//!
//! ```text
//! door ─► Broker: trace ► deadline ► limits ► authenticate ► by pattern ► authorize ─► AuthorizedBroker: audit ► forward ► metrics ► EngineBroker
//! ```
//!
//! [`stack`] puts it together. To add an rpc, declare it in `proto/flymq/v1` with its options, then give it its arm and
//! its method in `dispatch/`.

mod broker;
mod cluster;
mod convert;
mod dispatch;
mod engine_error;
mod error;
mod layers;
mod node;
mod ops;
mod read_budget;
mod request_id;
mod stack;
mod weight;

pub use broker::{BatchStream, Broker, CallContext, Door, Principal};
pub use cluster::{ClusterControl, ClusterLinks, PeerBroker, PeerFailure};
pub use dispatch::EngineBroker;
pub use error::{BrokerError, ErrorCode, ErrorTraits};
pub use flymq_proto::pb;
pub use layers::{
    Audit, Authenticate, Authorize, Authorized, AuthorizedBroker, ByPattern, Deadline, Forward, Forwarded,
    Forwarder, LimitOptions, Limited, Measure, Served, Totals, Trace,
};
pub use node::{ConfigEntry, Node, Phase};
pub use ops::{Access, AuditEvent, OPS, OpMeta, Request, Response, Rpc};
pub use read_budget::{ReadBudget, ReadShare};
pub use request_id::{REQUEST_ID_HEADER, request_id};
pub use stack::{Stack, StackOptions, cluster_stack, stack};
pub use weight::decoded_weight;
