//! Messages as bytes, so that one path serves every rpc, and the error details of a status.

use bytes::{Buf as _, BufMut as _, Bytes};
use flymq_proto::{
    ErrorTraits,
    pb::{self, ErrorCode},
};

use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_types::StatusExt as _;

use crate::ClientError;

/// Passes encoded messages through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// The broker's error out of a status: the code's name is the reason of its `google.rpc.ErrorInfo`.
pub(super) fn error_detail(status: &Status) -> Option<ClientError> {
    let details = status.get_error_details();
    let info = details.error_info()?;
    let code = ErrorCode::from_str_name(&format!("ERROR_CODE_{}", info.reason))?;
    let row = ErrorTraits::of(code);
    let mut metadata = info.metadata.clone();
    let request_id = metadata.remove("request_id").unwrap_or_default();
    let detail = pb::ErrorDetail {
        code: code.into(),
        message: status.message().to_owned(),
        hint: row.hint_with(&metadata.clone().into_iter().collect::<std::collections::BTreeMap<_, _>>()),
        doc_url: row.doc_page(),
        retryable: row.retryable,
        metadata,
        request_id,
    };

    Some(detail.into())
}
