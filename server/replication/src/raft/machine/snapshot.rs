//! The newest snapshot: written under a temporary name, then renamed over the last one.
//!
//! File: header (its number: the payload's length), `u32` crc32c of the payload, payload, encrypted where the directory
//! is. The payload in the clear is also what goes to another node: `u8` version 1 · last applied log id · membership ·
//! `u32` length · snapshot id · a `flymq.internal.v1.Snapshot` to the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flymq_engine::meta::MetaImage;
use flymq_proto::internal as pb;
use flymq_storage::{Disk, FileCipher, FileVault};
use openraft::SnapshotMeta;
use prost::Message;

use crate::convert::{image_from_pb, image_to_pb};
use crate::files::error::{IoContext, Result, damaged};
use crate::files::file::{new_header, prepare, read_all, read_header, u32_at};
use crate::raft::codec::{
    CodecError, Reader, get_some_log_id, get_stored_membership, put_bytes, put_some_log_id,
    put_stored_membership,
};
use crate::raft::covered::Covered;
use crate::raft::types::{LogId, MetaPeer, RaftId, StoredMembership};

const MAGIC: [u8; 8] = *b"FLYMQRSN";
const NAME: &str = "raft snapshot";
const VERSION: u8 = 1;
/// An encrypted snapshot is one piece.
const PIECE: u64 = 0;

pub(super) type Meta = SnapshotMeta<RaftId, MetaPeer>;

/// A snapshot in memory.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) meta: Meta,
    pub(super) image: MetaImage,
}

impl Content {
    pub(super) fn new(applied: Option<LogId>, membership: StoredMembership, image: &MetaImage) -> Self {
        let place = applied.map_or("empty".to_owned(), |id| id.to_string());
        let snapshot_id = format!("{place}-v{}", image.version.0);
        let meta = SnapshotMeta { last_log_id: applied, last_membership: membership, snapshot_id };
        Self { meta, image: image.clone() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = head(&self.meta);
        to.extend_from_slice(&image_to_pb(&self.image).encode_to_vec());
        to
    }
}

fn head(meta: &Meta) -> Vec<u8> {
    let mut to = vec![VERSION];
    put_some_log_id(&mut to, meta.last_log_id.as_ref());
    put_stored_membership(&mut to, &meta.last_membership);
    put_bytes(&mut to, meta.snapshot_id.as_bytes());
    to
}

/// What the payload says of itself, and the image's bytes.
fn split(payload: Bytes) -> Result<(Meta, Bytes), CodecError> {
    let from = &mut Reader::new(payload);
    from.version(VERSION, "a metadata snapshot")?;
    let last_log_id = get_some_log_id(from)?;
    let last_membership = get_stored_membership(from)?;
    let snapshot_id = from.text()?;
    Ok((SnapshotMeta { last_log_id, last_membership, snapshot_id }, from.rest()))
}

/// The file's reader and writer.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    vault: Option<FileVault>,
    /// How far the stored snapshot goes; `None` where there is none.
    stored: Option<Option<LogId>>,
    covered: Covered,
    /// The directory may be another store's by now.
    closed: bool,
}

impl SnapshotFile {
    /// The file with what is in it. One that is plain, or under an older key, is written anew.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        vault: Option<FileVault>,
    ) -> Result<(Self, Option<Content>)> {
        let covered = Covered::new(None);
        let mut file = Self { disk, path: path.to_owned(), vault, stored: None, covered, closed: false };
        let Some((payload, is_current)) = file.read()? else { return Ok((file, None)) };
        let content = file.check(Bytes::from(payload.clone()))?;
        if !is_current {
            tracing::info!(path = %path.display(), "encrypting the metadata snapshot under the current key");
            file.write(&payload)?;
        }
        file.stored = Some(content.meta.last_log_id);
        file.covered.reached(content.meta.last_log_id);
        Ok((file, Some(content)))
    }

    /// Reads a payload, or says that it is damaged.
    pub(super) fn check(&self, payload: Bytes) -> Result<Content> {
        let wrong = |reason: String| damaged(&self.path, reason);
        let (meta, image) = split(payload).map_err(|error| wrong(error.to_string()))?;
        let image = pb::Snapshot::decode(image).map_err(|error| wrong(error.to_string()))?;
        let image = image_from_pb(image).map_err(|error| wrong(error.to_string()))?;
        Ok(Content { meta, image })
    }

    /// Nothing is written any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.covered.failed("the metadata store is closed");
    }

    /// How far the log is covered by it.
    pub(super) fn covered(&self) -> Covered {
        self.covered.clone()
    }

    /// Puts a snapshot in the place of the last one, durably, unless that goes further.
    pub(super) fn store(&mut self, meta: &Meta, payload: &[u8]) -> Result<()> {
        if self.closed {
            return Err(std::io::Error::other("the metadata store is closed")).on("write", &self.path);
        }
        if self.stored.is_some_and(|stored| stored > meta.last_log_id) {
            return Ok(());
        }
        self.write(payload).inspect_err(|error| self.covered.failed(&error.to_string()))?;
        self.stored = Some(meta.last_log_id);
        self.covered.reached(meta.last_log_id);
        Ok(())
    }

    /// The stored snapshot.
    pub(super) fn load(&self) -> Result<Option<(Meta, Vec<u8>)>> {
        let Some((payload, _)) = self.read()? else { return Ok(None) };
        let (meta, _) =
            split(Bytes::from(payload.clone())).map_err(|error| damaged(&self.path, error.to_string()))?;
        Ok(Some((meta, payload)))
    }

    fn write(&self, payload: &[u8]) -> Result<()> {
        let overhead = if self.vault.is_some() { FileCipher::OVERHEAD } else { 0 };
        let len = (payload.len() + overhead) as u64;
        let (mut bytes, content) = new_header(MAGIC, len, NAME, self.vault.as_ref());
        let stored = content.seal(PIECE, payload);
        bytes.extend_from_slice(&crc32c::crc32c(&stored).to_le_bytes());
        bytes.extend_from_slice(&stored);
        prepare(&*self.disk, &self.path, &bytes, 0)?.publish(&*self.disk)?;
        Ok(())
    }

    /// The payload, and whether it is encrypted as it should be.
    fn read(&self) -> Result<Option<(Vec<u8>, bool)>> {
        let Some((_, bytes)) = read_all(&*self.disk, &self.path)? else { return Ok(None) };
        let (len, content) = read_header(&self.path, MAGIC, NAME, &bytes, self.vault.as_ref())?;
        let (crc, stored) = bytes[content.at..].split_at_checked(4).unwrap_or((&[0; 4], &[]));
        if stored.len() as u64 != len || crc32c::crc32c(stored) != u32_at(crc, 0) {
            return Err(damaged(&self.path, "its content does not match its checksum"));
        }
        let payload = content.open(PIECE, stored);
        let payload = payload.ok_or_else(|| damaged(&self.path, "it was changed"))?;
        Ok(Some((payload.into_owned(), content.is_current)))
    }
}
