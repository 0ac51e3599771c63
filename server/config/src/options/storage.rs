use std::path::PathBuf;
use std::time::Duration;

/// The log on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOptions {
    /// Everything the broker keeps lies under this directory.
    pub data_dir: PathBuf,
    /// A segment is closed at this size, bytes.
    pub segment_bytes: u64,
    /// Oldest segments go when a partition is larger than this, bytes; 0 = unlimited.
    pub retention_bytes: u64,
    /// Segments older than this go; zero = unlimited.
    pub retention: Duration,
    /// Records are refused when less is free on the disk, bytes; `None` = 5 % of the disk, at most 512 MiB.
    pub min_free_bytes: Option<u64>,
    /// Time between two passes of the scrub over all closed segments; zero = none.
    pub scrub_interval: Duration,
    /// How fast the scrub reads.
    pub scrub_bytes_per_second: u64,
}

impl StorageOptions {
    /// The defaults with this data directory.
    pub fn at(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            segment_bytes: 67_108_864,
            retention_bytes: 0,
            retention: Duration::ZERO,
            min_free_bytes: None,
            scrub_interval: Duration::from_secs(7 * 24 * 60 * 60),
            scrub_bytes_per_second: 4 << 20,
        }
    }
}
