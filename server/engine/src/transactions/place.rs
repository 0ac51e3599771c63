//! Where transactions write, and how their coordinator and those places talk to each other, on one node or on several.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Marker, NodeId, TopicId, TopicName, TransactionalId};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::{Outcome, Place, TransactionHandle};
use crate::engine::Engine;
use crate::error::EngineError;

/// What one of them says to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceCall {
    pub id: TransactionalId,
    pub producer_id: u64,
    /// Of the transaction; of an end: the one that follows it.
    pub epoch: u16,
    pub place: Place,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// To the coordinator: the transaction is about to write there. Answered once that is durable.
    Add,
    /// To the place: the transaction is over. Answered once its marker is committed.
    End { outcome: Outcome, coordinator_epoch: u32 },
}

/// Sends calls to other nodes.
pub trait TransactionPeers: Send + Sync + Debug {
    /// Has node `to` carry it out ([`Engine::carry_out`]), and brings back what came of it.
    fn call(&self, to: NodeId, call: PlaceCall) -> BoxFuture<'static, Result<(), EngineError>>;
}

/// How long a call is tried again while nobody can answer it: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Has transactions of this member of a cluster reach the others.
    pub fn connect_transactions(&self, peers: Arc<dyn TransactionPeers>) {
        // A second one would be the same.
        let _known = self.transactions.peers.set(peers);
    }

    /// Has the call carried out where it belongs, here or on another node; tried again while somebody is about to lead.
    ///
    /// # Errors
    /// Those of [`Engine::carry_out`].
    pub(crate) async fn send_to_place(&self, call: PlaceCall) -> Result<(), EngineError> {
        let until = self.clock.monotonic() + PATIENCE;
        loop {
            let error = match self.carry_out(call.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let error = match (elsewhere(&error), self.transactions.peers.get()) {
                (Some(node), Some(peers)) => match peers.call(node, call.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                _ => error,
            };
            if !passes(&error) {
                return Err(error);
            }
            if self.clock.monotonic() + PAUSE > until {
                // Whoever asked is at the right node: it is another one that is missing.
                return Err(EngineError::PeerUnavailable { reason: error.to_string() });
            }
            sleep(PAUSE).await;
        }
    }

    /// Carries out a call that belongs to this node.
    ///
    /// # Errors
    /// `NotLeader`, `NotCoordinator`, `NotTransactionCoordinator`: it belongs to another one. For an `Add` those of
    /// [`Engine::end_transaction`]; for an `End` why the marker could not be written.
    pub fn carry_out(&self, call: PlaceCall) -> BoxFuture<'_, Result<(), EngineError>> {
        async move {
            let PlaceCall { id, producer_id, epoch, place, what } = call;
            let (outcome, coordinator_epoch) = match what {
                What::Add => {
                    return self.add_place(&TransactionHandle { id, producer_id, epoch }, place).await;
                }
                What::End { outcome, coordinator_epoch } => (outcome, coordinator_epoch),
            };
            let marker = Marker { producer_id, producer_epoch: epoch, coordinator_epoch, outcome };
            match place {
                Place::Group(group) => self.end_offsets(&group, &marker).await,
                Place::Partition { topic, name, partition } => {
                    // A topic that was deleted needs no marker, one that was made again under its name is another one.
                    let Some(open) = self.topics.find(&name).filter(|open| open.view().meta.id == topic)
                    else {
                        return self.check_deleted(topic, &name);
                    };
                    drop(open);
                    match self.write_marker(&name, partition, marker).await {
                        Err(EngineError::TopicNotFound { .. }) => Ok(()),
                        written => written.map(drop),
                    }
                }
            }
        }
        .boxed()
    }
}

impl Engine {
    /// A topic that the metadata still have is not open here yet.
    fn check_deleted(&self, topic: TopicId, name: &TopicName) -> Result<(), EngineError> {
        if self.metadata().topics.get(name).is_some_and(|known| known.id == topic) {
            let reason = format!("topic {name} is not open on this node yet");
            return Err(EngineError::PeerUnavailable { reason });
        }
        Ok(())
    }
}

/// The node that can do it, as far as the error says.
fn elsewhere(error: &EngineError) -> Option<NodeId> {
    match error {
        EngineError::NotLeader { leader: node, .. }
        | EngineError::NotCoordinator { node, .. }
        | EngineError::NotTransactionCoordinator { node, .. } => node.clone(),
        _ => None,
    }
}

/// Whether another try may do better: it had no effect, or may be done twice.
fn passes(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::NotLeader { .. }
            | EngineError::NotCoordinator { .. }
            | EngineError::NotTransactionCoordinator { .. }
            | EngineError::LeadershipLost { .. }
            | EngineError::NotEnoughReplicas { .. }
            | EngineError::PeerUnavailable { .. }
    )
}
