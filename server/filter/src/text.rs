//! A piece of text, byte for byte.

use memchr::memmem::Finder;

#[derive(Debug)]
pub(crate) struct Text(Finder<'static>);

impl Text {
    pub fn new(text: &str) -> Self {
        Self(Finder::new(text).into_owned())
    }

    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.find(bytes).is_some()
    }
}
