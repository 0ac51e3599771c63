//! `<data>/cluster/committed`: how far each log of this node was known to be committed. After a restart a replica that leads with
//! too few others shows that much at once, and one that follows never cuts it off, whatever its leader has lost. (Kafka's
//! `replication-offset-checkpoint`.)
//!
//! Lines `topic partition offset` ([`super::lines`]), written every few seconds where something has changed, and at a clean
//! stop. An old one is right as well: what was committed stays so.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flymq_replication::{ReplicaKey, ReplicaSet};
use flymq_types::{Offset, PartitionId};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::lines::Kind;

const FILE: Kind =
    Kind { name: "committed", header: "flymq-committed 1", what: "what is known to be committed" };
/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// What the last run knew; nothing where the file is missing or damaged.
pub(super) fn load(dir: &Path) -> HashMap<ReplicaKey, Offset> {
    let known = |line: &str| {
        let mut parts = line.split(' ');
        let topic = parts.next()?.parse().ok()?;
        let partition = PartitionId(parts.next()?.parse().ok()?);
        let offset = Offset(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some((ReplicaKey { topic, partition }, offset))
    };
    FILE.load(dir, known).into_iter().collect()
}

fn store(dir: &Path, known: &BTreeMap<ReplicaKey, Offset>) -> std::io::Result<()> {
    FILE.store(dir, known.iter().map(|(key, offset)| format!("{} {} {offset}", key.topic, key.partition)))
}

/// Keeps the file until `stop`, and writes it a last time then. The logs are open.
pub(super) async fn keep(dir: PathBuf, replicas: Arc<ReplicaSet>, stop: CancellationToken) {
    let mut written = BTreeMap::new();
    loop {
        let last = stop.is_cancelled();
        let known = replicas.committed();
        if known != written {
            let (place, lines) = (dir.clone(), known.clone());
            match tokio::task::spawn_blocking(move || store(&place, &lines)).await {
                Ok(Ok(())) => written = known,
                Ok(Err(error)) => warn!(%error, "what is known to be committed could not be written down"),
                Err(_) => return,
            }
        }
        if last {
            return;
        }
        stop.run_until_cancelled(sleep(EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use flymq_types::TopicId;

    use super::*;

    #[test]
    fn what_is_known_comes_back() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(load(dir.path()).is_empty());
        let key =
            |n: u8| ReplicaKey { topic: TopicId::from_bytes([n; 16]), partition: PartitionId(n.into()) };
        let known = BTreeMap::from([(key(1), Offset(0)), (key(2), Offset(u64::MAX))]);
        store(dir.path(), &known).expect("stored");
        assert_eq!(load(dir.path()).into_iter().collect::<BTreeMap<_, _>>(), known);
    }
}
