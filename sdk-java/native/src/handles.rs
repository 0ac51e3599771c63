//! Handles: numbers that Java holds for objects of this side.
//!
//! A table instead of raw pointers: a call with a closed or foreign handle is an error, never a use after free, and a call
//! that runs while another thread closes keeps its object alive.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::border::Failure;

static NEXT: AtomicI64 = AtomicI64::new(1);

/// Open objects of one kind.
pub(crate) struct Table<T> {
    kind: &'static str,
    open: LazyLock<RwLock<HashMap<i64, Arc<T>>>>,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self { kind, open: LazyLock::new(RwLock::default) }
    }

    /// Keeps `object` until [`Table::remove`]; its handle.
    pub(crate) fn insert(&self, object: T) -> i64 {
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::new(object));
        handle
    }

    /// The object of an open handle.
    pub(crate) fn get(&self, handle: i64) -> Result<Arc<T>, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).cloned().ok_or(Failure::Closed(self.kind))
    }

    /// Forgets a handle; `None` when it was closed before.
    pub(crate) fn remove(&self, handle: i64) -> Option<Arc<T>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle)
    }
}
