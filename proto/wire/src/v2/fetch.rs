//! FETCH: batches of one partition from an offset on, with long poll.

use bytes::Bytes;

use super::{message::start, op};
use crate::batch::{BatchError, BatchHeader, BatchSlices};
use crate::codec::{DecodeError, EncodeError, Reader};
use crate::frame::{FrameParts, Version};

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Isolation {
    /// Not those of open or aborted transactions.
    #[default]
    ReadCommitted = 0,
    /// All below the high watermark.
    ReadUncommitted = 1,
}

impl Isolation {
    fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::ReadCommitted),
            1 => Ok(Self::ReadUncommitted),
            _ => Err(DecodeError::BadValue("isolation")),
        }
    }
}

/// Body of a FETCH request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchBody {
    /// Partition.
    pub partition: i32,
    /// First offset wanted.
    pub offset: u64,
    /// Most bytes of batches to return; one batch is returned even if it is larger.
    pub max_bytes: u32,
    /// Bytes to wait for.
    pub min_bytes: u32,
    /// Longest wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: u32,
    /// Which records count.
    pub isolation: Isolation,
    /// Topic name.
    pub topic: String,
}

/// Bytes of a FETCH body before the topic's text.
const FIXED_LEN: usize = 27;

impl FetchBody {
    /// Reads the body of a [`super::Message`].
    ///
    /// # Errors
    /// Any [`DecodeError`] but `UnknownOp`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let fetch = Self {
            partition: reader.get()?,
            offset: reader.get()?,
            max_bytes: reader.get()?,
            min_bytes: reader.get()?,
            max_wait_ms: reader.get()?,
            isolation: Isolation::from_code(reader.get()?)?,
            topic: reader.get()?,
        };
        reader.finish()?;
        Ok(fetch)
    }

    /// The request frame.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`].
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, FIXED_LEN + self.topic.len());
        writer.put(&self.partition);
        writer.put(&self.offset);
        writer.put(&self.max_bytes);
        writer.put(&self.min_bytes);
        writer.put(&self.max_wait_ms);
        writer.put(&(self.isolation as u8));
        writer.put(&self.topic);
        writer.into_frame(Version::V2, op::FETCH, 0, [])
    }
}

/// Body of a FETCH reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchReply {
    /// Offset after the last record that readers may see.
    pub high_watermark: u64,
    /// First offset of the log.
    pub log_start: u64,
    /// Offset after the last record of the log.
    pub log_end: u64,
    /// Where the next fetch goes on.
    pub next_offset: u64,
    /// Whole batches back to back, in one or more runs. A decoded reply has at most one run. The first batch may
    /// begin before the offset that was asked for.
    pub runs: Vec<Bytes>,
}

impl FetchReply {
    /// Bytes of the body before the batches.
    pub const FIXED_LEN: usize = 32;

    /// Reads the body of a [`super::Message`]; the batches share its memory and are not checked here.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(Self {
            high_watermark: reader.get()?,
            log_start: reader.get()?,
            log_end: reader.get()?,
            next_offset: reader.get()?,
            runs: rest_as_run(&mut reader),
        })
    }

    /// The reply frame; the batches are not copied.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooLarge`].
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, Self::FIXED_LEN);
        writer.put(&self.high_watermark);
        writer.put(&self.log_start);
        writer.put(&self.log_end);
        writer.put(&self.next_offset);
        writer.into_frame(Version::V2, op::FETCH, 0, self.runs.iter().cloned())
    }

    /// The batches of all runs, one by one.
    pub fn batches(&self) -> impl Iterator<Item = Result<(BatchHeader, Bytes), BatchError>> + '_ {
        self.runs.iter().flat_map(|run| BatchSlices::new(run.clone()))
    }
}

/// What is left of a body, as the runs of a reply.
pub(super) fn rest_as_run(reader: &mut Reader) -> Vec<Bytes> {
    let rest = reader.take_rest();
    if rest.is_empty() { Vec::new() } else { vec![rest] }
}
