//! One error type for all SDKs: code, message, hint, page.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use flymq_proto::{
    ErrorTraits,
    pb::{self, ErrorCode},
};

/// A failure as every SDK shows it. Its facts are the fields of [`ErrorInfo`], boxed so that a `Result` stays small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError(Box<ErrorInfo>);

/// The facts of a failure. Codes, hints and pages come from the error table of `errors.proto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorInfo {
    pub code: ErrorCode,
    /// What happened, with the names and numbers at hand.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Page that explains the code.
    pub doc_url: String,
    /// The same request may succeed later without a change.
    pub retryable: bool,
    /// The request may have taken effect although it failed.
    pub side_effects: bool,
    /// Structured facts (`topic`, `partition`, `leader_addr`, `start`, `end`).
    pub metadata: BTreeMap<String, String>,
    /// Id under which the server's log tells more; empty when no server was reached.
    pub request_id: String,
}

impl ClientError {
    /// An error of this side, with the table's hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let row = ErrorTraits::of(code);
        Self(Box::new(ErrorInfo {
            code,
            message: message.into(),
            hint: row.hint.clone(),
            doc_url: row.doc_page(),
            retryable: row.retryable,
            side_effects: row.side_effects,
            metadata: BTreeMap::new(),
            request_id: String::new(),
        }))
    }

    /// Adds a structured fact; the hint's `<key>` takes its value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        self.hint = self.hint.replace(&format!("<{key}>"), &value);
        self.metadata.insert(key.to_owned(), value);
        self
    }

    /// No connection could be made: nothing was sent.
    pub fn connect(addr: &str, source: &io::Error) -> Self {
        let message = format!("cannot connect to {addr}: {source}");
        Self::new(ErrorCode::Connection, message).with("addr", addr).unsent()
    }

    /// The same failure, known to have had no effect: nothing was sent.
    #[must_use]
    pub(crate) fn unsent(mut self) -> Self {
        self.side_effects = false;
        self
    }

    /// The connection broke while an answer was due.
    pub fn broken(addr: &str, why: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Connection, format!("connection to {addr} was lost: {why}")).with("addr", addr)
    }

    /// The metadata say that no replica can lead the partition just now.
    pub fn no_leader(topic: &str, partition: i32) -> Self {
        let message = format!("nobody leads {topic}/{partition}: none of its in-sync replicas is up");
        let mut error = Self::new(ErrorCode::NotLeader, message);
        error.0.hint =
            format!("Start the nodes that keep it (flymq-cli info {topic} names them), or wait for them.");
        error.with("topic", topic).with("partition", partition)
    }

    /// No answer within `limit`.
    pub fn timeout(what: &str, limit: Duration) -> Self {
        Self::new(ErrorCode::Timeout, format!("{what} took longer than {} ms", limit.as_millis()))
    }

    /// The caller's argument cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// Bytes that this client cannot read.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Protocol, message)
    }

    /// The producer, consumer or client was closed before.
    pub fn closed(what: &str) -> Self {
        Self::new(ErrorCode::Cancelled, format!("the {what} is closed"))
    }

    /// Name of the code, as in the table: `TOPIC_NOT_FOUND`.
    pub fn code_name(&self) -> &'static str {
        &ErrorTraits::of(self.code).name
    }
}

impl From<pb::ErrorDetail> for ClientError {
    fn from(detail: pb::ErrorDetail) -> Self {
        let code = ErrorCode::try_from(detail.code).unwrap_or(ErrorCode::Unspecified);
        Self(Box::new(ErrorInfo {
            code,
            message: detail.message,
            hint: detail.hint,
            doc_url: detail.doc_url,
            retryable: detail.retryable,
            side_effects: ErrorTraits::of(code).side_effects,
            metadata: detail.metadata.into_iter().collect(),
            request_id: detail.request_id,
        }))
    }
}

impl std::ops::Deref for ClientError {
    type Target = ErrorInfo;

    fn deref(&self) -> &ErrorInfo {
        &self.0
    }
}

impl std::ops::DerefMut for ClientError {
    fn deref_mut(&mut self) -> &mut ErrorInfo {
        &mut self.0
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_takes_the_facts() {
        let error = ClientError::new(ErrorCode::TopicNotFound, "topic not found: a").with("topic", "a");
        assert!(error.hint.contains("client.create_topic(\"a\", partitions)"), "{}", error.hint);
        assert!(error.hint.contains("flymq-cli topic create a"), "{}", error.hint);
        assert_eq!(error.code_name(), "TOPIC_NOT_FOUND");
    }

    #[test]
    fn connection_errors_say_how_to_start_a_server() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ClientError::connect("localhost:1", &refused);
        assert!(error.hint.contains("Start it with: flymq"));
        assert!(!error.side_effects, "nothing was sent");
    }
}
