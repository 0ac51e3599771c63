//! The registry's error codes.

use axum::http::StatusCode;
use flymq_api::{BrokerError, ErrorCode};
use serde_json::{Value, json};

/// A refusal as clients of a registry read it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    code: u32,
    message: String,
}

impl Refusal {
    pub fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn no_subject(subject: &str) -> Self {
        Self::new(404, 40_401, format!("Subject '{subject}' not found."))
    }

    pub fn no_version(version: &str) -> Self {
        Self::new(404, 40_402, format!("Version {version} not found."))
    }

    pub fn no_schema() -> Self {
        Self::new(404, 40_403, "Schema not found")
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn body(&self) -> Value {
        json!({"error_code": self.code, "message": self.message})
    }
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Self {
        let (status, code) = match error.code {
            ErrorCode::SchemaNotFound => (404, 40_403),
            ErrorCode::SchemaInvalid | ErrorCode::InvalidArgument => (422, 42_201),
            ErrorCode::SchemaIncompatible => (409, 409),
            // A reference exists to it, or a topic is bound to it.
            ErrorCode::InUse => (422, 42_206),
            ErrorCode::AuthenticationRequired | ErrorCode::AuthenticationFailed => (401, 40_101),
            ErrorCode::PermissionDenied => (403, 40_301),
            ErrorCode::Timeout => (500, 50_002),
            ErrorCode::NotLeader => (500, 50_003),
            _ => (error.traits().http, 50_001),
        };
        Self::new(status, code, error.message)
    }
}
