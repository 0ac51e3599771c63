//! Runs the replicas of this node: the pure state machine ([`crate::replica`]) against real logs, the metadata store and
//! the connections to other nodes.
//!
//! ```text
//! Engine ─ append, update ─► ReplicaHandle ─┐            ┌─► Log      append, truncate, install
//! NodeLink ──── frames ────► ReplicaSet ────┼─► mailbox ─┤
//! sync thread ─ durable ───► Durable ───────┤   Runner   ├─► NodeLink frames, ranges
//! ticker ────── ticks ──────────────────────┘  (Replica) └─► Proposer AlterIsr, ResignLeader ─► MetaStore
//! ```
//! One task for each partition takes its mail in order, gives it to the state machine and does what that says; appends of
//! one drain of the mailbox go into the log with one write. Idle partitions have no timer: one ticker serves all.

mod chain;
mod durable;
mod flow;
mod follow;
mod handle;
mod held;
mod intake;
mod mail;
mod meta;
mod perform;
mod proposer;
mod range;
mod runner;
mod send;
mod set;
mod slot;
mod status;
mod throttle;

pub use set::{Behind, ReplicaSet, ReplicaSetOptions, ReplicaSetSettings};
pub use slot::FrameSlot;
pub use status::ReplicaStatus;
