//! Encryption at rest: AES-256-GCM under keys that are never on the disk.
//!
//! ```text
//! FLYMQ_ENCRYPTION_KEY ─► EncryptionKey ─ wraps ─► data key, random, one for each segment or metadata file
//!   (and older keys,         │ id: 8 bytes            │ wrapped in the file's own header (KeyBlock)
//!    for reading only)       ▼                        ▼
//!                     <data>/encryption.json     batch payloads: nonce = write counter of this data key
//! ```
//!
//! A data key encrypts in the process that made it, and never after: a segment that is opened again is only read, so
//! that no counter has to be trusted across a crash. What ties bytes to their place is authenticated with them: data
//! directory, topic, partition, segment, and the whole batch header.

mod key;
mod key_block;
mod keyring;
mod pool;
mod protection;
mod segment_cipher;
mod vault;
mod verifier;

pub use key::{EncryptionKey, EncryptionKeys, KeyError, KeyId};
pub use vault::{FileCipher, FileVault};

pub(crate) use key_block::{KEY_BLOCK_BYTES, KeyBlock};
pub(crate) use keyring::{Keyring, UnwrapError};
pub(crate) use pool::SealPool;
pub(crate) use protection::{PLAIN, Protection};
pub(crate) use segment_cipher::{SealedRun, SegmentCipher, SegmentPlace};
pub(crate) use verifier::{Place, open_keyring, store as store_needed};

/// AES-GCM appends this many bytes to what it encrypts.
pub(crate) const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests;
