//! PRODUCE: one batch for one partition.

use bytes::Bytes;

use super::{message::start, op};
use crate::codec::{DecodeError, EncodeError, Reader};
use crate::frame::{FrameParts, Version};

/// When the producer wants its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Acks {
    /// What the server is configured to.
    #[default]
    Default = 0,
    /// At once; the records may be lost.
    None = 1,
    /// In the leader's log file.
    Leader = 2,
    /// On the disk of every in-sync replica.
    All = 3,
}

impl Acks {
    fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::Default),
            1 => Ok(Self::None),
            2 => Ok(Self::Leader),
            3 => Ok(Self::All),
            _ => Err(DecodeError::BadValue("acks")),
        }
    }
}

/// Body of a PRODUCE request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceBody {
    /// When to reply.
    pub acks: Acks,
    /// Partition; -1 lets the server choose.
    pub partition: i32,
    /// Milliseconds the server may take, 0 for its default.
    pub timeout_ms: u32,
    /// Topic name.
    pub topic: String,
    /// One batch, header and payload; not checked here.
    pub batch: Bytes,
}

/// Bytes of a PRODUCE body before the topic's text.
const FIXED_LEN: usize = 12;

impl ProduceBody {
    /// Reads the body of a [`super::Message`]; the batch shares its memory.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], `InvalidUtf8`, `BadValue`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let acks = Acks::from_code(reader.get()?)?;
        let _reserved: u8 = reader.get()?;
        Ok(Self {
            acks,
            partition: reader.get()?,
            timeout_ms: reader.get()?,
            topic: reader.get()?,
            batch: reader.take_rest(),
        })
    }

    /// The request frame; the batch is not copied.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, FIXED_LEN + self.topic.len());
        writer.put(&(self.acks as u8));
        writer.put(&0u8);
        writer.put(&self.partition);
        writer.put(&self.timeout_ms);
        writer.put(&self.topic);
        writer.into_frame(Version::V2, op::PRODUCE, 0, [self.batch.clone()])
    }
}

/// Body of a PRODUCE reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProduceReply {
    /// Partition that the batch went to.
    pub partition: i32,
    /// Offset of its first record.
    pub base_offset: u64,
    /// When it was appended, Unix ms.
    pub append_time: i64,
}

impl ProduceReply {
    /// Bytes of the body.
    pub const LEN: usize = 20;

    /// Reads the body of a [`super::Message`].
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], `TrailingBytes`.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let reply = Self { partition: reader.get()?, base_offset: reader.get()?, append_time: reader.get()? };
        reader.finish()?;
        Ok(reply)
    }

    /// The reply frame.
    ///
    /// # Errors
    /// None that this body can cause; the type is that of all encoders.
    pub fn encode(&self, correlation: u32) -> Result<FrameParts, EncodeError> {
        let mut writer = start(correlation, Self::LEN);
        writer.put(&self.partition);
        writer.put(&self.base_offset);
        writer.put(&self.append_time);
        writer.into_frame(Version::V2, op::PRODUCE, 0, [])
    }
}
