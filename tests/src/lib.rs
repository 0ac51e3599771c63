//! What several suites of this crate share.

mod raw_codec;

pub use raw_codec::RawCodec;
