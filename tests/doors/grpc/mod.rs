//! The gRPC door.

mod calls;
mod errors;
mod limits;
mod raw;
mod reflection;
mod stream;
