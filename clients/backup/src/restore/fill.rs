//! One topic's way back.

use bytes::{Bytes, BytesMut};
use flymq_client::{Client, ClientError, ErrorCode, pb};
use flymq_wire::batch::BatchSlices;
use serde_json::{Value, json};

use crate::{
    BackupError, BackupKey, ChunkEntry, OffsetSpan, PartitionBackup, Progress, Step, Store, chunk,
    select::Selected,
};

/// Bytes of batches in one request; a single batch may be larger.
const REQUEST_BYTES: usize = 1 << 20;
/// How often a partition is begun again where the broker lost its newest records in a crash.
const ROUNDS: usize = 5;

pub(super) struct Fill<'a> {
    pub client: &'a Client,
    pub store: &'a dyn Store,
    pub key: Option<&'a BackupKey>,
    pub progress: Progress<'a>,
    pub selected: Selected<'a>,
    /// The id of this restore.
    pub backup: String,
}

/// What comes next in a partition.
enum Piece<'a> {
    Chunk(&'a ChunkEntry),
    /// Records that the backup does not have.
    Hole(OffsetSpan),
}

impl Fill<'_> {
    /// Makes the topic, with as many replicas as it had if `nodes` can hold them.
    pub async fn make(&self, nodes: i32) -> Result<(), BackupError> {
        let topic = self.selected.topic;
        let mut options = topic.settings.clone();
        let replicas = options.get("replication_factor").and_then(Value::as_i64);
        if replicas.is_some_and(|replicas| replicas > i64::from(nodes)) {
            options.remove("replication_factor");
            options.remove("min_insync_replicas");
        }
        if topic.name != self.selected.target
            && let Some(letters) = options.get_mut("dead_letters").and_then(Value::as_object_mut)
        {
            // They are named after the topic, or are the other one's: two topics do not share them.
            letters.remove("topic");
        }
        options.insert("partitions".to_owned(), json!(topic.partitions.len()));
        let first_offsets: Vec<_> = topic.partitions.iter().map(|partition| partition.first_offset).collect();
        let request = json!({
            "name": self.selected.target,
            "options": options,
            "restore": {"backup_id": self.backup, "first_offsets": first_offsets},
        });
        let made = self.client.call_json("CreateTopic", &request.to_string()).await;
        match made {
            Ok(_) => Ok(()),
            // A live producer may have been quicker, where topics are made by themselves.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => {
                Err(BackupError::TopicExists { topic: self.selected.target.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Brings all records back, beginning where an earlier run ended.
    pub async fn records(&self) -> Result<(), BackupError> {
        let topic = self.selected.topic;
        (self.progress)(Step::Topic { name: self.selected.target, bytes: topic.bytes() });
        for partition in &topic.partitions {
            self.whole_partition(partition).await?;
        }
        Ok(())
    }

    async fn whole_partition(&self, partition: &PartitionBackup) -> Result<(), BackupError> {
        for _ in 1..ROUNDS {
            match self.partition(partition).await {
                Err(BackupError::Broker(error)) if error.code == ErrorCode::OffsetOutOfRange => {}
                result => return result,
            }
        }
        self.partition(partition).await
    }

    async fn partition(&self, partition: &PartitionBackup) -> Result<(), BackupError> {
        let end = self.log_end(partition).await?;
        for piece in pieces(partition) {
            match piece {
                Piece::Chunk(entry) if entry.end_offset <= end => (self.progress)(Step::Bytes(entry.bytes)),
                Piece::Chunk(entry) => self.chunk(partition, entry, end).await?,
                Piece::Hole(span) if span.end_offset <= end => {}
                Piece::Hole(span) => self.hole(partition, span).await?,
            }
        }
        Ok(())
    }

    async fn log_end(&self, partition: &PartitionBackup) -> Result<u64, BackupError> {
        let topic = self.client.topic(self.selected.target).await?;
        let found =
            topic.partitions.iter().find(|found| u32::try_from(found.partition) == Ok(partition.partition));
        let end = found.map(|found| found.log_end_offset);
        end.ok_or_else(|| self.broken(partition, &"the broker does not have this partition"))
    }

    /// Sends the batches of a chunk that end behind `end`.
    async fn chunk(
        &self,
        partition: &PartitionBackup,
        entry: &ChunkEntry,
        end: u64,
    ) -> Result<(), BackupError> {
        let name =
            entry.name().ok_or_else(|| BackupError::damaged(&entry.file, "its name is none of ours"))?;
        // Verified again: what is sent is what was read just now.
        let (plain, _) = chunk::read(self.store, &name, self.key).await?;
        let mut run = BytesMut::new();
        for slice in BatchSlices::new(plain) {
            let (header, bytes) = slice.map_err(|error| BackupError::damaged(&name, error))?;
            if header.next_offset() <= end {
                continue;
            }
            if !run.is_empty() && run.len() + bytes.len() > REQUEST_BYTES {
                self.send(partition, run.split().freeze()).await?;
            }
            run.extend_from_slice(&bytes);
        }
        if !run.is_empty() {
            self.send(partition, run.freeze()).await?;
        }
        (self.progress)(Step::Bytes(entry.bytes));
        Ok(())
    }

    /// Offsets without records, so that those behind them keep theirs.
    async fn hole(&self, partition: &PartitionBackup, span: OffsetSpan) -> Result<(), BackupError> {
        let batches = chunk::empty_batches(span.first_offset, span.end_offset);
        for batch in batches.map_err(|error| self.broken(partition, &error))? {
            self.send(partition, batch).await?;
        }
        Ok(())
    }

    async fn send(&self, partition: &PartitionBackup, batches: Bytes) -> Result<(), ClientError> {
        let request = pb::RestoreRecordsRequest {
            topic: self.selected.target.to_owned(),
            partition: i32::try_from(partition.partition).unwrap_or(i32::MAX),
            backup_id: self.backup.clone(),
            batches,
        };
        self.client.call::<_, pb::RestoreRecordsResponse>("RestoreRecords", &request).await.map(drop)
    }

    /// Checks that all is there, and opens the topic.
    pub async fn finish(&self) -> Result<(), BackupError> {
        for partition in &self.selected.topic.partitions {
            let end = self.log_end(partition).await?;
            if end != partition.end_offset {
                let reason =
                    format!("it ends at offset {end}, not {}: run the restore again", partition.end_offset);
                return Err(self.broken(partition, &reason));
            }
            if partition.low_watermark > partition.first_offset {
                self.raise_low_watermark(partition).await?;
            }
        }
        let (topic, backup_id) = (self.selected.target.to_owned(), self.backup.clone());
        let request = pb::FinishRestoreRequest { topic, backup_id };
        self.client.call::<_, pb::FinishRestoreResponse>("FinishRestore", &request).await?;
        Ok(())
    }

    /// Records that had been deleted out of the middle of a batch stay deleted.
    async fn raise_low_watermark(&self, partition: &PartitionBackup) -> Result<(), BackupError> {
        let request = pb::DeleteRecordsRequest {
            topic: self.selected.target.to_owned(),
            partition: i32::try_from(partition.partition).unwrap_or(i32::MAX),
            before_offset: partition.low_watermark,
        };
        self.client.call::<_, pb::DeleteRecordsResponse>("DeleteRecords", &request).await?;
        Ok(())
    }

    fn broken(&self, partition: &PartitionBackup, reason: &dyn std::fmt::Display) -> BackupError {
        BackupError::Broken {
            topic: self.selected.target.to_owned(),
            partition: i32::try_from(partition.partition).unwrap_or(i32::MAX),
            reason: reason.to_string(),
        }
    }
}

/// Chunks and holes in order of offset.
fn pieces(partition: &PartitionBackup) -> Vec<Piece<'_>> {
    let first = |piece: &Piece<'_>| match piece {
        Piece::Chunk(entry) => entry.first_offset,
        Piece::Hole(span) => span.first_offset,
    };
    let holes = partition.damaged.iter().copied().map(Piece::Hole);
    let mut pieces: Vec<_> = partition.chunks.iter().map(Piece::Chunk).chain(holes).collect();
    pieces.sort_by_key(first);
    pieces
}
