use super::*;
use crate::disk::SimDisk;

const DIR: &str = "/";

fn pooled(limit: usize) -> (SimDisk, PooledDisk) {
    let disk = SimDisk::new();
    (disk.clone(), PooledDisk::new(Arc::new(disk), limit))
}

fn path(n: usize) -> PathBuf {
    Path::new(DIR).join(format!("{n:020}.log"))
}

fn make(disk: &PooledDisk, n: usize) -> Arc<dyn DiskFile> {
    let file = disk.open(&path(n), OpenMode::CreateNew).unwrap();
    file.write_all_at(&mut [io::IoSlice::new(&[n as u8; 4])], 0).unwrap();
    file
}

fn content(file: &Arc<dyn DiskFile>) -> [u8; 4] {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn open(disk: &PooledDisk) -> usize {
    disk.pool.state.lock().open
}

#[test]
fn many_synced_files_share_few_descriptors() {
    let (_, disk) = pooled(10);
    let files: Vec<_> = (0..100)
        .map(|n| {
            let file = make(&disk, n);
            file.fdatasync().unwrap();
            file
        })
        .collect();
    for round in 0..3 {
        for (n, file) in files.iter().enumerate() {
            assert_eq!(content(file), [n as u8; 4], "round {round}");
            assert!(open(&disk) <= 10);
        }
    }
    files[3].write_all_at(&mut [io::IoSlice::new(&[9])], 0).unwrap();
    assert_eq!(content(&files[3])[0], 9, "written after it was opened again");
    drop(files);
    assert_eq!(open(&disk), 0);
    assert!(disk.pool.state.lock().by_path.is_empty());
}

#[test]
fn files_with_writes_that_are_not_synced_are_kept_open() {
    let (_, disk) = pooled(10);
    let mut files: Vec<_> = (0..10).map(|n| make(&disk, n)).collect();
    let refused = disk.open(&path(10), OpenMode::CreateNew).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(EMFILE));
    files[4].fdatasync().unwrap();
    files.push(make(&disk, 10));
    assert_eq!(open(&disk), 10);
    files.iter().for_each(|file| file.fdatasync().unwrap());
    assert_eq!(content(&files[4]), [4; 4]);
}

#[test]
fn a_failed_sync_leaves_the_file_open() {
    let (sim, disk) = pooled(8);
    let bad = make(&disk, 0);
    sim.fail(crate::FaultOp::Fdatasync, 1, 5);
    assert!(bad.fdatasync().is_err());
    let others: Vec<_> = (1..30).map(|n| make(&disk, n).fdatasync().map(|()| n)).collect();
    assert!(others.iter().all(Result::is_ok));
    assert!(disk.pool.state.lock().clock.iter().filter_map(Weak::upgrade).any(|file| {
        let pooled: Arc<dyn DiskFile> = file;
        Arc::ptr_eq(&pooled, &bad)
    }));
}

#[test]
fn readers_keep_a_file_that_is_removed_or_replaced() {
    let (_, disk) = pooled(8);
    let (removed, replaced) = (make(&disk, 1), make(&disk, 2));
    let newer = make(&disk, 3);
    for file in [&removed, &replaced, &newer] {
        file.fdatasync().unwrap();
    }
    let crowd: Vec<_> = (10..40)
        .map(|n| {
            let file = make(&disk, n);
            file.fdatasync().unwrap();
            file
        })
        .collect();
    disk.remove_file(&path(1)).unwrap();
    disk.rename(&path(3), &path(2)).unwrap();
    crowd.iter().for_each(|file| assert!(content(file)[0] >= 10));
    assert_eq!(content(&removed), [1; 4]);
    assert_eq!(content(&replaced), [2; 4], "not what has its name now");
    assert_eq!(content(&newer), [3; 4], "opened by its new name");
    drop((removed, replaced, newer, crowd));
    assert_eq!(open(&disk), 0);
}
