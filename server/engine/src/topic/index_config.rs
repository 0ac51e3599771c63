//! How a topic's logs are indexed.

use std::ops::RangeInclusive;

use flymq_storage::IndexStrategy;

use crate::EngineError;

/// Bytes of log for one entry: fewer than a batch's header never help, more than a large batch never find.
const INTERVAL_BYTES: RangeInclusive<u32> = 512..=(16 << 20);
/// Every header costs an entry per record that has it.
const MAX_HEADERS: usize = 8;
const MAX_HEADER_NAME_BYTES: usize = 256;

/// What a topic has of its own; all of it changes together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexConfig {
    pub strategy: IndexStrategy,
    /// Names of record headers by whose values records can be found.
    pub headers: Vec<String>,
}

impl IndexConfig {
    /// # Errors
    /// `InvalidArgument` that says what would hold.
    pub fn validate(&self) -> Result<(), EngineError> {
        match self.strategy {
            IndexStrategy::DenseOffset => {}
            IndexStrategy::SparseOffset { interval_bytes } | IndexStrategy::Time { interval_bytes } => {
                if !INTERVAL_BYTES.contains(&interval_bytes) {
                    let (low, high) = (INTERVAL_BYTES.start(), INTERVAL_BYTES.end());
                    let reason = format!("must be {low} to {high}, not {interval_bytes}");
                    return Err(EngineError::InvalidArgument { field: "index.interval_bytes", reason });
                }
            }
        }
        self.validate_headers()
    }

    fn validate_headers(&self) -> Result<(), EngineError> {
        let refuse = |reason: String| Err(EngineError::InvalidArgument { field: "index.headers", reason });
        if self.headers.len() > MAX_HEADERS {
            return refuse(format!(
                "at most {MAX_HEADERS} headers can be indexed, not {}",
                self.headers.len()
            ));
        }
        for (i, name) in self.headers.iter().enumerate() {
            if name.is_empty() || name.len() > MAX_HEADER_NAME_BYTES {
                return refuse(format!(
                    "a header name has 1 to {MAX_HEADER_NAME_BYTES} bytes, not {}",
                    name.len()
                ));
            }
            if self.headers[..i].contains(name) {
                return refuse(format!("{name:?} stands there twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(config: &IndexConfig) -> String {
        config.validate().expect_err("refused").to_string()
    }

    #[test]
    fn what_cannot_hold_is_refused_with_what_would() {
        let sparse = |interval_bytes| IndexConfig {
            strategy: IndexStrategy::SparseOffset { interval_bytes },
            headers: Vec::new(),
        };
        assert!(sparse(512).validate().is_ok() && IndexConfig::default().validate().is_ok());
        assert!(reason(&sparse(511)).contains("must be 512 to 16777216, not 511"));
        let headers = |names: &[&str]| IndexConfig {
            headers: names.iter().map(|name| (*name).to_owned()).collect(),
            ..IndexConfig::default()
        };
        assert!(headers(&["order-id", "tenant"]).validate().is_ok());
        assert!(reason(&headers(&["a", "b", "a"])).contains("\"a\" stands there twice"));
        assert!(reason(&headers(&[""])).contains("1 to 256 bytes, not 0"));
        assert!(reason(&headers(&["1", "2", "3", "4", "5", "6", "7", "8", "9"])).contains("at most 8"));
    }
}
