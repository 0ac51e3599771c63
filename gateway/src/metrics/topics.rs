//! What topics and their partitions are like: watermarks, size, damage, indexes.

use flymq_proto::pb;

use super::broker::bounded;
use super::text::Text;

/// A figure of a partition, summed up over its topic.
type Figure = (&'static str, &'static str, &'static str, fn(&pb::Partition) -> u64);

const PER_TOPIC: [Figure; 9] = [
    (
        "flymq_topic_messages_total",
        "counter",
        "Records ever appended to a topic and readable, by topic.",
        |p| p.high_watermark,
    ),
    ("flymq_topic_bytes", "gauge", "Bytes of the segments of a topic.", |p| p.bytes),
    ("flymq_topic_segments", "gauge", "Segment files of a topic.", |p| p.segments.into()),
    ("flymq_topic_unsynced_records", "gauge", "Records appended and not readable yet, by topic.", |p| {
        p.log_end_offset.saturating_sub(p.high_watermark)
    }),
    ("flymq_topic_unwell_partitions", "gauge", "Partitions offline or closed for records, by topic.", |p| {
        u64::from(!p.failure.is_empty())
    }),
    (
        "flymq_topic_damaged_offsets",
        "gauge",
        "Offsets whose bytes are damaged or missing, by topic.",
        damaged,
    ),
    (
        "flymq_topic_index_stale_bytes",
        "gauge",
        "Bytes of log behind the last index entries, by topic.",
        |p| index(p).stale_bytes,
    ),
    (
        "flymq_topic_index_repairs_total",
        "counter",
        "Times that index entries were made again, by topic.",
        |p| index(p).repairs,
    ),
    (
        "flymq_topic_index_misled_total",
        "counter",
        "Times that an index entry was not what the log has there, by topic.",
        |p| index(p).misled,
    ),
];

const PER_PARTITION: [Figure; 3] = [
    ("flymq_partition_low_watermark", "gauge", "First offset that is still there, by partition.", |p| {
        p.low_watermark
    }),
    (
        "flymq_partition_high_watermark",
        "gauge",
        "Offset after the last readable record, by partition.",
        |p| p.high_watermark,
    ),
    (
        "flymq_partition_log_end_offset",
        "gauge",
        "Offset after the last appended record, by partition.",
        |p| p.log_end_offset,
    ),
];

fn damaged(partition: &pb::Partition) -> u64 {
    partition.quarantined.iter().map(|range| range.last - range.first + 1).sum()
}

fn index(partition: &pb::Partition) -> pb::PartitionIndex {
    partition.index.unwrap_or_default()
}

/// Adds the families; at most `most` topics, and `most` partitions.
pub(super) fn render(text: &mut Text, topics: &[pb::Topic], most: usize, dropped: &mut usize) {
    let shown = bounded(topics, most, dropped);
    for (name, kind, help, figure) in PER_TOPIC {
        text.family(name, kind, help);
        for topic in shown {
            let sum: u64 = topic.partitions.iter().map(figure).sum();
            text.sample(name, &[("topic", &topic.name)], sum);
        }
    }
    let partitions: Vec<_> =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p))).collect();
    let shown = bounded(&partitions, most, dropped);
    for (name, kind, help, figure) in PER_PARTITION {
        text.family(name, kind, help);
        for (topic, partition) in shown {
            let number = partition.partition.to_string();
            text.sample(name, &[("topic", topic), ("partition", &number)], figure(partition));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_summed_up_by_topic_and_bounded() {
        let partition = |partition| pb::Partition {
            partition,
            low_watermark: 2,
            high_watermark: 10,
            log_end_offset: 12,
            quarantined: vec![pb::OffsetRange { first: 3, last: 5 }],
            ..pb::Partition::default()
        };
        let topic = |name: &str| pb::Topic {
            name: name.to_owned(),
            partitions: vec![partition(0), partition(1)],
            ..pb::Topic::default()
        };
        let (mut text, mut dropped) = (Text::default(), 0);
        render(&mut text, &[topic("a"), topic("b")], 3, &mut dropped);
        let text = text.into_string();
        for line in [
            "flymq_topic_messages_total{topic=\"a\"} 20",
            "flymq_topic_unsynced_records{topic=\"b\"} 4",
            "flymq_topic_damaged_offsets{topic=\"a\"} 6",
            "flymq_partition_low_watermark{topic=\"b\",partition=\"0\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(dropped, 1, "the second partition of b");
        assert!(!text.contains("{topic=\"b\",partition=\"1\"}"));
    }
}
