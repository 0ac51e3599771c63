//! One topic's records into chunk files.

use std::time::Duration;

use bytes::BytesMut;
use flymq_client::{Client, ClientError, ErrorCode, FetchSpec, FetchedBatches, pb};
use flymq_wire::batch::BatchSlices;

use super::{CreateOptions, Present};
use crate::{
    BackupError, BackupKey, ChunkEntry, ChunkName, OffsetSpan, PartitionBackup, Progress, Step, Store,
    TopicBackup, chunk,
};

/// Bytes asked for at a time.
const FETCH_BYTES: u32 = 4 << 20;
/// How long the broker may take for records that are below its high watermark.
const FETCH_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Copy<'a> {
    pub client: &'a Client,
    pub store: &'a dyn Store,
    pub key: Option<&'a BackupKey>,
    pub options: &'a CreateOptions,
    pub present: &'a Present,
    pub progress: Progress<'a>,
    pub topic: &'a pb::Topic,
    pub reused_bytes: u64,
}

/// How far a partition is copied.
#[derive(Debug)]
struct Cursor {
    partition: u32,
    /// The next offset to copy.
    next: u64,
    /// Where committed readers ended.
    end: u64,
    low_watermark: u64,
    chunks: Vec<ChunkEntry>,
    damaged: Vec<OffsetSpan>,
    /// The chunk being filled, and where it begins.
    open: BytesMut,
    open_from: u64,
}

impl Copy<'_> {
    pub async fn topic(&mut self) -> Result<TopicBackup, BackupError> {
        let mut partitions = Vec::with_capacity(self.topic.partitions.len());
        for partition in &self.topic.partitions {
            let number =
                u32::try_from(partition.partition).map_err(|_| self.broken(0, &"has a negative number"))?;
            let end = self.end(partition).await?;
            let mut cursor = Cursor::new(number, partition.low_watermark, end);
            self.partition(&mut cursor).await?;
            partitions.push(cursor.into_backup());
        }
        Ok(TopicBackup {
            name: self.topic.name.clone(),
            id: self.topic.id.clone(),
            created_ms: self.topic.created_ms,
            settings: self.settings().await?,
            partitions,
        })
    }

    /// Where committed readers end: what is behind it may belong to a transaction that is open.
    async fn end(&self, partition: &pb::Partition) -> Result<u64, BackupError> {
        let (low, high) = (partition.low_watermark, partition.high_watermark);
        if low == high {
            return Ok(high);
        }
        let request = pb::FindOffsetRequest {
            topic: self.topic.name.clone(),
            partition: partition.partition,
            at: pb::StartFrom::Latest.into(),
            ..pb::FindOffsetRequest::default()
        };
        let latest = self.client.call::<_, pb::FindOffsetResponse>("FindOffset", &request).await?;
        Ok(latest.offset.clamp(low, high))
    }

    /// The topic's settings as the API shows them, so that none is forgotten that came later.
    async fn settings(&self) -> Result<serde_json::Map<String, serde_json::Value>, BackupError> {
        let request = serde_json::json!({"name": self.topic.name}).to_string();
        let reply = self.client.call_json("GetTopic", &request).await?;
        let mut reply: serde_json::Value =
            serde_json::from_str(&reply).map_err(|error| self.broken(0, &error))?;
        match reply["topic"]["options"].take() {
            serde_json::Value::Object(settings) => Ok(settings),
            other => Err(self.broken(0, &format!("the broker's settings are {other}"))),
        }
    }

    async fn partition(&mut self, cursor: &mut Cursor) -> Result<(), BackupError> {
        while cursor.next < cursor.end {
            if cursor.open.is_empty() && self.reuse(cursor).await? {
                continue;
            }
            let stop = self.next_present(cursor).unwrap_or(cursor.end);
            match self.fetch(cursor).await {
                Ok(found) => self.take(cursor, found, stop).await?,
                Err(error) => self.go_round(cursor, &error).await?,
            }
        }
        self.close(cursor).await
    }

    async fn fetch(&self, cursor: &Cursor) -> Result<FetchedBatches, ClientError> {
        let partition = i32::try_from(cursor.partition).unwrap_or(i32::MAX);
        let spec = FetchSpec {
            max_bytes: FETCH_BYTES,
            max_wait: FETCH_WAIT,
            ..FetchSpec::new(self.topic.name.as_str(), partition, cursor.next)
        };
        self.client.fetch_batches(&spec).await
    }

    /// Takes the batches below `stop` into the open chunk. Where the broker passes over offsets, no record is there to be
    /// seen (compacted away, or expired): an empty batch stands for them.
    async fn take(&self, cursor: &mut Cursor, found: FetchedBatches, stop: u64) -> Result<(), BackupError> {
        let before = cursor.next;
        for slice in BatchSlices::new(found.batches) {
            let (header, bytes) = slice.map_err(|error| self.broken(cursor.partition, &error))?;
            let base = header.server.base_offset;
            self.pass_over(cursor, base.min(stop))?;
            if base >= stop {
                break;
            }
            // Retention by record may have moved the start into a batch.
            let first = cursor.is_at_start() && header.next_offset() > cursor.next;
            if base != cursor.next && !first {
                let reason = format!("the broker sent offset {base} where {} was asked for", cursor.next);
                return Err(self.broken(cursor.partition, &reason));
            }
            if cursor.open.is_empty() {
                cursor.open_from = base;
            }
            cursor.open.extend_from_slice(&bytes);
            cursor.next = header.next_offset();
            (self.progress)(Step::Bytes(bytes.len() as u64));
            if cursor.open.len() >= self.options.chunk_bytes {
                self.close(cursor).await?;
            }
        }
        self.pass_over(cursor, found.next_offset.min(stop))?;
        if cursor.next == before {
            return Err(self.broken(cursor.partition, &"the broker shows nothing below its high watermark"));
        }
        if cursor.next >= stop { self.close(cursor).await } else { Ok(()) }
    }

    fn pass_over(&self, cursor: &mut Cursor, to: u64) -> Result<(), BackupError> {
        if to <= cursor.next {
            return Ok(());
        }
        if cursor.open.is_empty() {
            cursor.open_from = cursor.next;
        }
        let empty = chunk::empty_batches(cursor.next, to);
        for batch in empty.map_err(|error| self.broken(cursor.partition, &error))? {
            cursor.open.extend_from_slice(&batch);
        }
        cursor.next = to;
        Ok(())
    }

    /// What to do about offsets that the broker cannot give.
    async fn go_round(&self, cursor: &mut Cursor, error: &ClientError) -> Result<(), BackupError> {
        let fact = |name: &str| error.metadata.get(name).and_then(|value| value.parse::<u64>().ok());
        match (error.code, fact("start"), fact("end")) {
            // Retention has passed us: what is copied so far is no longer the topic's.
            (ErrorCode::OffsetOutOfRange, Some(start), _) if start > cursor.next => {
                *cursor = Cursor::new(cursor.partition, start, cursor.end.max(start));
                Ok(())
            }
            (ErrorCode::CorruptData, Some(start), Some(end))
                if end > cursor.next && self.options.skip_damaged =>
            {
                self.close(cursor).await?;
                let end_offset = end.min(cursor.end);
                tracing::warn!(start, end, "passing over a damaged range");
                cursor.damaged.push(OffsetSpan { first_offset: cursor.next, end_offset });
                cursor.next = end_offset;
                Ok(())
            }
            (ErrorCode::CorruptData, Some(first), Some(end)) => Err(BackupError::SourceDamaged {
                topic: self.topic.name.clone(),
                partition: i32::try_from(cursor.partition).unwrap_or(i32::MAX),
                first,
                last: end.saturating_sub(1),
            }),
            _ => Err(error.clone().into()),
        }
    }

    async fn close(&self, cursor: &mut Cursor) -> Result<(), BackupError> {
        if cursor.open.is_empty() {
            return Ok(());
        }
        let name = ChunkName {
            topic_id: self.topic.id.clone(),
            partition: cursor.partition,
            first_offset: cursor.open_from,
            end_offset: cursor.next,
            sha256: String::new(),
        };
        let plain = cursor.open.split().freeze();
        cursor.chunks.push(chunk::write(self.store, name, plain, self.key).await?);
        Ok(())
    }

    /// Takes over a chunk that begins where the cursor is, if one is there and sound.
    async fn reuse(&mut self, cursor: &mut Cursor) -> Result<bool, BackupError> {
        let Some(candidates) = self.reusable(cursor).and_then(|present| present.get(&cursor.next)) else {
            return Ok(false);
        };
        for name in candidates.iter().filter(|name| name.end_offset <= cursor.end) {
            // A damaged one, or one under another key, is made again.
            if let Ok((_, entry)) = chunk::read(self.store, name, self.key).await {
                (self.progress)(Step::Bytes(entry.bytes));
                self.reused_bytes += entry.bytes;
                cursor.next = entry.end_offset;
                cursor.chunks.push(entry);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where a chunk begins that is there already.
    fn next_present(&self, cursor: &Cursor) -> Option<u64> {
        let after = self.reusable(cursor)?.range(cursor.next + 1..cursor.end);
        after.map(|(first, _)| *first).next()
    }

    /// Compaction changes records that are there; elsewhere what lies between two offsets stays as it is.
    fn reusable(&self, cursor: &Cursor) -> Option<&std::collections::BTreeMap<u64, Vec<ChunkName>>> {
        let policy = self
            .topic
            .options
            .as_ref()
            .map_or(pb::CleanupPolicy::Unspecified, pb::TopicOptions::cleanup_policy);
        match policy {
            pb::CleanupPolicy::Unspecified | pb::CleanupPolicy::Delete => {
                self.present.of(&self.topic.id, cursor.partition)
            }
            pb::CleanupPolicy::Compact | pb::CleanupPolicy::CompactDelete => None,
        }
    }

    fn broken(&self, partition: u32, reason: &dyn std::fmt::Display) -> BackupError {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        BackupError::Broken { topic: self.topic.name.clone(), partition, reason: reason.to_string() }
    }
}

impl Cursor {
    fn new(partition: u32, low: u64, high: u64) -> Self {
        Self {
            partition,
            next: low,
            end: high,
            low_watermark: low,
            chunks: Vec::new(),
            damaged: Vec::new(),
            open: BytesMut::new(),
            open_from: low,
        }
    }

    fn is_at_start(&self) -> bool {
        self.next == self.low_watermark
    }

    fn into_backup(self) -> PartitionBackup {
        let first = self.chunks.first().map_or(self.low_watermark, |chunk| chunk.first_offset);
        PartitionBackup {
            partition: self.partition,
            low_watermark: self.low_watermark,
            first_offset: first.min(self.low_watermark),
            end_offset: self.next,
            chunks: self.chunks,
            damaged: self.damaged,
        }
    }
}
