//! Splitting a run of batches.

use bytes::Bytes;

use super::error::BatchError;
use super::header::BatchHeader;

/// Length of the batch that begins `bytes`, header included, if the header is complete; the payload need not be.
///
/// # Errors
/// Those of [`BatchHeader::parse`].
pub fn batch_len(bytes: &[u8]) -> Result<usize, BatchError> {
    Ok(BatchHeader::parse(bytes)?.batch_len())
}

/// Splits back-to-back batches into one [`Bytes`] each, sharing the memory. Ends after the first error.
#[derive(Debug, Clone)]
pub struct BatchSlices {
    rest: Bytes,
}

impl BatchSlices {
    /// Over `bytes`, which hold whole batches and nothing else.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    fn split(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        let (need, have) = (header.batch_len(), self.rest.len());
        if have < need {
            return Err(BatchError::Truncated { need, have });
        }
        Ok((header, self.rest.split_to(need)))
    }
}

impl Iterator for BatchSlices {
    /// The parsed header, and the whole batch with the header's bytes in it.
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.split();
        if item.is_err() {
            self.rest.clear();
        }
        Some(item)
    }
}
