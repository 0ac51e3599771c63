//! What a filter sees of a record.

use flymq_wire::batch::{HeaderIter, RecordView};

/// A record with this header has a value that its producer encrypted; the broker cannot look into it.
pub const ENCRYPTION_HEADER: &str = "flymq-encryption";

/// A record and where it stands.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub offset: u64,
    /// Unix time in milliseconds.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The headers of a record, as stored or as given.
#[derive(Debug, Clone)]
pub enum Headers<'a> {
    Stored(HeaderIter<'a>),
    Given(&'a [(&'a str, &'a [u8])]),
}

impl<'a> Record<'a> {
    /// A record of a batch of `topic`/`partition`.
    pub fn stored(topic: &'a str, partition: u32, view: &RecordView<'a>) -> Self {
        Self {
            topic,
            partition,
            offset: view.offset,
            timestamp_ms: view.timestamp,
            key: view.key,
            value: view.value,
            headers: Headers::Stored(view.headers()),
        }
    }

    /// Whether a header says that the value is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.value.is_some() && self.header(ENCRYPTION_HEADER).is_some()
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub(crate) fn headers(&self) -> Box<dyn Iterator<Item = (&'a str, &'a [u8])> + 'a> {
        match &self.headers {
            Headers::Stored(headers) => Box::new(headers.clone()),
            Headers::Given(headers) => Box::new(headers.iter().copied()),
        }
    }
}
