//! What messages say, from the disk.

use std::collections::HashMap;
use std::sync::Arc;

use flymq_types::{Offset, RecordBatch};

use super::SchedulesLog;
use super::record::Stored;
use crate::error::EngineError;
use crate::task::blocking;

/// The messages at these offsets, in their order; none for one that cannot be read now, which is logged.
pub(super) async fn read_stored(
    log: &Arc<SchedulesLog>,
    offsets: Vec<u64>,
) -> Result<Vec<Option<Stored>>, EngineError> {
    let log = log.clone();
    blocking(move || {
        // Messages that were moved stand together.
        let mut last: Option<RecordBatch> = None;
        offsets
            .into_iter()
            .map(|offset| match read_one(&log, offset, &mut last) {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(%error, offset, "a scheduled message cannot be read: it is tried again");
                    None
                }
            })
            .collect()
    })
    .await
}

fn read_one(
    log: &SchedulesLog,
    offset: u64,
    last: &mut Option<RecordBatch>,
) -> Result<Option<Stored>, EngineError> {
    let at = Offset(offset);
    let has = |batch: &RecordBatch| batch.base_offset() <= at && at < batch.next_offset();
    if !last.as_ref().is_some_and(has) {
        *last = log.partition().read(at, 1, log.high())?.into_iter().next();
    }
    let Some(batch) = last.as_ref().filter(|batch| has(batch)) else { return Ok(None) };
    for record in batch.records().map_err(EngineError::InvalidBatch)? {
        let record = record.map_err(EngineError::InvalidBatch)?;
        if record.offset == offset {
            return Ok(record.value.and_then(Stored::decode));
        }
    }
    Ok(None)
}

/// As [`read_stored`], by offset.
pub(super) async fn read_by_offset(
    log: &Arc<SchedulesLog>,
    offsets: Vec<u64>,
) -> Result<HashMap<u64, Stored>, EngineError> {
    let stored = read_stored(log, offsets.clone()).await?;
    Ok(offsets.into_iter().zip(stored).filter_map(|(offset, stored)| Some((offset, stored?))).collect())
}
