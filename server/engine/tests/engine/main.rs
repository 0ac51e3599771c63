//! The engine from outside, on a simulated disk that can crash, and on a real one.

mod produce;
mod support;
mod topics;
