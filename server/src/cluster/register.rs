//! Each run of a node registers: from then on it has a broker epoch, which everything it says is checked against.

use std::time::{Duration, Instant};

use flymq_config::Config;
use flymq_engine::meta::{
    Command, FenceBroker, MetaError, MetaStore as _, NodeAddresses, NodeRejection, NodeRun, RegisterBroker,
    Rejection, Reply,
};
use flymq_types::{IncarnationId, Rng};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{join::Due, member::Member};
use crate::StartError;

/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Another process may be about to lose its session.
const TRANSIENT: Duration = Duration::from_secs(6);

/// Registers this process; its metadata is at least as new as that when this returns. Waits for the group.
///
/// # Errors
/// The cluster does not want this node.
pub(super) async fn register(
    member: &Member,
    config: &Config,
    addresses: NodeAddresses,
    rng: &dyn Rng,
) -> Result<(), StartError> {
    let register = RegisterBroker {
        cluster: member.cluster,
        id: member.node.clone(),
        incarnation: IncarnationId::random(rng),
        directory: member.directory,
        // Damage is mended from the others, and the offsets behind it are not given out again; a log that is gone ends the
        // start where that could cost anything ([`super::losses`]).
        clean: true,
        addresses,
        rack: config.cluster.rack.as_deref().map(Into::into),
        feature_version: member.understands,
        run: NodeRun {
            version: Some(env!("CARGO_PKG_VERSION").into()),
            role: Some(member.role.to_string().into()),
            started: member.clock.wall(),
        },
    };
    let (began, mut due) = (Instant::now(), Due::begin());
    loop {
        let error = match member.store.propose(vec![Command::RegisterBroker(register.clone())]).await {
            Ok(applied) => {
                if let Some(Reply::Node { node, .. }) = applied.replies.into_iter().next() {
                    member.epoch.get_or_init(|| node.broker_epoch);
                    info!(node = %member.node, broker_epoch = node.broker_epoch.0, "registered with the cluster");
                    return Ok(());
                }
                "an unexpected reply".to_owned()
            }
            Err(MetaError::Rejected(rejection)) => {
                check_rejection(member, &rejection, began.elapsed()).await?;
                rejection.to_string()
            }
            Err(error @ (MetaError::Storage(_) | MetaError::Unavailable { .. })) => error.to_string(),
        };
        if due.is_now() {
            warn!(error, "waiting to be registered with the cluster");
        }
        sleep(PAUSE).await;
    }
}

/// Whether to go on trying.
async fn check_rejection(member: &Member, rejection: &Rejection, tried: Duration) -> Result<(), StartError> {
    if let Rejection::Node(NodeRejection::IdInUse { .. }) = rejection {
        let image = member.image();
        let known = image.cluster.node(&member.node);
        if let Some(node) = known.filter(|node| node.directory == member.directory) {
            // This process holds the lock of that directory: its last one is dead, whatever its session says.
            let fence = FenceBroker { id: node.id.clone(), broker_epoch: node.broker_epoch };
            if let Err(error) = member.propose(Command::FenceBroker(fence)).await {
                warn!(%error, "the session of this node's last run cannot be ended yet");
            }
            return Ok(());
        }
        if tried < TRANSIENT {
            return Ok(());
        }
    }
    Err(StartError::Cluster { reason: format!("the cluster does not register this node: {rejection}") })
}
