//! The `flymq` binary as a process: start, crash, stop, refusals.

#[path = "../common/broker.rs"]
mod broker;
mod descriptors;
mod directories;
mod disk;
mod encryption;
mod lifecycle;
mod missing_files;
mod mounts;
mod producer;
mod refusals;
