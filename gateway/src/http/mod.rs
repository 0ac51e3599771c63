//! What the three HTTP listeners share: accepting under limits, and ending in time.

mod limits;
mod server;

pub use limits::HttpLimits;
pub(crate) use server::{Peer, serve};
