//! The running state at a position of a segment: what the next batch builds on.

use flymq_types::BatchHeader;
use flymq_wire::batch::HEADER_LEN;

use super::header::HEADER_BYTES;
use crate::layout::{get_i64, get_u32, get_u64, put};

/// Everything that recovery would learn by reading a segment up to `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    /// Byte after the last batch.
    pub position: u64,
    /// Offset after the last batch.
    pub next_offset: u64,
    /// Chain value of the last batch.
    pub chain: u32,
    /// crc32c over the stamped headers of all batches in this segment, in order. Each holds the crc of its payload,
    /// so it covers the whole segment.
    pub headers_crc: u32,
    /// Largest record timestamp in this segment, Unix ms; `i64::MIN` while empty.
    pub max_timestamp: i64,
    /// Append time of the last batch, Unix ms.
    pub append_time: i64,
}

impl Tip {
    /// The state of a segment without batches.
    pub fn start(base_offset: u64, chain: u32, append_time: i64) -> Self {
        Self {
            position: HEADER_BYTES as u64,
            next_offset: base_offset,
            chain,
            headers_crc: 0,
            max_timestamp: i64::MIN,
            append_time,
        }
    }

    /// Moves over a batch that lies at the tip's position.
    pub fn advance(&mut self, header: &BatchHeader, head: &[u8]) {
        debug_assert_eq!(head.len(), HEADER_LEN);
        self.position += header.batch_len() as u64;
        self.next_offset = header.next_offset();
        self.chain = header.server.chain;
        self.headers_crc = crc32c::crc32c_append(self.headers_crc, head);
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.append_time = self.append_time.max(header.server.append_time);
    }

    /// Encodes the tip into 40 bytes of `block`.
    pub fn write(&self, block: &mut [u8], at: usize) {
        put(block, at, self.position.to_le_bytes());
        put(block, at + 8, self.next_offset.to_le_bytes());
        put(block, at + 16, self.chain.to_le_bytes());
        put(block, at + 20, self.headers_crc.to_le_bytes());
        put(block, at + 24, self.max_timestamp.to_le_bytes());
        put(block, at + 32, self.append_time.to_le_bytes());
    }

    pub fn read(block: &[u8], at: usize) -> Self {
        Self {
            position: get_u64(block, at),
            next_offset: get_u64(block, at + 8),
            chain: get_u32(block, at + 16),
            headers_crc: get_u32(block, at + 20),
            max_timestamp: get_i64(block, at + 24),
            append_time: get_i64(block, at + 32),
        }
    }
}
