//! Finding offsets by what they mean.

mod find;

pub use find::HeaderMatch;

use flymq_types::{Offset, Timestamp};

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// The first offset that is still there.
    Earliest,
    /// The offset after the last readable record.
    Latest,
    /// What the group committed, else earliest.
    Committed,
    /// This one. Between log start and log end.
    Offset(Offset),
    /// The first record of this time or later; latest where there is none.
    Timestamp(Timestamp),
}
