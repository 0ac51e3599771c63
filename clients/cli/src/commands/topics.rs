//! `create`, `delete`, `topics`, `info`.

use clap::{Args, Subcommand, ValueEnum};
use flymq_client::pb;
use serde_json::json;

use super::partitions;
use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Create {
    pub topic: String,
    /// 0: the server's default.
    #[arg(short, long, default_value_t = 0)]
    pub partitions: i32,
    /// Copies of each partition; 0: the server's default.
    #[arg(long, default_value_t = 0)]
    pub replication_factor: i32,
    /// Milliseconds after which old segments go; 0: never.
    #[arg(long, default_value_t = 0)]
    pub retention_ms: i64,
    /// Bytes per partition above which old segments go; 0: no limit.
    #[arg(long, default_value_t = 0)]
    pub retention_bytes: i64,
    #[command(flatten)]
    pub index: Index,
}

/// How the topic's log is indexed.
#[derive(Debug, Args)]
pub struct Index {
    /// Which batches get an index entry: one for about every so many bytes, every one, or also wherever a newer time
    /// begins.
    #[arg(long = "index", value_enum)]
    pub strategy: Option<IndexStrategy>,
    /// Bytes of log for about one index entry; 0: 4096.
    #[arg(long, default_value_t = 0)]
    pub index_interval_bytes: u32,
    /// A record header by whose values records can be found; may be given several times.
    #[arg(long = "index-header", value_name = "NAME")]
    pub headers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IndexStrategy {
    Sparse,
    Dense,
    Time,
}

impl Index {
    /// None where nothing was said.
    fn options(&self) -> Option<pb::IndexOptions> {
        let strategy = match self.strategy {
            None => pb::IndexStrategy::Unspecified,
            Some(IndexStrategy::Sparse) => pb::IndexStrategy::Sparse,
            Some(IndexStrategy::Dense) => pb::IndexStrategy::Dense,
            Some(IndexStrategy::Time) => pb::IndexStrategy::Time,
        };
        let said = self.strategy.is_some() || self.index_interval_bytes > 0 || !self.headers.is_empty();
        said.then(|| pb::IndexOptions {
            strategy: strategy.into(),
            interval_bytes: self.index_interval_bytes,
            headers: self.headers.clone(),
        })
    }
}

#[derive(Debug, Args)]
pub struct Name {
    pub topic: String,
}

#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic.
    Create(Create),
    /// Delete a topic and its data.
    Delete(Name),
    /// List topics.
    List,
    /// Show a topic: settings, watermarks, segments, damage.
    #[command(visible_alias = "describe")]
    Info(Name),
    /// Delete the oldest records of a partition, for good.
    DeleteRecords(DeleteRecords),
}

#[derive(Debug, Args)]
pub struct DeleteRecords {
    pub topic: String,
    #[arg(short, long, default_value_t = 0)]
    pub partition: i32,
    /// The first record to keep: an offset, or `latest` to delete all.
    #[arg(long)]
    pub before: String,
}

pub async fn create(context: &Context, args: &Create) -> Result<(), Failure> {
    let options = pb::TopicOptions {
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        retention_ms: args.retention_ms,
        retention_bytes: args.retention_bytes,
        index: args.index.options(),
        ..pb::TopicOptions::default()
    };
    let request = pb::CreateTopicRequest {
        name: args.topic.clone(),
        options: Some(options),
        ..pb::CreateTopicRequest::default()
    };
    let reply: pb::CreateTopicResponse = context.client.call("CreateTopic", &request).await?;
    let partitions = reply.topic.map_or(0, |t| t.partitions.len());
    if context.json() {
        return output::line(json!({"topic": args.topic, "partitions": partitions}));
    }
    output::line(format!(
        "created topic {} with {partitions} {}",
        args.topic,
        plural(partitions, "partition")
    ))
}

pub async fn delete(context: &Context, args: &Name) -> Result<(), Failure> {
    context.client.delete_topic(&args.topic).await?;
    if context.json() {
        return output::line(json!({"topic": args.topic, "deleted": true}));
    }
    output::line(format!("deleted topic {}", args.topic))
}

pub async fn delete_records(context: &Context, args: &DeleteRecords) -> Result<(), Failure> {
    let before = match args.before.as_str() {
        "latest" => u64::MAX,
        offset => offset
            .parse()
            .map_err(|_| Failure::Usage(format!("--before {offset:?}: use an offset or latest")))?,
    };
    let low = context.client.delete_records(&args.topic, args.partition, before).await?;
    if context.json() {
        return output::line(json!({"topic": args.topic, "partition": args.partition, "low_watermark": low}));
    }
    output::line(format!("{} partition {} begins at offset {low}", args.topic, args.partition))
}

pub async fn list(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("ListTopics", "{}").await?);
    }
    let rows = context.client.list_topics().await?.into_iter().map(|t| {
        vec![
            t.name,
            t.partitions.to_string(),
            t.replication_factor.to_string(),
            t.records.to_string(),
            output::bytes(t.bytes),
        ]
    });
    let header = ["TOPIC", "PARTITIONS", "REPLICAS", "RECORDS", "SIZE"];
    output::table(&header, rows.collect(), "no topics yet; create one: flymq-cli create <topic>")
}

pub async fn info(context: &Context, args: &Name) -> Result<(), Failure> {
    if context.json() {
        let request = json!({"name": args.topic}).to_string();
        return output::line(context.client.call_json("GetTopic", &request).await?);
    }
    let topic = context.client.topic(&args.topic).await?;
    let options = topic.options.clone().unwrap_or_default();
    output::line(format!("Topic:       {}", topic.name))?;
    output::line(format!("Id:          {}", topic.id))?;
    output::line(format!("Partitions:  {}", topic.partitions.len()))?;
    output::line(format!("Replicas:    {}", options.replication_factor))?;
    output::line(format!("Retention:   {}", retention(&options)))?;
    if let Some(policy) = &options.dead_letters {
        output::line(format!("Failures:    {}", super::dlq::summary(policy)))?;
    }
    output::line(format!("Index:       {}", index(options.index.as_ref())))?;
    output::line("")?;
    let rows = topic.partitions.iter().map(|p| {
        vec![
            p.partition.to_string(),
            p.low_watermark.to_string(),
            p.high_watermark.to_string(),
            p.log_end_offset.to_string(),
            p.segments.to_string(),
            output::bytes(p.bytes),
            partitions::time(p.last_sync_ms),
            partitions::state(p),
            if p.leader.is_empty() { "-".to_owned() } else { p.leader.clone() },
            format!("{}/{}", p.isr.len(), p.replicas.len()),
            p.replicas.join(","),
        ]
    });
    output::table(
        &[
            "PARTITION",
            "LOW",
            "HIGH",
            "LOG END",
            "SEGMENTS",
            "SIZE",
            "LAST SYNC",
            "STATE",
            "LEADER",
            "IN SYNC",
            "REPLICAS",
        ],
        rows.collect(),
        "no partitions",
    )?;
    partitions::troubles(&topic)
}

/// `sparse`, `dense` or `time`.
pub fn strategy(options: Option<&pb::IndexOptions>) -> String {
    let Some(options) = options else { return "-".to_owned() };
    match options.strategy() {
        pb::IndexStrategy::Unspecified | pb::IndexStrategy::Sparse => "sparse".to_owned(),
        pb::IndexStrategy::Dense => "dense".to_owned(),
        pb::IndexStrategy::Time => "time".to_owned(),
    }
}

fn index(options: Option<&pb::IndexOptions>) -> String {
    let mut text = strategy(options);
    let Some(options) = options else { return text };
    if options.interval_bytes > 0 {
        text += &format!(", every {}", output::bytes(options.interval_bytes.into()));
    }
    if !options.headers.is_empty() {
        text += &format!(", headers {}", options.headers.join(", "));
    }
    text
}

fn retention(options: &pb::TopicOptions) -> String {
    let time = (options.retention_ms > 0).then(|| format!("{} ms", options.retention_ms));
    let size = u64::try_from(options.retention_bytes).ok().filter(|b| *b > 0).map(output::bytes);
    let limits: Vec<String> = time.into_iter().chain(size).collect();
    if limits.is_empty() { "unlimited".to_owned() } else { limits.join(", ") }
}

pub fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
