//! Encryption of small files that are written piece by piece and replaced whole: the metadata.

use std::fmt;

use flymq_types::Rng;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::TAG_BYTES;
use super::key::KEY_BYTES;
use super::keyring::aes;

/// The data key of one file. Nonces are random: enough for 2^32 pieces in one file.
pub struct FileCipher {
    key: LessSafeKey,
    place: Vec<u8>,
}

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCipher")
    }
}

impl FileCipher {
    /// Bytes by which a sealed piece is larger than its content.
    pub const OVERHEAD: usize = NONCE_LEN + TAG_BYTES;

    pub(super) fn new(key: &[u8; KEY_BYTES], place: &[u8]) -> Self {
        Self { key: aes(key), place: place.to_vec() }
    }

    /// Encrypts a piece: `nonce(12) ‖ ciphertext ‖ tag(16)`. `piece` says which one it is; it opens as no other.
    pub fn seal(&self, piece: u64, plain: &[u8], rng: &dyn Rng) -> Vec<u8> {
        let mut sealed = vec![0; NONCE_LEN + plain.len()];
        let (head, body) = sealed.split_at_mut(NONCE_LEN);
        rng.fill(head);
        body.copy_from_slice(plain);
        let nonce = Nonce::try_assume_unique_for_key(head).expect("12 bytes are a nonce");
        let tag = self.key.seal_in_place_separate_tag(nonce, self.context(piece), body);
        sealed.extend_from_slice(tag.expect("a piece is smaller than 64 GiB").as_ref());
        sealed
    }

    /// The content of a piece; `None` if a bit of it was changed, or it is another one.
    pub fn open(&self, piece: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(head).ok()?;
        let mut body = body.to_vec();
        let len = self.key.open_in_place(nonce, self.context(piece), &mut body).ok()?.len();
        body.truncate(len);
        Some(body)
    }

    fn context(&self, piece: u64) -> Aad<Vec<u8>> {
        Aad::from([b"flymq piece 1", &self.place[..], &piece.to_le_bytes()].concat())
    }
}
