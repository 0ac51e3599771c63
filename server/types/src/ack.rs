//! How sure a producer wants to be, and how much a reader wants to see.

use std::fmt;
use std::str::FromStr;

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Acks {
    /// Nothing: the answer may come before the append.
    None,
    /// In the leader's log file: survives `kill -9` of the process, on disk within `sync_interval_ms`.
    #[default]
    Leader,
    /// On the disk (fdatasync done) of every in-sync replica, of which there are at least `min_insync_replicas`.
    All,
}

impl Acks {
    /// The word used in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Leader => "leader",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no acknowledgement level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("acks is one of none, leader, all (or quorum)")]
pub struct ParseAcksError;

impl FromStr for Acks {
    type Err = ParseAcksError;
    fn from_str(text: &str) -> Result<Self, ParseAcksError> {
        match text {
            "none" => Ok(Self::None),
            "leader" => Ok(Self::Leader),
            "all" | "quorum" => Ok(Self::All),
            _ => Err(ParseAcksError),
        }
    }
}

/// What a reader sees of transactions. Reads never pass the high watermark, whatever the isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Nothing of open or aborted transactions; reads stop at the last stable offset.
    #[default]
    ReadCommitted,
    /// Everything below the high watermark.
    ReadUncommitted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_words_and_alias() {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            assert_eq!(acks.to_string().parse(), Ok(acks));
        }
        assert_eq!("quorum".parse(), Ok(Acks::All));
        assert_eq!("ALL".parse::<Acks>(), Err(ParseAcksError));
    }
}
