//! Encrypted members.

use std::path::PathBuf;

use flymq_storage::{EncryptionKey, EncryptionKeys};

use super::*;
use crate::LocalMetaError;

fn vault(current: u8, old: &[u8]) -> FileVault {
    let key = |n: &u8| EncryptionKey::from_hex(&format!("{n:02x}").repeat(32)).unwrap();
    let keys = EncryptionKeys { current: key(&current), old: old.iter().map(key).collect() };
    FileVault::new(&keys, [7; 16], Arc::new(SeededRng::new(current.into())))
}

/// Files in which a topic's name can be read.
fn readable(disk: &SimDisk) -> Vec<PathBuf> {
    let text = b"topic ";
    let holds =
        |path: &PathBuf| disk.contents(path).unwrap().windows(text.len()).any(|window| window == text);
    disk.files().into_iter().filter(holds).collect()
}

/// Starts the one member again and waits until it leads.
async fn restart(group: &mut Group, vault: Option<FileVault>) -> Result<RaftMetaStore, RaftMetaError> {
    group.crash(1).await;
    group.vault = vault;
    let store = group.try_start(1).await?;
    store.barrier().await.unwrap();
    Ok(store)
}

#[tokio::test]
async fn plain_files_are_encrypted_at_the_next_start_and_keys_turn_over() {
    let short = RaftMetaSettings { snapshot_after_entries: 10, keep_entries: 4, ..settings() };
    let mut group = Group::of(&[1], short).await;
    let store = group.leader().await;
    for n in 0..25 {
        store.propose(vec![create(n)]).await.unwrap();
    }
    let disk = group.disk(1);
    until("a snapshot", || disk.files().iter().any(|path| path.ends_with("snapshot"))).await;
    assert_eq!(readable(&disk).len(), 2, "log and snapshot are plain");
    for (round, keys) in [vault(1, &[]), vault(1, &[]), vault(2, &[1]), vault(2, &[])].into_iter().enumerate()
    {
        let store = restart(&mut group, Some(keys)).await.unwrap();
        let n = 100 + round as u32;
        store.propose(vec![create(n)]).await.unwrap();
        assert!((0..25).chain(100..=n).all(|n| has(&store, n)), "round {round}");
        assert_eq!(readable(&disk), Vec::<PathBuf>::new(), "round {round}");
    }
    group.crash(1).await;
    let picture = |disk: &SimDisk| -> Vec<_> {
        disk.files().into_iter().map(|path| (disk.contents(&path).unwrap(), path)).collect()
    };
    let before = picture(&disk);
    for wrong in [None, Some(vault(1, &[]))] {
        let refused = restart(&mut group, wrong).await.unwrap_err();
        assert!(matches!(refused, RaftMetaError::Files(LocalMetaError::Key(_))), "{refused}");
        assert_eq!(picture(&disk), before, "nothing was changed");
    }
}
