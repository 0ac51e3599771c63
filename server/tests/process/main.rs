//! The `flymq` binary as a process: start, crash, stop, refusals.

#[path = "../common/broker.rs"]
mod broker;
mod dead_letters;
mod descriptors;
mod directories;
mod disk;
mod encryption;
mod groups;
mod lifecycle;
#[path = "../common/member.rs"]
mod member;
mod missing_files;
mod mounts;
mod producer;
mod refusals;
mod schedules;
mod schemas;
mod transactions;
