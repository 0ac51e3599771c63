//! `queue`: messages of a topic, each held by this reader until it answers for it.

use std::time::Duration;

use clap::{Args, ValueEnum};
use flymq_client::{
    Failed, Held, Position, QueueConfig, QueueConsumer, StartFrom,
    serde::{Codec, Serdes},
};

use crate::{
    commands::away::{AGAIN, Away},
    context::Context,
    output::{self, Failure},
};

/// One wait for messages.
const SLICE: Duration = Duration::from_secs(1);
/// Held at a time, at most.
const AT_ONCE: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flymq-cli queue mails --group senders                      take and accept until Ctrl-C\n  \
    flymq-cli queue mails --group senders -n 1 --answer nack   let one fail: it comes again, and is a dead letter in the end\n  \
    flymq-cli queue mails --group senders -n 5 --answer release   look at five, and give them back")]
pub struct Queue {
    pub topic: String,
    /// The group whose readers share the messages.
    #[arg(short, long)]
    pub group: String,
    /// What becomes of each message that was shown.
    #[arg(short, long, value_enum, default_value_t = Answer::Accept)]
    pub answer: Answer,
    /// Why, of `nack` and `reject`: goes with the dead letter.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Stop after so many messages; with `release` it has to be said how many.
    #[arg(short = 'n', long, required_if_eq("answer", "release"))]
    pub count: Option<usize>,
    /// Stop when none has come for so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<u64>,
    /// Messages of one key one at a time, in order.
    #[arg(long)]
    pub ordered: bool,
    /// Seconds that a message is held without an answer, 1 to 900.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=900))]
    pub lock: u64,
    /// Where a group without committed offset begins.
    #[arg(long, default_value = "earliest", value_parser = ["earliest", "latest"])]
    pub from: String,
    /// Redeliveries before a message that fails is a dead letter; else as the group, the topic or the broker is set.
    #[arg(long)]
    pub max_retries: Option<u32>,
    /// Milliseconds before the first redelivery, likewise.
    #[arg(long, value_name = "MS")]
    pub retry_delay: Option<u64>,
    /// Show offset, key and how often it was delivered: `[0] key=user-123 (1): …`.
    #[arg(long)]
    pub show_key: bool,
    /// avro and protobuf read by the schema that each message names.
    #[arg(long, default_value = "string", value_parser = Serdes::NAMES)]
    pub decoder: String,
}

/// What a reader says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// It is processed.
    Accept,
    /// It failed: it comes again later, and is a dead letter in the end.
    Nack,
    /// It is a dead letter at once.
    Reject,
    /// Another reader may have it: once this command ends, else it would come again and again.
    Release,
}

pub async fn run(context: &Context, args: &Queue) -> Result<(), Failure> {
    let decoder = Serdes::new(&context.client).get(&args.decoder)?;
    let queue = context.client.queue(QueueConfig {
        lock: Duration::from_secs(args.lock),
        ordered: args.ordered,
        from: if args.from == "latest" { StartFrom::Latest } else { StartFrom::Earliest },
        max_retries: args.max_retries,
        retry_delay: args.retry_delay.map(Duration::from_millis),
        ..QueueConfig::new(&args.topic, &args.group)
    })?;
    let taken = take(context, args, &queue, &*decoder).await;
    // Whatever ended it: what is not answered for is given back, and does not count as failed.
    let closed = queue.close().await;
    taken?;
    Ok(closed?)
}

async fn take(
    context: &Context,
    args: &Queue,
    queue: &QueueConsumer,
    decoder: &dyn Codec,
) -> Result<(), Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut left = args.count.unwrap_or(usize::MAX);
    let (mut idle, mut away) = (Duration::ZERO, Away::default());
    while left > 0 && args.idle.is_none_or(|most| idle < Duration::from_secs(most)) {
        let most = u32::try_from(left.min(AT_ONCE)).unwrap_or(u32::MAX);
        let acquiring = queue.acquire(SLICE, most);
        tokio::pin!(acquiring);
        let acquired = tokio::select! {
            acquired = &mut acquiring => acquired,
            _ = &mut interrupted => {
                // What it may bring is to be given back, too.
                let _brought = tokio::time::timeout(2 * SLICE, acquiring).await;
                return Ok(());
            }
        };
        let held = match acquired {
            Ok(held) => held,
            Err(error) => {
                away.may_pass(error)?;
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => continue,
                    _ = &mut interrupted => return Ok(()),
                }
            }
        };
        away.is_back();
        idle = if held.is_empty() { idle + SLICE } else { Duration::ZERO };
        for one in &held {
            output::held(one, context.format, args.show_key, decoder).await?;
            answer(queue, one, args).await?;
        }
        left -= held.len();
    }
    Ok(())
}

async fn answer(queue: &QueueConsumer, held: &Held, args: &Queue) -> Result<(), Failure> {
    let position: Position = (held.message.partition, held.message.offset);
    match args.answer {
        Answer::Accept => queue.accept(&[position]).await?,
        Answer::Reject => queue.reject(&[position], &args.reason).await?,
        Answer::Release => {}
        Answer::Nack => {
            let Failed { attempts, dead_lettered, retry_after } = queue.nack(position, &args.reason).await?;
            let (offset, topic) = (held.message.offset, &args.topic);
            output::warn(&match dead_lettered {
                true => format!(
                    "offset {offset} failed {attempts} times and is a dead letter: flymq-cli dlq list {topic}"
                ),
                false => format!(
                    "offset {offset} failed {attempts} times, and comes again in {} ms",
                    retry_after.as_millis()
                ),
            });
        }
    }
    Ok(())
}
