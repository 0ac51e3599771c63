//! The 0xAF frame, of version 1 and version 2 alike.
//!
//! ```text
//! 0      1         2    3       4              8
//! │ 0xAF │ version │ op │ flags │ u32 length   │ length bytes of payload …
//! ```
//!
//! The integers are big-endian. What op, flags and payload mean depends on the version: see [`crate::v1`] and
//! [`crate::v2`].

mod decoder;
mod error;
mod header;
mod parts;

pub use decoder::{Frame, FrameDecoder};
pub use error::FrameError;
pub use header::{FrameHeader, HEADER_LEN, LEGACY_MAGIC, LIMIT_BEFORE_LOGIN, MAGIC, MAX_PAYLOAD, Version};
pub use parts::FrameParts;

#[cfg(test)]
mod tests;
