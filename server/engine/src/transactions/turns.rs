//! One at a time, for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// A lock for each key that somebody wants just now.
#[derive(Debug)]
pub(crate) struct KeyedTurns<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for KeyedTurns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// More keys than this are looked through for those that nobody wants any more.
const MANY: usize = 1_024;

impl<K: Hash + Eq + Clone> KeyedTurns<K> {
    /// Waits until it is the caller's turn, in the order of the calls.
    pub(crate) async fn take(&self, key: &K) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut all = self.0.lock();
            if all.len() >= MANY {
                all.retain(|_, turn| turn.strong_count() > 0);
            }
            let known = all.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(tokio::sync::Mutex::new(()));
                all.insert(key.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// Whether somebody has a turn, or waits for one.
    pub(crate) fn is_busy(&self, key: &K) -> bool {
        self.0.lock().get(key).is_some_and(|turn| turn.strong_count() > 0)
    }
}
