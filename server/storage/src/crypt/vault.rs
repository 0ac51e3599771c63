//! Encryption of what is kept beside the logs: small files that are written piece by piece and replaced whole.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use flymq_types::Rng;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::TAG_BYTES;
use super::key::EncryptionKeys;
use super::key_block::{KEY_BLOCK_BYTES, KeyBlock};
use super::keyring::{DataKey, Keyring, UnwrapError, aes};
use crate::error::{Result, StorageError};

/// The keys of an encrypted data directory, for files beside its logs.
#[derive(Debug, Clone)]
pub struct FileVault {
    keyring: Arc<Keyring>,
    directory: [u8; 16],
    rng: Arc<dyn Rng>,
}

impl FileVault {
    /// For files of the data directory with this id. An open directory has one: [`crate::DataDir::vault`].
    pub fn new(keys: &EncryptionKeys, directory: [u8; 16], rng: Arc<dyn Rng>) -> Self {
        Self::with(Arc::new(Keyring::new(keys)), directory, rng)
    }

    pub(crate) fn with(keyring: Arc<Keyring>, directory: [u8; 16], rng: Arc<dyn Rng>) -> Self {
        Self { keyring, directory, rng }
    }

    /// Bytes that an encrypted file's header needs for its wrapped data key: two copies.
    pub const HEAD_BYTES: usize = 2 * KEY_BLOCK_BYTES;

    /// A new data key for the file called `name`, and the bytes that its header needs.
    pub fn new_file(&self, name: &str) -> (FileCipher, Vec<u8>) {
        let place = self.place(name);
        let (key, block) = self.keyring.new_data_key([0; 16], &place, &*self.rng);
        (self.cipher(&key, place), block.encode().repeat(2))
    }

    /// The cipher of the file called `name` by the bytes in its header, and whether it is wrapped by the current key.
    ///
    /// # Errors
    /// `WrongKey`; `DamagedIdentity` where both copies of the data key are damaged or belong to another file.
    pub fn open_file(&self, path: &Path, name: &str, head: &[u8]) -> Result<(FileCipher, bool)> {
        let place = self.place(name);
        for block in head.chunks(KEY_BLOCK_BYTES).filter_map(KeyBlock::decode) {
            match self.keyring.unwrap(&block, &place) {
                Ok(key) => return Ok((self.cipher(&key, place), block.key_id == self.keyring.current())),
                Err(UnwrapError::UnknownKey(needed)) => return Err(self.keyring.wrong_key(path, needed)),
                Err(UnwrapError::Damaged) => {}
            }
        }
        let reason = "its data key is damaged or belongs to another file".to_owned();
        Err(StorageError::DamagedIdentity { path: path.to_owned(), reason })
    }

    /// The error for an encrypted file in a directory that was opened without a key.
    pub fn key_missing(path: &Path, head: &[u8]) -> StorageError {
        let id =
            head.chunks(KEY_BLOCK_BYTES).find_map(KeyBlock::decode).map(|block| block.key_id.to_string());
        StorageError::KeyMissing { path: path.to_owned(), needed: id.unwrap_or_else(|| "unknown".to_owned()) }
    }

    fn place(&self, name: &str) -> Vec<u8> {
        [&self.directory, name.as_bytes()].concat()
    }

    fn cipher(&self, key: &DataKey, place: Vec<u8>) -> FileCipher {
        FileCipher { key: aes(key), place, rng: self.rng.clone() }
    }
}

/// The data key of one file. Nonces are random: good for 2^32 pieces in one file.
pub struct FileCipher {
    key: LessSafeKey,
    place: Vec<u8>,
    rng: Arc<dyn Rng>,
}

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCipher")
    }
}

impl FileCipher {
    /// Bytes by which a sealed piece is larger than its content.
    pub const OVERHEAD: usize = NONCE_LEN + TAG_BYTES;

    /// Encrypts a piece: `nonce(12) ‖ ciphertext ‖ tag(16)`. `piece` says which one it is; it opens as no other.
    pub fn seal(&self, piece: u64, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; NONCE_LEN + plain.len()];
        let (head, body) = sealed.split_at_mut(NONCE_LEN);
        self.rng.fill(head);
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
