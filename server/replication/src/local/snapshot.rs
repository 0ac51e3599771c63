//! The metadata in one piece: header (its number: the payload's length), u32 crc32c of the payload, payload, a
//! `flymq.internal.v1.Snapshot`.

use std::path::Path;

use flymq_engine::meta::MetaImage;
use flymq_proto::internal as pb;
use flymq_storage::Disk;
use prost::Message;

use super::error::{Result, damaged};
use super::file::{HEADER_BYTES, Prepared, header, prepare, read_all, read_header, u32_at};
use crate::convert::{image_from_pb, image_to_pb};

const MAGIC: [u8; 8] = *b"FLYMQMSN";
const PAYLOAD_AT: usize = HEADER_BYTES + 4;

/// The stored image with its size in bytes; the empty one where there is no file.
pub(super) fn load(disk: &dyn Disk, path: &Path) -> Result<(MetaImage, u64)> {
    let Some((_, bytes)) = read_all(disk, path)? else { return Ok((MetaImage::default(), 0)) };
    let len = read_header(path, MAGIC, &bytes)?;
    let payload = bytes.get(PAYLOAD_AT..).unwrap_or_default();
    if payload.len() as u64 != len || crc32c::crc32c(payload) != u32_at(&bytes, HEADER_BYTES) {
        return Err(damaged(path, "its content does not match its checksum"));
    }
    let snapshot = pb::Snapshot::decode(payload).map_err(|error| damaged(path, error.to_string()))?;
    let image = image_from_pb(snapshot).map_err(|error| damaged(path, error.to_string()))?;
    Ok((image, len))
}

/// Writes the image under a temporary name; returns it with its size in bytes.
pub(super) fn prepare_snapshot(disk: &dyn Disk, path: &Path, image: &MetaImage) -> Result<(Prepared, u64)> {
    let payload = image_to_pb(image).encode_to_vec();
    let mut bytes = header(MAGIC, payload.len() as u64).to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    Ok((prepare(disk, path, &bytes, 0)?, payload.len() as u64))
}
