//! The engine from outside, on a simulated disk that can crash, and on a real one.

#![allow(clippy::unwrap_used, reason = "a test ends there")]
#![allow(clippy::disallowed_methods, reason = "tests start tasks")]

mod chance;
mod coordinator;
mod crash;
mod fetch;
mod groups;
mod members;
mod own_topics;
mod produce;
mod producers;
mod restore;
mod scale;
mod schedules;
mod schemas;
mod subscribe;
mod support;
mod topics;
mod transactions;
