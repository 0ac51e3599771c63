//! Identifiers of 16 random bytes: unique without anybody giving them out.

use std::fmt;
use std::str::FromStr;

use crate::{InvalidId, Rng};

macro_rules! random_id {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type([u8; 16]);

        impl $type {
            /// A new random id (UUID version 4 bits set).
            pub fn random(rng: &dyn Rng) -> Self {
                let mut bytes = [0; 16];
                rng.fill(&mut bytes);
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes())
            }

            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        /// 32 lower-case hexadecimal digits.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId::RandomId($what);
                if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(wrong);
                }
                u128::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| wrong)
            }
        }
    };
}

random_id! {
    /// A cluster: nodes of another one are refused.
    ClusterId, "cluster"
}
random_id! {
    /// A data directory, made with it: an emptied or replaced disk has another one (KIP-858), so that a node which lost
    /// its data is never taken for the one that had it.
    DirectoryId, "directory"
}
random_id! {
    /// One run of a broker process (KIP-631): tells a repeated registration from that of another process.
    IncarnationId, "incarnation"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRng;

    #[test]
    fn ids_survive_their_text_form_and_anything_else_is_refused() {
        let rng = SeededRng::new(7);
        let id = DirectoryId::random(&rng);
        assert_ne!(id, DirectoryId::random(&rng));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "..", "0123", &"A".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(bad.parse::<ClusterId>(), Err(InvalidId::RandomId("cluster")), "{bad}");
        }
    }
}
