//! The gRPC and HTTP doors over real sockets, with the real broker behind them.

mod broker;
mod grpc;
mod http;
mod observability;
mod rest;
mod shutdown;
