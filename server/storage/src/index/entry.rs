//! One entry of an index: where a batch begins.

use crate::layout::{get_i64, get_u32, put};

/// Bytes of an entry in the file.
pub(crate) const ENTRY_BYTES: usize = 20;

/// A batch begins at `position`. Its first offset is the segment's base + `relative_offset`; no record before it in the
/// segment has a timestamp later than `max_timestamp_before` (Unix ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub relative_offset: u32,
    pub position: u32,
    pub max_timestamp_before: i64,
}

impl IndexEntry {
    /// `None` where offset or position is past what an index can hold.
    pub fn new(relative_offset: u64, position: u64, max_timestamp_before: i64) -> Option<Self> {
        let (Ok(relative_offset), Ok(position)) = (u32::try_from(relative_offset), u32::try_from(position))
        else {
            return None;
        };
        Some(Self { relative_offset, position, max_timestamp_before })
    }

    /// The entry as it stands in the file of `incarnation`: offset, position and time, then a crc32c over the
    /// incarnation and these, so that an entry of another segment is no entry here.
    pub fn encode(&self, incarnation: u64) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        put(&mut bytes, 0, self.relative_offset.to_le_bytes());
        put(&mut bytes, 4, self.position.to_le_bytes());
        put(&mut bytes, 8, self.max_timestamp_before.to_le_bytes());
        let crc = crc(&bytes, incarnation);
        put(&mut bytes, 16, crc.to_le_bytes());
        bytes
    }

    /// `None` for an empty place and for damage.
    pub fn decode(bytes: &[u8], incarnation: u64) -> Option<Self> {
        let entry = Self {
            relative_offset: get_u32(bytes, 0),
            position: get_u32(bytes, 4),
            max_timestamp_before: get_i64(bytes, 8),
        };
        let good = get_u32(bytes, 16) == crc(bytes, incarnation) || cfg!(mutant = "index_believed");
        (good && entry.position != 0).then_some(entry)
    }
}

fn crc(bytes: &[u8], incarnation: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&incarnation.to_le_bytes()), &bytes[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_other_segment_is_no_entry() {
        let entry = IndexEntry::new(7, 4096, 1_000).unwrap();
        let good = entry.encode(5);
        assert_eq!(IndexEntry::decode(&good, 5), Some(entry));
        assert_eq!(IndexEntry::decode(&good, 6), None);
        assert_eq!(IndexEntry::decode(&[0; ENTRY_BYTES], 0), None);
        for bit in 0..ENTRY_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(IndexEntry::decode(&bad, 5), None, "bit {bit}");
        }
    }
}
