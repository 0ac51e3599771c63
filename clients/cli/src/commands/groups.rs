//! `groups`: list, describe, lag, reset, delete.

use std::{str::FromStr, time::Duration};

use clap::Subcommand;
use flymq_client::{ResetTo, pb};
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
    /// Let a group without members begin anew on a topic.
    Reset {
        group: String,
        topic: String,
        /// earliest, latest, an offset, or a time (2027-01-01T08:00:00Z): the first message of then or later.
        #[arg(long, default_value = "earliest")]
        to: To,
        /// All partitions unless given.
        #[arg(short, long)]
        partition: Vec<i32>,
    },
    /// Delete a group's offsets.
    Delete {
        group: String,
        /// Only those of this topic.
        #[arg(long)]
        topic: Option<String>,
    },
}

/// Where a group begins anew.
#[derive(Debug, Clone, Copy)]
pub struct To(ResetTo);

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self(ResetTo::Earliest)),
            "latest" => return Ok(Self(ResetTo::Latest)),
            _ => {}
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self(ResetTo::Offset(offset)));
        }
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|_| "use earliest, latest, an offset, or a time as 2027-01-01T08:00:00Z".to_owned())?;
        Ok(Self(ResetTo::TimestampMs(time.as_millisecond())))
    }
}

pub async fn run(context: &Context, command: &GroupsCommand) -> Result<(), Failure> {
    match command {
        GroupsCommand::List => list(context).await,
        GroupsCommand::Describe { group } => describe(context, group).await,
        GroupsCommand::Lag { group } => lag(context, group).await,
        GroupsCommand::Reset { group, topic, to, partition } => {
            reset(context, (group, topic), partition, *to).await
        }
        GroupsCommand::Delete { group, topic } => {
            let request = json!({"group": group, "topic": topic.as_deref().unwrap_or_default()});
            let reply = context.client.call_json("DeleteGroup", &request.to_string()).await?;
            match (context.json(), topic) {
                (true, _) => output::line(reply),
                (false, None) => output::line(format!("deleted group {group}")),
                (false, Some(topic)) => {
                    output::line(format!("deleted the offsets of group {group} on {topic}"))
                }
            }
        }
    }
}

/// The reply to a call that takes a group alone, as it is.
async fn as_json(context: &Context, rpc: &str, group: &str) -> Result<(), Failure> {
    output::line(context.client.call_json(rpc, &json!({"group": group}).to_string()).await?)
}

async fn reset(
    context: &Context,
    (group, topic): (&str, &str),
    partitions: &[i32],
    To(to): To,
) -> Result<(), Failure> {
    let now = context.client.reset_offsets(group, topic, partitions, to).await?;
    if context.json() {
        let offsets: Vec<_> = now
            .iter()
            .map(|at| json!({"topic": at.topic, "partition": at.partition, "offset": at.offset, "metadata": at.metadata}))
            .collect();
        return output::line(json!({ "offsets": offsets }));
    }
    let rows = now.iter().map(|at| vec![at.topic.clone(), at.partition.to_string(), at.offset.to_string()]);
    output::table(&["TOPIC", "PARTITION", "BEGINS AT"], rows.collect(), "the topic has no partitions")
}

async fn list(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("ListGroups", "{}").await?);
    }
    let reply = context.client.list_groups().await?;
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
    if context.json() {
        return as_json(context, "DescribeGroup", group).await;
    }
    let reply = context.client.describe_group(group).await?;
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
    if context.json() {
        return as_json(context, "GetLag", group).await;
    }
    // Of all topics.
    let lag = context.client.lag(group, "").await?;
    let mut rows: Vec<Vec<String>> = lag
        .iter()
        .map(|p| {
            let numbers = [p.committed, p.latest, p.lag].map(|n| n.to_string());
            [vec![p.topic.clone(), p.partition.to_string()], numbers.to_vec(), vec![age(p.lag_ms)]].concat()
        })
        .collect();
    if rows.len() > 1 {
        let total: u64 = lag.iter().map(|p| p.lag).sum();
        let oldest = lag.iter().map(|p| p.lag_ms).max().unwrap_or(0);
        let [nothing, total, oldest] = [String::new(), total.to_string(), age(oldest)];
        rows.push(vec!["total".to_owned(), nothing.clone(), nothing.clone(), nothing, total, oldest]);
    }
    output::table(&["TOPIC", "PARTITION", "COMMITTED", "LATEST", "LAG", "OLDEST"], rows, "no commits")
}

/// How old the oldest message is that the group has not committed: `1h 2m 5s`; nothing where it has committed all.
fn age(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms @ 1..) => spoken(Duration::from_millis(ms)),
        Ok(0) | Err(_) => "-".to_owned(),
    }
}

/// Whole seconds, below ten of them milliseconds.
fn spoken(age: Duration) -> String {
    let seconds = age.as_secs();
    match (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60, seconds % 60) {
        (0, 0, 0, s) if s < 10 => format!("{}ms", age.as_millis()),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

fn state(state: pb::GroupState) -> &'static str {
    match state {
        pb::GroupState::Unspecified => "unknown",
        pb::GroupState::Empty => "empty",
        pb::GroupState::Stable => "stable",
        pb::GroupState::Rebalancing => "rebalancing",
    }
}
