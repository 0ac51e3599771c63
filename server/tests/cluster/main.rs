//! Clusters of real `flymq` processes.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/broker.rs"]
mod broker;
mod clients;
mod doors;
mod failover;
mod membership;
mod nodes;
mod told;
