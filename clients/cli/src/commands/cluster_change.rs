//! `cluster join`, `token`, `remove`, `drain`, `reassign`, `balance`: what changes it.

use clap::Args;
use flymq_client::{ClientError, pb};
use serde_json::json;

use super::topics::plural;
use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Token {
    /// Seconds that the token is good for; one hour where it is left out.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    valid_seconds: u32,
}

#[derive(Debug, Args)]
pub struct Join {
    #[command(flatten)]
    token: Token,
}

#[derive(Debug, Args)]
pub struct Remove {
    /// Name of the node.
    node: String,
}

#[derive(Debug, Args)]
pub struct Drain {
    /// Name of the node.
    node: String,
}

#[derive(Debug, Args)]
pub struct Reassign {
    topic: String,
    /// `PARTITION=NODE,NODE,...`: the first node leads where it can.
    #[arg(required = true, value_parser = replicas)]
    partitions: Vec<pb::PartitionReplicas>,
    /// Bytes per second that each leader sends to new replicas, all together; 0: as fast as it can. Given again, with the
    /// same replicas, it changes the pace.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    throttle: u64,
}

/// `0=n1,n2,n3`
fn replicas(text: &str) -> Result<pb::PartitionReplicas, String> {
    let wrong = || format!("{text:?} is not PARTITION=NODE,NODE,...: write 0=node-1,node-2,node-3");
    let (partition, nodes) = text.split_once('=').ok_or_else(wrong)?;
    let partition = partition.parse().map_err(|_| wrong())?;
    let replicas: Vec<String> = nodes.split(',').map(|node| node.trim().to_owned()).collect();
    if replicas.iter().any(String::is_empty) {
        return Err(wrong());
    }
    Ok(pb::PartitionReplicas { partition, replicas })
}

async fn make_token(context: &Context, args: &Token) -> Result<String, ClientError> {
    let request = pb::CreateJoinTokenRequest { valid_seconds: args.valid_seconds };
    let reply: pb::CreateJoinTokenResponse = context.client.call("CreateJoinToken", &request).await?;
    Ok(reply.token)
}

pub async fn token(context: &Context, args: &Token) -> Result<(), Failure> {
    let token = make_token(context, args).await?;
    if context.json() { output::line(json!({"token": token})) } else { output::line(token) }
}

pub async fn join(context: &Context, args: &Join) -> Result<(), Failure> {
    let token = make_token(context, &args.token).await?;
    let reply: pb::ListMembersResponse =
        context.client.call("ListMembers", &pb::ListMembersRequest {}).await?;
    let reachable =
        reply.members.iter().find(|member| member.state != "fenced" && !member.cluster_addr.is_empty());
    let server = reachable.map_or("HOST:9093", |member| &member.cluster_addr);
    if context.json() {
        return output::line(json!({"role": "agent", "server": server, "token": token}));
    }
    output::line("Start the new node with a name and a data directory of its own:")?;
    output::line(format!(
        "  FLYMQ_ROLE=agent FLYMQ_SERVER={server} FLYMQ_JOIN_TOKEN={token} FLYMQ_NODE_ID=<name> flymq"
    ))
}

pub async fn remove(context: &Context, args: &Remove) -> Result<(), Failure> {
    let request = pb::LeaveClusterRequest { node_id: args.node.clone() };
    let _: pb::LeaveClusterResponse = context.client.call("LeaveCluster", &request).await?;
    if context.json() {
        return output::line(json!({"removed": args.node}));
    }
    output::line(format!("{} is no longer a member; another node may have its name", args.node))
}

pub async fn drain(context: &Context, args: &Drain) -> Result<(), Failure> {
    let request = pb::DrainNodeRequest { node_id: args.node.clone() };
    let reply: pb::DrainNodeResponse = context.client.call("DrainNode", &request).await?;
    if context.json() {
        return output::line(json!({"node": args.node, "moved": reply.moved, "kept": reply.kept}));
    }
    let (node, moved) = (&args.node, leaderships(reply.moved));
    output::line(format!("{moved} moved off {node}; it gets no new ones until it is restarted"))?;
    if reply.kept > 0 {
        let kept = leaderships(reply.kept);
        output::warn(&format!(
            "{node} keeps {kept}: no other replica is in sync there (flymq-cli cluster status); stopping it now takes them offline"
        ));
    }
    Ok(())
}

pub async fn balance(context: &Context) -> Result<(), Failure> {
    let reply: pb::BalanceLeadersResponse =
        context.client.call("BalanceLeaders", &pb::BalanceLeadersRequest {}).await?;
    if context.json() {
        return output::line(json!({"moved": reply.moved}));
    }
    output::line(format!("{} moved", leaderships(reply.moved)))
}

fn leaderships(moved: i32) -> String {
    format!("{moved} {}", plural(usize::try_from(moved).unwrap_or(0), "leadership"))
}

pub async fn reassign(context: &Context, args: &Reassign) -> Result<(), Failure> {
    let request = pb::ReassignPartitionsRequest {
        topic: args.topic.clone(),
        partitions: args.partitions.clone(),
        throttle_bytes_per_s: args.throttle,
    };
    let _: pb::ReassignPartitionsResponse = context.client.call("ReassignPartitions", &request).await?;
    if context.json() {
        return output::line(json!({"topic": args.topic, "partitions": args.partitions.len()}));
    }
    let count = args.partitions.len();
    output::line(format!(
        "{count} {} of {} being reassigned; follow it with flymq-cli cluster status, or flymq-cli info {}",
        plural(count, "partition"),
        args.topic,
        args.topic
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_read_or_refused_with_an_example() {
        let read = replicas("3=a, b,c").expect("well-formed");
        assert_eq!((read.partition, read.replicas), (3, ["a", "b", "c"].map(str::to_owned).to_vec()));
        for wrong in ["3", "x=a", "3=", "3=a,,b", "=a"] {
            let why = replicas(wrong).expect_err(wrong);
            assert!(why.contains("0=node-1"), "{why}");
        }
    }
}
