//! What all connections of the door share.

use std::sync::{Arc, atomic::AtomicU64};

use flymq_api::Broker;

use crate::{options::NativeOptions, v1::Members};

/// Shared by all connections.
pub(crate) struct Door {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) options: NativeOptions,
    /// Group members as version 1 counts them.
    pub(crate) members: Arc<Members>,
    /// Number of the last connection, for request ids.
    pub(crate) connections: AtomicU64,
}

impl Door {
    pub(crate) fn new(broker: Arc<dyn Broker>, options: NativeOptions) -> Self {
        Self { broker, options, members: Arc::default(), connections: AtomicU64::new(0) }
    }
}
