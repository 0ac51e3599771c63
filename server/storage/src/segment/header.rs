//! The first 4 KiB of a segment file.

use flymq_types::{Offset, PartitionId, Timestamp, TopicId};

use crate::crypt::{KEY_BLOCK_BYTES, KeyBlock};
use crate::layout::{self, FIELDS_AT, Verdict, get, get_i64, get_u32, get_u64, put};

/// Bytes before the first batch.
pub(crate) const HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"FQSEGMNT";

/// Where the fields lie; all integers are little-endian.
mod at {
    use super::FIELDS_AT;
    pub const HEADER_BYTES: usize = FIELDS_AT;
    pub const UUID: usize = 16;
    pub const TOPIC_ID: usize = 32;
    pub const PARTITION: usize = 48;
    pub const CHAIN: usize = 52;
    pub const BASE_OFFSET: usize = 56;
    pub const CREATED: usize = 64;
    pub const ENCRYPTION: usize = 72;
    pub const REPLACED_CHAIN: usize = 76;
    pub const REPLACED_END: usize = 80;
}

/// Where the two copies of an encrypted segment's key block lie: in different sectors, outside of the block's crc, so
/// that one can be replaced while the other holds.
pub(crate) const KEYS_AT: [usize; 2] = [1024, 2048];

/// Payloads are AES-256-GCM ciphertext.
const ENCRYPTED: u32 = 1;

/// Which segment a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Random; its first 8 bytes are the incarnation that every batch in the file repeats.
    pub uuid: [u8; 16],
    pub topic_id: TopicId,
    pub partition: PartitionId,
    pub base_offset: Offset,
    pub created: Timestamp,
    /// Chain value of the batch before the first one of this segment.
    pub chain: u32,
    /// The batches are encrypted; the data key is in the key blocks.
    pub encrypted: bool,
    /// Set by a cleaning.
    pub replaced: Option<Replaced>,
}

/// What a cleaned segment stands for: the segments from its base offset up to `end`, if any are left over from a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Offset after the last of them.
    pub end: Offset,
    /// Chain value of the last of them, as the segment behind it has it in its header.
    pub chain: u32,
}

impl SegmentHeader {
    /// The number that ties a batch to this file.
    pub fn incarnation(&self) -> u64 {
        get_u64(&self.uuid, 0)
    }

    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut block = [0; HEADER_BYTES];
        put(&mut block, at::HEADER_BYTES, (HEADER_BYTES as u32).to_le_bytes());
        put(&mut block, at::UUID, self.uuid);
        put(&mut block, at::TOPIC_ID, *self.topic_id.as_bytes());
        put(&mut block, at::PARTITION, self.partition.0.to_le_bytes());
        put(&mut block, at::CHAIN, self.chain.to_le_bytes());
        put(&mut block, at::BASE_OFFSET, self.base_offset.0.to_le_bytes());
        put(&mut block, at::CREATED, self.created.0.to_le_bytes());
        put(&mut block, at::ENCRYPTION, if self.encrypted { ENCRYPTED } else { 0 }.to_le_bytes());
        if let Some(replaced) = self.replaced {
            put(&mut block, at::REPLACED_CHAIN, replaced.chain.to_le_bytes());
            put(&mut block, at::REPLACED_END, replaced.end.0.to_le_bytes());
        }
        layout::seal(&mut block, MAGIC);
        block
    }

    /// [`SegmentHeader::encode`] with both copies of the wrapped data key.
    pub fn encode_with(&self, key: Option<&KeyBlock>) -> [u8; HEADER_BYTES] {
        let mut block = self.encode();
        if let Some(key) = key {
            KEYS_AT.iter().for_each(|at| put(&mut block, *at, key.encode()));
        }
        block
    }

    /// `Ok(None)` for a damaged header, the version for one of a later format.
    pub fn decode(block: &[u8; HEADER_BYTES]) -> Result<Option<Self>, u32> {
        let mut judged = *block;
        KEYS_AT.iter().for_each(|at| put(&mut judged, *at, [0; KEY_BLOCK_BYTES]));
        match layout::judge(&judged, MAGIC) {
            Verdict::UnknownVersion(version) => Err(version),
            Verdict::Damaged => Ok(None),
            Verdict::Good => Ok(Some(Self {
                uuid: get(block, at::UUID),
                topic_id: TopicId::from_bytes(get(block, at::TOPIC_ID)),
                partition: PartitionId(get_u32(block, at::PARTITION)),
                base_offset: Offset(get_u64(block, at::BASE_OFFSET)),
                created: Timestamp(get_i64(block, at::CREATED)),
                chain: get_u32(block, at::CHAIN),
                encrypted: get_u32(block, at::ENCRYPTION) == ENCRYPTED,
                replaced: read_replaced(block),
            })),
        }
    }
}

/// The copies of the wrapped data key in a header block, where they are good. Both are the same but in the middle of a
/// rotation.
pub(crate) fn key_copies(block: &[u8; HEADER_BYTES]) -> [Option<KeyBlock>; 2] {
    KEYS_AT.map(|at| KeyBlock::decode(&block[at..]))
}

/// An end of 0: no cleaning wrote this segment.
fn read_replaced(block: &[u8; HEADER_BYTES]) -> Option<Replaced> {
    let (end, chain) = (Offset(get_u64(block, at::REPLACED_END)), get_u32(block, at::REPLACED_CHAIN));
    (end > Offset::ZERO).then_some(Replaced { end, chain })
}

/// [`key_copies`] that are good.
pub(crate) fn key_blocks(block: &[u8; HEADER_BYTES]) -> impl Iterator<Item = KeyBlock> {
    key_copies(block).into_iter().flatten()
}
