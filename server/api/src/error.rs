//! One error, one table: the code table lives in `errors.proto`; here every surface gets its form of it.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

pub use flymq_proto::pb::ErrorCode;
use flymq_proto::{descriptor_pool, pb};
use prost_reflect::Value;

/// Folder of the pages that explain the codes, inside the repository and the release archive.
pub const DOC_BASE: &str = "docs/errors/";

/// What `errors.proto` says of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTraits {
    /// `TOPIC_NOT_FOUND`
    pub name: String,
    /// The same request may succeed later without a change.
    pub retryable: bool,
    /// The request may have taken effect although it failed.
    pub side_effects: bool,
    /// Name of the gRPC status (`NOT_FOUND`).
    pub grpc: String,
    pub http: u16,
    pub hint: String,
}

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
        traits(self.code)
    }

    /// The hint, with `<topic>` filled in from the facts.
    pub fn hint(&self) -> String {
        let mut hint = self.traits().hint.clone();
        for (key, value) in &self.metadata {
            hint = hint.replace(&format!("<{key}>"), value);
        }
        hint
    }

    /// Page that explains the code.
    pub fn doc_url(&self) -> String {
        format!("{DOC_BASE}{}.md", self.traits().name)
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

/// The row of `code`.
pub fn traits(code: ErrorCode) -> &'static ErrorTraits {
    static TABLE: OnceLock<BTreeMap<i32, ErrorTraits>> = OnceLock::new();
    TABLE.get_or_init(load).get(&code.into()).expect("every code of the enum is in its own descriptor")
}

fn load() -> BTreeMap<i32, ErrorTraits> {
    let pool = descriptor_pool();
    let codes = pool.get_enum_by_name("flymq.v1.ErrorCode").expect("errors.proto declares ErrorCode");
    let extension =
        pool.get_extension_by_name("flymq.v1.error").expect("errors.proto declares (flymq.v1.error)");
    let mut table = BTreeMap::new();
    for value in codes.values() {
        let options = value.options();
        let option = options.get_extension(&extension);
        let row = option.as_message().expect("the option is a message");
        let text = |field: &str| {
            row.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let flag = |field: &str| row.get_field_by_name(field).and_then(|v| v.as_bool()).unwrap_or(false);
        let http = row
            .get_field_by_name("http")
            .and_then(|v| if let Value::U32(n) = *v { u16::try_from(n).ok() } else { None });
        table.insert(
            value.number(),
            ErrorTraits {
                name: value.name().trim_start_matches("ERROR_CODE_").to_owned(),
                retryable: flag("retryable"),
                side_effects: flag("side_effects"),
                grpc: text("grpc"),
                http: http.unwrap_or(500),
                hint: text("hint"),
            },
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_full_row() {
        let codes = descriptor_pool().get_enum_by_name("flymq.v1.ErrorCode").expect("declared");
        for value in codes.values() {
            let code = ErrorCode::try_from(value.number()).expect("generated from the same file");
            let row = traits(code);
            assert!(!row.hint.is_empty() && !row.grpc.is_empty(), "{}", row.name);
            assert!((400..600).contains(&row.http), "{}: http {}", row.name, row.http);
        }
    }

    #[test]
    fn hint_names_the_topic() {
        let error =
            BrokerError::new(ErrorCode::TopicNotFound, "topic not found: orders").with("topic", "orders");
        assert!(error.hint().contains("flymq-cli topic create orders"), "{}", error.hint());
    }
}
