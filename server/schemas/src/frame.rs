//! Values that name their schema, as Confluent's serializers frame them: a byte 0, the schema's global id (4 bytes, big endian), and
//! the value ([wire format](https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format)).

/// Bytes before the value.
pub const FRAME_LEN: usize = 5;

/// The id that a framed value names, and what follows it.
pub fn unframe(value: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = value.split_first_chunk::<FRAME_LEN>()?;
    let [0, id @ ..] = head else { return None };
    Some((u32::from_be_bytes(*id), rest))
}

/// The value in a frame that names the schema.
pub fn frame(id: u32, value: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(FRAME_LEN + value.len());
    framed.push(0);
    framed.extend_from_slice(&id.to_be_bytes());
    framed.extend_from_slice(value);
    framed
}
