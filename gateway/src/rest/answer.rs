//! Memory for answers until they are written: a client that does not read holds only its share of it.

use bytes::Bytes;
use flymq_api::{BrokerError, ReadBudget, ReadShare};

/// Answers up to this size are not counted: one for each connection is little.
const SMALL: usize = 16 * 1024;

/// The bytes of an answer; its share of the budget comes back when the last of them is written, or the connection ends.
///
/// # Errors
/// `OVERLOADED` while others that nobody reads hold all of it.
pub(super) fn held(text: Vec<u8>, answers: &ReadBudget) -> Result<Bytes, BrokerError> {
    if text.len() <= SMALL {
        return Ok(text.into());
    }
    let share = answers.share();
    share.take(text.capacity())?;
    Ok(Bytes::from_owner(Held { text, _share: share }))
}

struct Held {
    text: Vec<u8>,
    _share: ReadShare,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}
