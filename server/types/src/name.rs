//! Names that users choose: topics, consumer groups and transactional producers.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest topic or group name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 249;

const INTERNAL_PREFIX: &str = "__";

/// Why a topic or group name was refused. Holds no part of the name, so it is safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name has at most {MAX_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("a name must not contain control characters (one is at byte {at})")]
    ControlCharacter { at: usize },
    #[error("a name must not have an empty level between or around '/'")]
    EmptyLevel,
    #[error("a name must not have '.' or '..' as a level")]
    DotLevel,
    #[error("names that begin with '__' are reserved for the broker itself")]
    Reserved,
    #[error("an internal name begins with '__'")]
    NotInternal,
    #[error("a name must be UTF-8")]
    NotUtf8,
}

fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(InvalidName::TooLong { bytes: name.len() });
    }
    if let Some((at, _)) = name.char_indices().find(|(_, c)| c.is_control()) {
        return Err(InvalidName::ControlCharacter { at });
    }
    for level in name.split('/') {
        match level {
            "" => return Err(InvalidName::EmptyLevel),
            "." | ".." => return Err(InvalidName::DotLevel),
            _ => {}
        }
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Validates a name given by a user; the `__` prefix is refused.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                check(name)?;
                if name.starts_with(INTERNAL_PREFIX) {
                    return Err(InvalidName::Reserved);
                }
                Ok(Self(name.into()))
            }

            /// Validates a name given by a user as raw bytes of a frame.
            pub fn from_utf8(name: &[u8]) -> Result<Self, InvalidName> {
                Self::new(std::str::from_utf8(name).map_err(|_| InvalidName::NotUtf8)?)
            }

            /// Validates a name of the broker's own (`__consumer_offsets`); it must begin with `__`.
            pub fn internal(name: &str) -> Result<Self, InvalidName> {
                check(name)?;
                if !name.starts_with(INTERNAL_PREFIX) {
                    return Err(InvalidName::NotInternal);
                }
                Ok(Self(name.into()))
            }

            /// Validates a name of either kind: for reading back stored state and for read access.
            pub fn any(name: &str) -> Result<Self, InvalidName> {
                check(name)?;
                Ok(Self(name.into()))
            }

            /// Whether the name has the reserved `__` prefix.
            pub fn is_internal(&self) -> bool {
                self.0.starts_with(INTERNAL_PREFIX)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(&name)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a topic: 1-249 bytes of UTF-8 with `/` between levels. Cheap to clone.
    TopicName
}
name! {
    /// The name of a consumer group, under the same rules as [`TopicName`]. Cheap to clone.
    GroupId
}
name! {
    /// The user's name for a transactional producer over its restarts, under the same rules as [`TopicName`]. Cheap to clone.
    TransactionalId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_decision_23_allows() {
        for name in ["a", "orders", "sensors/room 1/temp", "zażółć/gęślą", "a.b", "...", "_x", "a/__b", "CON"]
        {
            assert_eq!(TopicName::new(name).unwrap().as_str(), name);
        }
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
    }

    #[test]
    fn refuses_each_kind_of_bad_name() {
        let long = "x".repeat(250);
        let cases = [
            ("", InvalidName::Empty),
            (long.as_str(), InvalidName::TooLong { bytes: 250 }),
            ("a\nb", InvalidName::ControlCharacter { at: 1 }),
            ("a\0", InvalidName::ControlCharacter { at: 1 }),
            ("a\u{85}", InvalidName::ControlCharacter { at: 1 }),
            ("/a", InvalidName::EmptyLevel),
            ("a/", InvalidName::EmptyLevel),
            ("a//b", InvalidName::EmptyLevel),
            ("..", InvalidName::DotLevel),
            ("a/./b", InvalidName::DotLevel),
            ("a/../b", InvalidName::DotLevel),
            ("__x", InvalidName::Reserved),
        ];
        for (name, error) in cases {
            assert_eq!(TopicName::new(name), Err(error), "{name:?}");
            assert_eq!(GroupId::new(name), Err(error), "{name:?}");
        }
        assert_eq!(TopicName::from_utf8(b"\xff"), Err(InvalidName::NotUtf8));
    }

    #[test]
    fn internal_names_have_their_own_door() {
        let offsets = TopicName::internal("__consumer_offsets").unwrap();
        assert!(offsets.is_internal());
        assert_eq!(TopicName::internal("orders"), Err(InvalidName::NotInternal));
        assert_eq!(TopicName::internal("__a/../b"), Err(InvalidName::DotLevel));
        assert_eq!(TopicName::any("__consumer_offsets"), Ok(offsets));
    }

    #[test]
    fn is_found_in_a_map_by_str() {
        let map = std::collections::HashMap::from([(TopicName::new("a").unwrap(), 1)]);
        assert_eq!(map.get("a"), Some(&1));
    }
}
