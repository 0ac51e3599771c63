//! Encryption of a backup: AES-256-GCM for the chunks, HMAC-SHA256 for the manifest, keys by HKDF from one secret.

use bytes::Bytes;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

use crate::{
    BackupError,
    names::{ChunkName, hex},
};

const SALT: &[u8] = b"flymq-backup-1";
const KEY_BYTES: usize = 32;

/// The keys made from `FLYMQ_BACKUP_KEY`.
pub struct BackupKey {
    chunk: LessSafeKey,
    manifest: hmac::Key,
    id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupKey({})", self.id)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &Prk, purpose: &[u8], length: usize) -> Result<Vec<u8>, BackupError> {
    let mut key = vec![0; length];
    let purpose = [purpose];
    let made = secret.expand(&purpose, Length(length)).and_then(|okm| okm.fill(&mut key));
    made.map_err(|_| BackupError::BadKey)?;
    Ok(key)
}

impl BackupKey {
    /// From 64 hexadecimal characters.
    ///
    /// # Errors
    /// `BadKey`, which does not repeat what was given.
    pub fn from_hex(text: &str) -> Result<Self, BackupError> {
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BackupError::BadKey);
        }
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16);
        let secret: Result<Vec<u8>, _> = (0..text.len()).step_by(2).map(byte).collect();
        let secret = Salt::new(HKDF_SHA256, SALT).extract(&secret.map_err(|_| BackupError::BadKey)?);
        let chunk = UnboundKey::new(&AES_256_GCM, &expand(&secret, b"chunk", KEY_BYTES)?);
        Ok(Self {
            chunk: LessSafeKey::new(chunk.map_err(|_| BackupError::BadKey)?),
            manifest: hmac::Key::new(hmac::HMAC_SHA256, &expand(&secret, b"manifest", KEY_BYTES)?),
            id: hex(&expand(&secret, b"id", 8)?),
            random: SystemRandom::new(),
        })
    }

    /// Names the key without giving it away, 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `nonce ‖ ciphertext ‖ tag`, bound to what the chunk holds.
    pub(crate) fn seal(&self, chunk: &ChunkName, plain: &[u8]) -> Result<Bytes, BackupError> {
        let failed = |reason: &str| BackupError::damaged(chunk, reason);
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed("the system gives no randomness"))?;
        let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let (context, nonce) = (chunk.context(), Nonce::assume_unique_for_key(nonce));
        let aad = Aad::from(context.as_bytes());
        let tag = self.chunk.seal_in_place_separate_tag(nonce, aad, &mut out[NONCE_LEN..]);
        out.extend_from_slice(tag.map_err(|_| failed("is too large to encrypt"))?.as_ref());
        Ok(out.into())
    }

    /// The plain bytes of [`BackupKey::seal`].
    pub(crate) fn open(&self, chunk: &ChunkName, sealed: &[u8]) -> Result<Bytes, BackupError> {
        let failed = || BackupError::damaged(chunk, "it does not decrypt with this key");
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let (context, mut body) = (chunk.context(), body.to_vec());
        let opened = self.chunk.open_in_place(nonce, Aad::from(context.as_bytes()), &mut body);
        let plain = opened.map_err(|_| failed())?.len();
        body.truncate(plain);
        Ok(body.into())
    }

    /// What only a holder of the key can make of a manifest's bytes.
    pub(crate) fn sign(&self, manifest: &[u8]) -> String {
        hex(hmac::sign(&self.manifest, manifest).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first_offset: u64) -> ChunkName {
        let (topic_id, sha256) = ("0a".repeat(16), "00".repeat(32));
        ChunkName { topic_id, partition: 0, first_offset, end_offset: 9, sha256 }
    }

    #[test]
    fn a_chunk_opens_with_its_key_in_its_place_only() {
        let key = BackupKey::from_hex(&"0b".repeat(32)).unwrap();
        let sealed = key.seal(&name(1), b"records").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"records"));
        assert_eq!(&key.open(&name(1), &sealed).unwrap()[..], b"records");
        assert!(key.open(&name(2), &sealed).is_err(), "moved");
        let other = BackupKey::from_hex(&"0c".repeat(32)).unwrap();
        assert!(other.open(&name(1), &sealed).is_err() && other.id() != key.id());
        for at in 0..sealed.len() {
            let mut flipped = sealed.to_vec();
            flipped[at] ^= 1;
            assert!(key.open(&name(1), &flipped).is_err(), "byte {at}");
        }
        assert!(key.open(&name(1), b"short").is_err());
    }

    #[test]
    fn keys_that_are_none() {
        for bad in ["", "0b", &"0g".repeat(32), &"é".repeat(32), &"0b".repeat(33)] {
            assert!(matches!(BackupKey::from_hex(bad), Err(BackupError::BadKey)));
        }
    }
}
