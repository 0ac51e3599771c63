//! `backup`: create, list, inspect, verify, restore.

use std::sync::Mutex;

use clap::{Args, Subcommand};
use flymq_backup::{BackupKey, CreateOptions, Manifest, RestoreOptions, Step, Store};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    cli::{Format, Global},
    commands::topics::plural,
    context::Context,
    output::{self, Failure},
};

/// The key that backups are encrypted with, 64 hexadecimal characters; never on the command line.
const KEY: &str = "FLYMQ_BACKUP_KEY";

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up topics while the broker works; encrypted where FLYMQ_BACKUP_KEY holds a key.
    Create(Create),
    /// List the backups of a place.
    List(Place),
    /// Show what a backup holds.
    Inspect(One),
    /// Read a backup back and check every byte.
    Verify(One),
    /// Verify a backup, then restore topics with the offsets they had.
    Restore(Restore),
}

#[derive(Debug, Args)]
pub struct Place {
    /// A directory; with the feature object-storage also s3://, gs://, az://.
    pub place: String,
}

#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    place: Place,
    /// The backup; the newest where none is named.
    #[arg(long)]
    id: Option<String>,
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    place: Place,
    /// A topic; may be given several times.
    #[arg(long = "topic", required_unless_present = "all", conflicts_with = "all")]
    topics: Vec<String>,
    /// All topics.
    #[arg(long)]
    all: bool,
    /// Also the committed offsets of consumer groups.
    #[arg(long)]
    include_groups: bool,
    /// Go round ranges that are damaged on the broker's disk; the backup names them.
    #[arg(long)]
    skip_damaged: bool,
    /// Close a chunk file once it has so many bytes.
    #[arg(long, hide = true, default_value_t = CreateOptions::default().chunk_bytes)]
    chunk_bytes: usize,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    one: One,
    /// A topic, or `topic:new-name`; may be given several times. Without it: all of the backup.
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// Leave the committed offsets of consumer groups out.
    #[arg(long)]
    no_groups: bool,
    /// Pass over topics whose name is taken.
    #[arg(long)]
    skip_existing: bool,
}

pub async fn run(command: BackupCommand, global: &Global) -> Result<(), Failure> {
    let key = match std::env::var(KEY) {
        Ok(text) if !text.is_empty() => Some(BackupKey::from_hex(&text)?),
        Ok(_) | Err(_) => None,
    };
    let (key, json) = (key.as_ref(), global.output == Format::Json);
    match command {
        BackupCommand::Create(args) => create(args, global, key).await,
        BackupCommand::List(place) => list(&*flymq_backup::open(&place.place)?, key, json).await,
        BackupCommand::Inspect(one) => {
            let store = flymq_backup::open(&one.place.place)?;
            inspect(&flymq_backup::load(&*store, one.id.as_deref(), key).await?, json)
        }
        BackupCommand::Verify(one) => verify(&one, key, json).await,
        BackupCommand::Restore(args) => restore(args, global, key).await,
    }
}

async fn create(args: Create, global: &Global, key: Option<&BackupKey>) -> Result<(), Failure> {
    let store = flymq_backup::open(&args.place.place)?;
    if key.is_none() {
        anstream::eprintln!(
            "warning: the backup is not encrypted: who can read {} can read the records; set {KEY} (`openssl rand -hex 32`)",
            store.place()
        );
    }
    let context = Context::connect(global).await?;
    let options = CreateOptions {
        topics: args.topics,
        groups: args.include_groups,
        skip_damaged: args.skip_damaged,
        chunk_bytes: args.chunk_bytes.max(1),
    };
    let bars = Bars::new(context.json());
    let created =
        flymq_backup::create(&context.client, &*store, key, &options, &|step| bars.step(step)).await?;
    bars.finish();
    let manifest = created.manifest;
    if context.json() {
        let mut document = summary(&manifest);
        document["reused_bytes"] = json!(created.reused_bytes);
        return output::line(document);
    }
    for (topic, partition, span) in damaged(&manifest) {
        let last = span.end_offset - 1;
        anstream::eprintln!(
            "warning: {topic}/{partition}: offsets {} to {last} are damaged and not in the backup",
            span.first_offset
        );
    }
    let (topics, size) = (manifest.topics.len(), output::bytes(manifest.bytes()));
    let reused = match created.reused_bytes {
        0 => String::new(),
        bytes => format!(", {} of it was there already", output::bytes(bytes)),
    };
    output::line(format!("backup {}: {topics} {}, {size}{reused}", manifest.id, plural(topics, "topic")))
}

async fn list(store: &dyn Store, key: Option<&BackupKey>, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for id in flymq_backup::list(store).await? {
        // One that is damaged is listed as such: the others may be whole.
        let row = match flymq_backup::load(store, Some(id.as_str()), key).await {
            Ok(manifest) if json => {
                output::line(summary(&manifest))?;
                continue;
            }
            Ok(manifest) => {
                let encrypted = if manifest.key_id.is_some() { "yes" } else { "no" };
                let (topics, size) = (manifest.topics.len().to_string(), output::bytes(manifest.bytes()));
                vec![manifest.id, manifest.created, topics, size, encrypted.to_owned()]
            }
            Err(error) if json => {
                output::line(
                    json!({"id": id.as_str(), "error": {"code": error.code(), "message": error.to_string()}}),
                )?;
                continue;
            }
            Err(error) => vec![id.to_string(), error.to_string()],
        };
        rows.push(row);
    }
    if json {
        return Ok(());
    }
    let header = ["BACKUP", "CREATED", "TOPICS", "SIZE", "ENCRYPTED"];
    output::table(&header, rows, &format!("no backups in {}", store.place()))
}

fn inspect(manifest: &Manifest, json: bool) -> Result<(), Failure> {
    if json {
        let document = serde_json::to_value(manifest).map_err(|error| Failure::Io(error.to_string()))?;
        return output::line(document);
    }
    output::line(format!("Backup:      {}", manifest.id))?;
    output::line(format!("Created:     {}", manifest.created))?;
    output::line(format!("Cluster:     {} (FlyMQ {})", manifest.cluster_id, manifest.server_version))?;
    output::line(format!(
        "Encrypted:   {}",
        manifest.key_id.as_ref().map_or("no".to_owned(), |id| format!("with key {id}"))
    ))?;
    let groups: Vec<&str> = manifest.groups.iter().map(|group| group.group.as_str()).collect();
    output::line(format!(
        "Groups:      {}",
        if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
    ))?;
    output::line("")?;
    let rows = manifest.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let bytes = partition.chunks.iter().map(|chunk| chunk.bytes).sum();
            let damaged: u64 = partition.damaged.iter().map(|span| span.end_offset - span.first_offset).sum();
            vec![
                topic.name.clone(),
                partition.partition.to_string(),
                partition.low_watermark.to_string(),
                partition.end_offset.to_string(),
                partition.chunks.len().to_string(),
                output::bytes(bytes),
                damaged.to_string(),
            ]
        })
    });
    output::table(
        &["TOPIC", "PARTITION", "FIRST", "END", "CHUNKS", "SIZE", "DAMAGED"],
        rows.collect(),
        "no topics",
    )
}

async fn verify(one: &One, key: Option<&BackupKey>, json: bool) -> Result<(), Failure> {
    let store = flymq_backup::open(&one.place.place)?;
    let bars = Bars::new(json);
    let manifest = flymq_backup::verify(&*store, one.id.as_deref(), key, &|step| bars.step(step)).await?;
    bars.finish();
    if json {
        let mut document = summary(&manifest);
        document["verified"] = json!(true);
        return output::line(document);
    }
    let (topics, size) = (manifest.topics.len(), output::bytes(manifest.bytes()));
    output::line(format!("backup {} is whole: {topics} {}, {size}", manifest.id, plural(topics, "topic")))
}

async fn restore(args: Restore, global: &Global, key: Option<&BackupKey>) -> Result<(), Failure> {
    let store = flymq_backup::open(&args.one.place.place)?;
    let context = Context::connect(global).await?;
    let options = RestoreOptions {
        id: args.one.id,
        topics: args.topics,
        no_groups: args.no_groups,
        skip_existing: args.skip_existing,
    };
    let bars = Bars::new(context.json());
    let restored =
        flymq_backup::restore(&context.client, &*store, key, &options, &|step| bars.step(step)).await?;
    bars.finish();
    if context.json() {
        let topics: Vec<_> = restored
            .topics
            .iter()
            .map(|topic| json!({"source": topic.source, "name": topic.name, "offsets": topic.offsets}))
            .collect();
        let (id, groups) = (restored.manifest.id, restored.groups);
        return output::line(
            json!({"id": id, "topics": topics, "skipped": restored.skipped, "groups": groups}),
        );
    }
    for name in &restored.skipped {
        output::line(format!("passed over {name}: the topic exists"))?;
    }
    for topic in &restored.topics {
        let from =
            if topic.source == topic.name { String::new() } else { format!(" (was {})", topic.source) };
        output::line(format!("restored topic {}{from}: {} offsets", topic.name, topic.offsets))?;
    }
    match restored.groups {
        0 => Ok(()),
        groups => output::line(format!("restored the offsets of {groups} {}", plural(groups, "group"))),
    }
}

fn summary(manifest: &Manifest) -> serde_json::Value {
    json!({
        "id": manifest.id,
        "created": manifest.created,
        "topics": manifest.topics.iter().map(|topic| &topic.name).collect::<Vec<_>>(),
        "groups": manifest.groups.len(),
        "bytes": manifest.bytes(),
        "encrypted": manifest.key_id.is_some(),
    })
}

fn damaged(manifest: &Manifest) -> impl Iterator<Item = (&str, u32, flymq_backup::OffsetSpan)> {
    manifest.topics.iter().flat_map(|topic| {
        let spans =
            topic.partitions.iter().flat_map(|p| p.damaged.iter().map(move |span| (p.partition, *span)));
        spans.map(|(partition, span)| (topic.name.as_str(), partition, span))
    })
}

/// One bar for the topic at hand, on standard error, where that is a terminal.
struct Bars {
    bar: Mutex<ProgressBar>,
    hidden: bool,
}

impl Bars {
    fn new(hidden: bool) -> Self {
        Self { bar: Mutex::new(ProgressBar::hidden()), hidden }
    }

    fn step(&self, step: Step<'_>) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match step {
            Step::Topic { .. } if self.hidden => {}
            Step::Topic { name, bytes } => {
                bar.finish_and_clear();
                *bar = ProgressBar::new(bytes).with_style(style()).with_message(name.to_owned());
            }
            Step::Bytes(bytes) => bar.inc(bytes),
        }
    }

    fn finish(&self) {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let template = "{msg:30!} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
