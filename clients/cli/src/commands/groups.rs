//! `groups`: list, describe, lag, reset, delete.

use clap::Subcommand;
use flymq_client::pb;
use serde_json::json;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List groups.
    List,
    /// Members and committed offsets of a group.
    Describe { group: String },
    /// How far a group is behind.
    Lag { group: String },
    /// Set a group's offsets on a topic.
    Reset {
        group: String,
        topic: String,
        /// earliest, latest, or an offset.
        #[arg(long, default_value = "earliest")]
        to: String,
        #[arg(short, long)]
        partition: Vec<i32>,
    },
    /// Delete a group's offsets.
    Delete { group: String },
}

pub async fn run(context: &Context, command: &GroupsCommand) -> Result<(), Failure> {
    let (rpc, request) = match command {
        GroupsCommand::List => ("ListGroups", json!({})),
        GroupsCommand::Describe { group } => ("DescribeGroup", json!({"group": group})),
        GroupsCommand::Lag { group } => ("GetLag", json!({"group": group})),
        GroupsCommand::Reset { group, topic, to, partition } => {
            let mut request = json!({"group": group, "topic": topic, "partitions": partition});
            match to.as_str() {
                "earliest" => request["to"] = json!("START_FROM_EARLIEST"),
                "latest" => request["to"] = json!("START_FROM_LATEST"),
                offset => {
                    let offset: u64 = offset.parse().map_err(|_| {
                        Failure::Usage(format!("--to {offset:?}: use earliest, latest or an offset"))
                    })?;
                    request["to"] = json!("START_FROM_OFFSET");
                    request["offset"] = json!(offset);
                }
            }
            ("ResetOffsets", request)
        }
        GroupsCommand::Delete { group } => ("DeleteGroup", json!({"group": group})),
    };
    if context.json() {
        return output::line(context.client.call_json(rpc, &request.to_string()).await?);
    }
    match command {
        GroupsCommand::List => list(context).await,
        GroupsCommand::Describe { group } => describe(context, group).await,
        GroupsCommand::Lag { group } => lag(context, group).await,
        GroupsCommand::Reset { .. } => {
            context.client.call_json(rpc, &request.to_string()).await?;
            output::line("offsets set")
        }
        GroupsCommand::Delete { group } => {
            context.client.call_json(rpc, &request.to_string()).await?;
            output::line(format!("deleted group {group}"))
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let reply: pb::ListGroupsResponse =
        context.client.call("ListGroups", &pb::ListGroupsRequest::default()).await?;
    let rows = reply.groups.iter().map(|g| {
        vec![g.group.clone(), state(g.state()).to_owned(), g.members.to_string(), g.topics.join(",")]
    });
    let missing = reply.missing_nodes.join(", ");
    if !missing.is_empty() {
        output::warn(&format!(
            "no answer from {missing}: groups that are coordinated there may be missing here"
        ));
    }
    let nothing = match missing.is_empty() {
        true => "no groups yet; a group exists once it has committed",
        false => "no groups are known to the nodes that answered",
    };
    output::table(&["GROUP", "STATE", "MEMBERS", "TOPICS"], rows.collect(), nothing)
}

async fn describe(context: &Context, group: &str) -> Result<(), Failure> {
    let request = pb::DescribeGroupRequest { group: group.to_owned() };
    let reply: pb::DescribeGroupResponse = context.client.call("DescribeGroup", &request).await?;
    output::line(format!("Group:       {}", reply.group))?;
    output::line(format!("State:       {}", state(reply.state())))?;
    output::line(format!("Generation:  {}", reply.generation))?;
    output::line(format!("Members:     {}", reply.members.len()))?;
    output::line(format!("Coordinator: {}\n", reply.coordinator))?;
    if !reply.members.is_empty() {
        let rows = reply.members.iter().map(|member| {
            let reads = partitions(&member.assignment);
            vec![member.member_id.clone(), member.client_id.clone(), member.host.clone(), reads]
        });
        output::table(&["MEMBER", "CLIENT", "HOST", "PARTITIONS"], rows.collect(), "no members")?;
        output::line("")?;
    }
    let rows =
        reply.offsets.iter().map(|o| vec![o.topic.clone(), o.partition.to_string(), o.offset.to_string()]);
    output::table(&["TOPIC", "PARTITION", "COMMITTED"], rows.collect(), "no commits")
}

/// `orders/0,1 logs/3`; a topic alone: all of it.
fn partitions(topics: &[pb::TopicPartitions]) -> String {
    let of = |of: &pb::TopicPartitions| {
        let numbers: Vec<String> = of.partitions.iter().map(i32::to_string).collect();
        if numbers.is_empty() { of.topic.clone() } else { format!("{}/{}", of.topic, numbers.join(",")) }
    };
    topics.iter().map(of).collect::<Vec<_>>().join(" ")
}

async fn lag(context: &Context, group: &str) -> Result<(), Failure> {
    let request = pb::GetLagRequest { group: group.to_owned(), ..pb::GetLagRequest::default() };
    let reply: pb::GetLagResponse = context.client.call("GetLag", &request).await?;
    let mut rows: Vec<Vec<String>> = reply
        .partitions
        .iter()
        .map(|p| {
            let numbers = [p.committed, p.latest, p.lag].map(|n| n.to_string());
            [vec![p.topic.clone(), p.partition.to_string()], numbers.to_vec()].concat()
        })
        .collect();
    if rows.len() > 1 {
        rows.push(vec![
            "total".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            reply.total.to_string(),
        ]);
    }
    output::table(&["TOPIC", "PARTITION", "COMMITTED", "LATEST", "LAG"], rows, "no commits")
}

fn state(state: pb::GroupState) -> &'static str {
    match state {
        pb::GroupState::Unspecified => "unknown",
        pb::GroupState::Empty => "empty",
        pb::GroupState::Stable => "stable",
        pb::GroupState::Rebalancing => "rebalancing",
    }
}
