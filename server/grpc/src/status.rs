//! The error table as gRPC tells it: a status with `google.rpc` details, so that any client can act on it, and our own
//! `ErrorDetail` beside them, so that ours lose nothing.

use flymq_api::BrokerError;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb as rpc;

/// `domain` of every `google.rpc.ErrorInfo` the broker sends.
pub const ERROR_DOMAIN: &str = "flymq";

/// Pause told to a client that may repeat the request, where the error does not name one (`retry_after_ms`).
const DEFAULT_RETRY_MS: u64 = 100;

/// The status of `error`, its details included.
pub(crate) fn status(error: &BrokerError, request_id: &str) -> Status {
    let code = code(&error.traits().grpc);
    let rich = rpc::Status {
        code: code.into(),
        message: error.message.clone(),
        details: details(error, request_id),
    };
    Status::with_details(code, error.message.clone(), rich.encode_to_vec().into())
}

fn details(error: &BrokerError, request_id: &str) -> Vec<Any> {
    let traits = error.traits();
    let mut details = vec![any(
        "google.rpc.ErrorInfo",
        &rpc::ErrorInfo {
            reason: traits.name.clone(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: error.metadata.clone().into_iter().collect(),
        },
    )];
    if traits.retryable {
        let delay = retry_delay(error);
        details.push(any("google.rpc.RetryInfo", &rpc::RetryInfo { retry_delay: Some(delay) }));
    }
    if let Some(field) = error.metadata.get("field") {
        let violation = rpc::bad_request::FieldViolation {
            field: field.clone(),
            description: error.message.clone(),
            ..Default::default()
        };
        details.push(any("google.rpc.BadRequest", &rpc::BadRequest { field_violations: vec![violation] }));
    }
    let link = rpc::help::Link { description: error.hint(), url: error.doc_url() };
    details.push(any("google.rpc.Help", &rpc::Help { links: vec![link] }));
    let request = rpc::RequestInfo { request_id: request_id.to_owned(), serving_data: String::new() };
    details.push(any("google.rpc.RequestInfo", &request));
    details.push(any("flymq.v1.ErrorDetail", &error.to_detail(request_id)));
    details
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn retry_delay(error: &BrokerError) -> prost_types::Duration {
    let told = error.metadata.get("retry_after_ms").and_then(|ms| ms.parse().ok());
    let ms = told.unwrap_or(DEFAULT_RETRY_MS);
    prost_types::Duration {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: (ms % 1000) as i32 * 1_000_000,
    }
}

/// The status code of a name in the error table.
fn code(name: &str) -> Code {
    match name {
        "CANCELLED" => Code::Cancelled,
        "INVALID_ARGUMENT" => Code::InvalidArgument,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        "NOT_FOUND" => Code::NotFound,
        "ALREADY_EXISTS" => Code::AlreadyExists,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        "ABORTED" => Code::Aborted,
        "OUT_OF_RANGE" => Code::OutOfRange,
        "UNIMPLEMENTED" => Code::Unimplemented,
        "INTERNAL" => Code::Internal,
        "UNAVAILABLE" => Code::Unavailable,
        "DATA_LOSS" => Code::DataLoss,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use flymq_api::ErrorCode;
    use flymq_proto::{descriptor_pool, pb};
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn every_code_of_the_table_has_a_status_and_decodes_back() {
        let codes = descriptor_pool().get_enum_by_name("flymq.v1.ErrorCode").expect("declared");
        for value in codes.values() {
            let code = ErrorCode::try_from(value.number()).expect("from the same file");
            let error = BrokerError::new(code, "it failed").with("topic", "orders");
            let status = status(&error, "id-1");
            assert_eq!(status.code() == Code::Unknown, code == ErrorCode::Unspecified, "{}", value.name());
            let details = status.get_error_details();
            let info = details.error_info().expect("always there");
            assert_eq!(info.reason, error.traits().name);
            assert_eq!(info.domain, ERROR_DOMAIN);
            assert_eq!(info.metadata.get("topic").map(String::as_str), Some("orders"));
            assert_eq!(details.help().expect("always there").links[0].description, error.hint());
            assert_eq!(details.retry_info().is_some(), error.traits().retryable, "{}", value.name());
            assert_eq!(details.request_info().expect("always there").request_id, "id-1");
        }
    }

    #[test]
    fn our_own_detail_carries_everything() {
        let error =
            BrokerError::new(ErrorCode::TopicNotFound, "topic not found: orders").with("topic", "orders");
        let status = status(&error, "id-2");
        let rich = rpc::Status::decode(status.details()).expect("a google.rpc.Status");
        let own = rich.details.iter().find(|d| d.type_url.ends_with("flymq.v1.ErrorDetail")).expect("there");
        let detail = pb::ErrorDetail::decode(own.value.as_slice()).expect("an ErrorDetail");
        assert_eq!(detail, error.to_detail("id-2"));
    }

    #[test]
    fn a_named_field_becomes_a_field_violation_and_a_named_pause_the_retry_delay() {
        let error = BrokerError::new(ErrorCode::Overloaded, "too many")
            .with("field", "records")
            .with("retry_after_ms", 2500);
        let details = status(&error, "id-3").get_error_details();
        assert_eq!(details.bad_request().expect("named a field").field_violations[0].field, "records");
        let delay = details.retry_info().expect("retryable").retry_delay.expect("given");
        assert_eq!(delay.as_millis(), 2500);
    }
}
