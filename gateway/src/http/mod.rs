//! What the three HTTP listeners share: accepting under limits, and ending in time.

mod hosts;
mod limits;
mod server;
mod unread;

pub(crate) use hosts::guarded;
pub use limits::HttpLimits;
pub(crate) use server::{Peer, serve};
