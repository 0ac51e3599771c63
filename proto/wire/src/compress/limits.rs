//! How much may come out of compressed bytes.

/// Bounds on inflating, so that few bytes cannot fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InflateLimits {
    /// Most bytes after inflating.
    pub max_len: usize,
    /// Most bytes after inflating for each compressed byte.
    pub max_ratio: usize,
    /// Bytes to which the ratio does not apply yet.
    pub free_len: usize,
}

impl InflateLimits {
    /// For the payload of a batch: the largest record (16 MiB) with its framing; 200 : 1 from the second mebibyte on. A
    /// producer does not compress what would not come out again, see [`crate::batch::BatchBuilder::build_compressed`].
    pub const BATCH: Self = Self { max_len: (16 << 20) + (64 << 10), max_ratio: 200, free_len: 1 << 20 };

    /// For a whole request of version 1, which holds one record: the same.
    pub const REQUEST: Self = Self::BATCH;

    /// Most bytes that may come out of `compressed` bytes.
    pub fn of(&self, compressed: usize) -> usize {
        self.max_len.min(compressed.saturating_mul(self.max_ratio).max(self.free_len))
    }

    /// Whether `plain` bytes may be sent as `compressed` bytes.
    pub fn allow(&self, plain: usize, compressed: usize) -> bool {
        plain <= self.of(compressed)
    }
}
