//! Changes to the cluster: nodes that leave or are emptied, replicas and leaderships that move.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flymq_engine::meta::{
    Command, DrainBroker, ElectPreferred, NodeMeta, PartitionMeta, Reassign, RemoveBroker, Reply, TopicMeta,
    TopicPartition,
};
use flymq_proto::pb;
use flymq_types::NodeId;

use super::EngineBroker;
use crate::{BrokerError, Door, ErrorCode, convert};

/// How long a join token is good for where nothing is asked.
const TOKEN_VALID: Duration = Duration::from_secs(60 * 60);
/// The longest that may be asked.
const TOKEN_VALID_MOST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// So long leaders may take to hand over.
const HAND_OVER: Duration = Duration::from_secs(2);

/// So many partitions are named in a refusal.
const NAMED: usize = 5;

/// The partitions of a topic that a node keeps.
fn kept_by<'a>(topic: &'a TopicMeta, id: &'a NodeId) -> impl Iterator<Item = String> + 'a {
    let numbered = topic.partitions.iter().enumerate();
    let kept = numbered.filter(move |(_, partition)| partition.replicas.contains(id));
    kept.map(|(number, _)| format!("{}/{number}", topic.name))
}

/// Refuses to move a partition that nobody leads: it would wait for ever for somebody to copy from. To call a move off is fine.
fn check_source(at: &TopicPartition, present: &PartitionMeta, asked: &[NodeId]) -> Result<(), BrokerError> {
    let stays = present.replicas.iter().filter(|node| !present.adding.contains(node));
    let called_off = stays.collect::<BTreeSet<_>>() == asked.iter().collect();
    if !present.is_leaderless() || called_off {
        return Ok(());
    }
    let whole: Vec<_> = present.isr.iter().chain(&present.elr).map(NodeId::as_str).collect();
    let whole = whole.join(", ");
    let why = format!(
        "nobody leads {at}, as none of the nodes that have all of its records is up ({whole}), so that there is nothing to copy from: \
         start one of them first (flymq-cli cluster members shows who is away)"
    );
    Err(convert::invalid("partitions", why).with("partition", at).with("in_sync", whole))
}

impl EngineBroker {
    /// Removes a node that is stopped and keeps no replica.
    pub(super) async fn leave_cluster(
        &self,
        request: &pb::LeaveClusterRequest,
    ) -> Result<pb::LeaveClusterResponse, BrokerError> {
        let node = self.registered(&request.node_id)?;
        self.check_leaves(&node)?;
        let remove = RemoveBroker { id: node.id.clone(), broker_epoch: node.broker_epoch };
        self.engine.propose(vec![Command::RemoveBroker(remove)]).await?;
        Ok(pb::LeaveClusterResponse {})
    }

    /// Says what has to be done first. The metadata group checks the same, in fewer words.
    fn check_leaves(&self, node: &NodeMeta) -> Result<(), BrokerError> {
        let (id, state) = (&node.id, node.state);
        if state.is_alive() {
            let first = format!("stop it first; flymq-cli cluster drain {id} moves off what it leads");
            return Err(convert::invalid("node_id", format!("node {id} is {state}: {first}")));
        }
        let image = self.engine.metadata();
        let kept: Vec<String> = image.topics.values().flat_map(|topic| kept_by(topic, id)).collect();
        if kept.is_empty() {
            return Ok(());
        }
        let (count, some) = (kept.len(), kept[..kept.len().min(NAMED)].join(", "));
        let more = if count > NAMED { ", …" } else { "" };
        let message = format!(
            "node {id} still keeps replicas of {count} partitions ({some}{more}): reassign them first (flymq-cli cluster reassign)"
        );
        Err(convert::invalid("node_id", message))
    }

    /// Moves leaderships off a node, and gives it none until it is restarted. It hands them over itself; what it has not
    /// handed over in time moves all the same.
    pub(super) async fn drain_node(
        &self,
        request: &pb::DrainNodeRequest,
    ) -> Result<pb::DrainNodeResponse, BrokerError> {
        let node = self.registered(&request.node_id)?;
        let drain = DrainBroker { id: node.id.clone(), broker_epoch: node.broker_epoch, hand_over: true };
        let moved = self.moved(Command::DrainBroker(drain.clone())).await?;
        let left = self.engine.until_handed_over(Some(&node.id), HAND_OVER).await;
        if left > 0 {
            tracing::warn!(node = %node.id, left, "leaderships move off a node that has not handed them over");
            self.moved(Command::DrainBroker(DrainBroker { hand_over: false, ..drain })).await?;
        }
        let kept = convert::count(self.engine.metadata().led_by(&node.id));
        Ok(pb::DrainNodeResponse { moved, kept })
    }

    /// Gives leaderships back to the first replicas, as far as their leaders hand them over in time: they try again later.
    pub(super) async fn balance_leaders(
        &self,
        _request: pb::BalanceLeadersRequest,
    ) -> Result<pb::BalanceLeadersResponse, BrokerError> {
        self.check_cluster()?;
        let elect = ElectPreferred { partitions: Vec::new(), hand_over: true };
        let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
        let before = count(self.engine.metadata().handing_over(None));
        let asked = self.moved(Command::ElectPreferred(elect)).await?;
        let left = count(self.engine.until_handed_over(None, HAND_OVER).await);
        Ok(pb::BalanceLeadersResponse { moved: before.saturating_add(asked).saturating_sub(left).max(0) })
    }

    /// Lets other nodes keep partitions of a topic; all of the request, or nothing.
    pub(super) async fn reassign_partitions(
        &self,
        request: pb::ReassignPartitionsRequest,
    ) -> Result<pb::ReassignPartitionsResponse, BrokerError> {
        self.check_cluster()?;
        let name = convert::topic("topic", &request.topic)?;
        let image = self.engine.metadata();
        let topic = image.topic(&name).ok_or(flymq_engine::EngineError::TopicNotFound { topic: name })?;
        if request.partitions.is_empty() {
            return Err(convert::invalid("partitions", "name at least one partition with its replicas"));
        }
        let mut commands = Vec::with_capacity(request.partitions.len());
        for asked in request.partitions {
            let partition = convert::partition(asked.partition)?;
            let at = TopicPartition { topic: topic.id, name: topic.name.clone(), partition };
            let present = image.partition(&at).map_err(flymq_engine::EngineError::from)?;
            let replicas = asked.replicas.iter().map(|id| node_id("partitions.replicas", id));
            let replicas: Vec<NodeId> = replicas.collect::<Result<_, _>>()?;
            check_source(&at, present, &replicas)?;
            commands.push(Command::Reassign(Reassign {
                partition_epoch: present.partition_epoch,
                replicas,
                throttle_bytes_per_s: request.throttle_bytes_per_s,
                at,
            }));
        }
        self.engine.propose(commands).await?;
        Ok(pb::ReassignPartitionsResponse {})
    }

    /// Makes a token for nodes that are to join.
    pub(super) async fn create_join_token(
        &self,
        request: pb::CreateJoinTokenRequest,
    ) -> Result<pb::CreateJoinTokenResponse, BrokerError> {
        self.check_cluster()?;
        let valid = match request.valid_seconds {
            0 => TOKEN_VALID,
            seconds => Duration::from_secs(seconds.into()),
        };
        if valid > TOKEN_VALID_MOST {
            let most = TOKEN_VALID_MOST.as_secs();
            return Err(convert::invalid("valid_seconds", format!("is at most {most} (30 days)")));
        }
        let control = self.control.as_ref().ok_or_else(no_cluster)?;
        Ok(pb::CreateJoinTokenResponse { token: control.create_join_token(valid).await? })
    }

    /// Proposes the command; how many partitions have another leader or other replicas with it.
    async fn moved(&self, command: Command) -> Result<i32, BrokerError> {
        let applied = self.engine.propose(vec![command]).await?;
        let moved = applied.replies.iter().map(|reply| match reply {
            Reply::Node { partitions, .. } | Reply::LeadersMoved { partitions } => *partitions,
            Reply::TopicCreated(_)
            | Reply::TopicDeleted { .. }
            | Reply::TopicAltered(_)
            | Reply::NodeRemoved { .. }
            | Reply::PartitionChanged { .. }
            | Reply::FeaturesRaised { .. }
            | Reply::ProducerIds { .. }
            | Reply::SchemaRegistered(_)
            | Reply::SchemaDeleted { .. }
            | Reply::CompatibilitySet => 0,
        });
        Ok(i32::try_from(moved.sum::<u32>()).unwrap_or(i32::MAX))
    }

    fn registered(&self, id: &str) -> Result<Arc<NodeMeta>, BrokerError> {
        let id = node_id("node_id", id)?;
        self.check_cluster()?;
        let image = self.engine.metadata();
        image.cluster.node(&id).cloned().ok_or_else(|| {
            let nodes: Vec<_> = image.cluster.nodes.keys().map(NodeId::as_str).collect();
            let why = format!("no node of the cluster has this name ({id}); it has {}", nodes.join(", "));
            convert::invalid("node_id", why).with("node", &id)
        })
    }

    fn check_cluster(&self) -> Result<(), BrokerError> {
        if self.map(Door::InProcess).is_cluster() { Ok(()) } else { Err(no_cluster()) }
    }
}

fn node_id(field: &str, id: &str) -> Result<NodeId, BrokerError> {
    NodeId::new(id).map_err(|why| convert::invalid(field, why))
}

fn no_cluster() -> BrokerError {
    BrokerError::new(
        ErrorCode::FeatureDisabled,
        "this broker belongs to no cluster: start it with FLYMQ_ROLE=bootstrap, and the others with FLYMQ_ROLE=agent",
    )
}

#[cfg(test)]
mod tests {
    use flymq_types::{PartitionId, TopicId, TopicName};

    use super::*;

    fn nodes(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| NodeId::new(name).expect("an id")).collect()
    }

    #[test]
    fn a_partition_without_leader_is_not_moved_and_a_move_may_be_called_off() {
        let name = TopicName::new("t").expect("a name");
        let at = TopicPartition { topic: TopicId::from_bytes([1; 16]), name, partition: PartitionId(4) };
        let led = PartitionMeta {
            replicas: nodes(&["a", "b", "c"]),
            isr: nodes(&["b"]),
            elr: nodes(&["c"]),
            adding: nodes(&["c"]),
            leader: nodes(&["b"]).pop(),
            ..PartitionMeta::default()
        };
        assert_eq!(check_source(&at, &led, &nodes(&["a", "d"])), Ok(()));
        let lost = PartitionMeta { leader: None, ..led };
        let refused = check_source(&at, &lost, &nodes(&["a", "d"])).expect_err("nothing to copy from");
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
        assert!(
            refused.message.contains("nobody leads t/4") && refused.message.contains("(b, c)"),
            "{refused}"
        );
        assert_eq!(check_source(&at, &lost, &nodes(&["b", "a"])), Ok(()), "as before the move");
    }
}
