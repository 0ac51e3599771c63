//! `bench`: one run, one result. The contract of its options and of its JSON line stands in tests/bench/README.md.

mod consume;
mod e2e;
mod payload;
mod produce;

use std::time::Duration;

use clap::{Args, Subcommand};
use flymq_client::{Client, ClientError, ErrorCode, pb};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    cli::{Format, Global},
    commands::packing::Packing,
    context,
    output::{self, Failure},
};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How fast messages are stored, and how long an answer takes.
    Produce(ProduceArgs),
    /// How fast messages that are there are read.
    Consume(ConsumeArgs),
    /// From the moment a message was due to the moment a consumer has it.
    E2e(E2eArgs),
}

#[derive(Debug, Clone, Args)]
pub struct ProduceArgs {
    /// Made if it is missing.
    #[arg(long, default_value = "bench")]
    pub topic: String,
    /// Partitions of a topic that is made; with more than one, batches go to them in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    pub partitions: i32,
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub size: u32,
    #[arg(long, default_value = "leader", value_parser = ["none", "leader", "all"])]
    pub acks: String,
    /// TCP connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub connections: u32,
    /// Concurrent producers; producer i uses connection i mod connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub producers: u32,
    /// Messages of one producer that wait for their answer at most.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: u32,
    /// Messages handed to the producer with one call.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub per_call: u32,
    /// One message per batch, and per call.
    #[arg(long)]
    pub no_batch: bool,
    /// Messages sent before the clock starts.
    #[arg(long, default_value_t = 0)]
    pub warmup: u64,
    /// The values' bytes: random ones, which nothing compresses, or lines of JSON as an application logs them.
    #[arg(long, default_value = "random", value_parser = ["random", "json"])]
    pub values: String,
    #[command(flatten)]
    pub packing: Packing,
    /// Of a topic that is made: bytes of a partition above which its oldest segments go, and their files are written
    /// again. 0: all is kept.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub retention_bytes: i64,
}

#[derive(Debug, Clone, Args)]
pub struct ConsumeArgs {
    #[arg(long, default_value = "bench")]
    pub topic: String,
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// TCP connections; the partitions are shared out among them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub connections: u32,
}

#[derive(Debug, Clone, Args)]
pub struct E2eArgs {
    #[arg(long, default_value = "bench-e2e")]
    pub topic: String,
    /// Messages a second, whether the broker keeps up or not.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub size: u32,
    #[arg(long, default_value = "leader", value_parser = ["none", "leader", "all"])]
    pub acks: String,
    #[arg(long, default_value_t = 0)]
    pub warmup: u64,
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    pub work: &'static str,
    pub messages: u64,
    pub bytes: u64,
    pub elapsed: Duration,
    /// Nanoseconds.
    pub latency: Option<Histogram<u64>>,
    pub errors: u64,
    pub acks: Option<String>,
    pub flags: Value,
}

/// Runs the benchmark and writes its result.
pub async fn run(command: &BenchCommand, global: &Global) -> Result<(), Failure> {
    let report = match command {
        BenchCommand::Produce(args) => produce::run(args, global).await?,
        BenchCommand::Consume(args) => consume::run(args, global).await?,
        BenchCommand::E2e(args) => e2e::run(args, global).await?,
    };
    let version = connect(global).await?.health().await?.0.version;
    if global.output == Format::Json { output::line(report.json(&version)) } else { report.table(&version) }
}

/// A client with one connection of its own.
async fn connect(global: &Global) -> Result<Client, ClientError> {
    Client::with_config(context::config(global)?).await
}

/// Makes the topic unless it is there.
async fn ensure_topic(
    client: &Client,
    topic: &str,
    partitions: i32,
    retention_bytes: i64,
) -> Result<(), ClientError> {
    let options = pb::TopicOptions { partitions, retention_bytes, ..pb::TopicOptions::default() };
    let request = pb::CreateTopicRequest {
        name: topic.to_owned(),
        options: Some(options),
        ..pb::CreateTopicRequest::default()
    };
    match client.call::<_, pb::CreateTopicResponse>("CreateTopic", &request).await {
        Err(error) if error.code != ErrorCode::TopicAlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A histogram of nanoseconds up to a minute, three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are constants that fit")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Report {
    fn per_second(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn percentile_us(&self, quantile: f64) -> Option<f64> {
        self.latency
            .as_ref()
            .filter(|h| !h.is_empty())
            .map(|h| h.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    fn json(&self, version: &str) -> Value {
        json!({
            "peer": "flymq", "work": self.work, "messages": self.messages, "bytes": self.bytes,
            "seconds": self.elapsed.as_secs_f64(), "msgs_per_s": self.per_second(),
            "p50_us": self.percentile_us(0.5), "p99_us": self.percentile_us(0.99), "p999_us": self.percentile_us(0.999),
            "max_us": self.percentile_us(1.0),
            "errors": self.errors, "acks": self.acks, "version": version, "flags": self.flags,
        })
    }

    fn table(&self, version: &str) -> Result<(), Failure> {
        let seconds = self.elapsed.as_secs_f64();
        output::line(format!(
            "{} {} messages in {seconds:.3} s (server {version})",
            self.work, self.messages
        ))?;
        output::line(format!("  rate     {:>14.0} msg/s", self.per_second()))?;
        output::line(format!("           {:>14.1} MB/s", self.bytes as f64 / 1e6 / seconds.max(1e-9)))?;
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        for (name, quantile) in quantiles {
            if let Some(micros) = self.percentile_us(quantile) {
                output::line(format!("  {name:<8} {micros:>14.1} µs"))?;
            }
        }
        if self.errors > 0 { output::line(format!("  errors   {:>14}", self.errors)) } else { Ok(()) }
    }
}
