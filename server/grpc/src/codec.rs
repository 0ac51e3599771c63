//! Between gRPC message bytes and the unions of the op table.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use flymq_api::{BrokerError, ErrorCode, ReadShare, Request, Response, Rpc, decoded_weight};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Codec of one unary rpc, for one call.
#[derive(Debug, Clone)]
pub(crate) struct RpcCodec {
    pub rpc: Rpc,
    /// Pays for the message, which may have been compressed, and for what it unfolds to.
    pub share: Arc<ReadShare>,
}

/// A request as it came in; that it does not decode is for the handler to tell, which knows the request id.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub request: Result<Request, BrokerError>,
    /// Bytes of the message after decompression.
    pub wire_bytes: usize,
}

impl RpcCodec {
    fn request(&self, body: Bytes) -> Result<Request, BrokerError> {
        let name = self.rpc.meta().rpc;
        self.share.take(decoded_weight(self.rpc, &body))?;
        match Request::decode(self.rpc, body) {
            Some(Ok(request)) => Ok(request),
            Some(Err(error)) => Err(undecodable(name, &error.to_string())),
            None => Err(undecodable(name, "it is a stream")),
        }
    }
}

/// A body that is not the request of its rpc.
pub(crate) fn undecodable(rpc: &str, why: &str) -> BrokerError {
    BrokerError::new(ErrorCode::Protocol, format!("the body is no {rpc}Request: {why}")).with("rpc", rpc)
}

impl Codec for RpcCodec {
    type Encode = Response;
    type Decode = Inbound;
    type Encoder = ResponseEncoder;
    type Decoder = RequestDecoder;

    fn encoder(&mut self) -> ResponseEncoder {
        ResponseEncoder
    }

    fn decoder(&mut self) -> RequestDecoder {
        RequestDecoder(self.clone())
    }
}

#[derive(Debug)]
pub(crate) struct ResponseEncoder;

impl Encoder for ResponseEncoder {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, item: Response, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode_into(dst);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct RequestDecoder(RpcCodec);

impl Decoder for RequestDecoder {
    type Item = Inbound;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Inbound>, Status> {
        let wire_bytes = src.remaining();
        // Splits the receive buffer, so bytes fields share it.
        let body = src.copy_to_bytes(wire_bytes);
        let request = self.0.request(body);
        Ok(Some(Inbound { request, wire_bytes }))
    }
}
