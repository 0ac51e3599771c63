//! Which records stay.

use flymq_types::RecordView;

use super::keys::LatestKeys;
use super::options::Compaction;

/// One pass: the keys of `from..upto`, applied to all records below `upto`.
#[derive(Debug)]
pub(super) struct Pass {
    pub keys: LatestKeys,
    /// Records from here on are kept: their keys were not looked at.
    pub upto: u64,
    /// First offset of the log.
    pub start: u64,
    /// An older segment could not be cleaned: what it has must not come back to life, so deletions stay.
    pub keep_deletions: bool,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It stays until this time, Unix ms: a tombstone that is met for the first time.
    KeepUntil(i64),
    Drop,
    /// It goes because its time is over.
    Expire,
}

impl Pass {
    pub fn judge(&self, record: &RecordView<'_>, how: &Compaction) -> Verdict {
        if record.offset >= self.upto {
            return Verdict::Keep;
        }
        if record.offset < self.start
            || record.key.is_some_and(|key| self.keys.supersedes(key, record.offset))
        {
            return Verdict::Drop;
        }
        let tombstone = record.value.is_none() && record.key.is_some();
        match record.expires_at {
            Some(end) if end <= how.now.0 && !self.keep_deletions => Verdict::Expire,
            None if tombstone && how.by_key => {
                let stay = i64::try_from(how.delete_retention_ms).unwrap_or(i64::MAX);
                Verdict::KeepUntil(how.now.0.saturating_add(stay))
            }
            Some(_) | None => Verdict::Keep,
        }
    }
}
