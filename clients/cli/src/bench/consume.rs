//! How fast messages that are there are read.

use std::time::{Duration, Instant};

use flymq_client::{Client, ClientError, ConsumerConfig, ErrorCode, OffsetReset};
use serde_json::json;

use super::{ConsumeArgs, Report, connect};
use crate::{cli::Global, output::Failure};

/// No message for so long: there are fewer than asked for.
const GIVE_UP: Duration = Duration::from_secs(10);
const FETCH_BYTES: u32 = 2 << 20;

pub async fn run(args: &ConsumeArgs, global: &Global) -> Result<Report, Failure> {
    let mut clients = Vec::new();
    for _ in 0..args.connections {
        clients.push(connect(global).await?);
    }
    let count = u64::from(args.connections);
    let start = Instant::now();
    let tasks = clients.into_iter().zip(0..).map(|(client, i)| {
        let share = args.messages / count + u64::from(i < args.messages % count);
        tokio::spawn(read(client, args.topic.clone(), share))
    });
    let mut bytes = 0;
    for task in tasks.collect::<Vec<_>>() {
        bytes += task.await.map_err(|e| Failure::Io(e.to_string()))??;
    }
    Ok(Report {
        work: "consume",
        messages: args.messages,
        bytes,
        elapsed: start.elapsed(),
        latency: None,
        errors: 0,
        acks: None,
        flags: json!({"connections": args.connections, "fetch_max_bytes": FETCH_BYTES}),
    })
}

/// Reads `messages` from the start of the topic; their value bytes.
async fn read(client: Client, topic: String, messages: u64) -> Result<u64, ClientError> {
    let mut config = ConsumerConfig::new([topic], None).reset(OffsetReset::Earliest);
    config.fetch_max_bytes = FETCH_BYTES;
    let mut consumer = client.consumer(config)?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < messages {
        let batch = consumer.poll(GIVE_UP, 100_000).await?;
        if batch.is_empty() {
            let message = format!("the topic holds only {seen} of {messages} messages");
            return Err(ClientError::new(ErrorCode::EndOfPartition, message));
        }
        for message in batch.iter().take(usize::try_from(messages - seen).unwrap_or(usize::MAX)) {
            bytes += std::hint::black_box(&message.value[..]).len() as u64;
            seen += 1;
        }
    }
    Ok(bytes)
}
