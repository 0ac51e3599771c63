//! The gRPC door: decode, one broker call, encode. No rpc is written by hand: the path of a request names a row of the op
//! table, and the table's `Request` and `Response` unions do the rest, so that an rpc added to the proto files is served at
//! once. Health (`grpc.health.v1`) and reflection (v1 and v1alpha) come with it.

mod call;
mod codec;
mod connection;
mod context;
mod metered;
mod options;
mod reflection;
mod serve;
mod service;
mod status;
mod unwritten;

pub use options::GrpcOptions;
pub use serve::serve;
pub use status::ERROR_DOMAIN;
