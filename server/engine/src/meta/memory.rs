//! Metadata in memory, for tests and simulation: it survives a restart of the engine, not of the process.

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Applied, Command, MetaError, MetaImage, MetaStore, MetaVersion, MetaWatch, State};

/// A [`MetaStore`] without disk. Clones share one state.
#[derive(Debug, Clone)]
pub struct MemoryMetaStore {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<MetaVersion>>,
}

impl Default for MemoryMetaStore {
    fn default() -> Self {
        let (version, _) = watch::channel(MetaVersion::default());
        Self { state: Arc::default(), version: Arc::new(version) }
    }
}

impl MetaStore for MemoryMetaStore {
    fn propose(&self, commands: Vec<Command>) -> BoxFuture<'_, Result<Applied, MetaError>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let (replies, effects) = state.apply_all(&commands)?;
            let version = state.image().version;
            self.version.send_replace(version);
            Ok(Applied { version, replies, effects })
        })
    }

    fn image(&self) -> Arc<MetaImage> {
        self.state.lock().image()
    }

    fn watch(&self) -> MetaWatch {
        self.version.subscribe()
    }

    fn barrier(&self) -> BoxFuture<'_, Result<MetaVersion, MetaError>> {
        Box::pin(async move { Ok(self.image().version) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SuiteStore, meta_store_suite};
    use super::*;

    #[derive(Default)]
    struct Shared(MemoryMetaStore);

    impl SuiteStore for Shared {
        fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>> {
            Box::pin(async move { Arc::new(self.0.clone()) as Arc<dyn MetaStore> })
        }

        fn crash(&self) {}
    }

    #[tokio::test]
    async fn passes_the_suite() {
        meta_store_suite(Shared::default).await;
    }
}
