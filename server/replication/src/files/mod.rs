//! The files of the metadata on this node's disk: header, checksums, encryption, and how a new file takes the place of
//! an old one.

pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod log;

pub use error::LocalMetaError;
