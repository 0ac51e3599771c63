//! The data disk in health checks and statistics.

use flymq_engine::{SpaceReport, SpaceState, StorageHealth};
use flymq_proto::pb;
use flymq_types::{PartitionId, TopicName};

/// Partitions that a check names; the others are counted.
const NAMED: usize = 10;

/// The checks of the disk, with what is wrong in words or `ok`, and whether all of them are.
pub(super) fn checks(health: &StorageHealth) -> (Vec<(String, String)>, bool) {
    let checks = [
        ("disk", disk(&health.disk)),
        ("storage", partitions(health)),
        ("integrity", named(&health.damaged, "damaged on disk, reads of the damaged offsets are refused")),
        ("metadata", health.metadata.clone()),
    ];
    let well = checks.iter().all(|(_, wrong)| wrong.is_none());
    let ok = || "ok".to_owned();
    let checks = checks.map(|(name, wrong)| (name.to_owned(), wrong.unwrap_or_else(ok)));
    (checks.into(), well)
}

fn disk(disk: &SpaceReport) -> Option<String> {
    let (free, min_free) = (disk.free, disk.min_free);
    match disk.state {
        SpaceState::Enough => None,
        SpaceState::Low => Some(format!(
            "nearly full: {free} bytes are left, and {min_free} are to stay free (min_free_bytes); records are refused"
        )),
        SpaceState::Full => Some(format!("full: {free} bytes are free; records are refused")),
        SpaceState::ReadOnly => Some("read-only: records are refused".to_owned()),
    }
}

fn partitions(health: &StorageHealth) -> Option<String> {
    let failed = named(&health.failed, "closed for records until a restart, since a write or sync failed");
    let offline = named(&health.offline, "offline");
    match (failed, offline) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(failed), Some(offline)) => Some(format!("{failed}; {offline}")),
    }
}

fn named(partitions: &[(TopicName, PartitionId)], what: &str) -> Option<String> {
    if partitions.is_empty() {
        return None;
    }
    let names: Vec<_> =
        partitions.iter().take(NAMED).map(|(topic, number)| format!("{topic}/{number}")).collect();
    let more = partitions.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{} partitions are {what}: {}{more}", partitions.len(), names.join(", ")))
}

/// The disk in figures.
pub(super) fn disk_message(disk: &SpaceReport) -> pb::DiskStatus {
    pb::DiskStatus {
        state: match disk.state {
            SpaceState::Enough => pb::DiskState::Ok,
            SpaceState::Low => pb::DiskState::Low,
            SpaceState::Full => pb::DiskState::Full,
            SpaceState::ReadOnly => pb::DiskState::ReadOnly,
        }
        .into(),
        free_bytes: disk.free,
        total_bytes: disk.total,
        min_free_bytes: disk.min_free,
        reserve_bytes: disk.reserve,
        full_errors: disk.full_errors,
        read_only_errors: disk.read_only_errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_partitions_are_named_up_to_a_bound() {
        let name = |n: u32| (TopicName::new("orders").unwrap(), PartitionId(n));
        let mut health = StorageHealth { failed: vec![name(3)], ..StorageHealth::default() };
        let (all, well) = checks(&health);
        assert!(!well && all.contains(&("disk".to_owned(), "ok".to_owned())), "{all:?}");
        assert!(all.iter().any(|(check, text)| check == "storage" && text.contains("orders/3")), "{all:?}");
        health.failed = (0..1_000).map(name).collect();
        let text = partitions(&health).unwrap();
        assert!(text.starts_with("1000 partitions") && text.ends_with("and 990 more"), "{text}");
    }
}
