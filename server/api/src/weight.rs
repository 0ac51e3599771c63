//! What a protobuf body weighs in memory once it is decoded. Two bytes on the wire can be a whole empty record, so that
//! a body must be weighed before it is unfolded.

use std::{collections::HashMap, sync::OnceLock};

use flymq_proto::rpcs;
use prost_reflect::{Kind, MessageDescriptor};

use crate::Rpc;

/// Memory of one decoded message without its bytes: our largest, `Record`, is below it.
const MESSAGE_BYTES: usize = 256;

/// Memory of one text or byte string without its bytes.
const TEXT_BYTES: usize = 32;

/// Memory of one number.
const NUMBER_BYTES: usize = 8;

/// Bytes of memory that the request of `rpc` takes, roughly, with `body` itself. A body that is no message weighs what was
/// read until that was seen: the decoder will refuse it there too.
pub fn decoded_weight(rpc: Rpc, body: &[u8]) -> usize {
    let shapes = shapes();
    let root = shapes.roots[rpc as usize];
    body.len() + MESSAGE_BYTES + shapes.weigh(root, body, 0)
}

/// Deepest nesting followed; prost stops at 100, and our requests have three levels.
const MAX_DEPTH: usize = 16;

/// Which fields of a message are messages.
struct Shapes {
    /// By message: field number to the message type there, if any.
    fields: Vec<HashMap<u64, usize>>,
    /// Request message by rpc.
    roots: Vec<usize>,
}

fn shapes() -> &'static Shapes {
    static SHAPES: OnceLock<Shapes> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let mut shapes = Shapes { fields: Vec::new(), roots: Vec::new() };
        let mut known = HashMap::new();
        for rpc in rpcs() {
            let root = shapes.add(&rpc.method.input(), &mut known);
            shapes.roots.push(root);
        }
        shapes
    })
}

impl Shapes {
    fn add(&mut self, desc: &MessageDescriptor, known: &mut HashMap<String, usize>) -> usize {
        if let Some(index) = known.get(desc.full_name()) {
            return *index;
        }
        let index = self.fields.len();
        known.insert(desc.full_name().to_owned(), index);
        self.fields.push(HashMap::new());
        for field in desc.fields() {
            if let Kind::Message(inner) = field.kind() {
                let inner = self.add(&inner, known);
                self.fields[index].insert(field.number().into(), inner);
            }
        }
        index
    }

    /// Weight of the parts of a message, beyond their bytes.
    fn weigh(&self, shape: usize, mut body: &[u8], depth: usize) -> usize {
        let mut weight = 0;
        while let Some(key) = varint(&mut body) {
            weight += if key & 7 == 2 { TEXT_BYTES } else { NUMBER_BYTES };
            let length = match key & 7 {
                0 => {
                    if varint(&mut body).is_none() {
                        return weight;
                    }
                    continue;
                }
                1 => 8,
                2 => varint(&mut body).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX),
                5 => 4,
                _ => return weight,
            };
            let Some((part, rest)) = body.split_at_checked(length) else { return weight };
            body = rest;
            if let Some(inner) = self.fields[shape].get(&(key >> 3))
                && depth < MAX_DEPTH
            {
                weight += MESSAGE_BYTES + self.weigh(*inner, part, depth + 1);
            }
        }
        weight
    }
}

fn varint(body: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use flymq_proto::pb;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_constant_covers_the_largest_message() {
        assert!(size_of::<pb::Record>() <= MESSAGE_BYTES, "{}", size_of::<pb::Record>());
    }

    #[test]
    fn empty_records_weigh_what_they_become() {
        let request = pb::ProduceRequest { records: vec![pb::Record::default(); 1000], ..Default::default() };
        let weight = decoded_weight(Rpc::Produce, &request.encode_to_vec());
        assert!(weight >= 1000 * size_of::<pb::Record>(), "{weight}");
        let headers = vec![pb::Header::default(); 1000];
        let record = pb::Record { headers, ..Default::default() };
        let request = pb::ProduceRequest { records: vec![record], ..Default::default() };
        let weight = decoded_weight(Rpc::Produce, &request.encode_to_vec());
        assert!(weight >= 1000 * size_of::<pb::Header>(), "{weight}");
    }

    #[test]
    fn a_large_value_weighs_little_more_than_itself() {
        let record = pb::Record { value: vec![7; 1 << 20].into(), ..Default::default() };
        let request = pb::ProduceRequest { records: vec![record], ..Default::default() };
        let body = request.encode_to_vec();
        assert!(decoded_weight(Rpc::Produce, &body) < body.len() + 4096);
    }

    proptest! {
        #[test]
        fn any_bytes_are_weighed(body in prop::collection::vec(any::<u8>(), 0..256)) {
            for rpc in [Rpc::Produce, Rpc::CommitOffsets, Rpc::CreateTopic] {
                prop_assert!(decoded_weight(rpc, &body) >= body.len());
            }
        }
    }
}
