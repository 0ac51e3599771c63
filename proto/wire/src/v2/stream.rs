//! SUBSCRIBE_STREAM's pushes, and the CREDIT and CANCEL that steer a stream.

use bytes::Bytes;

use super::fetch::rest_as_run;
use super::message::{flag, start};
use super::op;
use crate::batch::{BatchError, BatchHeader, BatchSlices};
use crate::codec::{DecodeError, EncodeError, Reader};
use crate::frame::{FrameParts, Version};

/// Body of a push. The frame repeats op and correlation id of the SUBSCRIBE_STREAM request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushBody {
    /// Partition that the batches are of.
    pub partition: i32,
    /// Offset after the last record that readers may see.
    pub high_watermark: u64,
    /// Where the stream goes on.
    pub next_offset: u64,
    /// Topic name.
    pub topic: String,
    /// Whole batches back to back, in one or more runs; at most one when decoded.
    pub runs: Vec<Bytes>,
}

/// Bytes of a push before the topic's text.
const FIXED_LEN: usize = 22;

impl PushBody {
    /// Reads the body of a [`super::Message`]; the batches share its memory and are not checked here.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], `InvalidUtf8`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(Self {
            partition: reader.get()?,
            high_watermark: reader.get()?,
            next_offset: reader.get()?,
            topic: reader.get()?,
            runs: rest_as_run(&mut reader),
        })
    }

    /// The push frame, with flag MORE; the batches are not copied.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, FIXED_LEN + self.topic.len());
        writer.put(&self.partition);
        writer.put(&self.high_watermark);
        writer.put(&self.next_offset);
        writer.put(&self.topic);
        writer.into_frame(Version::V2, op::SUBSCRIBE_STREAM, flag::MORE, self.runs.iter().cloned())
    }

    /// The batches of all runs, one by one.
    pub fn batches(&self) -> impl Iterator<Item = Result<(BatchHeader, Bytes), BatchError>> + '_ {
        self.runs.iter().flat_map(|run| BatchSlices::new(run.clone()))
    }

    /// The frame that ends a stream in good order: flag END, no body.
    ///
    /// # Errors
    /// None that this body can cause; the type is that of all encoders.
    pub fn encode_end(correlation: u32) -> Result<FrameParts, EncodeError> {
        start(correlation, 0).into_frame(Version::V2, op::SUBSCRIBE_STREAM, flag::END, [])
    }
}

/// Body of CREDIT: the client allows a stream more bytes of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditBody {
    /// Correlation id of the stream's request.
    pub stream: u32,
    /// Bytes added to its credit.
    pub bytes: u32,
}

impl CreditBody {
    /// Reads the body of a [`super::Message`].
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], `TrailingBytes`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let credit = Self { stream: reader.get()?, bytes: reader.get()? };
        reader.finish()?;
        Ok(credit)
    }

    /// The frame. `correlation` is only there because every frame has one: nothing answers.
    ///
    /// # Errors
    /// None that this body can cause; the type is that of all encoders.
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, 8);
        writer.put(&self.stream);
        writer.put(&self.bytes);
        writer.into_frame(Version::V2, op::CREDIT, 0, [])
    }
}

/// Body of CANCEL: the client ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelBody {
    /// Correlation id of the stream's request.
    pub stream: u32,
}

impl CancelBody {
    /// Reads the body of a [`super::Message`].
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], `TrailingBytes`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let cancel = Self { stream: reader.get()? };
        reader.finish()?;
        Ok(cancel)
    }

    /// The frame. `correlation` is only there because every frame has one: the stream's end push answers.
    ///
    /// # Errors
    /// None that this body can cause; the type is that of all encoders.
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, 4);
        writer.put(&self.stream);
        writer.into_frame(Version::V2, op::CANCEL, 0, [])
    }
}
