//! Golden bytes: data directories of released formats open for ever, and the format does not change unnoticed.
#![allow(clippy::disallowed_methods, reason = "looks at the real disk and clock")]

use std::path::{Path, PathBuf};

use flymq_types::{LeaderEpoch, Offset, PartitionId, Timestamp};

use super::support::*;
use crate::testing::batch_at;
use crate::{DataDir, DataDirOptions, SimDisk};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/storage-v1")
}

fn value(offset: u64) -> Vec<u8> {
    let mut value = format!("golden record {offset}").into_bytes();
    value.resize(700, b'.');
    value
}

/// The history behind the fixture: two epochs, three segments, the last one unsealed. All of it is fixed: clock,
/// random numbers, contents.
fn write_history(disk: &SimDisk) {
    let dir = DataDir::open(options(disk, 42)).unwrap();
    let (log, _) = dir.open_log(TOPIC, PartitionId(0), from_files(4096)).unwrap();
    for offset in (0..14).step_by(2) {
        let batch = batch_at(&[&value(offset), &value(offset + 1)], 1_000 + offset as i64);
        let epoch = LeaderEpoch(1 + u32::from(offset >= 6));
        log.append(&batch, epoch, Timestamp(2_000 + offset as i64)).unwrap();
    }
}

fn golden_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { golden_files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

/// Copies the fixture: opening it writes into it.
fn copy() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    golden_files(&golden(), &mut files);
    for file in files {
        let to = temp.path().join(file.strip_prefix(golden()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
    temp
}

#[test]
fn a_directory_of_format_1_opens() {
    let temp = copy();
    let dir = DataDir::open(DataDirOptions::real(temp.path())).unwrap();
    assert_eq!(dir.logs().unwrap(), [(TOPIC, PartitionId(0))]);
    let (log, report) = dir.open_log(TOPIC, PartitionId(0), from_files(4096)).unwrap();
    assert!(!report.has_damage() && report.torn_bytes == 0, "{report:?}");
    assert_eq!(read_all(&log, 0).unwrap(), (0..14).map(value).collect::<Vec<_>>());
    assert_eq!(log.epoch_end(LeaderEpoch(1)).unwrap().end, Offset(6));
    assert_eq!(log.offset_for_timestamp(Timestamp(1_009)).unwrap(), Some(Offset(9)));
    let last = log.read(Offset(12), 1, ALL).unwrap();
    assert_eq!(last[0].append_time(), Timestamp(2_012));
    log.append(&batch_at(&[b"goes on"], 9_000), LeaderEpoch(2), NOW).unwrap();
    assert_eq!(read_all(&log, 14).unwrap(), [b"goes on"]);
}

/// Set `FLYMQ_WRITE_FIXTURES=1` to write the fixture anew, in a commit that adds a format and keeps the old one.
#[test]
fn the_format_writes_the_golden_bytes() {
    let disk = SimDisk::new();
    write_history(&disk);
    let files = disk.files().into_iter().filter(|path| path.file_name().is_some_and(|n| n != "flymq.lock"));
    let mut count = 0;
    for path in files {
        let bytes = disk.contents(&path).unwrap();
        let golden = golden().join(path.strip_prefix(ROOT).unwrap());
        if std::env::var_os("FLYMQ_WRITE_FIXTURES").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &bytes).unwrap();
        }
        let expected = std::fs::read(&golden).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
        assert!(bytes == expected, "{} differs from what this format wrote before", golden.display());
        count += 1;
    }
    assert!(count >= 9, "meta.json, checkpoint, epochs, three segments and their indexes");
}
