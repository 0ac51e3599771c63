//! Dead letters: FETCH_DLQ, REPLAY_DLQ, PURGE_DLQ. Purge is a [`super::TopicRef`] request.

use bytes::Bytes;

use super::SuccessMsg;
use crate::codec::{DecodeError, Layout, Reader, Writer, layout};

layout! {
    /// FETCH_DLQ request.
    pub struct FetchDlq {
        /// The topic whose dead letters are asked for.
        pub topic: String,
        /// Most entries.
        pub max: i32,
    }

    /// An item of FETCH_DLQ's reply.
    pub struct DlqEntry {
        /// Message id.
        pub id: String,
        /// The record's value.
        pub data: Bytes,
        /// What went wrong.
        pub error: String,
        /// How often it was tried.
        pub retries: i32,
    }

    /// FETCH_DLQ reply.
    pub struct DlqList {
        /// The dead letters.
        pub entries: Vec<DlqEntry>,
    }

    /// REPLAY_DLQ reply to a request by offset, whose senders read the message's length as a u32.
    pub struct WideSuccessMsg {
        /// Whether it was done.
        pub ok: bool,
        /// UTF-8 text.
        pub message: Bytes,
    }
}

/// Which dead letter to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTarget {
    /// By message id.
    Id(String),
    /// By offset in the dead letter topic: `re_inject_dlq` of Python and Java.
    Offset(u64),
}

/// REPLAY_DLQ request.
///
/// Exactly 8 bytes after the topic are an offset, unless they are a str16 of 6 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayDlq {
    /// The topic whose dead letter is meant.
    pub topic: String,
    /// Which one.
    pub target: ReplayTarget,
}

impl ReplayDlq {
    /// The reply in the layout that the sender of this request reads, as a body.
    pub fn reply(&self, ok: bool, message: &str) -> ReplayReply {
        match self.target {
            ReplayTarget::Id(_) => ReplayReply::ById(SuccessMsg { ok, message: message.to_owned() }),
            ReplayTarget::Offset(_) => ReplayReply::ByOffset(WideSuccessMsg {
                ok,
                message: Bytes::copy_from_slice(message.as_bytes()),
            }),
        }
    }
}

impl Layout for ReplayDlq {
    const MIN_LEN: usize = 4;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let topic = reader.get()?;
        let offset = if reader.remaining() == 8 { Some(reader.clone().get::<u64>()?) } else { None };
        let target = match offset {
            Some(offset) if offset >> 48 != 6 => {
                reader.take_rest();
                ReplayTarget::Offset(offset)
            }
            _ => ReplayTarget::Id(reader.get()?),
        };
        Ok(Self { topic, target })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&self.topic);
        match &self.target {
            ReplayTarget::Id(id) => writer.put(id),
            ReplayTarget::Offset(offset) => writer.put(offset),
        }
    }
}

/// REPLAY_DLQ reply, in the layout that suits the request; see [`ReplayDlq::reply`].
///
/// The two cannot be told apart by their bytes: decode as [`SuccessMsg`] or [`WideSuccessMsg`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayReply {
    /// To a request by message id.
    ById(SuccessMsg),
    /// To a request by offset.
    ByOffset(WideSuccessMsg),
}
