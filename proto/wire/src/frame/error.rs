//! Why a byte stream cannot be read as frames.

use super::header::Version;

/// After any of these the frame boundary is lost: say why, where the peer can understand it, and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is neither 0xAF nor 0xFB. Close without an answer: the peer does not speak our protocol.
    #[error("not a FlyMQ frame: magic {found:#04x}")]
    BadMagic {
        /// The byte.
        found: u8,
    },
    /// The first byte is 0xFB, the magic of an older protocol. Answer with one error frame, then close.
    #[error("this client speaks the retired 0xFB protocol; upgrade it to one that speaks 0xAF")]
    LegacyMagic,
    /// The version byte is neither 1 nor 2.
    #[error("unknown 0xAF protocol version {found}")]
    BadVersion {
        /// The byte.
        found: u8,
    },
    /// A frame of the other version than the connection's first frame.
    #[error("frame of version {found:?} on a connection of version {expected:?}")]
    VersionChanged {
        /// The connection's version.
        expected: Version,
        /// The frame's version.
        found: Version,
    },
    /// The length field is above the limit. The payload is not read.
    #[error("frame payload of {len} bytes is above the limit of {limit}")]
    TooLarge {
        /// Bytes announced.
        len: u32,
        /// Bytes allowed.
        limit: u32,
    },
}
