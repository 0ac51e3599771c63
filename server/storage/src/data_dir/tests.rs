use std::path::Path;

use flymq_types::{Offset, PartitionId, TopicId};

use super::*;
use crate::disk::SimDisk;
use crate::log::tests::support::{EPOCH, NOW, ROOT, TOPIC, log_dir, options};
use crate::testing::batch;

fn open(disk: &SimDisk) -> DataDir {
    DataDir::open(options(disk, 1)).unwrap()
}

fn put(dir: &DataDir, topic: TopicId, partition: u32) -> Log {
    let (log, _) = dir.open_log(topic, PartitionId(partition), LogConfig::default()).unwrap();
    log.append(&batch(&[b"x"]), EPOCH, NOW).unwrap();
    log
}

#[test]
fn identity_is_written_once_and_kept() {
    let disk = SimDisk::new();
    let id = open(&disk).id();
    disk.crash_losing_all();
    assert_eq!(open(&disk).id(), id);
    let other = SimDisk::new();
    assert_ne!(DataDir::open(options(&other, 2)).unwrap().id(), id);
}

#[test]
fn an_unknown_damaged_or_missing_identity_is_refused_and_left_alone() {
    let meta = Path::new(ROOT).join("meta.json");
    let text = |t: &str| t.as_bytes().to_vec();
    for bytes in
        [text("{\"format_version\": 2, \"more\": []}"), text(""), text("{"), text("{\"format_version\":1}")]
    {
        let disk = SimDisk::new();
        drop(open(&disk));
        disk.tamper(&meta, |file| file.clone_from(&bytes)).unwrap();
        let error = DataDir::open(options(&disk, 1)).err().unwrap();
        match error {
            StorageError::UnknownFormat { found: 2, known: 1, .. } => assert!(bytes.len() > 30),
            StorageError::DamagedIdentity { .. } => assert!(bytes.len() <= 30),
            other => panic!("{other}"),
        }
        assert_eq!(disk.contents(&meta).unwrap(), bytes);
    }
    let disk = SimDisk::new();
    put(&open(&disk), TOPIC, 0);
    disk.remove_file(&meta).unwrap();
    assert!(matches!(DataDir::open(options(&disk, 1)), Err(StorageError::DamagedIdentity { .. })));
}

#[test]
fn a_changed_digit_of_the_identity_is_seen() {
    let meta = Path::new(ROOT).join("meta.json");
    let disk = SimDisk::new();
    drop(open(&disk));
    let text = String::from_utf8(disk.contents(&meta).unwrap()).unwrap();
    let id = text.split('"').nth(5).unwrap();
    let last = id.chars().last().unwrap();
    let other = format!("{}{}", &id[..id.len() - 1], if last == '0' { '1' } else { '0' });
    disk.tamper(&meta, |file| *file = text.replace(id, &other).into_bytes()).unwrap();
    assert!(matches!(DataDir::open(options(&disk, 1)), Err(StorageError::DamagedIdentity { .. })));
}

#[test]
fn a_second_owner_is_refused() {
    let disk = SimDisk::new();
    let first = open(&disk);
    assert!(matches!(DataDir::open(options(&disk, 1)), Err(StorageError::DirectoryLocked { .. })));
    drop(first);
    open(&disk);
}

#[test]
fn a_log_is_open_once_and_closed_with_its_directory() {
    let disk = SimDisk::new();
    let dir = open(&disk);
    let log = put(&dir, TOPIC, 0);
    let again = dir.open_log(TOPIC, PartitionId(0), LogConfig::default());
    assert!(matches!(again, Err(StorageError::AlreadyOpen { .. })));
    drop(dir);
    assert!(matches!(log.append(&batch(&[b"x"]), EPOCH, NOW), Err(StorageError::Closed)));
    assert_eq!(log.durable_offset(), Offset(1), "dropping the directory syncs");
}

#[test]
fn deleting_is_durable_and_a_new_topic_starts_at_zero() {
    let disk = SimDisk::new();
    let dir = open(&disk);
    let other = TopicId::from_bytes([1; 16]);
    let log = put(&dir, TOPIC, 0);
    put(&dir, TOPIC, 1);
    put(&dir, other, 0);
    dir.sync_round();
    dir.delete_log(TOPIC, PartitionId(0)).unwrap();
    assert!(matches!(log.read(Offset(0), 1, Offset::MAX), Err(StorageError::Closed)));
    assert_eq!(dir.logs().unwrap(), [(other, PartitionId(0)), (TOPIC, PartitionId(1))]);
    dir.delete_topic(other).unwrap();
    dir.delete_topic(other).unwrap();
    disk.crash_losing_all();
    drop(dir);
    let dir = open(&disk);
    assert_eq!(dir.logs().unwrap(), [(TOPIC, PartitionId(1))]);
    let (log, _) = dir.open_log(TOPIC, PartitionId(0), LogConfig::default()).unwrap();
    assert_eq!(log.end_offset(), Offset(0));
}

#[test]
fn a_deletion_cut_off_anywhere_is_finished_or_never_happened() {
    for steps in 0..40 {
        let disk = SimDisk::new();
        let dir = open(&disk);
        put(&dir, TOPIC, 0);
        dir.sync_round();
        disk.stop_after(steps);
        let outcome = dir.delete_log(TOPIC, PartitionId(0));
        disk.crash_losing_all();
        drop(dir);
        let dir = open(&disk);
        let there = !dir.logs().unwrap().is_empty();
        assert!(outcome.is_err() || !there, "after {steps} steps");
        assert_eq!(disk.files().iter().any(|path| path.starts_with(log_dir())), there, "after {steps} steps");
        let (log, report) = dir.open_log(TOPIC, PartitionId(0), LogConfig::default()).unwrap();
        assert_eq!((log.end_offset().0, report.has_damage()), (u64::from(there), false));
        let deleted = disk.files().into_iter().any(|path| path.to_string_lossy().contains(".deleted"));
        assert!(!deleted, "after {steps} steps");
    }
}

#[test]
fn a_directory_that_cannot_be_made_whole_is_made_at_the_next_start() {
    for steps in 0..20 {
        let disk = SimDisk::new();
        disk.stop_after(steps);
        let _ = DataDir::open(options(&disk, 1));
        disk.crash_losing_all();
        put(&open(&disk), TOPIC, 0);
    }
}

#[test]
fn records_that_are_gone_as_a_whole_refuse_the_start() {
    let disk = SimDisk::new();
    put(&open(&disk), TOPIC, 0);
    let topics = std::path::Path::new(ROOT).join("topics");
    for path in disk.files().into_iter().filter(|path| path.starts_with(&topics)) {
        disk.remove_file(&path).unwrap();
    }
    for dir in [log_dir(), log_dir().parent().unwrap().to_owned(), topics.clone()] {
        disk.remove_dir(&dir).unwrap();
    }
    let files = disk.files();
    assert!(
        matches!(DataDir::open(options(&disk, 1)), Err(StorageError::RecordsMissing { path }) if path == topics)
    );
    assert_eq!(disk.files(), files, "nothing was changed");
    disk.create_dir(&topics).unwrap();
    assert!(DataDir::open(options(&disk, 1)).is_ok(), "made by hand: begin again");
}

#[test]
fn a_busy_log_waits_for_its_mark_once() {
    let disk = SimDisk::new();
    let dir = open(&disk);
    let log = put(&dir, TOPIC, 0);
    for _ in 0..3 {
        for _ in 0..50 {
            log.append(&batch(&[b"x"]), EPOCH, NOW).unwrap();
            dir.sync_round();
            assert_eq!(dir.context.syncer.awaiting_marks(), 1);
        }
        dir.write_marks();
        assert_eq!(dir.context.syncer.awaiting_marks(), 0);
    }
}
