//! A wrapped data key as it lies in a file's header.

use super::TAG_BYTES;
use super::key::{KEY_BYTES, KeyId};
use crate::layout::{self, Verdict, get, get_u32, put};

/// Bytes of an encoded key block.
pub(crate) const KEY_BLOCK_BYTES: usize = 128;

const MAGIC: &[u8; 8] = b"FQDATKEY";
/// AES-256-GCM, for wrapping and for the data.
const ALGORITHM: u32 = 1;

/// Where the fields lie; all integers are little-endian.
mod at {
    pub const ALGORITHM: usize = crate::layout::FIELDS_AT;
    pub const KEY_ID: usize = 16;
    pub const UUID: usize = 24;
    pub const NONCE: usize = 40;
    pub const WRAPPED: usize = 52;
}

pub(super) const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// A data key, encrypted under the key named `key_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyBlock {
    pub key_id: KeyId,
    /// Of the file that the data key is for. Stands here too, so that a damaged file header does not cost the key.
    pub uuid: [u8; 16],
    pub(super) nonce: [u8; 12],
    pub(super) wrapped: [u8; WRAPPED_BYTES],
}

impl KeyBlock {
    pub fn encode(&self) -> [u8; KEY_BLOCK_BYTES] {
        let mut block = [0; KEY_BLOCK_BYTES];
        put(&mut block, at::ALGORITHM, ALGORITHM.to_le_bytes());
        put(&mut block, at::KEY_ID, self.key_id.0);
        put(&mut block, at::UUID, self.uuid);
        put(&mut block, at::NONCE, self.nonce);
        put(&mut block, at::WRAPPED, self.wrapped);
        layout::seal(&mut block, MAGIC);
        block
    }

    /// `None` for anything that is no whole key block of this version.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let block = block.get(..KEY_BLOCK_BYTES)?;
        let good = layout::judge(block, MAGIC) == Verdict::Good && get_u32(block, at::ALGORITHM) == ALGORITHM;
        good.then(|| Self {
            key_id: KeyId(get(block, at::KEY_ID)),
            uuid: get(block, at::UUID),
            nonce: get(block, at::NONCE),
            wrapped: get(block, at::WRAPPED),
        })
    }
}
