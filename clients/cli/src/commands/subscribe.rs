//! `subscribe`: messages as they come, until Ctrl-C or a count.

use std::time::Duration;

use clap::Args;
use flymq_client::{
    ConsumerConfig, MemberConfig, OffsetReset, StartFrom, pb,
    serde::{Codec, Serdes},
};
use futures::StreamExt as _;

use crate::{
    commands::{
        away::{AGAIN, Away},
        consume::isolation,
    },
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Subscribe {
    /// A topic, or a pattern: a level `+` is any one level, a last level `#` is the topic and all below it.
    pub topic: String,
    /// Read as this group: share its partitions with its other members, go on where it stopped, commit what was shown.
    #[arg(short, long)]
    pub group: Option<String>,
    /// Where to begin; `commit` needs a group and falls back to earliest.
    #[arg(long, default_value = "latest", value_parser = ["earliest", "latest", "commit"])]
    pub from: String,
    /// Show offset and key: `[0] key=user-123: …`.
    #[arg(long)]
    pub show_key: bool,
    /// avro and protobuf read by the schema that each message names.
    #[arg(long, default_value = "string", value_parser = Serdes::NAMES)]
    pub decoder: String,
    /// Only messages that match: a piece of text, a regular expression, `$.path` in JSON, or `cel:EXPRESSION`.
    #[arg(long)]
    pub filter: Option<String>,
    /// Stop after so many messages.
    #[arg(short = 'n', long)]
    pub count: Option<usize>,
    /// read_uncommitted: also what belongs to transactions that are open or were aborted.
    #[arg(long, default_value = "read_committed", value_parser = ["read_committed", "read_uncommitted"], visible_alias = "isolation-level")]
    pub isolation: String,
}

pub async fn run(context: &Context, args: &Subscribe) -> Result<(), Failure> {
    let decoder = Serdes::new(&context.client).get(&args.decoder)?;
    if args.from == "commit" && args.group.is_none() {
        return Err(Failure::Usage("--from commit needs --group".to_owned()));
    }
    if args.group.is_none() && is_pattern(&args.topic) {
        return all_that_match(context, args, &*decoder).await;
    }
    let reset = if args.from == "latest" { OffsetReset::Latest } else { OffsetReset::Earliest };
    let mut config = ConsumerConfig::new([args.topic.as_str()], args.group.as_deref()).reset(reset);
    config.isolation = isolation(&args.isolation);
    config.filter.clone_from(&args.filter);
    if args.group.is_some() {
        config =
            config.as_member(MemberConfig { client_id: "flymq-cli".to_owned(), ..MemberConfig::default() });
    }
    let mut consumer = context.client.consumer(config)?;
    // With a group, --from says where a group without commit begins; a commit always counts.
    let mut left = args.count.unwrap_or(usize::MAX);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut away = Away::default();
    while left > 0 {
        let polled = tokio::select! {
            polled = consumer.poll(Duration::from_secs(1), left.min(500)) => polled,
            _ = &mut interrupted => break,
        };
        let batch = match polled {
            Ok(batch) => batch,
            Err(error) => {
                away.may_pass(error)?;
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => continue,
                    _ = &mut interrupted => break,
                }
            }
        };
        away.is_back();
        for message in &batch {
            output::message(message, context.format, args.show_key, &*decoder).await?;
        }
        left -= batch.len();
    }
    consumer.close().await?;
    Ok(())
}

fn is_pattern(topic: &str) -> bool {
    topic.split('/').any(|level| level == "+" || level == "#")
}

/// Without a group: the broker follows the topics.
async fn all_that_match(context: &Context, args: &Subscribe, decoder: &dyn Codec) -> Result<(), Failure> {
    let from = if args.from == "latest" { StartFrom::Latest } else { StartFrom::Earliest };
    let request = pb::SubscribeRequest {
        topic: args.topic.clone(),
        from: from.into(),
        isolation: isolation(&args.isolation).into(),
        filter: args.filter.clone().unwrap_or_default(),
        ..pb::SubscribeRequest::default()
    };
    let messages = context.client.subscribe(request).await?;
    let mut messages = std::pin::pin!(messages.take(args.count.unwrap_or(usize::MAX)));
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            _ = &mut interrupted => None,
        };
        let Some(message) = message else { return Ok(()) };
        output::message(&message?, context.format, args.show_key, decoder).await?;
    }
}
