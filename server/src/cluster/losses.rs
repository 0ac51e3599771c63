//! `<data>/cluster/logs`: which logs this node has. One that is listed and gone at the next start was lost with what it had
//! acknowledged. Where this node was the last one in sync it must not lead: an empty log in its place would have the others
//! cut theirs to nothing.
//!
//! Lines `topic partition` ([`super::lines`]), written when the logs have changed, and at a clean stop. A new log is missing in it for half a second:
//! where the node is killed within it, the loss of the log's directory is not noticed.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use flymq_engine::meta::{MetaImage, MetaVersion, PartitionMeta, TopicPartition};
use flymq_replication::{Behind, ReplicaSet};
use flymq_storage::DataDir;
use flymq_types::{NodeId, PartitionId, TopicId, TopicName};
use tokio::{sync::watch, task::JoinError, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{identity, lines::Kind, member::Member};
use crate::StartError;

const FILE: Kind = Kind { name: "logs", header: "flymq-logs 1", what: "the list of this node's logs" };
/// How often it looks. Changes within that time are taken together.
const SETTLE: Duration = Duration::from_millis(500);

type Logs = BTreeSet<(TopicId, PartitionId)>;

/// Looks for listed logs that are gone. The engine has not opened any yet; this node is registered, and fenced: it is in
/// sync only where it was the last one that was.
///
/// # Errors
/// It was the last one in sync, or is eligible to lead, of a partition whose log is gone. Nothing was changed.
pub(super) fn check(member: &Member, data: &DataDir) -> Result<(), StartError> {
    let failed = |reason: String| StartError::Recovery { path: data.path().to_owned(), reason };
    let present = present(data).map_err(failed)?;
    let listed = load(&identity::directory(data.path()));
    let gone: Logs = listed.difference(&present).copied().collect();
    let image = member.image();
    let mut kept = kept_here(&image, &member.node).filter(|(log, ..)| gone.contains(log));
    kept.try_for_each(|((id, number), topic, partition)| {
        if partition.replicas.len() == 1 {
            error!(%topic, partition = %number, "the log of a partition is gone, and no other node keeps it: it begins anew");
            return Ok(());
        }
        if partition.elr.contains(&member.node) {
            return Err(failed(format!(
                "topics/{id}/{number} is gone, the log of partition {number} of topic {topic}, and this node may come to lead it: fewer nodes are in \
                 sync than have to be, and it had every committed record. Nothing was changed. Restore that directory from a backup of this node, or start \
                 with an empty data directory, as another replica"
            )));
        }
        if !partition.isr.contains(&member.node) {
            warn!(%topic, partition = %number, "the log of a partition is gone: it is fetched anew from the others");
            return Ok(());
        }
        Err(failed(format!(
            "topics/{id}/{number} is gone, the log of partition {number} of topic {topic}, and no other node was in sync when this one stopped: \
             with an empty log it would have the others delete what they have. Nothing was changed. Restore that directory from a backup of this node"
        )))
    })
}

/// Looks for logs that end before what this node's last run knew to be committed. The engine has opened them; this node is
/// fenced.
///
/// # Errors
/// As [`check`].
pub(super) fn check_ends(member: &Member, data: &DataDir, replicas: &ReplicaSet) -> Result<(), StartError> {
    let image = member.image();
    replicas.behind().into_iter().try_for_each(|Behind { at, end, committed }| {
        let TopicPartition { topic: id, name: topic, partition: number } = &at;
        let Ok(partition) = image.partition(&at) else { return Ok(()) };
        if !partition.isr.contains(&member.node) && !partition.elr.contains(&member.node) {
            warn!(%topic, partition = %number, %end, %committed, "an older copy lies in place of a log: what it lacks is fetched from the others");
            return Ok(());
        }
        Err(StartError::Recovery {
            path: data.path().to_owned(),
            reason: format!(
                "topics/{id}/{number}, the log of partition {number} of topic {topic}, ends at {end}, and this node knew everything below {committed} to be \
                 committed: an older copy lies in its place, and as a leader it would have the others forget what they have. No record was changed. Put the newest \
                 one back, or start with an empty data directory, as another replica"
            ),
        })
    })
}

type Kept<'a> = ((TopicId, PartitionId), &'a TopicName, &'a PartitionMeta);

/// The partitions that this node keeps, as the metadata has it.
fn kept_here<'a>(image: &'a MetaImage, node: &'a NodeId) -> impl Iterator<Item = Kept<'a>> {
    let all = image.topics.values().flat_map(|topic| {
        let numbered = (0..).map(PartitionId).zip(&topic.partitions);
        numbered.map(move |(number, partition)| ((topic.id, number), &topic.name, &**partition))
    });
    all.filter(|(_, _, partition)| partition.replicas.contains(node))
}

fn present(data: &DataDir) -> Result<Logs, String> {
    data.logs().map(|logs| logs.into_iter().collect()).map_err(|error| error.to_string())
}

/// Keeps the list until `stop`, and writes it a last time then. `followed`: the metadata whose logs are open.
pub(super) async fn keep(
    data: Arc<DataDir>,
    followed: watch::Receiver<MetaVersion>,
    stop: CancellationToken,
) {
    let mut known = load(&identity::directory(data.path()));
    let mut seen = None;
    loop {
        let last = stop.is_cancelled();
        // A log gets its directory with its first batch or epoch, which may be long after the topic was made.
        let now = (*followed.borrow(), data.logs_created());
        if seen.replace(now) != Some(now) {
            match write(data.clone(), known.clone()).await {
                Ok(Ok(now)) => known = now,
                Ok(Err(reason)) => warn!(reason, "the list of this node's logs could not be written"),
                Err(_) => return,
            }
        }
        if last {
            return;
        }
        stop.run_until_cancelled(sleep(SETTLE)).await;
    }
}

/// Writes the list if it is not as it was `before`.
async fn write(data: Arc<DataDir>, before: Logs) -> Result<Result<Logs, String>, JoinError> {
    let written = tokio::task::spawn_blocking(move || {
        let now = present(&data)?;
        if now != before {
            store(&identity::directory(data.path()), &now).map_err(|error| error.to_string())?;
        }
        Ok(now)
    });
    written.await
}

/// What the file lists; nothing where there is none, or it is damaged.
fn load(dir: &Path) -> Logs {
    let log = |line: &str| {
        let (topic, number) = line.split_once(' ')?;
        Some((topic.parse().ok()?, PartitionId(number.parse().ok()?)))
    };
    FILE.load(dir, log).into_iter().collect()
}

fn store(dir: &Path, logs: &Logs) -> io::Result<()> {
    FILE.store(dir, logs.iter().map(|(topic, number)| format!("{topic} {number}")))
}

#[cfg(test)]
mod tests {
    use flymq_storage::{DataDirOptions, LogConfig};
    use flymq_types::LeaderEpoch;

    use super::*;

    #[tokio::test]
    async fn a_log_that_is_made_long_after_its_topic_is_listed_and_one_made_just_before_the_end_as_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = Arc::new(DataDir::open(DataDirOptions::real(dir.path())).expect("a data directory"));
        let place = identity::directory(data.path());
        std::fs::create_dir_all(&place).expect("a directory");
        let (_version, followed) = watch::channel(MetaVersion(1));
        let stop = CancellationToken::new();
        let kept = tokio::spawn(keep(data.clone(), followed, stop.clone()));
        let log = |n: u8| {
            let topic = TopicId::from_bytes([n; 16]);
            let (log, _) = data.open_log(topic, PartitionId(0), LogConfig::default()).expect("an empty log");
            (topic, log)
        };
        let (first, opened) = log(1);
        sleep(2 * SETTLE).await;
        opened.begin_epoch(LeaderEpoch(1)).expect("its first file");
        let one = Logs::from([(first, PartitionId(0))]);
        tokio::time::timeout(Duration::from_secs(60), async {
            while load(&place) != one {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it is listed while the node runs");
        let (second, opened) = log(2);
        opened.begin_epoch(LeaderEpoch(1)).expect("its first file");
        stop.cancel();
        kept.await.expect("it ends");
        assert_eq!(load(&place), Logs::from([(first, PartitionId(0)), (second, PartitionId(0))]));
    }
}
