//! The replicas' logs themselves, once all nodes are stopped: what is committed lies in each of them, the same byte for byte.

use std::collections::BTreeMap;

use flymq_engine::meta::{MetaStore as _, TopicPartition};
use flymq_storage::{DataDir, Log, LogConfig};
use flymq_types::{Offset, PartitionId};

use super::book::Counts;
use crate::cluster::{batches_of, bytes_of, until};
use crate::engines::Engines;

/// Of each partition, how far it is committed as the nodes know.
fn high_watermarks(cluster: &Engines) -> BTreeMap<(String, u32), Offset> {
    let mut high = BTreeMap::new();
    for status in
        cluster.nodes.iter().filter_map(|node| node.running.as_ref()).flat_map(|node| node.set.status())
    {
        let key = (status.at.name.to_string(), status.at.partition.get());
        let known = high.entry(key).or_insert(Offset::ZERO);
        *known = status.high_watermark.max(*known);
    }
    high
}

fn partitions(cluster: &Engines) -> Vec<TopicPartition> {
    let image = cluster.store.image();
    let all = image.topics.iter().flat_map(|(name, topic)| {
        (0..).zip(&topic.partitions).map(|(number, _)| TopicPartition {
            topic: topic.id,
            name: name.clone(),
            partition: PartitionId(number),
        })
    });
    all.collect()
}

fn open(data: &DataDir, at: &TopicPartition) -> Log {
    data.open_log(at.topic, at.partition, LogConfig::default()).expect("it opens").0
}

/// Stops all nodes, and holds their logs against each other.
pub(super) async fn compare(cluster: &mut Engines, counts: &mut Counts) {
    let (high, partitions) = (high_watermarks(cluster), partitions(cluster));
    until("followers have all that is committed", || {
        let nodes = cluster.nodes.iter().filter_map(|node| node.running.as_ref());
        nodes.flat_map(|node| node.set.status()).all(|status| {
            let high = high.get(&(status.at.name.to_string(), status.at.partition.get()));
            high.is_none_or(|high| status.log_end >= *high)
        })
    })
    .await;
    for node in 0..3 {
        cluster.kill(node).await;
    }
    let data: Vec<DataDir> = (0..3).map(|node| cluster.open_data(node)).collect();
    for at in &partitions {
        let logs: Vec<Log> = data.iter().map(|data| open(data, at)).collect();
        let high = high.get(&(at.name.to_string(), at.partition.get())).copied().unwrap_or(Offset::ZERO);
        if let Some(short) = logs.iter().position(|log| log.end_offset() < high) {
            let end = logs[short].end_offset();
            counts.broke("logs apart", &format!("{at}: node {short} ends at {end}, {high} is committed"));
        }
        let start = logs.iter().map(Log::start_offset).max().unwrap();
        let bytes: Vec<_> = logs.iter().map(|log| bytes_of(log, start)).collect();
        let common = bytes.iter().map(Vec::len).min().unwrap();
        if let Some(apart) = (0..common).find(|batch| bytes.iter().any(|one| one[*batch] != bytes[0][*batch]))
        {
            let heads = logs.iter().map(|log| {
                let batches = batches_of(log, start);
                let near = batches.into_iter().skip(apart.saturating_sub(1)).take(3);
                near.map(|batch| *batch.header()).collect::<Vec<_>>()
            });
            let heads: Vec<_> = heads.collect();
            counts.broke(
                "logs apart",
                &format!("{at}: at batch {apart} of {common} from {start} on: {heads:#?}"),
            );
        }
        counts.compared += common as u64;
    }
}
