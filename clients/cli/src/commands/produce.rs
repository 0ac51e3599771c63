//! `produce`: an argument, standard input, or a file.

use std::{
    io::{BufRead, BufReader, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use clap::Args;
use flymq_client::{
    Acks, ClientError, Deliveries, NewMessage, ProducerConfig, RecordMetadata,
    serde::{Codec, SchemaSerde, Serdes},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    commands::{packing::Packing, topics::plural},
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Produce {
    pub topic: String,
    /// The message; without it (and without --file) each line of standard input is one.
    pub message: Option<String>,
    /// Messages with the same key go to the same partition.
    #[arg(short, long)]
    pub key: Option<String>,
    /// Take the key from this field of each message, which must be a JSON object.
    #[arg(long, conflicts_with = "key", value_name = "FIELD")]
    pub key_field: Option<String>,
    /// Each line of the file is a message; shows progress on a terminal.
    #[arg(short, long, conflicts_with = "message")]
    pub file: Option<PathBuf>,
    /// Send to this partition.
    #[arg(short, long)]
    pub partition: Option<i32>,
    /// A header, `name=value`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// json checks the document; binary reads hexadecimal after 0x; avro and protobuf write JSON by a schema of the registry.
    #[arg(long, default_value = "string", value_parser = Serdes::NAMES)]
    pub encoder: String,
    /// The schema of avro and protobuf; without it TOPIC-value.
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// When the broker answers.
    #[arg(long, default_value = "all", value_parser = ["none", "leader", "all", "quorum"])]
    pub acks: String,
    #[command(flatten)]
    pub packing: Packing,
}

/// By its name; clap has checked it.
pub fn acks(name: &str) -> Acks {
    match name {
        "none" => Acks::None,
        "leader" => Acks::Leader,
        _ => Acks::All,
    }
}

pub async fn run(context: &Context, args: Produce) -> Result<(), Failure> {
    let encoder = encoder(context, &args)?;
    if let Some(text) = &args.message {
        let message = build(&args, &*encoder, text).await?;
        let Some(stored) = send_one(context, &args, message).await? else { return Ok(()) };
        if context.json() {
            let (partition, offset) = (stored.partition, stored.offset);
            return output::line(
                json!({"topic": args.topic, "partition": partition, "offset": offset, "timestamp_ms": stored.timestamp_ms}),
            );
        }
        return output::line(format!(
            "{} partition {} offset {}",
            args.topic, stored.partition, stored.offset
        ));
    }
    let (reader, total): (Box<dyn BufRead>, Option<u64>) = match &args.file {
        Some(path) => {
            let named = |e: std::io::Error| Failure::Io(format!("{}: {e}", path.display()));
            let file = std::fs::File::open(path).map_err(named)?;
            let total = file.metadata().map_err(named)?.len();
            (Box::new(BufReader::with_capacity(1 << 20, file)), Some(total))
        }
        None => (Box::new(BufReader::new(std::io::stdin())), None),
    };
    let sent = send_lines(context, &args, &*encoder, reader, total).await?;
    if context.json() {
        return output::line(json!({"topic": args.topic, "messages": sent}));
    }
    output::line(format!("stored {sent} {} in {}", plural(sent, "message"), args.topic))
}

async fn send_one(
    context: &Context,
    args: &Produce,
    message: NewMessage,
) -> Result<Option<RecordMetadata>, Failure> {
    // Batches of a producer are numbered: one whose answer was lost can be sent again.
    let numbered = !args.packing.no_idempotence && acks(&args.acks) == Acks::All;
    if args.packing.is_on() || numbered {
        let config = ProducerConfig { acks: acks(&args.acks), ..ProducerConfig::default() };
        let producer = context.client.producer(args.packing.apply(config));
        return Ok(Some(producer.send(&args.topic, message).await?.await?));
    }
    Ok(context.client.produce_batch(&args.topic, vec![message], acks(&args.acks)).await?.pop())
}

async fn send_lines(
    context: &Context,
    args: &Produce,
    encoder: &dyn Codec,
    mut reader: Box<dyn BufRead>,
    total: Option<u64>,
) -> Result<usize, Failure> {
    let config = ProducerConfig {
        acks: acks(&args.acks),
        batch_bytes: 256 << 10,
        batch_messages: 10_000,
        ..ProducerConfig::default()
    };
    let producer = context.client.producer(args.packing.apply(config));
    let progress = progress_bar(total);
    let mut line = String::new();
    let mut sent = 0;
    let mut tally = Tally::default();
    loop {
        line.clear();
        let read = reader.read_line(&mut line)?;
        if read == 0 {
            break;
        }
        progress.inc(u64::try_from(read).unwrap_or(0));
        let text = line.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            continue;
        }
        let message = build(args, encoder, text).await.map_err(|failure| at_line(failure, sent + 1))?;
        tally.waiting.push(producer.send(&args.topic, message).await?);
        sent += 1;
        if sent.is_multiple_of(LOOK_EVERY) && tally.look() {
            break;
        }
    }
    // Its error is one of those that the tally finds.
    let _ = producer.close().await;
    progress.finish_and_clear();
    tally.look();
    match tally.error {
        None => Ok(tally.stored),
        Some(error) => Err(not_stored(error, tally.failed, sent)),
    }
}

/// Messages between two looks at what was answered.
const LOOK_EVERY: usize = 1_000;

/// What became of the messages so far.
#[derive(Default)]
struct Tally {
    waiting: Deliveries,
    stored: usize,
    failed: usize,
    error: Option<ClientError>,
}

impl Tally {
    /// Counts what was answered; true when any message failed.
    fn look(&mut self) -> bool {
        let answered = self.waiting.take_answered();
        self.stored += answered.stored;
        self.failed += answered.failed;
        self.error = self.error.take().or(answered.error);
        self.error.is_some()
    }
}

fn not_stored(mut error: ClientError, failed: usize, sent: usize) -> Failure {
    error.message = format!("{failed} of the {sent} messages sent were not acknowledged: {}", error.message);
    error.into()
}

fn at_line(failure: Failure, line: usize) -> Failure {
    match failure {
        Failure::Client(error) => Failure::Usage(format!("line {line}: {error}")),
        Failure::Usage(text) => Failure::Usage(format!("line {line}: {text}")),
        Failure::Backup(_) | Failure::OutputClosed | Failure::Io(_) | Failure::Damaged(_) => failure,
    }
}

/// What makes values of text.
fn encoder(context: &Context, args: &Produce) -> Result<Arc<dyn Codec>, Failure> {
    let mut serdes = Serdes::new(&context.client);
    match (&args.schema, args.encoder.as_str()) {
        (None, _) => {}
        (Some(name), "avro") => serdes.register(SchemaSerde::avro(&context.client).subject(name)),
        (Some(name), "protobuf") => serdes.register(SchemaSerde::protobuf(&context.client).subject(name)),
        (Some(_), other) => {
            return Err(Failure::Usage(format!(
                "--schema goes with --encoder avro or protobuf, not {other}"
            )));
        }
    }
    Ok(serdes.get(&args.encoder)?)
}

async fn build(args: &Produce, encoder: &dyn Codec, text: &str) -> Result<NewMessage, Failure> {
    let key = match (&args.key, &args.key_field) {
        (Some(key), _) => Some(Bytes::copy_from_slice(key.as_bytes())),
        (None, Some(field)) => Some(key_of(text, field)?),
        (None, None) => None,
    };
    let value = encoder.encode_text(&args.topic, text).await?;
    let mut message = NewMessage { key, partition: args.partition, ..NewMessage::value(value) };
    for header in &args.header {
        let (name, value) = header
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("header {header:?} is not NAME=VALUE")))?;
        message = message.header(name, Bytes::copy_from_slice(value.as_bytes()));
    }
    Ok(message)
}

fn key_of(text: &str, field: &str) -> Result<Bytes, Failure> {
    let document: Value = serde_json::from_str(text)
        .map_err(|e| Failure::Usage(format!("--key-field needs JSON messages: {e}")))?;
    match document.get(field) {
        Some(Value::String(text)) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Some(value) => Ok(Bytes::from(value.to_string())),
        None => Err(Failure::Usage(format!("the message has no field {field:?}"))),
    }
}

fn progress_bar(total: Option<u64>) -> ProgressBar {
    let Some(total) = total.filter(|_| std::io::stderr().is_terminal()) else { return ProgressBar::hidden() };
    let style = ProgressStyle::with_template(
        "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
    );
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
