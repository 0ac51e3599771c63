//! How fast messages are stored.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use flymq_client::{Client, ClientError, Deliveries, NewMessage, Producer, ProducerConfig};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::json;

use super::{ProduceArgs, Report, connect, ensure_topic, histogram, nanos, payload::Payloads};
use crate::{
    cli::Global,
    commands::produce::acks,
    output::{self, Failure},
};

/// Bytes of a full batch, as large as what the peers are given.
const BATCH_BYTES: usize = 256 << 10;

pub async fn run(args: &ProduceArgs, global: &Global) -> Result<Report, Failure> {
    warn_of_the_window(args);
    let clients = try_join_all((0..args.connections).map(|_| connect(global))).await?;
    ensure_topic(&clients[0], &args.topic, args.partitions, args.retention_bytes).await?;
    let workers: Vec<Worker> = (0..args.producers).map(|i| Worker::new(args, &clients, i)).collect();

    let workers = run_all(workers, args.warmup, args.producers, false).await?;
    let start = Instant::now();
    let workers = run_all(workers, args.messages, args.producers, true).await?;
    let elapsed = start.elapsed();
    Ok(report(args, elapsed, &workers))
}

/// An idempotent producer has fewer batches on their way than may be asked for here.
fn warn_of_the_window(args: &ProduceArgs) {
    let most = flymq_client::BATCHES_IN_FLIGHT;
    if args.no_batch && is_idempotent(args) && u64::from(args.in_flight) > most {
        let asked = args.in_flight;
        output::warn(&format!(
            "--in-flight {asked} is not reached: an idempotent producer has at most {most} batches of a partition on their way, and with --no-batch \
             a batch is one message. Measure with --no-idempotence to go beyond"
        ));
    }
}

fn is_idempotent(args: &ProduceArgs) -> bool {
    !args.packing.no_idempotence && acks(&args.acks) == flymq_client::Acks::All
}

fn report(args: &ProduceArgs, elapsed: Duration, workers: &[Worker]) -> Report {
    let mut latency = histogram();
    for worker in workers {
        latency.add(&worker.latency).expect("all have the same bounds");
    }
    Report {
        work: "produce",
        messages: args.messages,
        bytes: args.messages * u64::from(args.size),
        elapsed,
        latency: Some(latency),
        errors: workers.iter().map(|w| w.errors).sum(),
        acks: Some(args.acks.clone()),
        flags: json!({
            "size": args.size, "connections": args.connections, "producers": args.producers,
            "in_flight": args.in_flight, "batch": !args.no_batch, "batch_bytes": BATCH_BYTES, "partitions": args.partitions,
            "idempotence": is_idempotent(args),
        }),
    }
}

/// Shares `total` out evenly; the first take the remainder.
async fn run_all(
    workers: Vec<Worker>,
    total: u64,
    count: u32,
    measured: bool,
) -> Result<Vec<Worker>, Failure> {
    let count = u64::from(count);
    let tasks = workers.into_iter().zip(0..).map(|(mut worker, i)| {
        let share = total / count + u64::from(i < total % count);
        tokio::spawn(async move { worker.run(share, measured).await.map(|()| worker) })
    });
    let mut done = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        done.push(task.await.map_err(|e| Failure::Io(e.to_string()))??);
    }
    Ok(done)
}

struct Worker {
    topic: String,
    client: Client,
    producer: Producer,
    payloads: Payloads,
    in_flight: usize,
    per_call: usize,
    no_batch: bool,
    one_partition: bool,
    acks: flymq_client::Acks,
    latency: Histogram<u64>,
    errors: u64,
}

impl Worker {
    fn new(args: &ProduceArgs, clients: &[Client], index: u32) -> Self {
        let client = clients[index as usize % clients.len()].clone();
        let in_flight = args.in_flight as usize;
        let config = ProducerConfig {
            acks: acks(&args.acks),
            batch_bytes: BATCH_BYTES,
            batch_messages: if args.no_batch { 1 } else { 1_000_000 },
            max_in_flight: if args.no_batch { in_flight } else { 16 },
            buffer_bytes: 64 << 20,
            ..ProducerConfig::default()
        };
        Self {
            topic: args.topic.clone(),
            producer: client.producer(args.packing.apply(config)),
            client,
            payloads: if args.values == "json" {
                Payloads::json(args.size, u64::from(index))
            } else {
                Payloads::new(args.size, u64::from(index))
            },
            in_flight,
            per_call: if args.no_batch { 1 } else { args.per_call as usize }.min(in_flight),
            no_batch: args.no_batch,
            one_partition: args.partitions == 1,
            acks: acks(&args.acks),
            latency: histogram(),
            errors: 0,
        }
    }

    async fn run(&mut self, messages: u64, measured: bool) -> Result<(), ClientError> {
        if self.no_batch && self.in_flight == 1 {
            return self.run_one_by_one(messages, measured).await;
        }
        let (mut waiting, mut in_flight) = (VecDeque::new(), 0);
        let mut left = usize::try_from(messages).unwrap_or(usize::MAX);
        while left > 0 {
            let count = left.min(self.per_call);
            while in_flight + count > self.in_flight {
                in_flight -= self.settle(&mut waiting, measured).await;
            }
            let sent = Instant::now();
            let deliveries = match count {
                1 => {
                    let (mut one, message) = (Deliveries::default(), self.message());
                    one.push(self.producer.send(&self.topic, message).await?);
                    one
                }
                _ => {
                    let messages = (0..count).map(|_| self.message()).collect();
                    self.producer.send_many(&self.topic, messages).await?
                }
            };
            waiting.push_back((sent, deliveries));
            in_flight += count;
            left -= count;
        }
        while !waiting.is_empty() {
            self.settle(&mut waiting, measured).await;
        }
        Ok(())
    }

    fn message(&mut self) -> NewMessage {
        let message = NewMessage::value(self.payloads.next());
        if self.one_partition { message.to_partition(0) } else { message }
    }

    /// Each answer is awaited before the next message: the plain call, no batching in between. After one that failed, the
    /// next counts from when that was sent: how long nothing was acknowledged shows.
    async fn run_one_by_one(&mut self, messages: u64, measured: bool) -> Result<(), ClientError> {
        let mut since = None;
        for _ in 0..messages {
            let message = self.message();
            let sent = *since.get_or_insert_with(Instant::now);
            match self.client.produce_one(&self.topic, message, self.acks).await {
                Ok(_) => {
                    since = None;
                    if measured {
                        self.latency.saturating_record(nanos(sent.elapsed()));
                    }
                }
                Err(_) => self.errors += 1,
            }
        }
        Ok(())
    }

    /// Waits for the oldest call's messages; how many they were.
    async fn settle(&mut self, waiting: &mut VecDeque<(Instant, Deliveries)>, measured: bool) -> usize {
        let Some((sent, deliveries)) = waiting.pop_front() else { return 0 };
        let count = deliveries.len();
        let failed = match deliveries.wait().await {
            Ok(_) => 0,
            Err(_) => deliveries.iter().filter(|one| !matches!(one.try_get(), Some(Ok(_)))).count(),
        };
        self.errors += failed as u64;
        if measured {
            self.latency.saturating_record_n(nanos(sent.elapsed()), (count - failed) as u64);
        }
        count
    }
}
