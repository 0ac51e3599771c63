//! The program as people and scripts use it, against a real broker.
#![allow(clippy::disallowed_methods, reason = "runs processes")]

mod bench;
mod broker;
mod errors;
mod groups;
mod logs;
mod messages;
mod pipes;
mod schedules;
mod schemas;
mod status;
mod topics;
mod transactions;
