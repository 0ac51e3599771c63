//! A clean stop: others lead before this node is gone. It stays a member.

use std::time::Duration;

use flymq_engine::{
    Engine,
    meta::{Command, DrainBroker, FenceBroker, MetaStore as _, NodeState},
};
use tracing::{info, warn};

use super::running::{Running, close};

/// Longest wait for others to lead.
const DRAIN: Duration = Duration::from_secs(3);
/// How much of it is left to hand over in: after that others lead, whatever they lack.
const HAND_OVER: Duration = Duration::from_secs(2);
/// Longest wait for the end of the session; it ends by itself a little later.
const END: Duration = Duration::from_secs(2);

impl Running {
    /// Moves leaderships to other nodes, where there are any that can lead.
    pub async fn drain(&self, engine: &Engine) {
        let image = self.member.image();
        let others = image
            .cluster
            .nodes
            .values()
            .any(|node| node.id != self.member.node && node.state == NodeState::Active);
        let Some(node) = self.member.registration().filter(|_| others) else { return };
        let (id, broker_epoch) = (node.id.clone(), node.broker_epoch);
        let drain = |hand_over| Command::DrainBroker(DrainBroker { id: id.clone(), broker_epoch, hand_over });
        let mut followed = engine.followed();
        let moved = async {
            let mut applied = self.member.store.propose(vec![drain(true)]).await?;
            let left = engine.until_handed_over(Some(&node.id), HAND_OVER).await;
            if left > 0 {
                warn!(partitions = left, "others lead what this node could not hand over in time");
                applied = self.member.store.propose(vec![drain(false)]).await?;
            }
            // From here on this node's own doors name the new leaders.
            let _followed = followed.wait_for(|followed| *followed >= applied.version).await;
            Ok::<_, flymq_engine::meta::MetaError>(())
        };
        match tokio::time::timeout(DRAIN, moved).await {
            Ok(Ok(())) => info!(node = %node.id, "others lead what this node led"),
            Ok(Err(error)) => warn!(%error, "this node stops without others leading yet"),
            Err(_) => warn!("this node stops without others leading yet: the metadata group does not answer"),
        }
    }

    /// Ends the session, so that nobody waits for this node: the doors are closed.
    pub async fn end_session(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let Some(node) = self.member.registration() else { return };
        let fence = FenceBroker { id: node.id.clone(), broker_epoch: node.broker_epoch };
        match tokio::time::timeout(END, self.member.propose(Command::FenceBroker(fence))).await {
            Ok(Ok(())) => info!("the session with the cluster has ended"),
            Ok(Err(error)) => warn!(%error, "the session with the cluster ends by itself"),
            Err(_) => {
                warn!("the session with the cluster ends by itself: the metadata group does not answer");
            }
        }
    }

    /// Ends its part in the metadata group, and its connections: the engine is closed.
    pub async fn leave(&self) {
        close(&self.member).await;
    }
}
