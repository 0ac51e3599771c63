//! Logs that begin above 0.

use flymq_types::{LeaderEpoch, Offset};

use super::support::*;
use crate::testing::{batch, values};
use crate::{LogConfig, SimDisk, StorageError};

#[test]
fn a_log_begins_where_it_is_told_and_still_does_after_a_power_cut() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, LogConfig::default());
    fixture.log.start_at(Offset(700)).unwrap();
    fixture.log.start_at(Offset(700)).unwrap();
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    let ends = |log: &crate::Log| (log.start_offset(), log.durable_offset(), log.end_offset());
    assert_eq!(ends(&fixture.log), (Offset(700), Offset(700), Offset(700)));
    assert!(!fixture.report.has_damage());
    assert_eq!(fixture.put(&[b"a", b"b"]).unwrap().base_offset, Offset(700));
    fixture.sync();
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    assert_eq!(read_all(&fixture.log, 700).unwrap(), [b"a", b"b"]);
    let below = fixture.log.read(Offset(699), 1, ALL).unwrap_err();
    assert!(matches!(below, StorageError::OffsetOutOfRange { start: Offset(700), end: Offset(702) }));
}

#[test]
fn a_log_with_records_does_not_move() {
    let fixture = Fixture::open(&SimDisk::new(), LogConfig::default());
    fixture.put(&[b"a"]).unwrap();
    let refused = fixture.log.start_at(Offset(9)).unwrap_err();
    assert!(matches!(refused, StorageError::OffsetOutOfRange { start: Offset(0), end: Offset(1) }));
    let found = fixture.log.read(Offset(0), 1, ALL).unwrap();
    assert_eq!(values(&found), [b"a"]);
    let run = fixture.log.append_many(&[batch(&[b"b"])], LeaderEpoch(1), NOW);
    assert_eq!(run[0].as_ref().unwrap().base_offset, Offset(1));
}
