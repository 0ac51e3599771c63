//! Settings with a fixed set of words.

use std::fmt;
use std::str::FromStr;

use flymq_types::Acks;

/// An enum of words: `NAMES` and `all()` in the same order.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The words a user may write.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($word $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err(()),
                }
            }
        }

        impl Words for $name {
            fn words() -> &'static [&'static str] { Self::WORDS }
        }
    };
}

/// What the codec of a choice needs to know for its error message.
pub trait Words: FromStr + fmt::Display {
    /// The words a user may write.
    fn words() -> &'static [&'static str];
}

choice! {
    /// Least important message that is logged.
    LogLevel { Debug = "debug", Info = "info", Warn = "warn" | "warning", Error = "error" }
}

choice! {
    /// What this node is in a cluster.
    Role {
        /// The first node: makes the cluster and its join token.
        Bootstrap = "bootstrap",
        /// Joins the cluster of `cluster.server`.
        Agent = "agent",
        /// A broker on its own.
        Standalone = "standalone",
    }
}

choice! {
    /// What happens to a record that does not match the schema of its topic.
    SchemaValidation {
        /// Refused.
        Strict = "strict",
        /// Accepted, logged and counted.
        Warn = "warn",
        /// Not checked.
        Off = "off",
    }
}

impl Words for Acks {
    fn words() -> &'static [&'static str] {
        &["none", "leader", "all"]
    }
}
