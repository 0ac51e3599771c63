//! Opening a segment file for looking.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_types::{Offset, PartitionId, TopicId};

use super::Inspector;
use crate::crypt::{Protection, SegmentCipher, SegmentPlace};
use crate::disk::{DiskFile, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::layout::get_u64;
use crate::scan;
use crate::segment::footer::{self, FOOTER_BYTES};
use crate::segment::header::{HEADER_BYTES, SegmentHeader, key_blocks};
use crate::segment::tip::Tip;
use crate::segment::{LOG_SUFFIX, parse_name};

/// A segment file, open for reading.
#[derive(Debug)]
pub(super) struct OpenedSegment {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub file_bytes: u64,
    /// By the file's name.
    pub base_offset: u64,
    /// None where it is damaged.
    pub header: Option<SegmentHeader>,
    pub incarnation: u64,
    pub protection: Protection,
    /// Why payloads cannot be checked, where they cannot.
    pub unchecked: Option<String>,
    pub footer: Option<Tip>,
}

impl Inspector {
    /// # Errors
    /// `Io`, `UnknownFormat` for a segment of a later format.
    pub(super) fn open_segment(&self, path: &Path) -> Result<OpenedSegment> {
        let file = self.disk.open(path, OpenMode::Read).on("open", path)?;
        let file_bytes = file.size().on("size of", path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut block = [0; HEADER_BYTES];
        file.read_up_to_at(&mut block, 0).on("read", path)?;
        let header = SegmentHeader::decode(&block).map_err(|found| StorageError::UnknownFormat {
            path: path.to_owned(),
            found,
            known: crate::layout::VERSION,
        })?;
        let base_offset = header.map(|header| header.base_offset.0);
        let base_offset = parse_name(&name, LOG_SUFFIX).or(base_offset).unwrap_or(0);
        let key = key_blocks(&block).next();
        let incarnation = match (header, key) {
            (Some(header), _) => header.incarnation(),
            (None, Some(key)) => get_u64(&key.uuid, 0),
            (None, None) => {
                let found = scan::any_incarnation(&*file, HEADER_BYTES as u64, base_offset);
                found.on("read", path)?.unwrap_or(0)
            }
        };
        let encrypted = header.map_or(key.is_some(), |header| header.encrypted);
        let (protection, unchecked) =
            if encrypted { self.protection(&block, path, base_offset) } else { (Protection::Plain, None) };
        let footer = read_footer(&*file, incarnation, file_bytes).on("read", path)?;
        let path = path.to_owned();
        Ok(OpenedSegment {
            path,
            file,
            file_bytes,
            base_offset,
            header,
            incarnation,
            protection,
            unchecked,
            footer,
        })
    }

    /// The cipher of an encrypted segment, or why there is none.
    fn protection(&self, block: &[u8; HEADER_BYTES], path: &Path, base: u64) -> (Protection, Option<String>) {
        let why = |text: String| (Protection::KeyLost, Some(text));
        let mut needed = None;
        for key in key_blocks(block) {
            needed = Some(key.key_id);
            let (Some(keyring), Some(place)) = (&self.keyring, self.place(path, base)) else { continue };
            match SegmentCipher::open(keyring, &place, &key) {
                Ok(cipher) => return (Protection::Encrypted(Box::new(cipher)), None),
                Err(error) => tracing::debug!(path = %path.display(), %error, "data key"),
            }
        }
        match needed {
            Some(id) => why(format!(
                "the payloads are encrypted: to check them set FLYMQ_ENCRYPTION_KEY to the key with id {id}"
            )),
            None => why("both copies of the data key are damaged: the payloads cannot be read".to_owned()),
        }
    }

    fn place(&self, path: &Path, base_offset: u64) -> Option<SegmentPlace> {
        let mut names = path.ancestors().skip(1).filter_map(|dir| dir.file_name()?.to_str());
        let partition = PartitionId(names.next()?.parse().ok()?);
        let topic: TopicId = names.next()?.parse().ok()?;
        Some(SegmentPlace { directory: self.directory?, topic, partition, base_offset: Offset(base_offset) })
    }
}

fn read_footer(file: &dyn DiskFile, incarnation: u64, file_bytes: u64) -> std::io::Result<Option<Tip>> {
    let Some(at) = file_bytes.checked_sub(FOOTER_BYTES as u64).filter(|at| *at >= HEADER_BYTES as u64) else {
        return Ok(None);
    };
    let mut block = [0; FOOTER_BYTES];
    file.read_exact_at(&mut block, at)?;
    Ok(footer::decode(&block, incarnation, file_bytes))
}
