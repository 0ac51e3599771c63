//! `partition health`: what partitions are like, and what is wrong with them.

use clap::{Args, Subcommand};
use flymq_client::pb;
use serde_json::json;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Subcommand)]
pub enum PartitionCommand {
    /// Watermarks, last sync, damage, index and scrub of each partition.
    Health(Health),
}

#[derive(Debug, Args)]
pub struct Health {
    /// Only this topic; without it all.
    pub topic: Option<String>,
    /// Only partitions with something wrong.
    #[arg(long)]
    pub unwell: bool,
}

pub async fn run(context: &Context, command: &PartitionCommand) -> Result<(), Failure> {
    let PartitionCommand::Health(args) = command;
    let topics = described(context, args.topic.as_deref()).await?;
    if context.json() {
        for topic in &topics {
            let request = json!({"name": topic.name}).to_string();
            output::line(context.client.call_json("GetTopic", &request).await?)?;
        }
        return Ok(());
    }
    let all = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    let rows = all.filter(|(_, p)| !args.unwell || is_unwell(p)).map(|(topic, p)| {
        vec![
            topic.name.clone(),
            p.partition.to_string(),
            p.low_watermark.to_string(),
            p.high_watermark.to_string(),
            p.log_end_offset.to_string(),
            p.segments.to_string(),
            output::bytes(p.bytes),
            time(p.last_sync_ms),
            index(p.index.unwrap_or_default()),
            time(p.scrub.unwrap_or_default().finished_ms),
            state(p),
        ]
    });
    let header = [
        "TOPIC",
        "PARTITION",
        "LOW",
        "HIGH",
        "LOG END",
        "SEGMENTS",
        "SIZE",
        "LAST SYNC",
        "INDEX",
        "SCRUBBED",
        "STATE",
    ];
    let if_empty = if args.unwell { "every partition is well" } else { "no topics yet" };
    output::table(&header, rows.collect(), if_empty)?;
    topics.iter().try_for_each(troubles)
}

/// One topic, or all.
pub async fn described(context: &Context, topic: Option<&str>) -> Result<Vec<pb::Topic>, Failure> {
    let names = match topic {
        Some(name) => vec![name.to_owned()],
        None => context.client.list_topics().await?.into_iter().map(|topic| topic.name).collect(),
    };
    let mut topics = Vec::with_capacity(names.len());
    for name in names {
        topics.push(context.client.topic(&name).await?);
    }
    Ok(topics)
}

fn is_unwell(partition: &pb::Partition) -> bool {
    !partition.failure.is_empty() || !partition.quarantined.is_empty()
}

/// `online`, `online, damaged`, `offline` …
pub fn state(partition: &pb::Partition) -> String {
    let state = match partition.state() {
        pb::PartitionState::Unspecified => "unknown",
        pb::PartitionState::Online => "online",
        pb::PartitionState::Offline => "offline",
        pb::PartitionState::Reassigning => "reassigning",
        pb::PartitionState::Syncing => "syncing",
        pb::PartitionState::Failed => "failed",
    };
    let damaged = if partition.quarantined.is_empty() { "" } else { ", damaged" };
    format!("{state}{damaged}")
}

fn index(index: pb::PartitionIndex) -> String {
    match index.health() {
        pb::IndexHealth::Unspecified | pb::IndexHealth::Good => "good".to_owned(),
        pb::IndexHealth::Partial => "partial".to_owned(),
        pb::IndexHealth::InMemory => "in memory".to_owned(),
    }
}

/// What is wrong with a topic's partitions, a line each.
pub fn troubles(topic: &pb::Topic) -> Result<(), Failure> {
    for partition in &topic.partitions {
        let name = format!("{}/{}", topic.name, partition.partition);
        if !partition.failure.is_empty() {
            output::line(format!("{name}: {}", partition.failure))?;
        }
        for range in &partition.quarantined {
            let count = range.last - range.first + 1;
            output::line(format!(
                "{name}: offsets {} to {} ({count}) are damaged on disk; reads of them are refused",
                range.first, range.last
            ))?;
        }
    }
    Ok(())
}

/// A Unix time in ms for people; `-` for none.
pub fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) if ms > 0 => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Ok(_) | Err(_) => "-".to_owned(),
    }
}
