//! Protobuf: files are compiled by the crate `protox`, and described by `prost-reflect`; values are checked along the descriptors, so
//! that an error can name the place, and nothing is built.

mod check;
mod compat;

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::{Invalid, MAX_DEPTH, Referred};

/// The file itself, as others see it in errors.
const OWN: &str = "schema.proto";

#[derive(Debug)]
pub(crate) struct Protobuf {
    file: FileDescriptor,
    record: MessageDescriptor,
}

/// The files that were given.
struct Given(Vec<(Arc<str>, Arc<str>)>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        let (_, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        open(name, text)
    }
}

/// A file as text, or as serializers send it: its descriptor in base64.
fn open(name: &str, text: &str) -> Result<File, protox::Error> {
    let encoded = BASE64_STANDARD.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty());
    if let Some(mut file) = encoded.and_then(|bytes| File::decode_file_descriptor_proto(&bytes[..]).ok()) {
        let mut described = file.file_descriptor_proto().clone();
        described.name = Some(name.to_owned());
        file = File::from_file_descriptor_proto(described);
        return Ok(file);
    }
    File::from_source(name, text)
}

impl Protobuf {
    pub(crate) fn compile(text: &str, references: &[Referred]) -> Result<Self, Invalid> {
        for text in references.iter().map(|referred| &*referred.text).chain([text]) {
            check_nesting(text)?;
        }
        let mut given: Vec<_> =
            references.iter().map(|referred| (referred.name.clone(), referred.text.clone())).collect();
        given.push((OWN.into(), text.into()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given(given));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(OWN).map_err(|error| Invalid::new(format!("{error:?}")))?;
        let pool: DescriptorPool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(OWN).ok_or_else(|| Invalid::new("it has no content"))?;
        let record = file.messages().next().ok_or_else(|| Invalid::new("it describes no message"))?;
        Ok(Self { file, record })
    }

    pub(crate) fn record_name(&self) -> Option<&str> {
        Some(self.record.full_name())
    }

    pub(crate) fn check(&self, value: &[u8]) -> Vec<String> {
        check::check(&self.record, value)
    }

    /// First come the indexes of the message: how many, and each one, from the file inwards; a single 0 is the first one.
    pub(crate) fn check_framed(&self, rest: &[u8]) -> Vec<String> {
        let Some((indexes, value)) = check::indexes(rest) else {
            return vec!["the frame does not say which message follows".to_owned()];
        };
        let Some((first, inner)) = indexes.split_first() else { return check::check(&self.record, value) };
        let outer = self.file.messages().nth(*first);
        let named = inner.iter().fold(outer, |message, at| message?.child_messages().nth(*at));
        match named {
            Some(message) => check::check(&message, value),
            None => vec![format!("the frame names message {indexes:?}, which the schema does not have")],
        }
    }

    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<String> {
        compat::cannot_read(&self.file, &writer.file)
    }
}

/// Bounds the nesting before a parser recurses along it.
fn check_nesting(text: &str) -> Result<(), Invalid> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Invalid::new(format!("it is nested more than {MAX_DEPTH} levels deep")));
        }
    }
    Ok(())
}

#[cfg(test)]
impl Protobuf {
    /// What the library's own decoder says.
    pub(crate) fn decodes(&self, value: &[u8]) -> bool {
        prost_reflect::DynamicMessage::decode(self.record.clone(), value).is_ok()
    }
}
