//! Settings with a fixed set of words.

use std::fmt;
use std::str::FromStr;

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
                match text.trim().to_ascii_lowercase().as_str() {
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
pub trait Words: FromStr<Err = ()> + fmt::Display {
    /// The words a user may write.
    fn words() -> &'static [&'static str];
}

choice! {
    /// When a produce is answered, for clients that say nothing.
    Acks {
        /// On receipt.
        None = "none" | "0",
        /// In the leader's log file; on disk within `performance.sync_interval_ms`.
        Leader = "leader" | "1",
        /// On the disk of every in-sync replica.
        All = "all" | "quorum" | "-1",
    }
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
