//! `index stats`, `index rebuild`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use flymq_client::pb;
use flymq_storage::{Disk, IndexStrategy, RealDisk, inspect};
use serde_json::json;

use super::{log, partitions, topics};
use crate::{
    cli::Format,
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Density, staleness and gaps: of a running broker's topics, or with `--data-dir` of every segment on disk.
    Stats(Stats),
    /// Find messages by the value of an indexed header (`create --index-header NAME`).
    Find(Find),
    /// Make the index files of a data directory anew. Not while a broker runs: that makes its own.
    Rebuild(Rebuild),
}

#[derive(Debug, Args)]
pub struct Stats {
    /// Only this topic; without it all.
    #[arg(conflicts_with = "data_dir")]
    pub topic: Option<String>,
    /// Read the files instead of asking a broker: a data directory, or a partition's directory in it.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Find {
    pub topic: String,
    /// Header and value.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: String,
    /// Only this partition; without it all.
    #[arg(short, long)]
    pub partition: Option<i32>,
    /// Most messages to find in each partition.
    #[arg(short = 'n', long, default_value_t = 100)]
    pub count: u32,
}

#[derive(Debug, Args)]
pub struct Rebuild {
    /// Data directory, or a partition's directory in it.
    pub path: PathBuf,
    #[arg(long, value_enum, default_value_t = topics::IndexStrategy::Sparse)]
    pub strategy: topics::IndexStrategy,
    /// Bytes of log for about one entry.
    #[arg(long, default_value_t = 4096)]
    pub interval_bytes: u32,
}

/// Runs what needs no broker; none for the rest.
pub fn offline(command: &IndexCommand, format: Format) -> Option<Result<(), Failure>> {
    match command {
        IndexCommand::Stats(Stats { data_dir: Some(path), .. }) => Some(stats_on_disk(path, format)),
        IndexCommand::Stats(_) | IndexCommand::Find(_) => None,
        IndexCommand::Rebuild(args) => Some(rebuild(args, format)),
    }
}

pub async fn run(context: &Context, command: &IndexCommand) -> Result<(), Failure> {
    let args = match command {
        IndexCommand::Stats(args) => args,
        IndexCommand::Find(args) => return find(context, args).await,
        IndexCommand::Rebuild(_) => return Ok(()),
    };
    let topics = partitions::described(context, args.topic.as_deref()).await?;
    if context.json() {
        for topic in &topics {
            let request = json!({"name": topic.name}).to_string();
            output::line(context.client.call_json("GetTopic", &request).await?)?;
        }
        return Ok(());
    }
    let rows = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| row(topic, p)));
    let header = [
        "TOPIC",
        "PARTITION",
        "STRATEGY",
        "IN USE",
        "ENTRIES",
        "SIZE",
        "LOG PER ENTRY",
        "STALE",
        "REPAIRS",
        "MISLED",
    ];
    output::table(&header, rows.collect(), "no topics yet")
}

async fn find(context: &Context, args: &Find) -> Result<(), Failure> {
    let Some((name, value)) = args.header.split_once('=') else {
        return Err(Failure::Usage("--header is NAME=VALUE".to_owned()));
    };
    let topic = context.client.topic(&args.topic).await?;
    let mut rows = Vec::new();
    for partition in topic.partitions.iter().filter(|p| args.partition.is_none_or(|only| only == p.partition))
    {
        let mut request = pb::FindOffsetRequest {
            topic: args.topic.clone(),
            partition: partition.partition,
            header: name.to_owned(),
            header_value: value.to_owned(),
            limit: args.count,
            ..pb::FindOffsetRequest::default()
        };
        // A long log is looked through in several calls.
        while request.limit > 0 && request.from_offset < partition.high_watermark {
            let found: pb::FindOffsetResponse = context.client.call("FindOffset", &request).await?;
            rows.extend(found.offsets.iter().map(|offset| (partition.partition, *offset)));
            request.limit -= u32::try_from(found.offsets.len()).unwrap_or(u32::MAX).min(request.limit);
            request.from_offset = found.next_offset.max(request.from_offset + 1);
        }
    }
    if context.json() {
        return rows.iter().try_for_each(|(partition, offset)| {
            output::line(json!({"topic": args.topic, "partition": partition, "offset": offset}))
        });
    }
    let rows = rows.iter().map(|(partition, offset)| vec![partition.to_string(), offset.to_string()]);
    output::table(&["PARTITION", "OFFSET"], rows.collect(), "no message has it")
}

fn row(topic: &pb::Topic, partition: &pb::Partition) -> Vec<String> {
    let index = partition.index.unwrap_or_default();
    let options = topic.options.as_ref().and_then(|options| options.index.as_ref());
    vec![
        topic.name.clone(),
        partition.partition.to_string(),
        topics::strategy(options),
        format!("{} of {}", index.segments, partition.segments),
        index.entries.to_string(),
        output::bytes(index.bytes),
        index.log_bytes.checked_div(index.entries).map_or_else(|| "-".to_owned(), output::bytes),
        output::bytes(index.stale_bytes),
        index.repairs.to_string(),
        index.misled.to_string(),
    ]
}

fn stats_on_disk(path: &std::path::Path, format: Format) -> Result<(), Failure> {
    let inspector = log::open(path)?;
    let indexes = inspector.indexes()?;
    if format == Format::Json {
        return indexes.iter().try_for_each(|index| output::line(json!(index)));
    }
    let rows = indexes.iter().map(|index| {
        vec![
            log::relative(&index.file, inspector.root()),
            if index.usable { "yes" } else { "no" }.to_owned(),
            index.entries.to_string(),
            output::bytes(index.density_bytes),
            output::bytes(index.stale_bytes),
            index.gaps.to_string(),
            output::bytes(index.largest_gap_bytes),
            index.damaged.to_string(),
            index.wrong.to_string(),
        ]
    });
    let header =
        ["INDEX", "USABLE", "ENTRIES", "LOG PER ENTRY", "STALE", "GAPS", "LARGEST GAP", "DAMAGED", "WRONG"];
    output::table(&header, rows.collect(), "no segments")
}

fn rebuild(args: &Rebuild, format: Format) -> Result<(), Failure> {
    log::open(&args.path)?;
    let interval_bytes = args.interval_bytes;
    let strategy = match args.strategy {
        topics::IndexStrategy::Sparse => IndexStrategy::SparseOffset { interval_bytes },
        topics::IndexStrategy::Dense => IndexStrategy::DenseOffset,
        topics::IndexStrategy::Time => IndexStrategy::Time { interval_bytes },
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let made = inspect::rebuild_indexes(&disk, &args.path.canonicalize()?, strategy)?;
    if format == Format::Json {
        return output::line(json!({"indexes": made}));
    }
    output::line(format!("made {made} {} anew", if made == 1 { "index" } else { "indexes" }))
}
