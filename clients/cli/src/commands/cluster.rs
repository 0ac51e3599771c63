//! `cluster`, `cluster status`, `cluster members`.

use clap::{Args, Subcommand};
use flymq_client::pb;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    pub command: Option<ClusterCommand>,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Cluster id, leader, topics and partitions.
    Status,
    /// Nodes.
    Members,
}

pub async fn run(context: &Context, args: &Cluster) -> Result<(), Failure> {
    match args.command {
        None | Some(ClusterCommand::Status) => status(context).await,
        Some(ClusterCommand::Members) => members(context).await,
    }
}

async fn status(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("GetCluster", "{}").await?);
    }
    let reply: pb::GetClusterResponse = context.client.call("GetCluster", &pb::GetClusterRequest {}).await?;
    output::line(format!("Cluster:     {}", reply.cluster_id))?;
    output::line(format!("Node:        {} ({}, version {})", reply.node_id, reply.role, reply.version))?;
    output::line(format!("Leader:      {}", reply.leader))?;
    output::line(format!("Uptime:      {} s", reply.uptime_ms / 1000))?;
    output::line(format!("Topics:      {} with {} partitions", reply.topics, reply.partitions))?;
    output::line(format!("Members:     {}", reply.members.len()))
}

async fn members(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("ListMembers", "{}").await?);
    }
    let reply: pb::ListMembersResponse =
        context.client.call("ListMembers", &pb::ListMembersRequest {}).await?;
    let rows = reply.members.into_iter().map(|m| vec![m.node_id, m.role, m.state, m.client_addr, m.version]);
    output::table(&["NODE", "ROLE", "STATE", "ADDRESS", "VERSION"], rows.collect(), "no members")
}
