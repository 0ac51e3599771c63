//! The last frame before the door closes a connection that it cannot read on.

use bytes::Bytes;
use flymq_api::{BrokerError, ErrorCode};
use flymq_wire::{
    frame::{FrameError, FrameParts, Version},
    v2::{Message, flag},
};
use prost::Message as _;

use crate::v1;

/// The frame that tells why; `None` where the peer gets no answer.
pub(crate) fn frame(error: FrameError, version: Option<Version>) -> Option<FrameParts> {
    let code = match error {
        FrameError::BadMagic { .. } => return None,
        FrameError::LegacyMagic | FrameError::BadVersion { .. } | FrameError::VersionChanged { .. } => {
            ErrorCode::UnsupportedVersion
        }
        FrameError::TooLarge { .. } => ErrorCode::FrameTooLarge,
    };
    match version {
        Some(Version::V2) => v2_error(0, 0, &BrokerError::new(code, error.to_string()), ""),
        Some(Version::V1) | None => v1::error_frame(&error.to_string()),
    }
}

/// A version 2 error reply.
pub(crate) fn v2_error(
    op: u8,
    correlation: u32,
    error: &BrokerError,
    request_id: &str,
) -> Option<FrameParts> {
    let body = Bytes::from(error.to_detail(request_id).encode_to_vec());
    Message { op, flags: flag::ERROR, correlation, body }.into_frame().ok()
}
