//! The manifest: what a backup holds. It is written last, so that a backup without one is known to be none.
//!
//! The first line is JSON about the rest: format, version, length, sha-256, and with a key its id and an HMAC. The rest
//! is the JSON of [`Manifest`].

use serde::{Deserialize, Serialize};

use crate::{
    BackupError, BackupId, BackupKey, ChunkName,
    names::{is_topic_id, sha256},
};

const FORMAT: &str = "flymq-backup";
/// The newest format this program reads, and the one it writes.
const VERSION: u32 = 1;
/// No manifest is larger.
pub(crate) const MAX_MANIFEST_BYTES: usize = 1 << 30;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    #[serde(default)]
    body_bytes: u64,
    #[serde(default)]
    body_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_hmac: Option<String>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// The cluster and the version of the broker that it was made from.
    pub cluster_id: String,
    pub server_version: String,
    /// The version of the program that made it.
    pub tool_version: String,
    /// The chunks are AES-256-GCM under the key of this id.
    pub key_id: Option<String>,
    pub topics: Vec<TopicBackup>,
    pub groups: Vec<GroupBackup>,
}

/// A topic with the settings that were in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicBackup {
    pub name: String,
    /// Internal id, 32 hexadecimal digits.
    pub id: String,
    pub created_ms: i64,
    /// As the API shows them (`flymq.v1.TopicOptions` in JSON).
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// By number, from 0.
    pub partitions: Vec<PartitionBackup>,
}

/// A partition as it was at its high watermark when the backup began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionBackup {
    pub partition: u32,
    /// The first offset that could be read.
    pub low_watermark: u64,
    /// Where the first batch begins; it may lie below the low watermark.
    pub first_offset: u64,
    /// Offset after the last one: the high watermark.
    pub end_offset: u64,
    /// In order of offset; together with `damaged` without a gap.
    pub chunks: Vec<ChunkEntry>,
    /// What could not be read from the broker and was passed over.
    pub damaged: Vec<OffsetSpan>,
}

/// One chunk file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkEntry {
    pub file: String,
    pub first_offset: u64,
    pub end_offset: u64,
    pub batches: u64,
    /// As stored.
    pub bytes: u64,
    /// As stored.
    pub sha256: String,
}

/// Offsets, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetSpan {
    pub first_offset: u64,
    pub end_offset: u64,
}

/// What a consumer group had committed on the topics of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupBackup {
    pub group: String,
    pub offsets: Vec<OffsetEntry>,
}

/// One committed offset: the next to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetEntry {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub metadata: String,
}

impl Manifest {
    /// The bytes of the file.
    pub(crate) fn encode(&self, key: Option<&BackupKey>) -> Result<Vec<u8>, BackupError> {
        let file = || format!("the manifest of {}", self.id);
        let body = serde_json::to_vec_pretty(self).map_err(|error| BackupError::damaged(file(), error))?;
        let head = Head {
            format: FORMAT.to_owned(),
            version: VERSION,
            body_bytes: body.len() as u64,
            body_sha256: sha256(&body),
            key_id: key.map(|key| key.id().to_owned()),
            body_hmac: key.map(|key| key.sign(&body)),
        };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| BackupError::damaged(file(), error))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads a file and checks all that can be checked without the chunks; with a key also who wrote it.
    ///
    /// # Errors
    /// `Foreign`, `Newer`, `Damaged`, `WrongKey`.
    pub(crate) fn decode(id: &BackupId, bytes: &[u8], key: Option<&BackupKey>) -> Result<Self, BackupError> {
        let file = id.manifest();
        let damaged = |reason: &str| BackupError::damaged(&file, reason);
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("it is cut off"))?;
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        let head: Head =
            serde_json::from_slice(head).map_err(|_| BackupError::Foreign { file: file.clone() })?;
        if head.format != FORMAT {
            return Err(BackupError::Foreign { file });
        }
        if head.version != VERSION {
            return Err(BackupError::Newer { file, found: head.version, known: VERSION });
        }
        if body.len() as u64 != head.body_bytes || sha256(body) != head.body_sha256 {
            return Err(damaged("its sha-256 is not the one in its first line"));
        }
        let manifest: Self =
            serde_json::from_slice(body).map_err(|error| BackupError::damaged(&file, error))?;
        if manifest.id != id.as_str() || manifest.key_id != head.key_id {
            return Err(damaged("it is not what its name and first line say"));
        }
        manifest.check_key(&head, body, key)?;
        manifest.check(&file)?;
        Ok(manifest)
    }

    fn check_key(&self, head: &Head, body: &[u8], key: Option<&BackupKey>) -> Result<(), BackupError> {
        let (Some(needed), Some(key)) = (&head.key_id, key) else { return Ok(()) };
        if key.id() != needed {
            let (id, given) = (self.id.clone(), key.id().to_owned());
            return Err(BackupError::WrongKey { id, needed: needed.clone(), given });
        }
        if head.body_hmac.as_deref() != Some(&key.sign(body)) {
            return Err(BackupError::damaged(&self.id, "its first line was not made with the key"));
        }
        Ok(())
    }

    /// Names are ours, offsets have no gap, and nothing is there twice.
    fn check(&self, file: &str) -> Result<(), BackupError> {
        for (index, topic) in self.topics.iter().enumerate() {
            let fail =
                |reason: &str| Err(BackupError::damaged(file, format!("topic {:?}: {reason}", topic.name)));
            if self.topics[..index].iter().any(|other| other.name == topic.name) {
                return fail("is there twice");
            }
            if !is_topic_id(&topic.id) || topic.partitions.is_empty() {
                return fail("has no id or no partitions");
            }
            for (number, partition) in topic.partitions.iter().enumerate() {
                if partition.partition as usize != number || !partition.is_sound(&topic.id) {
                    return fail(&format!("partition {number} does not fit together"));
                }
            }
        }
        Ok(())
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.topics.iter().map(TopicBackup::bytes).sum()
    }
}

impl TopicBackup {
    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().flat_map(|partition| &partition.chunks).map(|chunk| chunk.bytes).sum()
    }

    /// Offsets that can be read back.
    pub fn offsets(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.end_offset - partition.low_watermark).sum()
    }
}

impl PartitionBackup {
    fn is_sound(&self, topic_id: &str) -> bool {
        let ours = self.chunks.iter().all(|chunk| {
            chunk.name().is_some_and(|name| {
                name.topic_id == topic_id
                    && name.partition == self.partition
                    && (name.first_offset, name.end_offset) == (chunk.first_offset, chunk.end_offset)
                    && name.sha256 == chunk.sha256
            })
        });
        let spans = self.pieces();
        let mut next = self.first_offset;
        for span in &spans {
            if span.first_offset != next || span.end_offset <= next {
                return false;
            }
            next = span.end_offset;
        }
        ours && next == self.end_offset && (self.first_offset..=self.end_offset).contains(&self.low_watermark)
    }

    /// Chunks and damaged ranges in order of offset.
    fn pieces(&self) -> Vec<OffsetSpan> {
        let chunk = |chunk: &ChunkEntry| OffsetSpan {
            first_offset: chunk.first_offset,
            end_offset: chunk.end_offset,
        };
        let mut pieces: Vec<_> = self.chunks.iter().map(chunk).chain(self.damaged.iter().copied()).collect();
        pieces.sort_by_key(|span| span.first_offset);
        pieces
    }
}

impl ChunkEntry {
    /// The file's name, taken apart; `None` for a name that is not one of ours.
    pub fn name(&self) -> Option<ChunkName> {
        ChunkName::parse(&self.file)
    }
}

#[cfg(test)]
mod tests;
