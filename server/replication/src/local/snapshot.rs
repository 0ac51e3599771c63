//! The metadata in one piece: header (its number: the payload's length), u32 crc32c of the payload, payload, a
//! `flymq.internal.v1.Snapshot`, encrypted where the directory is.

use std::path::Path;

use flymq_engine::meta::MetaImage;
use flymq_proto::internal as pb;
use flymq_storage::{Disk, FileCipher, FileVault};
use prost::Message;

use crate::convert::{image_from_pb, image_to_pb};
use crate::files::error::{Result, damaged};
use crate::files::file::{Prepared, new_header, prepare, read_all, read_header, u32_at};

const MAGIC: [u8; 8] = *b"FLYMQMSN";
const NAME: &str = "metadata snapshot";
/// An encrypted snapshot is one piece.
const PIECE: u64 = 0;

/// The stored image with its size in bytes, and whether it is encrypted as it should be; the empty one where there is
/// no file.
pub(super) fn load(
    disk: &dyn Disk,
    path: &Path,
    vault: Option<&FileVault>,
) -> Result<(MetaImage, u64, bool)> {
    let Some((_, bytes)) = read_all(disk, path)? else { return Ok((MetaImage::default(), 0, true)) };
    let (len, content) = read_header(path, MAGIC, NAME, &bytes, vault)?;
    let (crc, stored) = bytes[content.at..].split_at_checked(4).unwrap_or((&[0; 4], &[]));
    if stored.len() as u64 != len || crc32c::crc32c(stored) != u32_at(crc, 0) {
        return Err(damaged(path, "its content does not match its checksum"));
    }
    let payload = content.open(PIECE, stored).ok_or_else(|| damaged(path, "it was changed"))?;
    let snapshot = pb::Snapshot::decode(&payload[..]).map_err(|error| damaged(path, error.to_string()))?;
    let image = image_from_pb(snapshot).map_err(|error| damaged(path, error.to_string()))?;
    Ok((image, len, content.is_current))
}

/// Writes the image under a temporary name; returns it with its size in bytes.
pub(super) fn prepare_snapshot(
    disk: &dyn Disk,
    path: &Path,
    image: &MetaImage,
    vault: Option<&FileVault>,
) -> Result<(Prepared, u64)> {
    let payload = image_to_pb(image).encode_to_vec();
    let overhead = if vault.is_some() { FileCipher::OVERHEAD } else { 0 };
    let len = (payload.len() + overhead) as u64;
    let (mut bytes, content) = new_header(MAGIC, len, NAME, vault);
    let stored = content.seal(PIECE, &payload);
    bytes.extend_from_slice(&crc32c::crc32c(&stored).to_le_bytes());
    bytes.extend_from_slice(&stored);
    Ok((prepare(disk, path, &bytes, 0)?, len))
}
