//! The operator's keys at work: they wrap data keys, and nothing else.

use std::fmt;
use std::path::Path;

use flymq_types::Rng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::TAG_BYTES;
use super::key::{EncryptionKey, EncryptionKeys, KEY_BYTES, KeyId};
use super::key_block::{KeyBlock, WRAPPED_BYTES};
use crate::error::StorageError;
use crate::layout::put;

/// Why a data key cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnwrapError {
    /// None of the keys given has this id.
    #[error("it was written under the key with id {0}, which was not given")]
    UnknownKey(KeyId),
    /// The key is there, but the block was changed, or belongs to another file.
    #[error("its data key is damaged or belongs to another file")]
    Damaged,
}

/// A data key in the clear, wiped when it is dropped.
pub(super) type DataKey = Zeroizing<[u8; KEY_BYTES]>;

struct NamedKey {
    id: KeyId,
    key: LessSafeKey,
}

/// The current key and the older ones.
pub(crate) struct Keyring {
    /// The current one first.
    keys: Vec<NamedKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keyring {
    pub fn new(keys: &EncryptionKeys) -> Self {
        let named = |key: &EncryptionKey| NamedKey { id: key.id(), key: aes(key.bytes()) };
        let mut all = vec![named(&keys.current)];
        all.extend(keys.old.iter().filter(|old| old.id() != keys.current.id()).map(named));
        Self { keys: all }
    }

    /// Id of the key that new files are written under.
    pub fn current(&self) -> KeyId {
        self.keys[0].id
    }

    /// The current key's id, then those of the older ones.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|named| named.id)
    }

    /// The error for data that needs another key than these.
    pub(crate) fn wrong_key(&self, path: &Path, needed: KeyId) -> StorageError {
        let given = self.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
        StorageError::WrongKey { path: path.to_owned(), needed: needed.to_string(), given }
    }

    pub(super) fn new_data_key(&self, uuid: [u8; 16], place: &[u8], rng: &dyn Rng) -> (DataKey, KeyBlock) {
        let mut key = DataKey::new([0; KEY_BYTES]);
        rng.fill(&mut *key);
        let block = self.wrap(&key, uuid, place, rng);
        (key, block)
    }

    /// Encrypts a data key under the current key.
    fn wrap(&self, data_key: &DataKey, uuid: [u8; 16], place: &[u8], rng: &dyn Rng) -> KeyBlock {
        let mut nonce = [0; NONCE_LEN];
        rng.fill(&mut nonce);
        let current = &self.keys[0];
        let mut wrapped = [0; WRAPPED_BYTES];
        put(&mut wrapped, 0, **data_key);
        let aad = Aad::from(wrap_context(current.id, uuid, place));
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        let tag = current.key.seal_in_place_separate_tag(nonce_once, aad, &mut wrapped[..KEY_BYTES]);
        wrapped[KEY_BYTES..].copy_from_slice(tag.expect("32 bytes are no more than AES-GCM takes").as_ref());
        KeyBlock { key_id: current.id, uuid, nonce, wrapped }
    }

    pub(super) fn unwrap(&self, block: &KeyBlock, place: &[u8]) -> Result<DataKey, UnwrapError> {
        let named = self.keys.iter().find(|named| named.id == block.key_id);
        let named = named.ok_or(UnwrapError::UnknownKey(block.key_id))?;
        let mut wrapped = Zeroizing::new(block.wrapped);
        let aad = Aad::from(wrap_context(block.key_id, block.uuid, place));
        let nonce = Nonce::assume_unique_for_key(block.nonce);
        named.key.open_in_place(nonce, aad, &mut *wrapped).map_err(|_| UnwrapError::Damaged)?;
        let mut key = DataKey::new([0; KEY_BYTES]);
        key.copy_from_slice(&wrapped[..KEY_BYTES]);
        Ok(key)
    }

    /// The same data key wrapped by the current key.
    ///
    /// # Errors
    /// See [`UnwrapError`].
    pub(super) fn rewrap(
        &self,
        block: &KeyBlock,
        place: &[u8],
        rng: &dyn Rng,
    ) -> Result<KeyBlock, UnwrapError> {
        let key = self.unwrap(block, place)?;
        Ok(self.wrap(&key, block.uuid, place, rng))
    }

    /// A value that only the key with this id can make: nonce, then tag.
    pub(super) fn proof(&self, id: KeyId, directory: &[u8; 16], rng: &dyn Rng) -> Option<[u8; PROOF_BYTES]> {
        let named = self.keys.iter().find(|named| named.id == id)?;
        let mut proof = [0; PROOF_BYTES];
        rng.fill(&mut proof[..NONCE_LEN]);
        let nonce = Nonce::try_assume_unique_for_key(&proof[..NONCE_LEN]).ok()?;
        let aad = Aad::from(proof_context(id, directory));
        let tag = named.key.seal_in_place_separate_tag(nonce, aad, &mut []).ok()?;
        proof[NONCE_LEN..].copy_from_slice(tag.as_ref());
        Some(proof)
    }

    /// Whether the key with this id made the proof.
    pub(super) fn proves(&self, id: KeyId, directory: &[u8; 16], proof: &[u8; PROOF_BYTES]) -> bool {
        let Some(named) = self.keys.iter().find(|named| named.id == id) else { return false };
        let Ok(nonce) = Nonce::try_assume_unique_for_key(&proof[..NONCE_LEN]) else { return false };
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&proof[NONCE_LEN..]);
        named.key.open_in_place(nonce, Aad::from(proof_context(id, directory)), &mut tag).is_ok()
    }
}

pub(super) const PROOF_BYTES: usize = NONCE_LEN + TAG_BYTES;

/// An AES-256-GCM key schedule.
pub(super) fn aes(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

fn wrap_context(key_id: KeyId, uuid: [u8; 16], place: &[u8]) -> Vec<u8> {
    [b"flymq data key 1", &key_id.0[..], &uuid, place].concat()
}

fn proof_context(key_id: KeyId, directory: &[u8; 16]) -> Vec<u8> {
    [b"flymq key proof 1", &key_id.0[..], directory].concat()
}
