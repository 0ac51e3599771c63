//! The engine from outside, on a simulated disk that can crash, and on a real one.

mod crash;
mod fetch;
mod groups;
mod produce;
mod scale;
mod subscribe;
mod support;
mod topics;
