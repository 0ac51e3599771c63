//! What is there: by asking, and on the disks.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flymq_client::{Client, FetchSpec, pb};
use flymq_storage::{
    Disk, RealDisk,
    inspect::{BatchReport, Inspector, PayloadState},
};
use flymq_wire::batch::Records;
use tokio::time::Instant;

use crate::{
    history::{History, Op, Phase},
    load::{PARTITIONS, TOPIC, value_of},
};

/// The client number of these events.
const READER: u32 = 0;
/// By then a cluster that nothing troubles any more is whole.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until every partition has a leader, all three replicas are in sync, and nothing is on its way.
pub async fn whole(client: &Client) -> Duration {
    let began = Instant::now();
    loop {
        let state = state(client).await;
        match state {
            Ok(()) => return began.elapsed(),
            Err(why) => assert!(began.elapsed() < DEADLINE, "the cluster does not become whole: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// As [`whole`], of one topic, which may be an internal one.
pub async fn whole_topic(client: &Client, topic: &str) {
    let began = Instant::now();
    let request = pb::GetMetadataRequest { topics: vec![topic.to_owned()], internal: true };
    loop {
        let answer = client.call::<_, pb::GetMetadataResponse>("GetMetadata", &request).await;
        let partitions =
            answer.map(|answer| answer.topics.into_iter().flat_map(|topic| topic.partitions).collect());
        match partitions.map_err(|error| error.to_string()).and_then(in_sync) {
            Ok(()) => return,
            Err(why) => assert!(began.elapsed() < DEADLINE, "{topic} does not become whole: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn state(client: &Client) -> Result<(), String> {
    in_sync(metadata(client).await?.partitions)
}

fn in_sync(partitions: Vec<pb::PartitionMetadata>) -> Result<(), String> {
    for partition in partitions {
        let all_in_sync = partition.replicas.iter().all(|replica| partition.isr.contains(replica));
        if partition.leader.is_empty() || partition.replicas.len() != 3 || !all_in_sync {
            return Err(format!("{partition:?}"));
        }
    }
    Ok(())
}

/// The topic's partitions with their leaders.
pub async fn metadata(client: &Client) -> Result<pb::TopicMetadata, String> {
    metadata_of(client, TOPIC).await
}

/// A topic's partitions with their leaders.
pub async fn metadata_of(client: &Client, topic: &str) -> Result<pb::TopicMetadata, String> {
    let request = pb::GetMetadataRequest { topics: vec![topic.to_owned()], internal: false };
    let answer: pb::GetMetadataResponse =
        client.call("GetMetadata", &request).await.map_err(|error| error.to_string())?;
    answer.topics.into_iter().next().ok_or_else(|| "no such topic".to_owned())
}

/// Reads every partition to its end.
pub async fn everything(client: &Client, history: &Arc<History>) {
    for partition in 0..PARTITIONS {
        let end = latest(client, partition).await;
        let mut spec = FetchSpec::new(TOPIC, partition, 0);
        (spec.max_messages, spec.max_bytes) = (100_000, 8 << 20);
        let give_up = Instant::now() + DEADLINE;
        while spec.offset < end {
            assert!(Instant::now() < give_up, "{partition}: nothing readable at {} of {end}", spec.offset);
            let Ok(page) = client.fetch(&spec).await else { continue };
            for message in &page.messages {
                let value = value_of(&message.value);
                history.add(READER, Phase::Ok, Op::Read { partition, offset: message.offset, value });
            }
            spec.offset = page.next_offset;
        }
        history.add(READER, Phase::Ok, Op::End { partition, offset: spec.offset });
    }
}

async fn latest(client: &Client, partition: i32) -> u64 {
    let request = pb::GetStartOffsetRequest {
        topic: TOPIC.to_owned(),
        partition,
        from: pb::StartFrom::Latest.into(),
        ..pb::GetStartOffsetRequest::default()
    };
    let give_up = Instant::now() + DEADLINE;
    loop {
        match client.call::<_, pb::GetStartOffsetResponse>("GetStartOffset", &request).await {
            Ok(answer) => return answer.offset,
            Err(error) => assert!(Instant::now() < give_up, "{partition}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One batch as it lies on a disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    partition: String,
    offsets: (u64, u64),
    epoch: u32,
    append_time_ms: i64,
    /// Of the records' values: a long run has more than fit in memory.
    values: u64,
}

impl Stored {
    /// In its partition, the time of appending does not go back.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        self.partition != next.partition || self.append_time_ms <= next.append_time_ms
    }
}

/// All batches of the topic in the data directory of a node that is down.
pub fn stored(data: &Path, topic_id: &str) -> Vec<Stored> {
    let topic = data.join("topics").join(topic_id);
    let mut partitions: Vec<_> = list(&topic);
    partitions.sort();
    let mut all = Vec::new();
    for partition in partitions {
        let mut segments = list(&partition);
        segments.retain(|path| path.extension().is_some_and(|kind| kind == "log"));
        segments.sort();
        for segment in segments {
            let name = partition.file_name().expect("named").to_string_lossy().into_owned();
            all.extend(batches(&segment, &name));
        }
    }
    all
}

fn batches(segment: &Path, partition: &str) -> Vec<Stored> {
    let mut found = Vec::new();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let inspector = Inspector::open(disk, segment, None).expect("a segment can be inspected");
    let report = inspector.batches(true, |batch, records| {
        found.push(one(partition, &batch, records.as_ref()));
        true
    });
    assert!(!report.expect("read").is_damaged(), "{} is damaged", segment.display());
    found
}

fn one(partition: &str, batch: &BatchReport, records: Option<&Records>) -> Stored {
    let mut values = DefaultHasher::new();
    for record in records.into_iter().flat_map(Records::iter) {
        record.expect("a whole record").value.unwrap_or_default().hash(&mut values);
    }
    Stored {
        partition: partition.to_owned(),
        offsets: (batch.base_offset, batch.last_offset),
        epoch: batch.leader_epoch,
        append_time_ms: batch.append_time_ms,
        values: values.finish(),
    }
}

/// The batch with this offset in a partition's directory, also of a node that runs; none where it is not there, or not
/// whole.
pub fn batch_at(partition: &Path, offset: u64) -> Option<Stored> {
    let base = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let files = std::fs::read_dir(partition).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let segments = files.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let segment = segments.filter(|path| base(path).is_some_and(|base| base <= offset)).max_by_key(base)?;
    let inspector = Inspector::open(Arc::new(RealDisk), &segment, None).ok()?;
    let mut found = None;
    // A file that vanishes meanwhile is looked for again.
    let _ = inspector.batches(true, |batch, records| {
        if (batch.base_offset..=batch.last_offset).contains(&offset) && batch.payload == PayloadState::Good {
            found = Some(one("", &batch, records.as_ref()));
        }
        batch.last_offset < offset
    });
    found
}

/// The batch that lies at this place of a segment file.
pub fn offset_at(segment: &Path, position: u64) -> Option<u64> {
    let inspector = Inspector::open(Arc::new(RealDisk), segment, None).ok()?;
    let mut found = None;
    let _ = inspector.batches(false, |batch, _| {
        if (batch.position..batch.position + batch.bytes as u64).contains(&position) {
            found = Some(batch.base_offset);
        }
        found.is_none()
    });
    found
}

pub fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("readable").path()).collect()
}
