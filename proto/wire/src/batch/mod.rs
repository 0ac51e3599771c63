//! The record batch: the unit of append, checksum, replication, compression and fetch.
//!
//! ```text
//! 0                    96                                    96 + payload length
//! ├──── header ────────┼──── record ─ record ─ record … ────┤   next batch …
//! ```
//!
//! All integers are little-endian. The producer fills the header's producer fields and the payload; the leader fills
//! the server fields ([`ServerFields`]) at append and never touches the payload again, so the payload's crc32c holds
//! from the producer to the consumer. `docs/native-protocol.md` has the layout as a table.

mod builder;
mod error;
mod header;
mod marker;
mod packed;
mod record;
mod records;
mod slices;
mod verify;

pub use builder::{BatchBuilder, NewRecord, ProducerFields};
pub use error::BatchError;
pub use header::{
    BatchFlags, BatchHeader, Compression, FORMAT_VERSION, HEADER_LEN, MAGIC, NO_PRODUCER_ID, NO_SEQUENCE,
    ServerFields, chain, stamp_header,
};
pub use marker::{Marker, Outcome};
pub use packed::pack;
pub use record::{HeaderIter, MIN_RECORD_LEN, RecordIter, RecordView};
pub use records::{Records, inflate_payload, records};
pub use slices::{BatchSlices, batch_len};
pub use verify::{validate_produced, verify, verify_header_crc, verify_payload_crc, verify_records};

#[cfg(test)]
mod tests;
