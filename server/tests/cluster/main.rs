//! Clusters of real `flymq` processes.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/broker.rs"]
mod broker;
mod clients;
mod dead_letters;
mod doors;
mod doubt;
mod expiry;
mod failover;
mod features;
mod groups;
mod idempotence;
#[path = "../common/member.rs"]
mod member;
mod membership;
mod nodes;
mod patterns;
#[path = "../../../tests/src/ports.rs"]
mod ports;
mod schedules;
mod schemas;
mod told;
mod transactions;
