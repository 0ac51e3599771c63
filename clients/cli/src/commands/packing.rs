//! How a producer compresses and numbers, as options of the commands that send batches.

use clap::Args;
use flymq_client::{Compression, ProducerConfig};

#[derive(Debug, Clone, Copy, Args)]
pub struct Packing {
    /// Compress batches: none, gzip, lz4, zstd or snappy; readers need no option.
    #[arg(long, default_value = "none", value_name = "CODEC")]
    pub compression: Compression,
    /// Level of gzip (0-9, 6 unless given) and zstd (1-22, 1 unless given).
    #[arg(long, requires = "compression", value_name = "LEVEL")]
    pub compression_level: Option<i32>,
    /// A batch that is sent again because its answer was lost may be stored twice.
    #[arg(long)]
    pub no_idempotence: bool,
}

impl Packing {
    /// Whether batches are compressed at all.
    pub fn is_on(self) -> bool {
        self.compression != Compression::None
    }

    /// The settings with these.
    pub fn apply(self, mut config: ProducerConfig) -> ProducerConfig {
        config.compression = self.compression;
        config.compression_level = self.compression_level;
        config.enable_idempotence = !self.no_idempotence;
        config
    }
}
