//! The records of any batch, compressed or not.

use bytes::Bytes;

use super::error::BatchError;
use super::header::{BatchFlags, BatchHeader, Compression, HEADER_LEN};
use super::record::RecordIter;
use super::verify::verify_records;
use crate::compress::{InflateLimits, inflate};

/// The records of one batch, readable: the payload as it was sent, or what it inflated to.
///
/// ```
/// # use flymq_wire::batch::*;
/// # use flymq_wire::compress::InflateLimits;
/// # let mut builder = BatchBuilder::new();
/// # builder.push(&NewRecord { value: Some(&[7; 1000]), ..Default::default() }).unwrap();
/// # let batch = builder.build_compressed(Compression::Zstd, None).unwrap();
/// for record in &records(&batch, &InflateLimits::BATCH)? {
///     println!("{}", record?.offset);
/// }
/// # Ok::<(), BatchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    plain: Bytes,
}

impl Records {
    /// Out of a header and exactly its payload. An uncompressed payload is taken as it is: its framing was checked when it
    /// was produced. A compressed one was not opened then, so it is checked here, wholly: count, framing, timestamps, flags.
    ///
    /// # Errors
    /// [`BatchError::Inflate`], those of [`super::verify_records`], `BadFlags` for a payload that is encrypted at rest.
    pub fn open(header: &BatchHeader, payload: &Bytes, limits: &InflateLimits) -> Result<Self, BatchError> {
        let plain = inflate_payload(header, payload, limits)?;
        if header.compression != Compression::None {
            verify_records(header, &plain)?;
        }
        Ok(Self { header: *header, plain })
    }

    /// Over what a payload inflated to, for a caller that keeps account of the memory; it is checked as in [`Records::open`].
    ///
    /// # Errors
    /// Those of [`super::verify_records`].
    pub fn of_inflated(header: &BatchHeader, plain: Bytes) -> Result<Self, BatchError> {
        verify_records(header, &plain)?;
        Ok(Self { header: *header, plain })
    }

    /// The header of the batch, as it was.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The uncompressed payload.
    pub fn payload(&self) -> &Bytes {
        &self.plain
    }

    /// Over the records; keys and values share the payload's memory.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::over_payload(&self.header, &self.plain)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = <RecordIter<'a> as Iterator>::Item;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// The records of a whole batch, inflated where they are compressed.
///
/// # Errors
/// Those of [`BatchHeader::parse`] and [`Records::open`], [`BatchError::Truncated`]. The crcs are taken on trust: check them with
/// [`super::verify`] where that is due.
pub fn records(batch: &Bytes, limits: &InflateLimits) -> Result<Records, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (need, have) = (header.batch_len(), batch.len());
    if have < need {
        return Err(BatchError::Truncated { need, have });
    }
    Records::open(&header, &batch.slice(HEADER_LEN..need), limits)
}

/// The uncompressed payload of a batch; shared, not copied, where it is not compressed.
///
/// # Errors
/// [`BatchError::Inflate`], `BadFlags` for a payload that is encrypted at rest.
pub fn inflate_payload(
    header: &BatchHeader,
    payload: &Bytes,
    limits: &InflateLimits,
) -> Result<Bytes, BatchError> {
    if header.flags.contains(BatchFlags::ENCRYPTED) {
        return Err(BatchError::BadFlags { found: header.flags.bits() });
    }
    Ok(inflate(header.compression, payload, limits)?)
}
