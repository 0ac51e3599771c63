//! The engine's checks of every metadata store.

use flymq_engine::meta::{SuiteStore, meta_store_suite};
use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;

use super::*;

/// A group seen through one of its members.
struct Seen {
    ids: Vec<RaftId>,
    through: Through,
    settings: RaftMetaSettings,
    group: tokio::sync::Mutex<Option<Group>>,
    disks: Mutex<Vec<SimDisk>>,
}

#[derive(Clone, Copy)]
enum Through {
    Leader,
    Follower,
}

fn seen(ids: &[RaftId], through: Through, settings: RaftMetaSettings) -> Seen {
    let (group, disks) = (tokio::sync::Mutex::default(), Mutex::default());
    Seen { ids: ids.to_vec(), through, settings, group, disks }
}

impl Seen {
    async fn open_all(&self) -> Arc<dyn MetaStore> {
        let mut group = self.group.lock().await;
        match &mut *group {
            None => *group = Some(Group::of(&self.ids, self.settings).await),
            Some(group) => {
                join_all(group.running.values().map(RaftMetaStore::shutdown)).await;
                group.running.clear();
                for id in &self.ids {
                    group.start(*id).await;
                }
            }
        }
        let group = group.as_ref().unwrap();
        *self.disks.lock() = group.disks.values().cloned().collect();
        let leader = group.leader().await;
        let store = match self.through {
            Through::Leader => leader,
            Through::Follower => group.others(&leader).pop().unwrap(),
        };
        store.barrier().await.unwrap();
        Arc::new(store)
    }
}

impl SuiteStore for Seen {
    fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>> {
        Box::pin(self.open_all())
    }

    fn crash(&self) {
        for disk in self.disks.lock().iter() {
            disk.crash_losing_all();
        }
    }
}

/// Whoever is more than `keep_entries` late gets a snapshot, and then does not know what its own proposals came to.
fn with_snapshots(keep_entries: u64) -> RaftMetaSettings {
    RaftMetaSettings { snapshot_after_entries: 7, keep_entries, rewrite_after_bytes: 500, ..settings() }
}

#[tokio::test]
async fn passes_on_one_node() {
    meta_store_suite(|| seen(&[1], Through::Leader, settings())).await;
}

#[tokio::test]
async fn passes_on_one_node_with_snapshots_at_every_turn() {
    meta_store_suite(|| seen(&[1], Through::Leader, with_snapshots(3))).await;
}

#[tokio::test]
async fn passes_on_three_nodes_through_the_leader() {
    meta_store_suite(|| seen(&[1, 2, 3], Through::Leader, settings())).await;
}

#[tokio::test]
async fn passes_on_three_nodes_through_a_follower_with_snapshots() {
    meta_store_suite(|| seen(&[1, 2, 3], Through::Follower, with_snapshots(40))).await;
}
