//! The error reply, op 0xFF.

use bytes::Bytes;

use super::reply::flag;
use super::{DecodeError, EncodeError, Layout, Reader, Writer, op};
use crate::frame::{FrameParts, Version};

/// The only code that clients ever got; they tell errors apart by text.
pub const CODE: i32 = 1;

/// An error frame's body.
///
/// Three shapes are in the field. We write the coded one (`i32 code, str16 text`) alone, because it is the only one
/// that every client shows in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// Always [`CODE`] when coded; `None` when the body was bare text.
    pub code: Option<i32>,
    /// What went wrong. Clients act on the words `not leader`, `leader_addr=HOST:PORT`, `topic not found`,
    /// `authentication` and `unauthorized`.
    pub text: String,
}

impl ErrorReply {
    /// A coded error.
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: Some(CODE), text: text.into() }
    }

    /// The text that makes a client go to the leader; `leader_addr` is its client address.
    pub fn not_leader(leader_id: &str, leader_addr: &str) -> Self {
        Self::new(format!("not leader: leader_id={leader_id} leader_addr={leader_addr}"))
    }

    /// The error frame, always in the coded shape. A text too long for it is cut.
    pub fn into_frame(self) -> FrameParts {
        let Self { code, mut text } = self;
        cut(&mut text, usize::from(u16::MAX));
        let mut writer = Writer::with_capacity(6 + text.len());
        writer.put(&code.unwrap_or(CODE));
        writer.put(&text);
        let frame: Result<_, EncodeError> = writer.into_frame(Version::V1, op::ERROR, flag::BINARY, []);
        frame.expect("a cut text fits its length field and a frame")
    }

    /// Reads an error body of any of the three shapes, as the Go client does: coded if it can be, else all text.
    pub fn read(body: &Bytes) -> Self {
        Self::read_coded(body)
            .unwrap_or_else(|_| Self { code: None, text: String::from_utf8_lossy(body).into_owned() })
    }

    fn read_coded(body: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body.clone());
        Ok(Self { code: Some(i32::decode(&mut reader)?), text: String::decode(&mut reader)? })
    }
}

/// Shortens a text to at most `max` bytes, not inside a character.
fn cut(text: &mut String, max: usize) {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
}
