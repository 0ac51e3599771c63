//! The bytes of requests and answers. Little-endian, like all of [`super::codec`].
//!
//! A request is `u8` version 1 · 16 bytes cluster id · `u64` the member meant · content; an answer is `u8` version 1 ·
//! content. So a message that reaches another cluster, or a new node at an old address, does no harm.

mod append;
mod relay;
mod snapshot;
mod vote;

use bytes::Bytes;

pub(crate) use relay::Relayed;
pub(crate) use snapshot::Installed;

use super::codec::{CodecError, Reader, done};
use super::types::RaftId;

const VERSION: u8 = 1;

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) cluster: [u8; 16],
    pub(crate) to: RaftId,
}

/// A value with one encoding.
pub(crate) trait Wire: Sized {
    fn put(&self, to: &mut Vec<u8>);
    fn get(from: &mut Reader) -> Result<Self, CodecError>;
}

/// A request, or the like of it, with nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Empty;

impl Wire for Empty {
    fn put(&self, _to: &mut Vec<u8>) {}

    fn get(_from: &mut Reader) -> Result<Self, CodecError> {
        Ok(Self)
    }
}

pub(crate) fn encode_request(envelope: Envelope, request: &impl Wire) -> Bytes {
    let mut to = vec![VERSION];
    to.extend_from_slice(&envelope.cluster);
    to.extend_from_slice(&envelope.to.to_le_bytes());
    request.put(&mut to);
    to.into()
}

/// Whom the request is for; its content stays in the reader.
pub(crate) fn decode_envelope(from: &mut Reader) -> Result<Envelope, CodecError> {
    from.version(VERSION, "a metadata message")?;
    let mut cluster = [0; 16];
    for byte in &mut cluster {
        *byte = from.u8()?;
    }
    Ok(Envelope { cluster, to: from.u64()? })
}

pub(crate) fn decode_content<T: Wire>(from: &mut Reader) -> Result<T, CodecError> {
    let content = T::get(from)?;
    done(from, content)
}

pub(crate) fn encode_answer(answer: &impl Wire) -> Bytes {
    let mut to = vec![VERSION];
    answer.put(&mut to);
    to.into()
}

pub(crate) fn decode_answer<T: Wire>(bytes: Bytes) -> Result<T, CodecError> {
    let from = &mut Reader::new(bytes);
    from.version(VERSION, "a metadata message")?;
    decode_content(from)
}

#[cfg(test)]
mod tests;
