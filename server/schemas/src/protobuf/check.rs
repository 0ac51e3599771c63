//! Protobuf's encoding ([specification](https://protobuf.dev/programming-guides/encoding/)), read along a message's descriptor. Fields
//! that the schema does not name are passed over, as every Protobuf reader does.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::{MAX_DEPTH, shortened};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// Why the bytes are no such message; empty: they are one.
pub(super) fn check(message: &MessageDescriptor, value: &[u8]) -> Vec<String> {
    let mut reader = Reader { bytes: value };
    let wrong = reader.message(message, "", 0, None).err();
    wrong.into_iter().map(shortened).collect()
}

/// The message indexes in front of a framed value, and the value.
pub(super) fn indexes(rest: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let mut reader = Reader { bytes: rest };
    let mut next = || {
        let number = reader.varint("").ok()?;
        // Zigzag, and never negative.
        if number & 1 == 0 { usize::try_from(number >> 1).ok() } else { None }
    };
    let count = next().filter(|count| *count <= MAX_DEPTH)?;
    let indexes = (0..count).map(|_| next()).collect::<Option<Vec<_>>>()?;
    Some((indexes, reader.bytes))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

fn wrong(at: &str, why: &str) -> String {
    if at.is_empty() { format!("the value: {why}") } else { format!("{at}: {why}") }
}

fn joined(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64, at: &str) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let split = self.bytes.split_at_checked(count);
        let (taken, rest) = split.ok_or_else(|| wrong(at, "the value ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self, at: &str) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1, at)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(wrong(at, "a number has more than ten bytes"))
    }

    /// To the end of the bytes, or of the group of that number.
    fn message(
        &mut self,
        message: &MessageDescriptor,
        at: &str,
        depth: usize,
        group: Option<u64>,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(wrong(at, "it is nested too deeply"));
        }
        let mut required: Vec<_> =
            message.fields().filter(|field| field.cardinality() == Cardinality::Required).collect();
        while group.is_some() || !self.bytes.is_empty() {
            let tag = self.varint(at)?;
            let (number, wire) = (tag >> 3, tag & 7);
            if wire == GROUP_END && group == Some(number) {
                break;
            }
            if number == 0 || number > 0x1fff_ffff {
                return Err(wrong(at, &format!("there is no field {number}")));
            }
            let known = u32::try_from(number).ok().and_then(|number| message.get_field(number));
            match known {
                Some(field) => {
                    required.retain(|missing| missing.number() != field.number());
                    self.field(&field, (number, wire), &joined(at, field.name()), depth)?;
                }
                None => self.skip((number, wire), at, depth)?,
            }
        }
        match required.first() {
            Some(field) => Err(format!("missing required field: {}", joined(at, field.name()))),
            None => Ok(()),
        }
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        (number, wire): (u64, u64),
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        let kind = field.kind();
        let expected = wire_type(&kind, field.is_group());
        if wire == expected {
            return match (&kind, wire) {
                (Kind::Message(message), GROUP) => self.message(message, at, depth + 1, Some(number)),
                (Kind::Message(message), _) => {
                    let len = self.varint(at)?;
                    let mut inner = Reader { bytes: self.take(len, at)? };
                    inner.message(message, at, depth + 1, None)
                }
                _ => self.scalar(&kind, at),
            };
        }
        // Repeated numbers may come packed, whatever the schema says.
        if wire == BYTES && field.is_list() && expected != BYTES && expected != GROUP {
            let len = self.varint(at)?;
            let mut inner = Reader { bytes: self.take(len, at)? };
            while !inner.bytes.is_empty() {
                inner.scalar(&kind, at)?;
            }
            return Ok(());
        }
        Err(wrong(at, &format!("a {kind:?} is not encoded like that (wire type {wire})")))
    }

    fn scalar(&mut self, kind: &Kind, at: &str) -> Result<(), String> {
        match wire_type(kind, false) {
            VARINT => self.varint(at).map(drop),
            FIXED64 => self.take(8, at).map(drop),
            FIXED32 => self.take(4, at).map(drop),
            _ => {
                let len = self.varint(at)?;
                let bytes = self.take(len, at)?;
                match kind {
                    Kind::String if std::str::from_utf8(bytes).is_err() => {
                        Err(wrong(at, "a string is not UTF-8"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn skip(&mut self, (number, wire): (u64, u64), at: &str, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(wrong(at, "it is nested too deeply"));
        }
        match wire {
            VARINT => self.varint(at).map(drop),
            FIXED64 => self.take(8, at).map(drop),
            BYTES => {
                let len = self.varint(at)?;
                self.take(len, at).map(drop)
            }
            GROUP => loop {
                let tag = self.varint(at)?;
                match (tag >> 3, tag & 7) {
                    (end, GROUP_END) if end == number => return Ok(()),
                    inner => self.skip(inner, at, depth + 1)?,
                }
            },
            FIXED32 => self.take(4, at).map(drop),
            _ => Err(wrong(at, &format!("there is no wire type {wire}"))),
        }
    }
}

fn wire_type(kind: &Kind, group: bool) -> u64 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
        Kind::Message(_) if group => GROUP,
        Kind::String | Kind::Bytes | Kind::Message(_) => BYTES,
        _ => VARINT,
    }
}
