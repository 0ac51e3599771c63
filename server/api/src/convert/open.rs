//! Opening batches for readers that want single records: the one place of the server that inflates what a producer
//! compressed, but for the key of a batch with one record. A call gets here only after it was authorized.

use bytes::Bytes;
use flymq_types::{BatchError, Compression, InflateLimits, Limits, RecordBatch, Records};
use flymq_wire::{
    batch::{BatchHeader, inflate_payload},
    compress::claimed_len,
};

use crate::{BrokerError, ErrorCode, ReadBudget, ReadShare};

/// Opens batches. All that it inflates, for all calls together, is paid for out of one budget until the last record that
/// shares the memory is gone.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    budget: ReadBudget,
    limits: InflateLimits,
}

/// Inflated bytes and what they hold of the budget.
struct Paid {
    plain: Bytes,
    _share: ReadShare,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.plain
    }
}

impl Opener {
    /// With a budget of `budget` bytes for inflated batches.
    pub fn new(limits: &Limits, budget: usize) -> Self {
        Self { budget: ReadBudget::new(budget), limits: limits.inflate() }
    }

    /// The records of a batch.
    ///
    /// # Errors
    /// `CORRUPT_DATA`, with the offsets of the batch, where it does not open within the limits or is not what its header
    /// says; `OVERLOADED` where the budget is used up.
    pub fn open(&self, batch: &RecordBatch) -> Result<Records, BrokerError> {
        if batch.header().compression == Compression::None {
            return batch.open(&self.limits).map_err(|why| damaged(batch.header(), why));
        }
        self.inflate(batch.header(), batch.payload())
    }

    fn inflate(&self, header: &BatchHeader, payload: &Bytes) -> Result<Records, BrokerError> {
        let broken = |why: BatchError| damaged(header, why);
        let claimed =
            claimed_len(header.compression, payload, &self.limits).map_err(|why| broken(why.into()))?;
        let share = self.budget.share();
        share.take(claimed.unwrap_or_else(|| self.limits.of(payload.len())))?;
        let plain = inflate_payload(header, payload, &self.limits).map_err(broken)?;
        let plain = Bytes::from_owner(Paid { plain, _share: share });
        Records::of_inflated(header, plain).map_err(broken)
    }
}

/// Bytes out of the log that do not decode are damage, or a producer's lie, but no fault of the reader.
pub(crate) fn damaged(header: &BatchHeader, why: BatchError) -> BrokerError {
    let (start, end) = (header.server.base_offset, header.next_offset());
    let text = format!("the batch of offsets {start} to {} cannot be opened: {why}", header.last_offset());
    BrokerError::new(ErrorCode::CorruptData, text).with("start", start).with("end", end)
}
