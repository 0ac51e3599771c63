//! Keys as an operator hands them over.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes of an AES-256 key.
pub(super) const KEY_BYTES: usize = 32;

/// Names a key without telling it: the first 8 bytes of SHA-256 over a fixed prefix and the key. Shown as 16 hex
/// characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) [u8; 8]);

impl KeyId {
    /// From its 16 hex characters.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 8];
        read_hex(text, &mut id)?;
        Some(Self(id))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Text that is no key. Says nothing of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an encryption key is 64 hex characters (32 bytes), this one has {length} characters{}; make one with \
     `openssl rand -hex 32`", if *is_hex { "" } else { " and some are not hex" }
)]
pub struct KeyError {
    pub length: usize,
    pub is_hex: bool,
}

/// A key of the operator. Its bytes are wiped when it is dropped, and shown nowhere.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; KEY_BYTES]>);

impl EncryptionKey {
    /// From 64 hex characters.
    ///
    /// # Errors
    /// Any other text.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        match read_hex(text, &mut *bytes) {
            Some(()) => Ok(Self(bytes)),
            None => Err(KeyError {
                length: text.chars().count(),
                is_hex: text.chars().all(|c| c.is_ascii_hexdigit()),
            }),
        }
    }

    pub fn id(&self) -> KeyId {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        hash.update(b"flymq encryption key id");
        hash.update(&*self.0);
        let digest = hash.finish();
        let mut id = [0; 8];
        id.copy_from_slice(&digest.as_ref()[..8]);
        KeyId(id)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.id())
    }
}

/// The key that everything new is written under, and older ones that may still be needed to read.
#[derive(Debug, Clone)]
pub struct EncryptionKeys {
    pub current: EncryptionKey,
    pub old: Vec<EncryptionKey>,
}

/// Fills `bytes` from hex characters; `None` where the text is no hex or has another length.
pub(super) fn read_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_64_hex_characters_and_nothing_else() {
        let text = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
        let key = EncryptionKey::from_hex(text).unwrap();
        assert_eq!(hex(key.bytes()), text.to_lowercase());
        for (bad, is_hex) in [("", true), (&text[1..], true), (&text[2..], true), ("zz", false)] {
            assert_eq!(EncryptionKey::from_hex(bad).unwrap_err(), KeyError { length: bad.len(), is_hex });
        }
        let almost = text.replace('0', "g");
        let error = EncryptionKey::from_hex(&almost).unwrap_err();
        assert!(!error.to_string().contains(&almost[..4]), "{error}");
        // As many bytes as a key has characters, but no hex.
        assert!(EncryptionKey::from_hex(&"é".repeat(32)).is_err());
    }

    #[test]
    fn shows_its_id_and_never_itself() {
        let key = EncryptionKey::from_hex(&"5a".repeat(32)).unwrap();
        let other = EncryptionKey::from_hex(&"5b".repeat(32)).unwrap();
        assert_ne!(key.id(), other.id());
        assert_eq!(KeyId::parse(&key.id().to_string()), Some(key.id()));
        let shown = format!("{key:?} {:?}", EncryptionKeys { current: key.clone(), old: vec![other] });
        assert!(!shown.contains("5a5a") && !shown.contains("90, 90") && !shown.contains("5b5b"), "{shown}");
    }
}
