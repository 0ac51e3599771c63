//! Between gRPC message bytes and the unions of the op table.

use bytes::Buf as _;
use flymq_api::{Request, Response, Rpc};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Codec of one unary rpc.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RpcCodec(pub Rpc);

/// A request as it came in; that it does not decode is for the handler to tell, which knows the request id.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub request: Result<Request, String>,
    /// Bytes of the message after decompression.
    pub wire_bytes: usize,
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
        RequestDecoder(self.0)
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
pub(crate) struct RequestDecoder(Rpc);

impl Decoder for RequestDecoder {
    type Item = Inbound;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Inbound>, Status> {
        let wire_bytes = src.remaining();
        // Splits the receive buffer, so bytes fields share it.
        let body = src.copy_to_bytes(wire_bytes);
        let request = match Request::decode(self.0, body) {
            Some(Ok(request)) => Ok(request),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(format!("{} is a stream", self.0.meta().rpc)),
        };
        Ok(Some(Inbound { request, wire_bytes }))
    }
}
