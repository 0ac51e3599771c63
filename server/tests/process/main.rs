//! The `flymq` binary as a process: start, crash, stop, refusals.

#[path = "../common/broker.rs"]
mod broker;
mod lifecycle;
mod refusals;
