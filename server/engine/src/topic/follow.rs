//! On a cluster topics change by metadata alone: every node, also the one that was asked, does what its image says.
//!
//! Whatever is open hears of its new metadata at once, as a failover waits for that; logs are opened, closed and removed
//! beside it. What a crash cuts off is done at the next start, see [`super::start`].

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use flymq_types::{NodeId, TopicId, TopicName};
use tokio::sync::watch;

use super::OpenTopic;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{ClusterMeta, MetaImage, MetaVersion, MetaWatch, TopicMeta};
use crate::partition::Stop;
use crate::task::beside;

/// How long whoever has changed a topic waits for this node to do it, too.
const FOLLOW_WAIT: Duration = Duration::from_secs(30);

impl Engine {
    /// The version of the metadata that this node has acted upon.
    pub fn followed(&self) -> watch::Receiver<MetaVersion> {
        self.followed.subscribe()
    }

    /// The version of the metadata that everything open here has been told: at most a moment behind, also while logs are
    /// being opened for it. A session of this node counts with this.
    pub fn told(&self) -> watch::Receiver<MetaVersion> {
        self.told.subscribe()
    }

    /// Does from now on what the metadata says that is newer than `known`, which is done; until the engine stops.
    pub(crate) fn follow_metadata(self: &Arc<Self>, known: Arc<MetaImage>) {
        self.told.send_replace(known.version);
        self.followed.send_replace(known.version);
        beside(tell_all(Arc::downgrade(self), self.meta.watch(), known.clone()));
        beside(follow(Arc::downgrade(self), self.meta.watch(), known));
    }

    /// Gives what is open its new metadata.
    fn tell_changed(&self, known: &MetaImage, image: &Arc<MetaImage>) {
        for meta in changed(known, image) {
            if let Some(open) = self.open_of(meta) {
                open.tell(meta, image);
            }
        }
        self.told.send_replace(image.version);
    }

    /// Waits until this node has done what that version says.
    pub(crate) async fn until_followed(&self, version: MetaVersion) -> Result<(), EngineError> {
        let mut followed = self.followed();
        let done = followed.wait_for(|followed| *followed >= version);
        match tokio::time::timeout(FOLLOW_WAIT, done).await {
            Ok(Ok(_)) => self.check_running(),
            Ok(Err(_)) => Err(EngineError::ShuttingDown),
            Err(_) => Err(EngineError::Timeout { waited: FOLLOW_WAIT }),
        }
    }

    /// Waits until leaders that are to hand over have done so and this node has followed, at most for so long; `from`: that one
    /// alone. How many have not.
    pub async fn until_handed_over(&self, from: Option<&NodeId>, limit: Duration) -> usize {
        let mut followed = self.followed();
        let waits = async {
            loop {
                followed.mark_unchanged();
                let image = self.metadata();
                if image.handing_over(from) == 0 {
                    // From here on this node's own doors name the next leaders.
                    let _stops = followed.wait_for(|followed| *followed >= image.version).await;
                    return;
                }
                if followed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _late = tokio::time::timeout(limit, waits).await;
        self.metadata().handing_over(from)
    }

    async fn catch_up(&self, known: &MetaImage, image: &Arc<MetaImage>) {
        let _turn = self.admin.lock().await;
        if self.check_running().is_err() {
            return;
        }
        for (name, id) in gone(known, image) {
            self.let_go(&name, id);
        }
        for meta in changed(known, image) {
            if let Err(error) = self.bring_up(meta, image).await {
                tracing::error!(topic = %meta.name, %error, "a topic does not follow its metadata");
            }
        }
        self.follow_offsets_topic();
        self.follow_transactions_topic();
        self.follow_schedules_topic();
        self.followed.send_replace(image.version);
    }

    /// The topic as it is open, unless that is an earlier one of the same name.
    fn open_of(&self, meta: &TopicMeta) -> Option<Arc<OpenTopic>> {
        self.topics.find(&meta.name).filter(|open| open.view().meta.id == meta.id)
    }

    /// Opens a new topic, or what of an open one came new to this node; lets go of what it no longer keeps.
    async fn bring_up(&self, meta: &Arc<TopicMeta>, image: &Arc<MetaImage>) -> Result<(), EngineError> {
        let open = self.open_of(meta);
        let before = open.as_ref().map_or_else(Vec::new, |open| open.view().partitions.clone());
        let (view, left) = self.open_parts(meta, image, before).await?;
        match open {
            Some(open) => open.replace(view),
            None => self.topics.insert(meta.name.clone(), Arc::new(OpenTopic::new(view))),
        }
        let Some(open) = self.open_of(meta) else { return Ok(()) };
        open.configure();
        // What has just been opened was not there when newer metadata was told.
        let newest = self.meta.image();
        if let Some(meta) = newest.topic(&meta.name).filter(|newest| newest.id == meta.id) {
            open.tell(meta, &newest);
        }
        for partition in left {
            partition.close().await;
            self.remove_log(meta.id, partition.number()).await;
        }
        Ok(())
    }

    /// A deleted topic: what waits on it ends, and its data goes.
    fn let_go(&self, name: &TopicName, id: TopicId) {
        let Some(topic) = self.topics.find(name).filter(|topic| topic.view().meta.id == id) else { return };
        self.topics.remove(name);
        topic.stop(&Stop::Deleted);
        let Ok(engine) = self.shared() else { return };
        beside(async move {
            for partition in &topic.view().partitions {
                partition.close().await;
            }
            if let Err(error) = engine.drop_topic_offsets(id).await {
                tracing::warn!(topic = %id, %error, "offsets of a deleted topic stay for now");
            }
            engine.remove_data(id).await;
        });
    }
}

/// A failover waits for this, and for nothing else: it runs beside the opening of logs.
async fn tell_all(engine: Weak<Engine>, mut versions: MetaWatch, mut known: Arc<MetaImage>) {
    loop {
        let Some(engine) = engine.upgrade().filter(|engine| engine.check_running().is_ok()) else { return };
        versions.mark_unchanged();
        let image = engine.meta.image();
        if image.version > known.version {
            engine.tell_changed(&known, &image);
            known = image;
        }
        drop(engine);
        if versions.changed().await.is_err() {
            return;
        }
    }
}

async fn follow(engine: Weak<Engine>, mut versions: MetaWatch, mut known: Arc<MetaImage>) {
    loop {
        let Some(engine) = engine.upgrade().filter(|engine| engine.check_running().is_ok()) else { return };
        // Before the image is looked at: what comes after it wakes this task again.
        versions.mark_unchanged();
        let image = engine.meta.image();
        if image.version > known.version {
            engine.catch_up(&known, &image).await;
            known = image;
        }
        drop(engine);
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Topics that are new or not as they were. All of them where a node has another directory than before: that is another
/// replica, of which the partition's own metadata says nothing.
fn changed<'a>(known: &MetaImage, image: &'a MetaImage) -> Vec<&'a Arc<TopicMeta>> {
    let others = replicas(&known.cluster) != replicas(&image.cluster);
    let same = |topic: &Arc<TopicMeta>| known.topic(&topic.name).is_some_and(|old| Arc::ptr_eq(old, topic));
    image.topics.values().filter(|topic| others || !same(topic)).collect()
}

fn replicas(cluster: &ClusterMeta) -> BTreeMap<&NodeId, flymq_types::DirectoryId> {
    cluster.nodes.values().map(|node| (&node.id, node.directory)).collect()
}

/// Topics that are no more, or whose name another one has now.
fn gone(known: &MetaImage, image: &MetaImage) -> Vec<(TopicName, TopicId)> {
    let is_gone = |topic: &&Arc<TopicMeta>| image.topic(&topic.name).is_none_or(|now| now.id != topic.id);
    known.topics.values().filter(is_gone).map(|topic| (topic.name.clone(), topic.id)).collect()
}
