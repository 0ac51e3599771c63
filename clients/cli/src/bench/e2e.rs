//! From the moment a message was due to the moment a consumer has it: an open loop, so a stall counts for every message it delays.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use flymq_client::{Client, ClientError, ErrorCode, Message, NewMessage, ProducerConfig, StartFrom, pb};
use futures::{Stream, StreamExt as _};
use hdrhistogram::Histogram;
use serde_json::json;

use super::{E2eArgs, Report, connect, ensure_topic, histogram, nanos, payload::Payloads};
use crate::{cli::Global, commands::produce::acks, output::Failure};

/// No message for so long after the last was due: some are lost.
const GIVE_UP: Duration = Duration::from_secs(30);

pub async fn run(args: &E2eArgs, global: &Global) -> Result<Report, Failure> {
    let (sender, receiver) = (connect(global).await?, connect(global).await?);
    ensure_topic(&sender, &args.topic, 1, 0).await?;
    let end = receiver.topic(&args.topic).await?.partitions.first().map_or(0, |p| p.log_end_offset);
    let request = pb::SubscribeRequest {
        topic: args.topic.clone(),
        partitions: vec![0],
        from: StartFrom::Offset.into(),
        offset: end,
        ..pb::SubscribeRequest::default()
    };
    let stream = receiver.subscribe(request).await?;

    let measured = u64::from(args.rate) * u64::from(args.seconds);
    let schedule =
        Schedule { start: Instant::now() + Duration::from_millis(50), rate: args.rate, warmup: args.warmup };
    let total = args.warmup + measured;
    let failed = Arc::new(AtomicU64::new(0));
    let thread = spawn_sender(args.clone(), sender, schedule, total, Arc::clone(&failed))?;
    let started = schedule.due(args.warmup);
    let latency = receive(stream, schedule, total, &failed).await?;
    let elapsed = started.elapsed();
    thread.join().map_err(|_| Failure::Io("the sending thread panicked".to_owned()))??;
    Ok(Report {
        work: "e2e",
        messages: latency.len(),
        bytes: latency.len() * u64::from(args.size),
        elapsed,
        latency: Some(latency),
        errors: failed.load(Ordering::Relaxed),
        acks: Some(args.acks.clone()),
        flags: json!({"size": args.size, "rate": args.rate, "seconds": args.seconds, "open_loop": true}),
    })
}

/// When each message is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    rate: u32,
    warmup: u64,
}

impl Schedule {
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / f64::from(self.rate))
    }
}

/// The sender has a thread of its own: it sleeps in the kernel, because timers of async runtimes round up to a millisecond.
fn spawn_sender(
    args: E2eArgs,
    client: Client,
    schedule: Schedule,
    total: u64,
    failed: Arc<AtomicU64>,
) -> Result<std::thread::JoinHandle<Result<(), ClientError>>, Failure> {
    let runtime = flymq_client::runtime();
    let send_all = move || {
        let _entered = runtime.enter();
        let config =
            ProducerConfig { acks: acks(&args.acks), batch_bytes: 256 << 10, ..ProducerConfig::default() };
        let producer = client.producer(config);
        let mut payloads = Payloads::new(args.size, 1);
        for number in 0..total {
            if let Some(wait) = schedule.due(number).checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            let mut value = BytesMut::with_capacity(args.size as usize);
            value.put_u64(number);
            value.extend_from_slice(&payloads.next()[8..]);
            let message = NewMessage::value(value.freeze()).to_partition(0);
            let delivery = match producer.try_send(&args.topic, message)? {
                Ok(delivery) => delivery,
                Err(message) => runtime.block_on(producer.send(&args.topic, message))?,
            };
            let failed = Arc::clone(&failed);
            delivery.on_complete(move |result| {
                failed.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
            });
        }
        runtime.block_on(producer.close())
    };
    Ok(std::thread::Builder::new().name("bench-sender".to_owned()).spawn(send_all)?)
}

async fn receive(
    stream: impl Stream<Item = Result<Message, ClientError>>,
    schedule: Schedule,
    total: u64,
    failed: &AtomicU64,
) -> Result<Histogram<u64>, ClientError> {
    let mut latency = histogram();
    let mut seen = 0;
    tokio::pin!(stream);
    while seen + failed.load(Ordering::Relaxed) < total {
        let item = tokio::time::timeout(GIVE_UP, stream.next()).await.map_err(|_| lost(seen, total))?;
        let message = item.unwrap_or_else(|| Err(lost(seen, total)))?;
        let number = message.value.slice(..8).get_u64();
        if number >= schedule.warmup {
            latency.saturating_record(nanos(schedule.due(number).elapsed()));
        }
        seen += 1;
    }
    Ok(latency)
}

fn lost(seen: u64, total: u64) -> ClientError {
    ClientError::new(ErrorCode::Internal, format!("only {seen} of {total} messages came back"))
}
