//! Property tests, one file for each decoder: what was encoded decodes to the same; arbitrary and damaged bytes never
//! panic, and never cost more memory than a small multiple of their number.

#![allow(clippy::unwrap_used)] // clippy's own exception does not reach the functions beside the tests

mod batch;
mod compress;
mod frame;
mod memory;
mod v1_replies;
mod v1_requests;
mod v2;

use proptest::prelude::*;

/// Bytes in which small numbers and letters are frequent, so that lengths often fit and decoders get far.
pub fn plausible_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => Just(0u8), 3 => 1u8..9, 2 => b'a'..=b'z', 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..200)
}

/// A change to valid bytes: cut them, or set one of them.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
}

pub fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
    ]
}

impl Damage {
    pub fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            _ if bytes.is_empty() => {}
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
    }
}
