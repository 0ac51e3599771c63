//! What the nodes may use of each other rises by itself, once every node of the cluster understands it: from then on an older
//! one is refused.

use std::{sync::Arc, time::Duration};

use flymq_engine::meta::{Command, MetaImage, RaiseFeatures};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::member::Member;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// As the leader of the metadata group. Until it is dropped.
pub(super) async fn raise(member: Arc<Member>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !member.leads() {
            continue;
        }
        let Some(version) = due(&member.image(), member.understands) else { continue };
        match member.propose(Command::RaiseFeatures(RaiseFeatures { version })).await {
            Ok(()) => info!(version, "every node understands it: the cluster's feature version rises"),
            Err(error) => warn!(version, %error, "the cluster's feature version could not rise yet"),
        }
    }
}

/// The version that the cluster may use and does not: the highest that all of its nodes, also those that are away, and this build
/// understand.
fn due(image: &MetaImage, understood: u32) -> Option<u32> {
    let nodes = image.cluster.nodes.values().map(|node| node.feature_version);
    let version = nodes.min()?.min(understood);
    (version > image.cluster.features).then_some(version)
}

#[cfg(test)]
mod tests {
    use flymq_engine::meta::{NodeAddresses, NodeMeta, NodeRun, NodeState};
    use flymq_types::{BrokerEpoch, DirectoryId, NodeId};

    use super::*;

    #[test]
    fn it_rises_when_the_last_node_was_upgraded() {
        let mut image = MetaImage::default();
        assert_eq!(due(&image, 2), None, "nobody is there");
        image.cluster.features = 1;
        let mut upgrade = |name: &str, feature_version| {
            let node = NodeMeta {
                id: NodeId::new(name).expect("an id"),
                directory: DirectoryId::from_bytes([1; 16]),
                incarnation: None,
                addresses: NodeAddresses::default(),
                rack: None,
                state: NodeState::Active,
                broker_epoch: BrokerEpoch(1),
                feature_version,
                run: NodeRun::default(),
            };
            image.cluster.nodes.insert(node.id.clone(), Arc::new(node));
            due(&image, 2)
        };
        assert_eq!(
            [upgrade("a", 2), upgrade("b", 1), upgrade("b", 2), upgrade("c", 3)],
            [Some(2), None, Some(2), Some(2)]
        );
        image.cluster.features = 2;
        assert_eq!(due(&image, 2), None);
    }
}
