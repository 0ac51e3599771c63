//! What all connections of the door share.

use std::sync::{Arc, atomic::AtomicU64};

use flymq_api::Broker;
use tokio::sync::Semaphore;

use crate::{
    options::NativeOptions,
    v1::{Buffers, Members},
};

/// Requests that are inflated at once. It is work for a processor, of which a small machine has two; and what bombs cost
/// together is what one costs.
const INFLATING: usize = 1;

/// Shared by all connections.
pub(crate) struct Door {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) options: NativeOptions,
    /// Group members as version 1 counts them.
    pub(crate) members: Arc<Members>,
    /// Transactions of version 1 before their commit.
    pub(crate) buffers: Arc<Buffers>,
    /// Turns at inflating requests, so that many small frames at once cannot fill the memory.
    pub(crate) inflating: Semaphore,
    /// Number of the last connection, for request ids.
    pub(crate) connections: AtomicU64,
}

impl Door {
    pub(crate) fn new(broker: Arc<dyn Broker>, options: NativeOptions) -> Self {
        let buffers = Buffers::new(options.transaction_timeout);
        Self {
            broker,
            options,
            members: Arc::default(),
            buffers,
            inflating: Semaphore::new(INFLATING),
            connections: AtomicU64::new(0),
        }
    }
}
