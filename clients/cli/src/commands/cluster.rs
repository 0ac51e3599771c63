//! `cluster`: what it looks like.

use clap::{Args, Subcommand};
use flymq_client::pb;

use super::cluster_change::{Drain, Join, Reassign, Remove, Token};
use crate::{
    commands::cluster_change,
    context::Context,
    output::{self, Failure},
};

/// So many partitions are named that wait for something.
const WAITS: usize = 5;

#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    pub command: Option<ClusterCommand>,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Cluster id, leader, topics and partitions, what is wrong.
    Status,
    /// Nodes.
    Members,
    /// Make a token, and say how a new node is started with it.
    Join(Join),
    /// Make a token with which nodes may join.
    Token(Token),
    /// Remove a node that is stopped and keeps no replica.
    Remove(Remove),
    /// Move leaderships off a node before it is stopped.
    Drain(Drain),
    /// Let other nodes keep partitions of a topic.
    Reassign(Reassign),
    /// Give leaderships back to the first replica of each partition.
    Balance,
}

pub async fn run(context: &Context, args: &Cluster) -> Result<(), Failure> {
    match &args.command {
        None | Some(ClusterCommand::Status) => status(context).await,
        Some(ClusterCommand::Members) => members(context).await,
        Some(ClusterCommand::Join(args)) => cluster_change::join(context, args).await,
        Some(ClusterCommand::Token(args)) => cluster_change::token(context, args).await,
        Some(ClusterCommand::Remove(args)) => cluster_change::remove(context, args).await,
        Some(ClusterCommand::Drain(args)) => cluster_change::drain(context, args).await,
        Some(ClusterCommand::Reassign(args)) => cluster_change::reassign(context, args).await,
        Some(ClusterCommand::Balance) => cluster_change::balance(context).await,
    }
}

async fn status(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("GetCluster", "{}").await?);
    }
    let reply: pb::GetClusterResponse = context.client.call("GetCluster", &pb::GetClusterRequest {}).await?;
    if let Some(warning) = stale(reply.stale_ms) {
        output::line(format!("Warning:     {warning}"))?;
    }
    let leader = match (reply.leader.as_str(), reply.stale_ms > 0) {
        ("", true) => "not known here",
        ("", false) => "none: the nodes are electing one",
        (leader, _) => leader,
    };
    output::line(format!("Cluster:     {}", reply.cluster_id))?;
    output::line(format!("Node:        {} ({}, version {})", reply.node_id, reply.role, reply.version))?;
    output::line(format!("Leader:      {leader}"))?;
    output::line(format!("Uptime:      {} s", reply.uptime_ms / 1000))?;
    output::line(format!("Topics:      {} with {} partitions", reply.topics, reply.partitions))?;
    output::line(format!("Members:     {}", members_in_words(&reply.members)))?;
    if reply.members.len() > 1 {
        let request = pb::GetMetadataRequest { topics: Vec::new(), internal: true };
        let metadata: pb::GetMetadataResponse = context.client.call("GetMetadata", &request).await?;
        output::line(format!("Replication: {}", Replication::of(&metadata)))?;
        for wait in waits(&metadata, &reply.members) {
            output::line(format!("Waiting:     {wait}"))?;
        }
        if let Some(warning) = single(&metadata) {
            output::line(format!("Warning:     {warning}"))?;
        }
    }
    Ok(())
}

/// What to keep in mind where the node that answered is out of touch with its cluster.
fn stale(stale_ms: i64) -> Option<String> {
    let seconds = stale_ms / 1000;
    (stale_ms > 0).then(|| {
        format!(
            "this node has heard no majority of the metadata group for {seconds} s: what follows is as it was then. Ask another node \
             (--addr)"
        )
    })
}

fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

/// Partitions of users that the loss of one node would take, and what to do. (The brokers see to their own.)
fn single(metadata: &pb::GetMetadataResponse) -> Option<String> {
    let mut topics = metadata.topics.iter().filter(|topic| !is_internal(&topic.name));
    let is_single = |partition: &&pb::PartitionMetadata| partition.replicas.len() == 1;
    let of = |topic: &pb::TopicMetadata| topic.partitions.iter().filter(is_single).count();
    let first = topics.clone().find(|topic| of(topic) > 0)?;
    let partition = first.partitions.iter().find(is_single)?.partition;
    let count: usize = topics.by_ref().map(of).sum();
    let name = &first.name;
    Some(format!(
        "{count} {} a single replica, on one disk: flymq-cli cluster reassign {name} {partition}=NODE,NODE,NODE gives it more",
        if count == 1 { "partition has" } else { "partitions have" }
    ))
}

/// What partitions without leader and replicas that move wait for; the first few.
fn waits(metadata: &pb::GetMetadataResponse, members: &[pb::ClusterMember]) -> Vec<String> {
    let mut waits = Vec::new();
    for (topic, partition) in metadata.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
        let name = format!("{}/{}", topic.name, partition.partition);
        if partition.leader.is_empty() {
            let whole = partition.isr.join(", ");
            waits.push(format!(
                "{name} has no leader, for a node that has all of its records: {whole} was the last in sync"
            ));
        } else if partition.state() == pb::PartitionState::Reassigning {
            let late: Vec<String> = partition
                .replicas
                .iter()
                .filter(|id| !partition.isr.contains(id))
                .map(|id| with_state(id, members))
                .collect();
            waits.push(if late.is_empty() {
                format!("{name} is being reassigned, for its leader to hand over")
            } else {
                format!(
                    "{name} is being reassigned, for its new replicas to have everything; not in sync: {}",
                    late.join(", ")
                )
            });
        }
    }
    let more = waits.len().saturating_sub(WAITS);
    waits.truncate(WAITS);
    if more > 0 {
        waits.push(format!("and {more} more"));
    }
    waits
}

/// `n4`, or `n4 (fenced)`.
fn with_state(id: &str, members: &[pb::ClusterMember]) -> String {
    match members.iter().find(|member| member.node_id == id) {
        Some(member) if member.state == "active" => id.to_owned(),
        Some(member) => format!("{id} ({})", member.state),
        None => format!("{id} (unknown)"),
    }
}

/// `3`, or `3, of them 1 fenced`.
fn members_in_words(members: &[pb::ClusterMember]) -> String {
    let mut text = members.len().to_string();
    for state in ["fenced", "draining"] {
        match members.iter().filter(|member| member.state == state).count() {
            0 => {}
            some => text += &format!(", of them {some} {state}"),
        }
    }
    text
}

/// How many partitions are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Replication {
    without_leader: usize,
    under_replicated: usize,
    moving: usize,
}

impl Replication {
    fn of(metadata: &pb::GetMetadataResponse) -> Self {
        let mut found = Self::default();
        for partition in metadata.topics.iter().flat_map(|topic| &topic.partitions) {
            found.without_leader += usize::from(partition.leader.is_empty());
            found.under_replicated += usize::from(partition.isr.len() < partition.replicas.len());
            found.moving += usize::from(partition.state() == pb::PartitionState::Reassigning);
        }
        found
    }
}

impl std::fmt::Display for Replication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { without_leader, under_replicated, moving } = self;
        if *self == Self::default() {
            return f.write_str("every replica is in sync");
        }
        write!(
            f,
            "{without_leader} partitions without leader, {under_replicated} with replicas out of sync"
        )?;
        if *moving > 0 { write!(f, ", {moving} being reassigned") } else { Ok(()) }
    }
}

async fn members(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("ListMembers", "{}").await?);
    }
    let reply: pb::ListMembersResponse =
        context.client.call("ListMembers", &pb::ListMembersRequest {}).await?;
    if let Some(warning) = stale(reply.stale_ms) {
        output::warn(&warning);
    }
    let known = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows = reply.members.into_iter().map(|m| {
        [m.node_id, m.role, m.state, m.client_addr, m.cluster_addr, m.rack, m.version].map(known).to_vec()
    });
    let header = ["NODE", "ROLE", "STATE", "ADDRESS", "CLUSTER ADDRESS", "RACK", "VERSION"];
    output::table(&header, rows.collect(), "no members")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(leader: &str, isr: usize) -> pb::PartitionMetadata {
        pb::PartitionMetadata {
            leader: leader.to_owned(),
            replicas: vec!["n".to_owned(); 3],
            isr: vec!["n".to_owned(); isr],
            ..Default::default()
        }
    }

    fn told(partitions: Vec<pb::PartitionMetadata>) -> String {
        let topics = vec![pb::TopicMetadata { name: "t".to_owned(), partitions, ..Default::default() }];
        Replication::of(&pb::GetMetadataResponse { topics, ..Default::default() }).to_string()
    }

    #[test]
    fn it_is_said_what_is_waited_for() {
        let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        let member = |id: &str, state: &str| pb::ClusterMember {
            node_id: id.to_owned(),
            state: state.to_owned(),
            ..Default::default()
        };
        let members = [member("a", "active"), member("b", "active"), member("c", "fenced")];
        let of = |leader: &str, isr: &[&str], state: pb::PartitionState| pb::PartitionMetadata {
            leader: leader.to_owned(),
            replicas: names(&["a", "b", "c"]),
            isr: names(isr),
            state: state.into(),
            ..Default::default()
        };
        let told = |partitions| {
            let topics = vec![pb::TopicMetadata { name: "t".to_owned(), partitions, ..Default::default() }];
            waits(&pb::GetMetadataResponse { topics, ..Default::default() }, &members)
        };
        let moving = pb::PartitionState::Reassigning;
        assert!(told(vec![of("a", &["a"], pb::PartitionState::Online)]).is_empty());
        let lines = told(vec![
            of("a", &["a"], moving),
            of("a", &["a", "b", "c"], moving),
            of("", &["c"], pb::PartitionState::Offline),
        ]);
        assert!(lines[0].ends_with("not in sync: b, c (fenced)"), "{lines:?}");
        assert!(lines[1].contains("hand over") && lines[2].contains("c was the last in sync"), "{lines:?}");
        let many = told((0..9).map(|_| of("a", &["a"], moving)).collect());
        assert_eq!((many.len(), many[WAITS].as_str()), (WAITS + 1, "and 4 more"));
    }

    #[test]
    fn partitions_with_one_replica_are_told_of() {
        let one = pb::PartitionMetadata { replicas: vec!["n".to_owned()], partition: 4, ..partition("n", 1) };
        let topic = |name: &str, partitions| pb::TopicMetadata {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        };
        let told = |topics| single(&pb::GetMetadataResponse { topics, ..Default::default() });
        assert_eq!(told(vec![topic("a", vec![partition("n", 3)]), topic("__b", vec![one.clone()])]), None);
        let warning = told(vec![topic("a", vec![partition("n", 3), one.clone()]), topic("b", vec![one])]);
        let expected = "2 partitions have a single replica, on one disk: flymq-cli cluster reassign a 4=NODE,NODE,NODE gives it more";
        assert_eq!(warning.as_deref(), Some(expected));
    }

    #[test]
    fn what_is_old_is_told_to_be_old() {
        assert_eq!(stale(0), None);
        let warning = stale(61_500).expect("a warning");
        assert!(warning.contains("for 61 s") && warning.contains("as it was then"), "{warning}");
    }

    #[test]
    fn what_is_wrong_is_counted() {
        assert_eq!(told(vec![partition("a", 3)]), "every replica is in sync");
        let some = told(vec![partition("a", 3), partition("", 1), partition("b", 2)]);
        assert_eq!(some, "1 partitions without leader, 2 with replicas out of sync");
    }
}
