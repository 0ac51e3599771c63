//! Names of the files in a backup. They are made here alone; a name from outside counts only if it is one of ours to
//! the last character, so that none can lead anywhere else.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::BackupError;

const MANIFEST_PREFIX: &str = "backup-";
const MANIFEST_SUFFIX: &str = ".manifest";
const CHUNK_PREFIX: &str = "chunk-";
const CHUNK_SUFFIX: &str = ".fqb";

/// Names a backup: UTC time to the millisecond and eight random hexadecimal digits, so that ids sort by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupId(String);

impl BackupId {
    /// A new one for this moment.
    pub(crate) fn now() -> Result<Self, BackupError> {
        let mut random = [0; 4];
        let none = |_| BackupError::Storage {
            what: "make an id".to_owned(),
            reason: "the system gives no randomness".to_owned(),
        };
        SystemRandom::new().fill(&mut random).map_err(none)?;
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ");
        Ok(Self(format!("{time}-{}", hex(&random))))
    }

    /// `20260131T235959000Z-0badcafe`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, random) = text.split_once('-')?;
        let (day, second) = time.strip_suffix('Z')?.split_once('T')?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        let fits = digits(day, 8) && digits(second, 9) && random.len() == 8 && is_lower_hex(random);
        fits.then(|| Self(text.to_owned()))
    }

    /// The file of its manifest.
    pub fn manifest(&self) -> String {
        format!("{MANIFEST_PREFIX}{}{MANIFEST_SUFFIX}", self.0)
    }

    /// The id of which this file is the manifest.
    pub fn of_manifest(file: &str) -> Option<Self> {
        Self::parse(file.strip_prefix(MANIFEST_PREFIX)?.strip_suffix(MANIFEST_SUFFIX)?)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a chunk holds and the sha-256 of its bytes; all of it is in the file's name, so that a later run knows what
/// is there without any manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkName {
    /// The topic's internal id, 32 hexadecimal digits.
    pub topic_id: String,
    pub partition: u32,
    pub first_offset: u64,
    /// Offset after the last one.
    pub end_offset: u64,
    /// Of the bytes as they are stored, 64 hexadecimal digits.
    pub sha256: String,
}

impl ChunkName {
    /// Takes a file's name apart; `None` for any that this program would not have given.
    pub fn parse(file: &str) -> Option<Self> {
        let inner = file.strip_prefix(CHUNK_PREFIX)?.strip_suffix(CHUNK_SUFFIX)?;
        let parts: Vec<&str> = inner.split('-').collect();
        let [topic_id, partition, first, end, sha256] = parts.as_slice() else { return None };
        let name = Self {
            topic_id: (*topic_id).to_owned(),
            partition: partition.parse().ok()?,
            first_offset: first.parse().ok()?,
            end_offset: end.parse().ok()?,
            sha256: (*sha256).to_owned(),
        };
        (name.is_valid() && name.to_string() == file).then_some(name)
    }

    fn is_valid(&self) -> bool {
        is_topic_id(&self.topic_id)
            && self.sha256.len() == 64
            && is_lower_hex(&self.sha256)
            && self.first_offset < self.end_offset
    }

    /// What an encrypted chunk is bound to: moved to another place it does not open.
    pub(crate) fn context(&self) -> String {
        let Self { topic_id, partition, first_offset, end_offset, sha256: _ } = self;
        format!("flymq-backup-1 {topic_id} {partition} {first_offset} {end_offset}")
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic_id, partition, first_offset, end_offset, sha256 } = self;
        write!(
            f,
            "{CHUNK_PREFIX}{topic_id}-{partition}-{first_offset:020}-{end_offset:020}-{sha256}{CHUNK_SUFFIX}"
        )
    }
}

/// 32 hexadecimal digits.
pub(crate) fn is_topic_id(text: &str) -> bool {
    text.len() == 32 && is_lower_hex(text)
}

pub(crate) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

/// sha-256, 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_are_no_names() {
        let good = ChunkName {
            topic_id: "0a".repeat(16),
            partition: 3,
            first_offset: 5,
            end_offset: 9,
            sha256: "ff".repeat(32),
        };
        let text = good.to_string();
        assert_eq!(ChunkName::parse(&text), Some(good));
        let id = "20260131T235959000Z-0badcafe";
        assert_eq!(BackupId::parse(id).map(|id| id.to_string()).as_deref(), Some(id));
        let manifest = format!("backup-{id}.manifest");
        for (from, to) in [
            ("chunk-", "../chunk-"),
            ("chunk-", "/chunk-"),
            ("-3-", "-03-"),
            ("-3-", "-+3-"),
            ("0a", "0A"),
            (".fqb", ".fqb/x"),
            (".fqb", ".fqb\0"),
            ("0a0a", "/..a"),
        ] {
            assert_eq!(ChunkName::parse(&text.replacen(from, to, 1)), None, "{from} → {to}");
        }
        for (from, to) in [
            ("backup-", "x/backup-"),
            ("2026", "../."),
            ("Z-", "Z-/"),
            ("cafe", "CAFE"),
            ("0badcafe", "0badcafe0"),
        ] {
            assert_eq!(BackupId::of_manifest(&manifest.replacen(from, to, 1)), None, "{from} → {to}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(
            topic_id in "[0-9a-f]{32}", partition: u32, first in 0..u64::MAX - 1, span in 1..1_000_u64, sha256 in "[0-9a-f]{64}",
        ) {
            let end_offset = first.saturating_add(span);
            let name = ChunkName { topic_id, partition, first_offset: first, end_offset, sha256 };
            let file = name.to_string();
            prop_assert!(file.len() < 200 && file.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'));
            prop_assert_eq!(ChunkName::parse(&file), Some(name));
        }

        #[test]
        fn what_is_accepted_is_a_plain_file_name(text in "(chunk-|backup-)?[-0-9a-fTZ./\\\\]{0,140}(.fqb|.manifest)?") {
            if ChunkName::parse(&text).is_some() || BackupId::of_manifest(&text).is_some() {
                prop_assert!(!text.contains(['/', '\\', '\0']) && !text.contains(".."));
            }
        }
    }
}
