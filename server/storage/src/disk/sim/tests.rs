use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use flymq_types::SeededRng;

use super::*;

fn write(file: &dyn DiskFile, at: u64, bytes: &[u8]) {
    file.write_all_at(&mut [IoSlice::new(bytes)], at).unwrap();
}

#[test]
fn a_crash_keeps_only_what_was_synced() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let file = disk.open(Path::new("/d/a"), OpenMode::CreateNew).unwrap();
    write(&*file, 0, b"one");
    file.fdatasync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    write(&*file, 3, b"two");
    disk.open(Path::new("/d/b"), OpenMode::CreateNew).unwrap();
    assert_eq!(disk.contents(Path::new("/d/a")).unwrap(), b"onetwo");

    disk.crash_losing_all();
    assert_eq!(disk.files(), [Path::new("/d/a")]);
    assert_eq!(disk.contents(Path::new("/d/a")).unwrap(), b"one");
    assert!(file.size().is_err(), "a handle from before the crash is dead");
}

#[test]
fn a_rename_without_sync_dir_is_undone() {
    let disk = SimDisk::new();
    disk.plant(Path::new("/d/x.tmp"), b"v");
    disk.rename(Path::new("/d/x.tmp"), Path::new("/d/x")).unwrap();
    disk.crash_losing_all();
    assert_eq!(disk.files(), [Path::new("/d/x.tmp")]);
}

#[test]
fn a_failed_fdatasync_loses_the_pages_for_good() {
    let disk = SimDisk::new();
    disk.plant(Path::new("/a"), b"old");
    let file = disk.open(Path::new("/a"), OpenMode::Write).unwrap();
    write(&*file, 0, b"new");
    disk.fail(FaultOp::Fdatasync, 1, 5);
    assert_eq!(file.fdatasync().unwrap_err().raw_os_error(), Some(5));
    disk.crash(&SeededRng::new(1));
    assert_eq!(disk.contents(Path::new("/a")).unwrap(), b"old");
}

#[test]
fn a_full_disk_and_short_writes() {
    let disk = SimDisk::new();
    disk.plant(Path::new("/a"), b"");
    disk.set_capacity(10);
    let file = disk.open(Path::new("/a"), OpenMode::Write).unwrap();
    assert_eq!(file.allocate(11).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.set_max_write(3);
    write(&*file, 0, b"0123456789");
    assert_eq!(file.pwritev(&[IoSlice::new(b"x")], 10).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.contents(Path::new("/a")).unwrap(), b"0123456789");
}

#[test]
fn stops_after_a_number_of_operations_until_the_crash() {
    let disk = SimDisk::new();
    disk.stop_after(1);
    disk.create_dir(Path::new("/d")).unwrap();
    assert!(disk.sync_dir(Path::new("/")).is_err());
    assert!(disk.stopped());
    disk.crash_losing_all();
    assert!(!disk.exists(Path::new("/d")).unwrap());
}

#[test]
fn a_sync_that_the_power_cut_overtakes_saves_nothing() {
    let disk = SimDisk::new();
    disk.plant(Path::new("/d/a"), b"old");
    let file = disk.open(Path::new("/d/a"), OpenMode::Write).unwrap();
    write(&*file, 0, b"new");
    let whole = disk.whole(Path::new("/d")).unwrap().unwrap();
    disk.slow_syncs(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let syncs = [scope.spawn(|| file.fdatasync()), scope.spawn(|| whole.sync())];
        while disk.0.lock().syncs_under_way < 2 {
            std::thread::yield_now();
        }
        disk.crash_losing_all();
        for sync in syncs {
            assert!(sync.join().unwrap().is_err());
        }
    });
    assert!(whole.sync().is_err(), "nor does one that comes after it say that all is saved");
    assert_eq!(disk.contents(Path::new("/d/a")).unwrap(), b"old");
}
