//! One node's way to the metadata group, which can be cut.

use std::sync::Arc;

use flymq_engine::meta::{
    Applied, Command, MemoryMetaStore, MetaError, MetaImage, MetaStore, MetaVersion, MetaWatch,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// The shared store as one node sees it.
#[derive(Debug)]
pub struct NodeMeta {
    store: MemoryMetaStore,
    /// What the node last saw, where it is cut off.
    frozen: Mutex<Option<Arc<MetaImage>>>,
}

impl NodeMeta {
    pub fn new(store: MemoryMetaStore) -> Arc<Self> {
        Arc::new(Self { store, frozen: Mutex::default() })
    }

    pub fn cut(&self) {
        *self.frozen.lock() = Some(self.store.image());
    }

    pub fn heal(&self) {
        *self.frozen.lock() = None;
    }

    pub fn is_cut(&self) -> bool {
        self.frozen.lock().is_some()
    }

    fn reach(&self) -> Result<(), MetaError> {
        let reason = "this node is cut off".to_owned();
        if self.is_cut() { Err(MetaError::Unavailable { reason }) } else { Ok(()) }
    }
}

impl MetaStore for NodeMeta {
    fn propose(&self, commands: Vec<Command>) -> BoxFuture<'_, Result<Applied, MetaError>> {
        Box::pin(async move {
            self.reach()?;
            self.store.propose(commands).await
        })
    }

    fn image(&self) -> Arc<MetaImage> {
        self.frozen.lock().clone().unwrap_or_else(|| self.store.image())
    }

    fn watch(&self) -> MetaWatch {
        self.store.watch()
    }

    fn barrier(&self) -> BoxFuture<'_, Result<MetaVersion, MetaError>> {
        Box::pin(async move {
            self.reach()?;
            self.store.barrier().await
        })
    }
}
