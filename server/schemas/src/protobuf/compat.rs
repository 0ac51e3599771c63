//! Whether one Protobuf file reads what another one wrote
//! ([rules](https://protobuf.dev/programming-guides/proto3/#updating); docs/schemas.md has those that are held here).

use std::collections::HashSet;

use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

pub(super) fn cannot_read(reader: &FileDescriptor, writer: &FileDescriptor) -> Vec<String> {
    let mut found = Vec::new();
    if reader.package_name() != writer.package_name() {
        found.push(format!("the package is {}, and was {}", reader.package_name(), writer.package_name()));
        return found;
    }
    let mut seen = HashSet::new();
    for message in writer.messages() {
        match reader.messages().find(|known| known.name() == message.name()) {
            Some(known) => compare(&known, &message, &mut seen, &mut found),
            None => found.push(format!("the message {} is missing", message.full_name())),
        }
    }
    found
}

fn compare(
    reader: &MessageDescriptor,
    writer: &MessageDescriptor,
    seen: &mut HashSet<(String, String)>,
    found: &mut Vec<String>,
) {
    if !seen.insert((reader.full_name().to_owned(), writer.full_name().to_owned())) {
        return;
    }
    for written in writer.fields() {
        let Some(read) = reader.get_field(written.number()) else { continue };
        let at = format!("{}.{} (field {})", writer.name(), written.name(), written.number());
        if read.is_list() != written.is_list() || read.is_map() != written.is_map() {
            found.push(format!("{at}: repeated and single are different"));
            continue;
        }
        match (read.kind(), written.kind()) {
            (Kind::Message(read), Kind::Message(written)) if read.name() == written.name() => {
                compare(&read, &written, seen, found);
            }
            (read, written) if alike(&read) == alike(&written) && alike(&read) != 0 => {}
            (read, written) => found.push(format!("{at}: the type is {read:?}, and was {written:?}")),
        }
    }
    let missing = |field: &FieldDescriptor| {
        let there = writer.get_field(field.number());
        there.is_none_or(|there| there.cardinality() != Cardinality::Required)
    };
    for field in
        reader.fields().filter(|field| field.cardinality() == Cardinality::Required && missing(field))
    {
        found.push(format!("{}.{} is required now", reader.name(), field.name()));
    }
    for oneof in reader.oneofs() {
        let apart = oneof.fields().filter_map(|field| writer.get_field(field.number()));
        let apart: HashSet<_> = apart
            .map(|field| {
                field.containing_oneof().map_or(field.number().to_string(), |of| of.name().to_owned())
            })
            .collect();
        if apart.len() > 1 {
            found.push(format!(
                "{}.{}: fields that were apart exclude each other now",
                reader.name(),
                oneof.name()
            ));
        }
    }
}

/// Kinds with the same number read each other; 0 reads nothing but itself, by name.
fn alike(kind: &Kind) -> u8 {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => 1,
        Kind::Sint32 | Kind::Sint64 => 2,
        Kind::String | Kind::Bytes => 3,
        Kind::Fixed32 | Kind::Sfixed32 => 4,
        Kind::Fixed64 | Kind::Sfixed64 => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::Message(_) => 0,
    }
}
