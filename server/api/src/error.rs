//! One error for all doors; what its code means stands in the table of `errors.proto`.

use std::{collections::BTreeMap, fmt};

use flymq_proto::pb;
pub use flymq_proto::{ErrorTraits, pb::ErrorCode};

/// A failure, the same at every door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerError {
    pub code: ErrorCode,
    /// What happened, with the names and numbers at hand.
    pub message: String,
    /// Structured facts (`topic`, `partition`, `leader_addr`, `start`, `end`).
    pub metadata: BTreeMap<String, String>,
}

impl BrokerError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), metadata: BTreeMap::new() }
    }

    /// Adds a structured fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// The row of the table.
    pub fn traits(&self) -> &'static ErrorTraits {
        ErrorTraits::of(self.code)
    }

    /// The hint, with `<topic>` filled in from the facts.
    pub fn hint(&self) -> String {
        self.traits().hint_with(&self.metadata)
    }

    /// Page that explains the code.
    pub fn doc_url(&self) -> String {
        self.traits().doc_page()
    }

    /// The protobuf form, as native v2, REST and gRPC details carry it.
    pub fn to_detail(&self, request_id: &str) -> pb::ErrorDetail {
        pb::ErrorDetail {
            code: self.code.into(),
            message: self.message.clone(),
            hint: self.hint(),
            doc_url: self.doc_url(),
            retryable: self.traits().retryable,
            metadata: self.metadata.clone().into_iter().collect(),
            request_id: request_id.to_owned(),
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BrokerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_names_the_topic() {
        let error =
            BrokerError::new(ErrorCode::TopicNotFound, "topic not found: orders").with("topic", "orders");
        assert!(error.hint().contains("flymq-cli topic create orders"), "{}", error.hint());
    }
}
