//! Nodes that come and go, by the calls that `flymq-cli cluster` makes.

use std::{fmt::Write as _, time::Duration};

use flymq_client::{Client, ClientError, pb};
use tokio::time::Instant;

use crate::{cluster::Cluster, load::TOPIC, look};

/// A change of the configuration that is not done by then is stuck.
pub const STUCK: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

pub fn name(number: u8) -> String {
    format!("node-{number}")
}

/// A token for one that joins.
pub async fn token(client: &Client) -> String {
    let request = pb::CreateJoinTokenRequest { valid_seconds: 600 };
    let answer: pb::CreateJoinTokenResponse = insist(client, "CreateJoinToken", request).await;
    answer.token
}

/// Repeats a call until it is answered.
pub async fn insist<Req, Resp>(client: &Client, rpc: &str, request: Req) -> Resp
where
    Req: prost::Message,
    Resp: prost::Message + Default,
{
    let began = Instant::now();
    loop {
        match client.call(rpc, &request).await {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < STUCK, "{rpc} is stuck: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets these nodes keep all partitions, each leading some, and waits until they do. How long it took.
pub async fn reassign(client: &Client, nodes: &[u8]) -> Duration {
    let began = Instant::now();
    let mut wanted = Vec::new();
    for partition in 0..crate::load::PARTITIONS {
        let mut replicas: Vec<_> = nodes.iter().map(|number| name(*number)).collect();
        replicas.rotate_left(usize::try_from(partition).expect("not below 0") % nodes.len());
        wanted.push(pb::PartitionReplicas { partition, replicas });
    }
    ask_reassign(client, &wanted, began).await;
    loop {
        let said = placed(client, &wanted).await;
        let Err(why) = said else { return began.elapsed() };
        assert!(began.elapsed() < STUCK, "the replicas do not move: {why}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until it is accepted: the metadata may have no leader just now, or have changed in between.
async fn ask_reassign(client: &Client, wanted: &[pb::PartitionReplicas], began: Instant) {
    let request = pb::ReassignPartitionsRequest {
        topic: TOPIC.to_owned(),
        partitions: wanted.to_vec(),
        throttle_bytes_per_s: 0,
    };
    loop {
        let answer: Result<pb::ReassignPartitionsResponse, ClientError> =
            client.call("ReassignPartitions", &request).await;
        let Err(error) = answer else { return };
        assert!(began.elapsed() < STUCK, "no reassignment is accepted: {error}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the partitions lie where they are wanted and have a leader there.
async fn placed(client: &Client, wanted: &[pb::PartitionReplicas]) -> Result<(), String> {
    let metadata = look::metadata(client).await?;
    let mut wrong = String::new();
    for (partition, wanted) in metadata.partitions.iter().zip(wanted) {
        let mut there = partition.replicas.clone();
        let mut asked = wanted.replicas.clone();
        there.sort();
        asked.sort();
        if there != asked || partition.leader.is_empty() {
            write!(wrong, "{partition:?} ").expect("a string takes it");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Moves leaderships off a node.
pub async fn drain(client: &Client, number: u8) {
    let request = pb::DrainNodeRequest { node_id: name(number) };
    let _: pb::DrainNodeResponse = insist(client, "DrainNode", request).await;
}

/// Removes a node that has stopped or died; how long it took until the cluster had forgotten it.
pub async fn remove(client: &Client, number: u8) -> Duration {
    let began = Instant::now();
    let request = pb::LeaveClusterRequest { node_id: name(number) };
    loop {
        let answer: Result<pb::LeaveClusterResponse, ClientError> =
            client.call("LeaveCluster", &request).await;
        let Err(error) = answer else { break };
        // The answer to the first call may have been lost.
        if members(client).await.is_some_and(|members| !members.contains(&name(number))) {
            break;
        }
        assert!(began.elapsed() < STUCK, "node {number} does not leave: {error}");
        tokio::time::sleep(PAUSE).await;
    }
    began.elapsed()
}

pub async fn members(client: &Client) -> Option<Vec<String>> {
    let answer: pb::ListMembersResponse =
        client.call("ListMembers", &pb::ListMembersRequest {}).await.ok()?;
    Some(answer.members.into_iter().map(|member| member.node_id).collect())
}

/// Who leads the metadata group: node number.
pub async fn metadata_leader(client: &Client) -> Option<u8> {
    let answer: pb::GetClusterResponse = client.call("GetCluster", &pb::GetClusterRequest {}).await.ok()?;
    answer.leader.strip_prefix("node-")?.parse().ok()
}

/// Waits until every member has a vote, as every one of them knows: else the next fault is one too many.
pub async fn votes(cluster: &Cluster) {
    let began = Instant::now();
    for number in cluster.members() {
        loop {
            let votes = cluster.metric(*number, "flymq_cluster_voters").await;
            if votes.is_some_and(|votes| votes > 2.5) {
                break;
            }
            assert!(began.elapsed() < STUCK, "{votes:?} votes, as node {number} knows");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
