//! The REST door.

mod calls;
mod errors;
mod guard;
mod limits;
mod registry;
mod stream;
