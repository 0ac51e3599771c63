//! Upper bounds on what one request may ask for.

use flymq_wire::compress::InflateLimits;

/// Every bound has a value: there is no "unlimited". A bound is checked before its bytes are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame at any door after login, bytes.
    pub frame_bytes: usize,
    /// Largest frame before login, where authentication is on, bytes.
    pub pre_login_frame_bytes: usize,
    /// Largest record: key, value and headers together, bytes.
    pub record_bytes: usize,
    /// Largest record batch with its header, bytes. It leaves room in a frame for the rest of a fetch reply.
    pub batch_bytes: usize,
    /// Most records in one batch.
    pub batch_records: u32,
    /// Most headers on one record.
    pub record_headers: usize,
    /// Longest header name, bytes of UTF-8.
    pub header_name_bytes: usize,
    /// Most partitions of one topic.
    pub topic_partitions: u32,
    /// Most topics on one cluster.
    pub topics: usize,
    /// Most consumer groups on one cluster.
    pub groups: usize,
    /// Transactional ids that a node coordinates, those of transactions without a name included until they are forgotten.
    pub transactional_ids: usize,
    /// Longest wait that a fetch may ask for, milliseconds.
    pub fetch_wait_ms: u32,
    /// Longest client id, reason or other free text that is kept, bytes.
    pub text_bytes: usize,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        frame_bytes: 32 << 20,
        pre_login_frame_bytes: 64 << 10,
        record_bytes: 16 << 20,
        batch_bytes: (32 << 20) - (64 << 10),
        batch_records: 1_000_000,
        record_headers: 1_000,
        header_name_bytes: 1_024,
        topic_partitions: 10_000,
        topics: 100_000,
        groups: 100_000,
        transactional_ids: 500_000,
        fetch_wait_ms: 60_000,
        text_bytes: 1_024,
    };
}

impl Limits {
    /// How much a compressed batch may inflate to: the largest record with its framing.
    pub fn inflate(&self) -> InflateLimits {
        InflateLimits { max_len: self.record_bytes.saturating_add(64 << 10), ..InflateLimits::BATCH }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::{InflateLimits, Limits};

    #[test]
    fn a_largest_record_fits_a_batch_and_a_largest_batch_fits_a_frame() {
        let limits = Limits::default();
        assert!(limits.record_bytes < limits.batch_bytes);
        assert!(limits.batch_bytes < limits.frame_bytes);
        assert!(limits.pre_login_frame_bytes < limits.frame_bytes);
        assert_eq!(
            limits.inflate(),
            InflateLimits::BATCH,
            "what producers compress by is what the server opens by"
        );
    }
}
