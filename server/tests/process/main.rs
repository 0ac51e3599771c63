//! The `flymq` binary as a process: start, crash, stop, refusals.

mod broker;
mod lifecycle;
mod refusals;
