//! The native door over real sockets, in front of the real broker.

mod deadlines;
mod hostile;
mod support;
mod v1_behaviour;
mod v1_golden;
mod v2_bounds;
mod v2_requests;
mod v2_streams;
