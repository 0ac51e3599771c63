//! Reading and writing the fields of a 0xAF body. Integers are big-endian.
//!
//! | Rust type | On the wire |
//! |---|---|
//! | `u8 u16 i32 u32 i64 u64` | fixed width |
//! | `bool` | one byte: 1 is true, anything else false |
//! | `String` | str16: u16 length, UTF-8 |
//! | [`Str8`] | str8: u8 length, UTF-8 |
//! | `Bytes` | bytes32: u32 length, raw bytes |
//! | `Vec<T>` | list32: u32 count, then the items |
//! | [`List16<T>`] | list16: u16 count, then the items |
//! | [`Framed<T>`] | u32 length in bytes, then `T` |
//! | `Option<T>` | nothing at all, or `T`: for the last field of a body |

mod error;
mod fields;
mod layout;
mod reader;
mod wrappers;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use layout::Layout;
pub(crate) use layout::layout;
pub use reader::{MAX_ITEMS, Reader};
pub use wrappers::{Framed, List16, Str8};
pub use writer::Writer;
