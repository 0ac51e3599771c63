//! Reading fields.

use bytes::{Buf, Bytes};

use super::{DecodeError, Layout};

/// A cursor over a body. Texts are copied out; byte fields share the body's memory.
#[derive(Debug, Clone)]
pub struct Reader {
    rest: Bytes,
    items_left: usize,
}

/// Most list items in one body, nested lists included. An empty text takes 2 bytes on the wire and 24 in memory, so
/// without a bound a 32 MiB frame could fill 400 MiB.
pub const MAX_ITEMS: usize = 1 << 20;

impl Reader {
    /// Starts at the first byte of `body`.
    pub fn new(body: Bytes) -> Self {
        Self { rest: body, items_left: MAX_ITEMS }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads a field.
    ///
    /// # Errors
    /// Any [`DecodeError`] of the field's type.
    pub fn get<T: Layout>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Takes the next `len` bytes without copying.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(len))
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// Requires that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = *self.rest.first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest.advance(N);
        Ok(bytes)
    }

    pub(super) fn text(&mut self, len: usize) -> Result<String, DecodeError> {
        let bytes = self.rest.get(..len).ok_or(DecodeError::Truncated)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8)?.to_owned();
        self.rest.advance(len);
        Ok(text)
    }

    /// A reader of the next `len` bytes, which shares the bound on items; give it back with [`Reader::join`].
    pub(super) fn split(&mut self, len: usize) -> Result<Self, DecodeError> {
        Ok(Self { rest: self.take(len)?, items_left: self.items_left })
    }

    /// Takes over how many items `inner` read. What it left unread is skipped.
    pub(super) fn join(&mut self, inner: &Self) {
        self.items_left = inner.items_left;
    }

    /// Reads `count` items. The count is not believed: it must be one that the bytes left can hold.
    pub(crate) fn items<T: Layout>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        if count.saturating_mul(T::MIN_LEN.max(1)) > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        self.items_left =
            self.items_left.checked_sub(count).ok_or(DecodeError::BadValue("list: too many items"))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }
}
