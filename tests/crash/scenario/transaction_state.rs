//! How far a transaction is, as the files of a broker say, whether it runs or not.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use flymq_client::{Client, pb};
use flymq_storage::{
    RealDisk,
    inspect::{Inspector, PayloadState},
};

use crate::transactions;

/// What the disk says of one transaction, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Places that the coordinator has noted.
    Ongoing {
        places: u64,
    },
    /// Partitions whose marker is written, beside that of the group.
    Prepare {
        markers: u64,
    },
    Complete,
}

impl State {
    /// From here on the outcome is fixed.
    pub const PREPARED: Self = Self::Prepare { markers: 0 };

    /// All of them, of a transaction that writes in so many partitions and commits offsets of one group.
    pub fn all(partitions: u64) -> Vec<Self> {
        let ongoing = (0..=partitions + 1).map(|places| Self::Ongoing { places });
        let prepare = (0..=partitions).map(|markers| Self::Prepare { markers });
        ongoing.chain(prepare).chain([Self::Complete]).collect()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ongoing { places: 0 } => f.write_str("begun"),
            Self::Ongoing { places } => write!(f, "{places} places added"),
            Self::Prepare { markers: 0 } => f.write_str("prepared"),
            Self::Prepare { markers } => write!(f, "{markers} markers"),
            Self::Complete => f.write_str("completed"),
        }
    }
}

/// Where a transactional id has its record, and its transactions their markers.
#[derive(Debug)]
pub struct Place {
    /// Partitions.
    coordinator: Vec<PathBuf>,
    /// Topics.
    data: Vec<PathBuf>,
}

/// What was there at one moment.
#[derive(Debug)]
pub struct Before {
    markers: u64,
}

impl Place {
    /// Of the id of [`transactions::Steps`].
    pub async fn find(client: &Client, data: &Path) -> Self {
        let mut topics = Vec::new();
        for name in transactions::topics().chain(["__transactions"]) {
            let request = pb::GetMetadataRequest { topics: vec![name.to_owned()], internal: true };
            let answer: pb::GetMetadataResponse =
                client.call("GetMetadata", &request).await.expect("the topic is there");
            topics.push(data.join("topics").join(&answer.topics[0].topic_id));
        }
        let coordinator = list(&topics.pop().expect("the last one"));
        let kept = |partition: &PathBuf| !records_of(std::slice::from_ref(partition)).is_empty();
        let coordinator: Vec<_> = coordinator.into_iter().filter(kept).collect();
        assert_eq!(coordinator.len(), 1, "one partition keeps the id");
        Self { coordinator, data: topics }
    }

    pub fn look(&self) -> Before {
        Before { markers: markers(&self.data) }
    }

    /// The state of the transaction that was begun since; none where its record is not there yet.
    pub fn since(&self, before: &Before) -> Option<State> {
        let records = records_of(&self.coordinator);
        let (phase, places) = phase_of(records.last()?)?;
        match phase {
            2 => Some(State::Ongoing { places }),
            3 | 4 => Some(State::Prepare { markers: markers(&self.data) - before.markers }),
            5 | 6 => Some(State::Complete),
            _ => None,
        }
    }
}

/// What lies in a directory: nothing where it is not there yet, as before the first record.
fn list(dir: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", dir.display()),
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// Segments that are whole so far, each batch of them.
fn batches(partition: &Path, mut each: impl FnMut(&[&'static str], &[(Vec<u8>, Vec<u8>)])) {
    let segments =
        list(partition).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    for segment in segments {
        let Ok(inspector) = Inspector::open(Arc::new(RealDisk), &segment, None) else { continue };
        // A tail that is being written is looked at next time.
        let _ = inspector.batches(true, |batch, records| {
            let whole = batch.payload == PayloadState::Good;
            let pairs = records.iter().filter(|_| whole).flat_map(|records| records.iter());
            let bytes = |field: Option<&[u8]>| field.unwrap_or_default().to_vec();
            let pairs: Vec<_> =
                pairs.flatten().map(|record| (bytes(record.key), bytes(record.value))).collect();
            if whole {
                each(&batch.flags, &pairs);
            }
            whole
        });
    }
}

/// The states of the id that stand there, in order: see `server/engine/src/transactions/record.rs`.
fn records_of(coordinator: &[PathBuf]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for partition in coordinator {
        batches(partition, |_, records| {
            let ours =
                records.iter().filter(|(key, _)| key.get(2..) == Some(transactions::STEPS_ID.as_bytes()));
            found.extend(ours.map(|(_, value)| value.clone()));
        });
    }
    found
}

fn markers(data: &[PathBuf]) -> u64 {
    let mut count = 0;
    for partition in data.iter().flat_map(|topic| list(topic)) {
        batches(&partition, |flags, _| count += u64::from(flags.contains(&"control")));
    }
    count
}

/// Phase and number of places of a record of version 1.
fn phase_of(record: &[u8]) -> Option<(u8, u64)> {
    const ENDED_AT: usize = 1 + 1 + 8 + 2 + 4 + 8 + 8;
    let phase = *record.get(1)?;
    let mut rest = record.get(ENDED_AT..)?;
    rest = if rest[0] == 0 { &rest[1..] } else { rest.get(1 + 8 + 2..)? };
    let number = |bytes: &[u8]| Some(u64::from(u32::from_le_bytes(*bytes.first_chunk()?)));
    let partitions = number(rest)?;
    rest = &rest[4..];
    for _ in 0..partitions {
        let name = u16::from_le_bytes(*rest.get(16..)?.first_chunk()?);
        rest = rest.get(16 + 2 + usize::from(name) + 4..)?;
    }
    Some((phase, partitions + number(rest)?))
}
