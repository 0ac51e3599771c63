//! The gRPC and HTTP doors and the Rust client over real sockets, with the real broker behind them.

mod broker;
mod client;
mod grpc;
mod http;
mod observability;
mod rest;
mod shutdown;
