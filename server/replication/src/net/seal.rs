//! Encrypts what a joining node and a member say to each other: the answer may hold the secret of the cluster. The keys
//! come from the join token and both sides' random numbers, and serve for one message each.

use bytes::Bytes;
use ring::{aead, hmac};

/// One message's key.
pub(super) struct Seal(aead::LessSafeKey);

impl Seal {
    /// `label`: which of the messages.
    pub(super) fn new(key: &hmac::Key, label: &str, transcript: &[u8]) -> Option<Self> {
        let mut context = hmac::Context::with_key(key);
        context.update(label.as_bytes());
        context.update(transcript);
        let derived = context.sign();
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, derived.as_ref()).ok()?;
        Some(Self(aead::LessSafeKey::new(key)))
    }

    /// Each key is for one message: the nonce never repeats.
    fn nonce() -> aead::Nonce {
        aead::Nonce::assume_unique_for_key([0; 12])
    }

    pub(super) fn close(self, plain: &[u8]) -> Option<Bytes> {
        let mut bytes = plain.to_vec();
        self.0.seal_in_place_append_tag(Self::nonce(), aead::Aad::empty(), &mut bytes).ok()?;
        Some(bytes.into())
    }

    /// None: it was not closed with this key, or is changed.
    pub(super) fn open(self, sealed: &[u8]) -> Option<Bytes> {
        let mut bytes = sealed.to_vec();
        let plain = self.0.open_in_place(Self::nonce(), aead::Aad::empty(), &mut bytes).ok()?;
        Some(Bytes::copy_from_slice(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &[u8], label: &str, transcript: &[u8]) -> Seal {
        Seal::new(&hmac::Key::new(hmac::HMAC_SHA256, key), label, transcript).expect("a key of 32 bytes")
    }

    #[test]
    fn only_the_same_key_label_and_transcript_open() {
        let sealed = seal(b"k", "request", b"t").close(b"the secret").expect("short");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let open = |key, label, transcript| seal(key, label, transcript).open(&sealed);
        assert_eq!(open(b"k", "request", b"t"), Some(Bytes::from_static(b"the secret")));
        assert_eq!(open(b"x", "request", b"t"), None);
        assert_eq!(open(b"k", "answer", b"t"), None);
        assert_eq!(open(b"k", "request", b"u"), None);
        let mut changed = sealed.to_vec();
        changed[0] ^= 1;
        assert_eq!(seal(b"k", "request", b"t").open(&changed), None);
        assert_eq!(seal(b"k", "request", b"t").open(b""), None);
    }
}
