//! Encrypted metadata.

use flymq_storage::{EncryptionKey, EncryptionKeys};

use super::*;

fn vault(current: u8, old: &[u8]) -> FileVault {
    let key = |n: &u8| EncryptionKey::from_hex(&format!("{n:02x}").repeat(32)).unwrap();
    let keys = EncryptionKeys { current: key(&current), old: old.iter().map(key).collect() };
    FileVault::new(&keys, [7; 16], Arc::new(SeededRng::new(current.into())))
}

fn with(disk: &SimDisk, vault: Option<FileVault>) -> LocalMetaOptions {
    LocalMetaOptions { vault, ..options(disk, 300) }
}

fn names(store: &LocalMetaStore) -> Vec<String> {
    store.image().topics.keys().map(ToString::to_string).collect()
}

/// Files in which a topic's name can be read.
fn readable(disk: &SimDisk) -> Vec<PathBuf> {
    let text = b"topic ";
    let holds =
        |path: &PathBuf| disk.contents(path).unwrap().windows(text.len()).any(|window| window == text);
    disk.files().into_iter().filter(holds).collect()
}

#[tokio::test]
async fn no_name_can_be_read_in_any_file() {
    let disk = disk();
    for round in 0..4 {
        let store = LocalMetaStore::open(with(&disk, Some(vault(1, &[])))).unwrap();
        assert_eq!(names(&store).len(), round * 5);
        for n in 0..5 {
            store.propose(vec![create((round * 5 + n) as u32)]).await.unwrap();
            assert_eq!(readable(&disk), Vec::<PathBuf>::new());
        }
    }
    assert!(disk.files().iter().any(|path| path.ends_with("snapshot")), "both kinds of file were looked at");
}

#[tokio::test]
async fn keys_that_do_not_fit_change_nothing() {
    let disk = disk();
    let store = LocalMetaStore::open(with(&disk, Some(vault(1, &[])))).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    drop(store);
    let picture = |disk: &SimDisk| -> Vec<_> {
        disk.files().into_iter().map(|path| (disk.contents(&path).unwrap(), path)).collect()
    };
    let before = picture(&disk);
    for (vault, hint) in [(None, "FLYMQ_ENCRYPTION_KEY"), (Some(vault(2, &[])), "wrong encryption key")] {
        let error = LocalMetaStore::open(with(&disk, vault)).unwrap_err();
        assert!(matches!(error, LocalMetaError::Key(_)), "{error}");
        assert!(error.to_string().contains(hint), "{error}");
    }
    assert_eq!(picture(&disk), before);
}

/// From plain to a key, and from one key to the next, with the power cut after each step in turn.
#[tokio::test]
async fn metadata_is_encrypted_anew_whatever_stops_it() {
    for old in [None, Some(vault(1, &[]))] {
        let mut steps = 0;
        loop {
            let disk = disk();
            let store = LocalMetaStore::open(with(&disk, old.clone())).unwrap();
            for n in 0..7 {
                store.propose(vec![create(n)]).await.unwrap();
            }
            let expected = names(&store);
            drop(store);
            disk.stop_after(steps);
            let opened = LocalMetaStore::open(with(&disk, Some(vault(2, &[1])))).is_ok();
            disk.crash(&SeededRng::new(steps));
            let store = LocalMetaStore::open(with(&disk, Some(vault(2, &[1])))).unwrap();
            assert_eq!(names(&store), expected, "after {steps} steps");
            store.propose(vec![create(8)]).await.unwrap();
            drop(store);
            assert_eq!(readable(&disk), Vec::<PathBuf>::new(), "after {steps} steps");
            let store = LocalMetaStore::open(with(&disk, Some(vault(2, &[])))).unwrap();
            assert_eq!(names(&store).len(), 8, "the old key is not needed any more");
            if opened {
                break;
            }
            steps += 1;
        }
        assert!(steps > 8, "it takes several steps, this run saw {steps}");
    }
}

/// Each bit of both files: what was answered is there or the start is refused; nothing else is ever believed.
#[tokio::test]
async fn a_changed_bit_is_never_believed() {
    let whole = disk();
    let store = LocalMetaStore::open(with(&whole, Some(vault(1, &[])))).unwrap();
    for n in 0..6 {
        store.propose(vec![create(n)]).await.unwrap();
    }
    let expected = names(&store);
    drop(store);
    for file in ["log", "snapshot"] {
        let path = Path::new(DIR).join(file);
        let len = whole.contents(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
        for at in 0..=len {
            let disk = whole.fork();
            disk.tamper(&path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            if let Ok(store) = LocalMetaStore::open(with(&disk, Some(vault(1, &[])))) {
                assert_eq!(names(&store), expected, "{file} byte {at}");
            }
        }
    }
}

#[tokio::test]
async fn passes_the_suite_encrypted() {
    meta_store_suite(|| Encrypted(disk())).await;
}

struct Encrypted(SimDisk);

impl SuiteStore for Encrypted {
    fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>> {
        let options = with(&self.0, Some(vault(1, &[])));
        Box::pin(async move { Arc::new(LocalMetaStore::open(options).unwrap()) as Arc<dyn MetaStore> })
    }

    fn crash(&self) {
        self.0.crash_losing_all();
    }
}
