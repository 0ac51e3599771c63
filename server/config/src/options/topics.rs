/// Defaults of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicsOptions {
    /// Producing to an unknown topic creates it.
    pub auto_create: bool,
    /// Partitions of a topic that is created without a number.
    pub default_partitions: u32,
}

impl Default for TopicsOptions {
    fn default() -> Self {
        Self { auto_create: true, default_partitions: 1 }
    }
}
