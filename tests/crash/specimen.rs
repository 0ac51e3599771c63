//! A data directory with known contents, to be injured again and again.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use flymq_client::{Acks, Client, FetchSpec, NewMessage};
use flymq_wire::batch::{BatchHeader, HEADER_LEN};

use crate::{
    broker::{Launch, Process},
    load, read_back,
};

/// Topics of one partition each.
pub const TOPICS: usize = 32;
pub const BATCHES: u64 = 60;
pub const PER_BATCH: u64 = 3;
/// Records of each topic.
pub const RECORDS: u64 = BATCHES * PER_BATCH;
/// Three or four segments a topic.
const SEGMENT_BYTES: &str = "64KiB";
/// Before a segment's first batch.
const SEGMENT_HEADER_BYTES: usize = 4096;

pub const GROUP: &str = "specimen";

/// The directory, and where a broker may have a copy.
pub struct Specimen {
    home: PathBuf,
    work: PathBuf,
    /// Directory of each topic's partition, relative.
    logs: Vec<PathBuf>,
}

pub fn topic(i: usize) -> String {
    format!("topic-{i:02}")
}

/// What offset `n` of topic `i` holds.
pub fn value(i: usize, n: u64) -> String {
    load::padded(&format!("{i}/0/{n}"))
}

/// What a reader got of one topic.
#[derive(Debug, Default)]
pub struct Seen {
    pub served: BTreeMap<u64, Vec<u8>>,
    /// Ranges that were refused as damaged.
    pub refused: Vec<Range<u64>>,
    pub end: u64,
}

impl Specimen {
    pub async fn make(dir: &Path) -> Self {
        let (home, work) = (dir.join("home"), dir.join("work"));
        let broker = Launch::new(&home).with("SEGMENT_BYTES", SEGMENT_BYTES).start();
        let client = load::connect(&broker.native).await;
        let mut logs = Vec::new();
        for i in 0..TOPICS {
            let made = client.create_topic(&topic(i), 1).await.expect("created");
            logs.push(Path::new("topics").join(&made.id).join("0"));
            for batch in 0..BATCHES {
                let numbers = batch * PER_BATCH..(batch + 1) * PER_BATCH;
                let messages = numbers.map(|n| NewMessage::value(value(i, n)).to_partition(0)).collect();
                client.produce_batch(&topic(i), messages, Acks::Leader).await.expect("stored");
            }
        }
        let commit = flymq_client::pb::PartitionOffset {
            topic: topic(0),
            offset: RECORDS,
            ..flymq_client::pb::PartitionOffset::default()
        };
        client.commit(GROUP, vec![commit]).await.expect("committed");
        drop(client);
        // In order, so that every durable mark stands where the data ends.
        broker.stop();
        Self { home, work, logs }
    }

    /// A fresh copy.
    pub fn restore(&self) {
        // Missing before the first copy.
        let _ = std::fs::remove_dir_all(&self.work);
        copy(&self.home, &self.work);
    }

    pub fn launch(&self) -> Launch {
        Launch::new(&self.work).with("SEGMENT_BYTES", SEGMENT_BYTES)
    }

    /// A file of the copy.
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.work.join(relative)
    }

    /// The files of a topic's partition, relative, in order.
    pub fn files(&self, i: usize) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home.join(&self.logs[i])).expect("the log is there");
        let mut files: Vec<_> =
            entries.map(|entry| self.logs[i].join(entry.expect("readable").file_name())).collect();
        files.sort();
        files
    }

    pub fn bytes(&self, relative: &Path) -> Vec<u8> {
        std::fs::read(self.home.join(relative)).expect("the file is there")
    }

    /// The batches of a segment file: bytes and offsets.
    pub fn batches(&self, segment: &Path) -> Vec<(Range<usize>, Range<u64>)> {
        let bytes = self.bytes(segment);
        let (mut at, mut found) = (SEGMENT_HEADER_BYTES, Vec::new());
        while let Some(head) = bytes.get(at..at + HEADER_LEN) {
            let Ok(header) = BatchHeader::parse(head) else { break };
            let end = at + header.batch_len();
            found.push((at..end, header.server.base_offset..header.next_offset()));
            at = end;
        }
        found
    }
}

impl Seen {
    /// Reads a topic from start to end, going on behind what is refused.
    pub async fn read(client: &Client, i: usize) -> Self {
        let described = client.topic(&topic(i)).await.expect("the topic is there");
        let end = described.partitions[0].log_end_offset;
        let mut seen = Self { end, ..Self::default() };
        let mut spec = FetchSpec::new(topic(i), 0, 0);
        spec.max_messages = 10_000;
        spec.max_bytes = 1 << 20;
        spec.max_wait = Duration::from_millis(500);
        while spec.offset < end {
            match client.fetch(&spec).await {
                Ok(page) => {
                    assert!(
                        page.next_offset > spec.offset,
                        "{}: nothing at {} of {end}",
                        topic(i),
                        spec.offset
                    );
                    seen.served.extend(page.messages.iter().map(|m| (m.offset, m.value.to_vec())));
                    spec.offset = page.next_offset;
                }
                Err(error) => {
                    let (start, to) = read_back::damaged(&error)
                        .unwrap_or_else(|| panic!("{} at {}: {error}", topic(i), spec.offset));
                    assert!((start..to).contains(&spec.offset), "{start}..{to} is not where {}", spec.offset);
                    seen.refused.push(spec.offset..to);
                    spec.offset = to;
                }
            }
        }
        seen
    }

    /// Offsets that were served with other bytes than were sent.
    pub fn wrong(&self, i: usize) -> Vec<u64> {
        let wrong = |(n, bytes): (&u64, &Vec<u8>)| (value(i, *n).as_bytes() != bytes).then_some(*n);
        self.served.iter().filter(|(n, _)| **n < RECORDS).filter_map(wrong).collect()
    }

    /// Every refused offset.
    pub fn refused_offsets(&self) -> Vec<u64> {
        self.refused.iter().cloned().flatten().filter(|n| *n < RECORDS).collect()
    }
}

/// Starts the broker over the copy.
pub fn boot(specimen: &Specimen) -> Result<Process, crate::broker::Refusal> {
    specimen.launch().try_start()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
