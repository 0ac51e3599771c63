//! Going through a segment from its first batch to its end, over damage.

use bytes::BytesMut;
use flymq_types::{BatchHeader, RecordBatch};
use flymq_wire::batch::{BatchFlags, Compression, HEADER_LEN, chain};
use serde::Serialize;

use super::segment::OpenedSegment;
use crate::error::{IoContext, Result};
use crate::scan::{Found, Window};
use crate::segment::header::HEADER_BYTES;
use crate::segment::tip::Tip;

/// Whether a payload is as the producer sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadState {
    Good,
    Bad,
    /// Encrypted, and the key was not given.
    NeedsKey,
}

/// One batch as its header tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchReport {
    pub position: u64,
    pub bytes: usize,
    pub base_offset: u64,
    pub last_offset: u64,
    pub leader_epoch: u32,
    pub first_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub append_time_ms: i64,
    /// `none`, `gzip`, `lz4`, `zstd`, `snappy`
    pub compression: &'static str,
    /// Names of the flags that are set.
    pub flags: Vec<&'static str>,
    pub producer_id: Option<u64>,
    pub payload: PayloadState,
    /// The chain value fits the batch before.
    pub chained: bool,
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Step {
    Batch {
        position: u64,
        header: BatchHeader,
        payload: PayloadState,
        chained: bool,
    },
    /// Bytes that are no batch, with a batch behind them.
    Damage {
        position: u64,
        end: u64,
        first: u64,
        next: u64,
    },
}

/// Goes through a segment; `tip` is where it is.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    segment: &'a OpenedSegment,
    window: Window<'a>,
    pub tip: Tip,
    /// Chain values can be compared: the one before is known.
    chain_known: bool,
    /// A batch that was found behind damage.
    behind: Option<u64>,
}

impl<'a> Walk<'a> {
    /// Over the bytes before `limit`.
    pub fn new(segment: &'a OpenedSegment, limit: u64) -> Self {
        let chain = segment.header.map_or(0, |header| header.chain);
        Self {
            window: Window::with(&*segment.file, segment.incarnation, &segment.protection, limit),
            tip: Tip::start(segment.base_offset, chain, i64::MIN),
            chain_known: segment.header.is_some(),
            segment,
            behind: None,
        }
    }

    /// # Errors
    /// `Io`.
    pub fn next(&mut self) -> Result<Option<Step>> {
        let path = &self.segment.path;
        if let Some(position) = self.behind.take() {
            self.tip.position = position;
        }
        let at = self.tip.position;
        let found = match self.window.batch_at(at).on("read", path)? {
            Found::Batch(header, head) => Some((header, head, PayloadState::Good)),
            Found::BadPayload(header) => {
                let state =
                    if self.segment.unchecked.is_some() { PayloadState::NeedsKey } else { PayloadState::Bad };
                self.window.header_at(at).on("read", path)?.map(|(_, head)| (header, head, state))
            }
            Found::Nothing => None,
        };
        match found {
            Some((header, head, payload)) if header.server.base_offset >= self.tip.next_offset => {
                Ok(Some(self.pass(header, &head, payload)))
            }
            Some(_) | None => self.skip(),
        }
    }

    fn pass(&mut self, header: BatchHeader, head: &[u8; HEADER_LEN], payload: PayloadState) -> Step {
        let (position, first) = (self.tip.position, self.tip.next_offset);
        if header.server.base_offset > first {
            // Offsets that no batch here has: reported before the batch, which comes again.
            self.tip.next_offset = header.server.base_offset;
            self.chain_known = false;
            return Step::Damage { position, end: position, first, next: header.server.base_offset };
        }
        let chained = !self.chain_known || header.server.chain == chain(self.tip.chain, header.payload_crc);
        self.chain_known = true;
        self.tip.advance(&header, head);
        Step::Batch { position, header, payload, chained }
    }

    fn skip(&mut self) -> Result<Option<Step>> {
        let path = &self.segment.path;
        let (position, first) = (self.tip.position, self.tip.next_offset);
        let behind = if self.segment.unchecked.is_some() {
            self.window.next_header(position + 1, first)
        } else {
            self.window.next_verified(position + 1, first)
        };
        let Some((end, header)) = behind.on("read", path)? else { return Ok(None) };
        let next = header.server.base_offset;
        (self.behind, self.tip.next_offset, self.chain_known) = (Some(end), next, false);
        Ok(Some(Step::Damage { position, end, first, next }))
    }

    /// Whether there is nothing but zeros from here on.
    pub fn is_blank(&mut self) -> Result<bool> {
        self.window.is_blank_from(self.tip.position).on("read", &self.segment.path)
    }
}

impl OpenedSegment {
    /// The batch at `position`, decrypted; `None` where it is not as it was written.
    pub fn batch(&self, position: u64, header: &BatchHeader) -> Result<Option<RecordBatch>> {
        let mut bytes = BytesMut::zeroed(header.batch_len());
        self.file.read_exact_at(&mut bytes, position).on("read", &self.path)?;
        Ok(self.protection.batch(header, bytes))
    }

    /// Where the batches begin.
    pub const FIRST_BATCH: u64 = HEADER_BYTES as u64;
}

pub(super) fn batch_report(
    position: u64,
    header: &BatchHeader,
    payload: PayloadState,
    chained: bool,
) -> BatchReport {
    BatchReport {
        position,
        bytes: header.batch_len(),
        base_offset: header.server.base_offset,
        last_offset: header.last_offset(),
        leader_epoch: header.server.leader_epoch,
        first_timestamp_ms: header.first_timestamp,
        max_timestamp_ms: header.max_timestamp,
        append_time_ms: header.server.append_time,
        compression: match header.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Snappy => "snappy",
        },
        flags: flag_names(header.flags),
        producer_id: header.has_producer_id().then_some(header.producer_id),
        payload,
        chained,
    }
}

fn flag_names(flags: BatchFlags) -> Vec<&'static str> {
    [
        (BatchFlags::TRANSACTIONAL, "transactional"),
        (BatchFlags::CONTROL, "control"),
        (BatchFlags::ENCRYPTED, "encrypted"),
        (BatchFlags::CLIENT_ENCRYPTED, "client-encrypted"),
        (BatchFlags::HAS_TTL, "ttl"),
        (BatchFlags::COMPACTED, "compacted"),
    ]
    .into_iter()
    .filter_map(|(flag, name)| flags.contains(flag).then_some(name))
    .collect()
}
