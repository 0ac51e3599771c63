//! Client-side encryption of message values: the broker sees and stores only ciphertext.
//!
//! AES-256-GCM, laid out `nonce (12) ‖ ciphertext ‖ tag (16)` with a random nonce for each value; nothing else is
//! authenticated. A record whose value is so carries the header [`ENCRYPTION_HEADER`].

use std::{fmt, sync::Arc};

use bytes::Bytes;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

use crate::{ClientError, Message, NewMessage};

/// Header of a record whose value is encrypted; its value names the algorithm.
pub const ENCRYPTION_HEADER: &str = "flymq-encryption";
const ALGORITHM: &[u8] = b"AES-256-GCM";
const KEY_LEN: usize = 32;

/// Encrypts and decrypts with one key. Clones share it.
#[derive(Clone)]
pub struct Encryptor {
    key: Arc<LessSafeKey>,
    random: SystemRandom,
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryptor(AES-256-GCM, key hidden)")
    }
}

/// A new random key: 64 hexadecimal characters, 256 bits.
///
/// # Errors
/// `Internal` when the operating system gives no randomness.
pub fn generate_key() -> Result<String, ClientError> {
    let mut key = [0; KEY_LEN];
    SystemRandom::new().fill(&mut key).map_err(|_| failed("the system gives no randomness"))?;
    Ok(key.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

impl Encryptor {
    /// With a key of 64 hexadecimal characters.
    ///
    /// # Errors
    /// `InvalidArgument` for another length or other characters; the key is not repeated in it.
    pub fn from_hex_key(key: &str) -> Result<Self, ClientError> {
        let bad = || {
            let mut error = failed("the encryption key is not 64 hexadecimal characters");
            "Make a key with generate_key() or `openssl rand -hex 32`.".clone_into(&mut error.hint);
            error
        };
        if key.len() != 2 * KEY_LEN || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let bytes: Result<Vec<u8>, _> =
            (0..key.len()).step_by(2).map(|i| u8::from_str_radix(&key[i..i + 2], 16)).collect();
        let key = UnboundKey::new(&AES_256_GCM, &bytes.map_err(|_| bad())?).map_err(|_| bad())?;
        Ok(Self { key: Arc::new(LessSafeKey::new(key)), random: SystemRandom::new() })
    }

    /// `nonce ‖ ciphertext ‖ tag`, under a fresh random nonce.
    ///
    /// # Errors
    /// `InvalidArgument` when the system gives no randomness, or for values beyond 64 GiB.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, ClientError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed("the system gives no randomness"))?;
        let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut out[NONCE_LEN..])
            .map_err(|_| failed("the value is too large to encrypt"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The plain bytes of [`Encryptor::encrypt`].
    ///
    /// # Errors
    /// `InvalidArgument` when the bytes were changed, or another key made them.
    pub fn decrypt(&self, sealed: &[u8]) -> Result<Vec<u8>, ClientError> {
        let refused = || {
            let mut error = failed("the value cannot be decrypted: another key made it, or it was changed");
            "Give the consumer the encryption_key that the producer used.".clone_into(&mut error.hint);
            error
        };
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut body = body.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::empty(), &mut body).map_err(|_| refused())?.len();
        body.truncate(plain);
        Ok(body)
    }

    /// Encrypts a message's value and adds the header; a sealed message and a tombstone stay as they are.
    pub(crate) fn seal(&self, mut message: NewMessage) -> Result<NewMessage, ClientError> {
        if let Some(value) = &message.value
            && !is_sealed(&message.headers)
        {
            message.value = Some(self.encrypt(value)?.into());
            message.headers.push((ENCRYPTION_HEADER.to_owned(), Bytes::from_static(ALGORITHM)));
        }
        Ok(message)
    }

    /// Decrypts a message that carries the header, and takes the header off.
    pub(crate) fn open(&self, mut message: Message) -> Result<Message, ClientError> {
        if !message.tombstone && is_sealed(&message.headers) {
            let place = format!("{}/{}", message.topic, message.partition);
            let plain = self.decrypt(&message.value).map_err(|mut e| {
                e.message = format!("offset {} of {place}: {}", message.offset, e.message);
                e.with("topic", &message.topic).with("offset", message.offset)
            })?;
            message.value = plain.into();
            message.headers.retain(|(name, _)| name != ENCRYPTION_HEADER);
        }
        Ok(message)
    }
}

/// Whether the headers say that the value is encrypted.
pub(crate) fn is_sealed(headers: &[(String, Bytes)]) -> bool {
    headers.iter().any(|(name, _)| name == ENCRYPTION_HEADER)
}

/// Errors of this module carry `kind: encryption`, so that SDKs can give them a type of their own.
fn failed(message: &str) -> ClientError {
    ClientError::invalid(message).with("kind", "encryption")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encryptor() -> Encryptor {
        Encryptor::from_hex_key(&"0f".repeat(32)).expect("a key")
    }

    #[test]
    fn values_come_back_and_no_two_ciphertexts_are_alike() {
        let cipher = encryptor();
        let (one, two) =
            (cipher.encrypt(b"salary").expect("seals"), cipher.encrypt(b"salary").expect("seals"));
        assert_ne!(one, two, "a fresh nonce each time");
        assert_eq!(one.len(), 12 + 6 + 16);
        assert_eq!(cipher.decrypt(&one).expect("opens"), b"salary");
    }

    #[test]
    fn the_layout_is_that_of_other_implementations() {
        // From Python's `cryptography`: AESGCM(bytes.fromhex("0f" * 32)).encrypt(bytes(12), b"flymq", None), nonce in front.
        let sealed = from_hex(VECTOR);
        assert_eq!(encryptor().decrypt(&sealed).expect("opens"), b"flymq");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let cipher = encryptor();
        let sealed = cipher.encrypt(b"salary").expect("seals");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(cipher.decrypt(&changed).is_err(), "byte {at}");
            assert!(cipher.decrypt(&sealed[..at]).is_err(), "cut at {at}");
        }
        let other = Encryptor::from_hex_key(&generate_key().expect("random")).expect("a key");
        assert!(other.decrypt(&sealed).expect_err("another key").hint.contains("encryption_key"));
    }

    #[test]
    fn bad_keys_are_refused_and_never_shown() {
        for bad in ["", "0f", &"0g".repeat(32), &"é".repeat(32)] {
            let error = Encryptor::from_hex_key(bad).expect_err("no key");
            assert!(bad.is_empty() || !error.message.contains(bad), "{error}");
        }
        assert!(!format!("{:?}", encryptor()).contains("0f"));
    }

    #[test]
    fn sealing_twice_is_sealing_once() {
        let cipher = encryptor();
        let once = cipher.seal(NewMessage::value("v")).expect("seals");
        let twice = cipher.seal(once.clone()).expect("seals");
        assert_eq!(once.value, twice.value);
        assert_eq!(twice.headers.len(), 1);
    }

    const VECTOR: &str = "0000000000000000000000007163683604ab16b6778d33126b420ee3ce3162158d";

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
    }
}
