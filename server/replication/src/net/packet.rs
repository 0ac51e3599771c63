//! The framing: `u32` length of what follows · `u8` kind · `u32` length of the head · head (protobuf) · body (plain bytes,
//! to the end). Integers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// Everything before the head.
pub(super) const PREFIX_LEN: usize = 9;
/// What the length counts beside head and body.
const COUNTED: usize = PREFIX_LEN - 4;
/// Longest head, bytes.
const MAX_HEAD: usize = 1 << 20;

/// What a packet is. The numbers are on the wire: one is never used again for another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    Challenge = 2,
    Proof = 3,
    Welcome = 4,
    Refusal = 5,
    MetaRequest = 16,
    Call = 17,
    Answer = 18,
    Replica = 32,
    Ping = 48,
    Pong = 49,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Hello,
        Self::Challenge,
        Self::Proof,
        Self::Welcome,
        Self::Refusal,
        Self::MetaRequest,
        Self::Call,
        Self::Answer,
        Self::Replica,
        Self::Ping,
        Self::Pong,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One packet as it came in; head and body share the bytes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    pub(super) head: Bytes,
    pub(super) body: Bytes,
}

impl Packet {
    pub(super) fn decode<M: Message + Default>(&self) -> Result<M, PacketError> {
        M::decode(self.head.clone()).map_err(|_| PacketError::Head(self.kind))
    }
}

/// Bytes that are no packet. The connection is at its end: where the next packet begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    #[error("a packet of {len} bytes, at most {max} are taken")]
    TooLong { len: usize, max: usize },
    #[error("a packet shorter than its own prefix")]
    TooShort,
    #[error("a head of {0} bytes does not fit into its packet")]
    HeadTooLong(usize),
    #[error("packets of kind {0} are not known")]
    Kind(u8),
    #[error("the head of a {0:?} packet cannot be read")]
    Head(Kind),
    #[error("a {0:?} packet has no place here")]
    Unexpected(Kind),
}

/// Where the parts of a packet end.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    kind: Kind,
    head: usize,
    body: usize,
}

impl Prefix {
    fn total(&self) -> usize {
        PREFIX_LEN + self.head + self.body
    }
}

/// Looks at the prefix only: nothing is allocated for a packet that will not be taken.
fn prefix(mut bytes: &[u8], max: usize) -> Result<Option<Prefix>, PacketError> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    let len = bytes.get_u32_le() as usize;
    if len > max {
        return Err(PacketError::TooLong { len, max });
    }
    if len < COUNTED {
        return Err(PacketError::TooShort);
    }
    if bytes.len() < COUNTED {
        return Ok(None);
    }
    let number = bytes.get_u8();
    let kind = Kind::from_number(number).ok_or(PacketError::Kind(number))?;
    let head = bytes.get_u32_le() as usize;
    if head > MAX_HEAD || head > len - COUNTED {
        return Err(PacketError::HeadTooLong(head));
    }
    Ok(Some(Prefix { kind, head, body: len - COUNTED - head }))
}

/// What the bytes read so far come to.
#[derive(Debug)]
pub(super) enum Parsed {
    Packet(Packet),
    /// At least so many bytes more are needed.
    Missing(usize),
}

/// Takes the first packet out of `buffer`, if it is all there.
pub(super) fn parse(buffer: &mut BytesMut, max: usize) -> Result<Parsed, PacketError> {
    let Some(prefix) = prefix(buffer, max)? else {
        return Ok(Parsed::Missing(PREFIX_LEN.saturating_sub(buffer.len()).max(1)));
    };
    if buffer.len() < prefix.total() {
        return Ok(Parsed::Missing(prefix.total() - buffer.len()));
    }
    let mut bytes = buffer.split_to(prefix.total()).freeze();
    bytes.advance(PREFIX_LEN);
    let head = bytes.split_to(prefix.head);
    Ok(Parsed::Packet(Packet { kind: prefix.kind, head, body: bytes }))
}

/// Prefix and head of a packet whose body has `body` bytes. None: longer than `max`, the receiver would not take it.
pub(super) fn encode(kind: Kind, head: &impl Message, body: usize, max: usize) -> Option<Bytes> {
    let head_len = head.encoded_len();
    let len = body.checked_add(head_len)?.checked_add(COUNTED)?;
    if head_len > MAX_HEAD || len > max {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN + head_len);
    bytes.put_u32_le(u32::try_from(len).ok()?);
    bytes.put_u8(kind as u8);
    bytes.put_u32_le(u32::try_from(head_len).ok()?);
    head.encode(&mut bytes).ok()?;
    Some(bytes.freeze())
}

/// A packet with nothing in it.
pub(super) fn empty(kind: Kind) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN);
    bytes.put_u32_le(COUNTED as u32);
    bytes.put_u8(kind as u8);
    bytes.put_u32_le(0);
    bytes.freeze()
}
