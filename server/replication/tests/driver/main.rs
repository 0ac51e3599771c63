//! Nodes with real logs in one process: their replicas run by the driver, over links that can be cut, with one metadata
//! store for all.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod chaos;
mod cluster;
mod crowd;
mod damage;
mod engines;
mod failover;
mod faults;
mod groups;
mod hand_over;
mod links;
mod meta;
mod peers;
mod producers;
mod promises;
mod replicate;
mod serve;
mod throttle;
mod transactions;
