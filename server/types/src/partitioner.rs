//! Which partition a key belongs to. The client core computes the same.

use crate::PartitionId;

/// FNV-1a, 32 bit, of `bytes`. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The partition of `key` among `partitions`; a topic has at least one, and 0 is treated as 1.
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionId {
    PartitionId(fnv1a_32(key) % partitions.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the FNV authors' `test_fnv.c`.
    #[test]
    fn published_vectors() {
        let vectors: [(&[u8], u32); 6] = [
            (b"", 0x811c_9dc5),
            (b"a", 0xe40c_292c),
            (b"b", 0xe70c_2de5),
            (b"foo", 0xa9f3_7ed7),
            (b"foobar", 0xbf9c_f968),
            (b"chongo was here!\n", 0xd49930d5),
        ];
        for (bytes, hash) in vectors {
            assert_eq!(fnv1a_32(bytes), hash, "{bytes:?}");
        }
    }

    #[test]
    fn stays_inside_the_topic() {
        assert_eq!(partition_for_key(b"foobar", 6), PartitionId(0xbf9c_f968 % 6));
        assert_eq!(partition_for_key(b"x", 1), PartitionId(0));
        assert_eq!(partition_for_key(b"x", 0), PartitionId(0));
    }
}
